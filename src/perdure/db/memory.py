"""A store in memory: the whole port in dicts, for tests and for trying things out.

It keeps everything that `perdure.journal.store` asks for but durability: what it acknowledged is gone with the
process. It passes the same conformance suite as the databases, so a test that runs on it says something about them.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from itertools import islice

from ..core.clock import Clock, SystemClock
from ..core.errors import RunEnded, StoreUnavailable, Superseded, UnknownRun
from ..core.futures import Steady
from ..core.ids import RunRef
from ..journal.approvals import Approval, ApprovalPlace, Overdue
from ..journal.entry import Entry
from ..journal.fleet import Serves, Session
from ..journal.state import RunStatus
from ..journal.store import Append, Claim, Message, NewRun, Post, RunQuery, RunRecord
from ._memory_audit import MemoryAudit
from ._memory_cells import MemoryCells
from ._memory_claims import MemoryClaims
from ._memory_knowledge import MemoryLedger
from ._memory_past import MemoryPast
from ._memory_projections import MemoryProjections
from ._memory_run import MemoryRun, accepted, matches
from ._memory_schedules import MemorySchedules

__all__ = ["MemoryStore"]

ADRIFT = 60_000_000
"""Microseconds after which a seized run that nobody wrote to is due again: who seized it has died."""


class MemoryStore(MemoryClaims, MemorySchedules, MemoryPast, MemoryCells, MemoryAudit, MemoryProjections):
    """The Store port in dicts. One process and one event loop; only `renew` may come from another thread."""

    url = "memory://"

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._open = False
        self._keys: dict[str, bytes] = {}
        self._runs: dict[int, MemoryRun] = {}
        self._rids: dict[RunRef, int] = {}
        self._queue: list[tuple[Append, Steady[bool]]] = []
        self._changes = 0
        self._watchers: set[asyncio.Event] = set()
        MemoryClaims.__init__(self)
        MemorySchedules.__init__(self)
        MemoryCells.__init__(self)
        MemoryAudit.__init__(self)
        MemoryProjections.__init__(self)
        self.ledger = MemoryLedger(self.now)
        """what agents know, beside the journals"""

    async def open(self) -> None:
        """Take appends from now on. What was stored before a `close` is still there."""
        self._open = True

    async def close(self) -> None:
        """Apply what is queued; appends are refused from then on. Idempotent."""
        self._write_queue()
        self._open = False

    async def tenant_key(self, tenant: str, *, subject: str | None = None) -> bytes:
        """The tenant's key (32 random bytes), made at first use."""
        with self._lock:
            return self._key(tenant)

    # runs ------------------------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run. Returns its record and whether it is new; an existing run is returned as it is."""
        with self._lock:
            known = self._run(new.ref)
            return (known.row, False) if known is not None else (self._accept(new), True)

    async def get(self, ref: RunRef) -> RunRecord | None:
        """The run's record, or None."""
        with self._lock:
            run = self._run(ref)
            return run.row if run else None

    async def find(self, query: RunQuery) -> list[RunRecord]:
        """Runs that match, newest first."""
        with self._lock:
            newest = (
                run.row
                for rid, run in reversed(self._runs.items())
                if query.before is None or rid < query.before
            )
            return list(islice((row for row in newest if matches(row, query)), query.limit))

    async def read(self, ref: RunRef, *, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with `seq` above `after`, in order. Empty for an unknown run."""
        with self._lock:
            run = self._run(ref)
            return [e for e in run.entries if e.seq > after][:limit] if run else []

    async def ended(self, refs: Sequence[RunRef]) -> set[RunRef]:
        """Those of `refs` that have ended."""
        with self._lock:
            return {ref for ref in refs if (run := self._run(ref)) is not None and run.ended}

    # the owner's side ------------------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Queue a fenced append; it is applied in the next turn of the loop, in the order of the calls."""
        loop = asyncio.get_running_loop()
        future: Steady[bool] = Steady(loop=loop)
        if not self._open:
            return _fail(future, StoreUnavailable("the store is closed; open it first"))
        self._queue.append((append, future))
        if len(self._queue) == 1:
            loop.call_soon(self._write_queue)
        return future

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        """Messages with `n` above `after`, in order."""
        with self._lock:
            run = self._runs.get(rid)
            return [m for m in run.inbox if m.n > after] if run else []

    async def stirred(self, session: str) -> list[int]:
        """`rid` of the session's claimed runs whose inbox holds more than was drained."""
        with self._lock:
            return [run.row.rid for run in self._held(session) if run.row.inbox_seq > run.row.drained_seq]

    # outsiders -------------------------------------------------------------------------------------------------

    async def post(self, post: Post) -> bool:
        """Put a message into a run's inbox and make it due. False if that message id was there already."""
        with self._lock:
            run = self._run(post.ref)
            if run is None:
                raise UnknownRun(f"no run `{post.ref}`; check its id and its tenant")
            if run.ended:
                raise RunEnded(f"run `{post.ref}` has ended as `{run.row.status}` and takes no more messages")
            new = run.deliver(post, self.now())
            self._tell()
            return new

    async def seize(self, ref: RunRef) -> Claim | None:
        """Take the run from whoever has it: epoch + 1, no session. None if it has ended or is unknown."""
        with self._lock:
            run = self._run(ref)
            if run is None or run.ended:
                return None
            run.seize(self.now())
            self._tell()
            return self._claim_of(run)

    async def wake(self, ref: RunRef, *, reset: bool = False) -> None:
        """Make a pending or waiting run due now; with `reset`, also one in quarantine, its counters at zero."""
        with self._lock:
            run = self._run(ref)
            if run is not None:
                run.wake(self.now(), reset=reset)
                self._tell()

    async def approvals(
        self,
        *,
        tenant: str | None = None,
        ref: RunRef | None = None,
        overdue: Overdue | None = None,
        after: ApprovalPlace | None = None,
        limit: int | None = None,
    ) -> list[Approval]:
        """Open approvals, oldest first."""
        with self._lock:
            found = [
                approval
                for run in self._runs.values()
                if tenant in (None, run.row.ref.tenant) and ref in (None, run.row.ref)
                for approval in run.approvals.values()
                if overdue is None or approval.late(overdue)
            ]
            behind = sorted((a for a in found if after is None or a.place > after), key=lambda a: a.place)
            return behind[:limit]

    async def count_approvals(self, *, tenant: str | None = None, overdue: Overdue | None = None) -> int:
        """How many stand open; with `overdue` how many of them are late."""
        return len(await self.approvals(tenant=tenant, overdue=overdue))

    # claims ----------------------------------------------------------------------------------------------------

    def renew(self, session: Session) -> Future[bool]:
        """Extend the lease from now. False: the session is gone, and its runs with it. From any thread."""
        with self._lock:
            alive = session.id in self._sessions
            if alive:
                self._until(session.id, self.now() + session.lease)
        promise: Future[bool] = Future()
        promise.set_result(alive)
        return promise

    async def deregister(self, session: str) -> None:
        """End a session cleanly: what it still holds becomes pending, and is not counted against the run."""
        with self._lock:
            self._sessions.pop(session, None)
            for run in self._held(session):
                run.let_go(self.now())
            self._tell()

    async def claim(
        self,
        session: str,
        serves: Sequence[Serves],
        *,
        limit: int,
        labels: frozenset[str] = frozenset(),
        tenant_limit: int | None = None,
        only: RunRef | None = None,
    ) -> list[Claim]:
        """Claim ready runs, an equal share of each lane; or `only` one.

        Nothing for a session that is gone: `recover` would never find what it claimed.
        """
        with self._lock:
            if session not in self._sessions or not serves or limit <= 0:
                return []
            if only is None:
                return [
                    self._claim_of(run)
                    for run in self._claim_ready(session, serves, limit, labels, tenant_limit)
                ]
            run = self._run(only)
            if run is None or not (run.idle or run.row.session == session):
                return []
            run.claim(session, self.now())
            return [self._claim_of(run)]

    async def recover(self) -> int:
        """Take the runs of sessions whose lease has run out: pending, due now. How many."""
        with self._lock:
            now = self.now()
            gone = {session for session, record in self._sessions.items() if record.expires <= now}
            for session in gone:
                del self._sessions[session]
            taken = [run for session in gone for run in self._held(session)]
            for run in taken:
                run.lose(now)
            adrift = [
                run
                for run in self._runs.values()
                if run.row.status is RunStatus.RUNNING
                and run.row.session is None
                and run.row.updated_at < now - ADRIFT
            ]
            for run in adrift:
                run.let_go(now)
            if taken or adrift:
                self._tell()
            return len(taken) + len(adrift)

    async def expire(self, session: str) -> None:
        """Its process is known to be dead: end its lease now, so that `recover` need not wait for it."""
        with self._lock:
            if session in self._sessions:
                self._until(session, 0)

    async def hand_over(self, rid: int, epoch: int, session: str) -> None:
        """Give a claimed run to another session (the process in which it is to run alone). Raises `Superseded`."""
        with self._lock:
            run = self._runs.get(rid)
            if run is None or run.row.epoch != epoch or run.row.session is None:
                raise Superseded(f"run {rid} is not claimed under epoch {epoch} any more; leave it alone")
            run.row = replace(run.row, session=session)
            run.alone = True

    def changes(self) -> int:
        """A number that differs once anybody has changed more than a journal."""
        return self._changes

    async def changed(self, since: int, *, within: float) -> None:
        """Return once `changes()` differs from `since`, or after `within` seconds of the loop's time.

        Not of the injected clock: one that skips time would jump by `within` whenever somebody looks for news.
        """
        event = asyncio.Event()
        self._watchers.add(event)
        try:
            if self._changes == since:
                async with asyncio.timeout(within):
                    await event.wait()
        except TimeoutError:
            return
        finally:
            self._watchers.discard(event)

    def now(self) -> int:
        """The clock's time, in microseconds."""
        return self._clock.micros()

    # inside ----------------------------------------------------------------------------------------------------

    def _run(self, ref: RunRef) -> MemoryRun | None:
        rid = self._rids.get(ref)
        return None if rid is None else self._runs[rid]

    def _accept(self, new: NewRun) -> RunRecord:
        self._write_cells(self._amended(new.amendments))
        rid = len(self._runs) + 1
        self._runs[rid] = run = accepted(new, rid=rid, now=self.now())
        self._rids[new.ref] = rid
        self._key(new.ref.tenant)
        self._tell()
        return run.row

    def _deliver(self, post: Post) -> None:
        target = self._run(post.ref)
        if target is not None and not target.ended:
            target.deliver(post, self.now())

    def _key(self, tenant: str) -> bytes:
        if tenant not in self._keys:
            self._keys[tenant] = secrets.token_bytes(32)
        return self._keys[tenant]

    def _tell(self) -> None:
        self._changes += 1
        for event in self._watchers:
            event.set()

    def _held(self, session: str) -> list[MemoryRun]:
        return [run for run in self._runs.values() if run.row.session == session]

    def _claim_of(self, run: MemoryRun) -> Claim:
        return Claim(
            run=run.row, entries=run.entries[run.row.base - 1 :], tenant_key=self._key(run.row.ref.tenant)
        )

    def _until(self, session: str, expires: int) -> None:
        self._sessions[session] = replace(self._sessions[session], expires=expires)

    def _write_queue(self) -> None:
        queue, self._queue = self._queue, []
        with self._lock:
            for append, future in queue:
                try:
                    future.set_result(self._apply(append))
                except Exception as error:
                    _fail(future, error)
            # Steps are no news: whoever looks for work would look again after each.
            if any(a.change is not None and (a.change.status or a.change.posts) for a, _ in queue):
                self._tell()

    def _apply(self, append: Append) -> bool:
        run = self._runs.get(append.rid)
        if run is None:
            raise Superseded(f"run {append.rid} is not in this store")
        change = append.change
        if change is None or not run.accepts(append):
            return run.write(append, self.now())
        cells = self._amended(change.amendments)
        run.write(append, self.now())
        self._write_cells(cells)
        for post in change.posts:
            self._deliver(post)
        return True


def _fail(future: Steady[bool], error: Exception) -> Steady[bool]:
    future.set_exception(error)
    future.exception()  # marked as seen: an append that nobody awaits yet is awaited at a barrier
    return future
