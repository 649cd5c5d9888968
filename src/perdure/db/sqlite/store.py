"""`SqliteStore`: the Store port on one SQLite file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.clock import Clock, SystemClock
from ...core.errors import ConfigError, RunEnded, StoreError, Superseded, UnknownRun
from ...core.ids import RunRef
from ...journal import (
    ENDINGS,
    Append,
    Approval,
    ApprovalPlace,
    Claim,
    Entry,
    Message,
    NewRun,
    Overdue,
    Post,
    RunQuery,
    RunRecord,
    Serves,
    Session,
)
from ..asked import asked
from ..fair import Rota
from ..group_commit import Call, GroupCommit
from . import queries
from .audit import AuditRows
from .batch import BatchWriter
from .cells import CellRows
from .claims import ClaimRows, claim_ready
from .connection import (
    Connection,
    connect,
    migrate,
    named_errors,
    newest_version,
    refuse_moved,
    refuse_newer,
    version_of,
)
from .nearness import give_nearness
from .past import PastRows, conditions
from .projections import ProjectionRows
from .rows import message, record
from .schedules import ScheduleRows

if TYPE_CHECKING:
    from ...memory.knowledge import Ledger

__all__ = ["SqliteStore"]

T = TypeVar("T")

POLL_SECONDS = 0.02
"""How often a store that is watched looks whether another process has written (a read of 5 µs)."""

LAZY_SECONDS = 0.2
"""How often when nobody has for a while: fifty looks a second are a hundredth of a core, for nothing."""

QUIET_LOOKS = 20
"""Between two looks at most such a part of the time passes in which nobody has written: lazy after four seconds."""

ADRIFT_MICROS = 60_000_000
"""A run that was seized, and whose seizer died, is due again after this."""


class SqliteStore(ClaimRows, ScheduleRows, PastRows, CellRows, AuditRows, ProjectionRows):
    """Runs, journals and inboxes in the SQLite file at `path` (`sqlite:///path` is understood too).

    One thread writes, one reads; several processes may share the file. Raises `StoreError` where the file is not
    usable, `StoreTooNew` where a later release wrote it.
    """

    def __init__(self, path: str | os.PathLike[str], *, clock: Clock | None = None) -> None:
        text = os.fspath(path)
        self.path = os.path.abspath(text.removeprefix("sqlite:///"))
        self.url = f"sqlite:///{self.path}"
        self._clock = clock or SystemClock()
        self._writer: BatchWriter | None = None
        self._commits = GroupCommit(self._write, name="perdure-writer")
        self._reader: Connection | None = None
        self._watcher: Connection | None = None
        self._readers: ThreadPoolExecutor | None = None
        self._watching: set[asyncio.Future[None]] = set()
        self._news = 0
        self._batches = 0
        """written by this process, counted at their beginning and at their end"""
        self._last_version = self._last_batches = self._last_news = -1
        self._stirred_at = 0.0
        self._keys: dict[str, bytes] = {}
        self._rota = Rota()

    # open and close --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; a new file gets its tables, an older schema is refused with the command that migrates it."""
        if self._writer is not None:
            return
        if not os.path.isdir(os.path.dirname(self.path)):  # noqa: ASYNC240  # once, before anything runs
            raise ConfigError(f"`{self.path}` cannot be a store: make its folder first")
        connection = connect(self.path, cache_kilobytes=32_768)
        try:
            with named_errors(self.path):
                refuse_newer(connection, self.path)
                if version_of(connection) == 0:
                    migrate(connection, self.path)
                elif version_of(connection) < newest_version():
                    raise StoreError(
                        f"`{self.path}` has schema version {version_of(connection)}, this release needs "
                        f"{newest_version()}: run `perdure db migrate`"
                    )
                refuse_moved(connection, self.path)
        except BaseException:
            connection.close()
            raise
        self._writer = BatchWriter(connection, self.path, self.now)
        self._reader = connect(self.path)
        give_nearness(self._reader)
        self._watcher = connect(self.path, cache_kilobytes=64)
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="perdure-reader")
        self._commits.start(self._on_news)

    async def close(self) -> None:
        """Write what is queued, then close the file."""
        if self._writer is None:
            return
        await self._commits.stop()
        assert self._readers and self._reader and self._watcher
        self._readers.shutdown(wait=True)
        for connection in (self._writer.connection, self._reader, self._watcher):
            connection.close()
        self._writer = self._reader = self._watcher = self._readers = None
        self._on_news()

    def now(self) -> int:
        """The process's clock: on one machine it is the store's."""
        return self._clock.micros()

    def _write(self, batch: Sequence[Any]) -> bool:
        assert self._writer is not None
        self._batches += 1
        try:
            return self._writer.write(batch)
        finally:
            self._batches += 1

    def _change(self, function: Callable[[BatchWriter], T], *, news: bool = True) -> asyncio.Future[T]:
        return self._commits.submit(self._call(function, news=news))

    def _call(self, function: Callable[[BatchWriter], T], *, news: bool = True) -> Call[Connection]:
        def run(_: Connection) -> T:
            assert self._writer is not None
            return function(self._writer)

        return Call(run, news=news)

    async def _query(self, function: Callable[[Connection], T]) -> T:
        def run() -> T:
            assert self._reader is not None
            with named_errors(self.path):
                return function(self._reader)

        if self._readers is None:
            raise StoreError("the store is closed; open it first")
        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    # what is kept beside the port ------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """What agents know, beside the journals."""
        from .knowledge import SqliteLedger

        return SqliteLedger(self)

    async def change(self, function: Callable[[Connection], T]) -> T:
        """Run `function` in the transaction of whatever else is written now: for what is no part of the port."""
        return await self._change(lambda w: function(w.connection), news=False)

    async def look(self, function: Callable[[Connection], T]) -> T:
        """Run `function`, which only reads, in the reader's thread."""
        return await self._query(function)

    # tenants and runs ------------------------------------------------------------------------------------------

    async def tenant_key(self, tenant: str, *, subject: str | None = None) -> bytes:
        """The tenant's 32-byte key, made at first use."""
        key = self._keys.get(tenant)
        if key is None:
            fresh = os.urandom(32)
            key = await self._change(lambda w: w.tenant_key(tenant, fresh), news=False)
            self._keys[tenant] = key
        return key

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run, once per id."""
        fresh = os.urandom(32)

        def run(w: BatchWriter) -> tuple[RunRecord, bool]:
            added = w.add_run(new, fresh)
            return record(w.connection.execute(queries.GET_RUN, new.ref).fetchone()), added

        return await self._change(run)

    async def get(self, ref: RunRef) -> RunRecord | None:
        """The run's record, or None."""
        row = await self._query(lambda c: c.execute(queries.GET_RUN, ref).fetchone())
        return None if row is None else record(row)

    async def find(self, query: RunQuery) -> list[RunRecord]:
        """Runs that match, newest first."""
        where, values = conditions(query)
        sql = f"{queries.FIND_RUNS}{where} order by rid desc limit ?"
        values.append(query.limit)
        return [record(row) for row in await self._query(lambda c: c.execute(sql, values).fetchall())]

    async def read(self, ref: RunRef, *, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with `seq` above `after`, in order."""

        def run(c: Connection) -> list[Entry]:
            row = c.execute(queries.GET_RUN, ref).fetchone()
            return [] if row is None else _entries(c, row[0], ref.tenant, after=after, limit=limit)

        return await self._query(run)

    async def ended(self, refs: Sequence[RunRef]) -> set[RunRef]:
        """Those of `refs` that have ended."""

        def run(c: Connection) -> set[RunRef]:
            rows = ((ref, c.execute(queries.GET_RUN, ref).fetchone()) for ref in refs)
            return {ref for ref, row in rows if row is not None and row[5] in ENDINGS}

        return await self._query(run)

    # the owner's side ------------------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Queue a fenced append; the future is done when it is on disk."""
        return self._commits.submit(append)

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        """Messages with `n` above `after`, in order."""
        rows = await self._query(lambda c: c.execute(queries.INBOX, (rid, after)).fetchall())
        return [message(row) for row in rows]

    async def stirred(self, session: str) -> list[int]:
        """`rid` of the session's runs with messages that were not drained."""
        rows = await self._query(lambda c: c.execute(queries.STIRRED, (session,)).fetchall())
        return [row[0] for row in rows]

    # outsiders -------------------------------------------------------------------------------------------------

    async def post(self, post: Post) -> bool:
        """Put a message into a run's inbox and wake it."""

        def run(w: BatchWriter) -> bool:
            row = w.connection.execute(queries.GET_RUN, post.ref).fetchone()
            if row is None:
                raise UnknownRun(f"no run `{post.ref}`; `perdure runs ls` shows what there is")
            if row[5] in ENDINGS:
                raise RunEnded(f"run `{post.ref}` has ended ({row[5]}) and takes no more messages")
            return w.add_message(row[0], post)

        return await self._change(run)

    async def seize(self, ref: RunRef) -> Claim | None:
        """Take the run from whoever has it."""
        row = await self._change(lambda w: w.connection.execute(queries.SEIZE, (*ref, self.now())).fetchone())
        return None if row is None else (await self._claims([record(row)]))[0]

    async def wake(self, ref: RunRef, *, reset: bool = False) -> None:
        """Make the run due now."""
        sql = queries.RESET if reset else queries.WAKE
        await self._change(lambda w: w.connection.execute(sql, (*ref, self.now())).fetchall())

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
        values = asked(tenant=tenant, ref=ref, overdue=overdue, after=after, limit=limit)
        rows = await self._query(lambda c: c.execute(queries.APPROVALS, values).fetchall())
        return [
            Approval(
                ref=RunRef(row[0], row[1]),
                step=row[2],
                question=row[3],
                opened_at=row[4],
                due=row[5],
                agent=row[6],
                show=row[7],
            )
            for row in rows
        ]

    async def count_approvals(self, *, tenant: str | None = None, overdue: Overdue | None = None) -> int:
        """How many stand open; with `overdue` how many of them are late."""
        values = asked(tenant=tenant, overdue=overdue)
        row = await self._query(lambda c: c.execute(queries.COUNT_APPROVALS, values).fetchone())
        return 0 if row is None else row[0]

    # claims ----------------------------------------------------------------------------------------------------

    def renew(self, session: Session) -> Future[bool]:
        """Extend the lease from now; from any thread."""

        def run(w: BatchWriter) -> bool:
            w.connection.execute(queries.RENEW, (self.now() + session.lease, session.id))
            return w.connection.changes() == 1

        return self._commits.submit_from_thread(self._call(run, news=False))

    async def expire(self, session: str) -> None:
        """End the lease of a process that is known to be dead."""
        await self._change(lambda w: w.connection.execute(queries.EXPIRE, (session,)).fetchall())

    async def deregister(self, session: str) -> None:
        """End a session cleanly."""

        def run(w: BatchWriter) -> None:
            w.connection.execute(queries.LET_GO, (session, self.now()))
            w.connection.execute(queries.END_SESSION, (session,))

        await self._change(run)

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
        """Claim ready runs, an equal share of each lane."""
        if not serves or limit <= 0:
            return []

        def run(w: BatchWriter) -> list[RunRecord]:
            now = self.now()
            if not w.connection.execute(queries.SESSION_EXISTS, (session,)).get:
                return []
            if only is None:
                found = claim_ready(
                    w.connection,
                    self._rota,
                    session,
                    serves,
                    limit=limit,
                    labels=labels,
                    tenant_limit=tenant_limit,
                    now=now,
                )
            else:
                rows = w.connection.execute(queries.CLAIM_ONE, (*only, session)).fetchall()
                found = [
                    w.connection.execute(queries.CLAIM, (session, now, row[0])).fetchone() for row in rows
                ]
            return [record(row) for row in found]

        return await self._claims(await self._change(run, news=False))

    async def _claims(self, records: list[RunRecord]) -> list[Claim]:
        if not records:
            return []

        def run(c: Connection) -> list[Claim]:
            tenants = {record.ref.tenant for record in records}
            keys = {tenant: c.execute(queries.TENANT_KEY, (tenant,)).get for tenant in tenants}
            return [
                Claim(
                    run=record,
                    entries=_entries(c, record.rid, record.ref.tenant, after=record.base - 1),
                    tenant_key=keys[record.ref.tenant],
                )
                for record in records
            ]

        return await self._query(run)

    async def recover(self) -> int:
        """Take the runs of sessions whose lease has run out."""

        def run(w: BatchWriter) -> int:
            now = self.now()
            taken = 0
            for (session,) in w.connection.execute(queries.EXPIRED, (now,)).fetchall():
                w.connection.execute(queries.TAKE_OVER, (session, now))
                taken += w.connection.changes()
                w.connection.execute(queries.END_SESSION, (session,))
            w.connection.execute(queries.ADRIFT, (now, now - ADRIFT_MICROS))
            return taken + w.connection.changes()

        return await self._change(run, news=False)

    async def hand_over(self, rid: int, epoch: int, session: str) -> None:
        """Give a claimed run to another session."""

        def run(w: BatchWriter) -> None:
            w.connection.execute(queries.HAND_OVER, (rid, epoch, session))
            if w.connection.changes() == 0:
                raise Superseded(f"epoch {epoch} is no longer the owner, so the run cannot be handed over")

        await self._change(run)

    # watching --------------------------------------------------------------------------------------------------

    def changes(self) -> int:
        """Differs once anything was written to the file."""
        if self._watcher is None:
            raise StoreError("the store is closed; open it first")
        version = self._watcher.pragma("data_version")
        return self._news * 2_147_483_647 + int(version)

    async def changed(self, since: int, *, within: float) -> None:
        """Return once `changes()` differs from `since`, or after `within` seconds."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while self._watcher is not None and self.changes() == since and (left := until - loop.time()) > 0:
            news: asyncio.Future[None] = loop.create_future()
            self._watching.add(news)
            pause = pause_after(self.quiet_for(loop.time()))
            timer = loop.call_later(min(left, pause), _wake, news)
            try:
                await news
            finally:
                timer.cancel()
                self._watching.discard(news)

    def quiet_for(self, now: float) -> float:
        """For how many seconds nobody else has written, and this process no news; `now` is the loop's time."""
        assert self._watcher is not None
        version = int(self._watcher.pragma("data_version"))
        if version != self._last_version:
            if self._batches == self._last_batches:  # else it may have been this process: its heartbeat, say
                self._stirred_at = now
            self._last_version, self._last_batches = version, self._batches
        if self._news != self._last_news:
            self._last_news, self._stirred_at = self._news, now
        return now - self._stirred_at

    def _on_news(self) -> None:
        self._news += 1
        for news in self._watching:
            _wake(news)


def pause_after(quiet: float) -> float:
    """Until the next look at a file that nobody has written for so many seconds."""
    return min(LAZY_SECONDS, max(POLL_SECONDS, quiet / QUIET_LOOKS))


def _wake(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def _entries(
    c: Connection, rid: int, tenant: str, *, after: int = 0, limit: int | None = None
) -> list[Entry]:
    rows = c.execute(queries.READ_ENTRIES, (rid, tenant, after, -1 if limit is None else limit))
    return [Entry(*row) for row in rows]
