"""`PostgresStore`: the Store port on a PostgreSQL database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.clock import Clock, SystemClock
from ...core.errors import RunEnded, StoreError, Superseded, UnknownRun
from ...core.ids import RunRef
from ...journal import (
    ENDINGS,
    Append,
    Approval,
    ApprovalPlace,
    CellKey,
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
    keys_of,
)
from ..asked import asked
from ..fair import Rota
from ..group_commit import Call, GroupCommit
from . import queries, rows
from .audit import AuditRows
from .batch import BatchWriter
from .cells import CellRows
from .claims import AGAIN_SECONDS, Claiming, ClaimRows
from .connection import PATIENCE_SECONDS, Link, Patience, check_schema, named_errors, retried, shown
from .past import PastRows
from .projections import ProjectionRows
from .schedules import ScheduleRows
from .watcher import Watcher

if TYPE_CHECKING:
    from ...memory.knowledge import Ledger

__all__ = ["PostgresStore"]

T = TypeVar("T")

ADRIFT_MICROS = 60_000_000
"""A run that was seized, and whose seizer died, is due again after this."""


class PostgresStore(ClaimRows, ScheduleRows, PastRows, CellRows, AuditRows, ProjectionRows):
    """Runs, journals and inboxes in the schema `perdure` of the database at `url` (`postgresql://...`).

    Three connections: one writes, one reads, one listens; any number of processes share the database. Leases and
    timers use the database's own clock, unless a `clock` other than the machine's is given (for tests). A database
    that is gone is waited for, `patience` seconds, before what needs it fails with `StoreUnavailable`. Raises
    `ConfigError` for a URL or a server that cannot be used.
    """

    def __init__(self, url: str, *, clock: Clock | None = None, patience: float = PATIENCE_SECONDS) -> None:
        self.url = url
        self._name = shown(url)
        self._machine = SystemClock()
        self._patience = patience
        self._clock = None if isinstance(clock, SystemClock) else clock
        self._offset = 0
        self._writer: BatchWriter | None = None
        self._commits = GroupCommit(self._write, name="perdure-writer")
        self._reader = Link(url)
        self._readers: ThreadPoolExecutor | None = None
        self._watcher: Watcher | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watching: set[asyncio.Future[None]] = set()
        self._news = 0
        self._keys: dict[str, bytes] = {}
        self._rota = Rota()

    # open and close --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect; an empty database gets its tables, an older schema is refused with what migrates it."""
        if self._writer is not None:
            return
        self._loop = loop = asyncio.get_running_loop()
        writer = BatchWriter(Link(self.url), self._name, self._time, patience=self._patience)
        watcher = Watcher(self.url, writer.id, self._on_others_news)

        def connect() -> None:
            try:
                check_schema(writer.link, self._name)
                with named_errors(self._name):
                    self._measure(lambda: writer.link.execute(queries.READ_NOW, self._values()).fetchone())
                    writer.link.execute(queries.FORGET_STALE)
                    watcher.start()
            except BaseException:
                writer.link.drop()
                watcher.stop()
                raise

        await loop.run_in_executor(None, connect)
        self._writer, self._watcher = writer, watcher
        self._readers = ThreadPoolExecutor(1, thread_name_prefix="perdure-reader")
        self._commits.start(self._on_news)

    async def close(self) -> None:
        """Write what is queued, then let go of the connections."""
        if self._writer is None:
            return
        await self._commits.stop()
        readers, writer, watcher = self._readers, self._writer, self._watcher
        assert readers and watcher

        def disconnect() -> None:
            watcher.stop()
            readers.shutdown(wait=True)
            self._reader.drop()
            writer.forget()

        await asyncio.get_running_loop().run_in_executor(None, disconnect)
        self._writer = self._watcher = self._readers = None
        self._on_news()

    def now(self) -> int:
        """The database's time, estimated: what was measured last, and what has passed since.

        By the clock that never goes back: the machine's time of day may jump, and no timer with it.
        """
        return self._elapsed() + self._offset if self._clock is None else self._clock.micros()

    def _elapsed(self) -> int:
        return round(self._machine.monotonic() * 1e6)

    def _time(self) -> int | None:
        """The time that statements are given; None: they read the database's clock."""
        return None if self._clock is None else self._clock.micros()

    def _measure(self, ask: Callable[[], rows.Row | None]) -> rows.Row | None:
        """Set the offset by a question whose answer's last column is the database's time."""
        before = self._elapsed()
        row = ask()
        if row is not None:
            self._offset = row[-1] - (before + self._elapsed()) // 2
        return row

    def _values(self, **values: Any) -> dict[str, Any]:
        values["now"] = self._time()
        return values

    def _write(self, batch: Sequence[Any]) -> bool:
        assert self._writer is not None
        return self._writer.write(batch)

    def _change(
        self, function: Callable[[BatchWriter], T], *, news: bool = True, cells: Sequence[CellKey] = ()
    ) -> asyncio.Future[T]:
        return self._commits.submit(self._call(function, news=news, cells=cells))

    def _call(
        self, function: Callable[[BatchWriter], T], *, news: bool = True, cells: Sequence[CellKey] = ()
    ) -> Call[Link]:
        def run(_: Link) -> T:
            assert self._writer is not None
            return function(self._writer)

        return Call(run, news=news, cells=cells)

    async def _query(self, function: Callable[[Link], T]) -> T:
        def run() -> T:
            with named_errors(self._name):
                return retried(self._reader, function, Patience(self._patience))

        if self._readers is None:
            raise StoreError("the store is closed; open it first")
        return await asyncio.get_running_loop().run_in_executor(self._readers, run)

    # what else the database keeps --------------------------------------------------------------------------------

    @cached_property
    def ledger(self) -> Ledger:
        """What agents know, beside the journals."""
        from .knowledge import PostgresLedger

        return PostgresLedger(self)

    def change(
        self, function: Callable[[BatchWriter], T], *, cells: Sequence[CellKey] = ()
    ) -> asyncio.Future[T]:
        """Write, in one transaction with whatever else is written now, under the locks of `cells`.

        What `function` raises beside psycopg's errors it raises as `ChangeRaised`.
        """
        return self._change(function, news=False, cells=cells)

    async def look(self, function: Callable[[Link], T]) -> T:
        """Read, in the reader's thread."""
        return await self._query(function)

    def time(self) -> int | None:
        """The time that statements are given; None: they read the database's clock."""
        return self._time()

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
            row = w.add_run(new, fresh)
            if row is None:
                return rows.record(w.link.execute(queries.GET_RUN, _named(new.ref)).fetchone()), False
            return rows.record(row), True

        return await self._change(run, cells=keys_of(new.amendments))

    async def get(self, ref: RunRef) -> RunRecord | None:
        """The run's record, or None."""
        row = await self._query(lambda c: c.execute(queries.GET_RUN, _named(ref)).fetchone())
        return None if row is None else rows.record(row)

    async def find(self, query: RunQuery) -> list[RunRecord]:
        """Runs that match, newest first."""
        sql, values = rows.found(query)
        return [rows.record(row) for row in await self._query(lambda c: c.execute(sql, values).fetchall())]

    async def read(self, ref: RunRef, *, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with `seq` above `after`, in order."""

        def run(c: Link) -> list[Entry]:
            row = c.execute(queries.GET_RUN, _named(ref)).fetchone()
            return [] if row is None else _entries(c, row[0], ref.tenant, after=after, limit=limit)

        return await self._query(run)

    async def ended(self, refs: Sequence[RunRef]) -> set[RunRef]:
        """Those of `refs` that have ended."""
        values = {"tenants": [ref.tenant for ref in refs], "ids": [ref.id for ref in refs]}
        found = await self._query(lambda c: c.execute(queries.ENDED_RUNS, values).fetchall())
        return {RunRef(*row) for row in found}

    # the owner's side ------------------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Queue a fenced append; the future is done when it is on disk."""
        return self._commits.submit(append)

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        """Messages with `n` above `after`, in order."""
        values = {"rid": rid, "after": after}
        found = await self._query(lambda c: c.execute(queries.INBOX, values).fetchall())
        return [rows.message(row) for row in found]

    async def stirred(self, session: str) -> list[int]:
        """`rid` of the session's runs with messages that were not drained."""
        values = {"session": session}
        return [row[0] for row in await self._query(lambda c: c.execute(queries.STIRRED, values).fetchall())]

    # outsiders -------------------------------------------------------------------------------------------------

    async def post(self, post: Post) -> bool:
        """Put a message into a run's inbox and wake it."""

        def run(w: BatchWriter) -> bool:
            found = w.post(post)
            if found is None:
                raise UnknownRun(f"no run `{post.ref}`; `perdure runs ls` shows what there is")
            status, new = found
            if status in ENDINGS:
                raise RunEnded(f"run `{post.ref}` has ended ({status}) and takes no more messages")
            return new

        return await self._change(run)

    async def seize(self, ref: RunRef) -> Claim | None:
        """Take the run from whoever has it."""
        row = await self._change(
            lambda w: w.link.execute(queries.SEIZE, self._values(**_named(ref))).fetchone()
        )
        return None if row is None else (await self._claims([rows.record(row)]))[0]

    async def wake(self, ref: RunRef, *, reset: bool = False) -> None:
        """Make the run due now."""
        sql = queries.RESET if reset else queries.WAKE
        await self._change(lambda w: w.link.execute(sql, self._values(**_named(ref))).rowcount)

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
        values["limit"] = limit  # null, and not -1: no limit
        found = await self._query(lambda c: c.execute(queries.APPROVALS, values).fetchall())
        return [rows.approval(row) for row in found]

    async def count_approvals(self, *, tenant: str | None = None, overdue: Overdue | None = None) -> int:
        """How many stand open; with `overdue` how many of them are late."""
        values = asked(tenant=tenant, overdue=overdue)
        row = await self._query(lambda c: c.execute(queries.COUNT_APPROVALS, values).fetchone())
        return 0 if row is None else row[0]

    # claims ----------------------------------------------------------------------------------------------------

    def renew(self, session: Session) -> Future[bool]:
        """Extend the lease from now; from any thread.

        Behind what is queued, on the connection that writes: a lease says that its worker can write. Renewed over
        another connection, a worker whose writer hangs would keep runs for which it can do nothing, and nobody else
        would get them.
        """

        def run(w: BatchWriter) -> bool:
            values = self._values(session=session.id, lease=session.lease)
            return self._measure(lambda: w.link.execute(queries.RENEW, values).fetchone()) is not None

        return self._commits.submit_from_thread(self._call(run, news=False))

    async def expire(self, session: str) -> None:
        """End the lease of a process that is known to be dead."""
        await self._change(lambda w: w.link.execute(queries.EXPIRE, {"session": session}).rowcount)

    async def deregister(self, session: str) -> None:
        """End a session cleanly."""

        def run(w: BatchWriter) -> None:
            values = self._values(session=session)
            w.link.execute(queries.LOCK_SESSION, values)
            w.link.execute(queries.LET_GO, values)
            w.link.execute(queries.END_SESSION, values)

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
            if only is not None:
                values = self._values(session=session)
                if self._measure(lambda: w.link.execute(queries.HOLD_SESSION, values).fetchone()) is None:
                    return []
                found = w.link.execute(queries.CLAIM_ONE, values | _named(only)).fetchall()
                return [rows.record(row) for row in found]
            claiming = Claiming(
                w.link, session, serves, labels=labels, tenant_limit=tenant_limit, now=self._time()
            )
            if self._measure(claiming.begin) is None:
                return []
            if claiming.again:
                self._look_again()
            return [rows.record(row) for row in claiming.pick(self._rota, limit)]

        return await self._claims(await self._change(run, news=False))

    async def _claims(self, records: list[RunRecord]) -> list[Claim]:
        if not records:
            return []

        def run(c: Link) -> list[Claim]:
            keys = {tenant: _key(c, tenant) for tenant in {record.ref.tenant for record in records}}
            journals: dict[int, list[Entry]] = {record.rid: [] for record in records}
            values = {
                "rids": list(journals),
                "tenants": [record.ref.tenant for record in records],
                "afters": [record.base - 1 for record in records],
            }
            for rid, *entry in c.execute(queries.READ_MANY, values):
                journals[rid].append(Entry(*entry))
            return [
                Claim(run=record, entries=journals[record.rid], tenant_key=keys[record.ref.tenant])
                for record in records
            ]

        return await self._query(run)

    async def recover(self) -> int:
        """Take the runs of sessions whose lease has run out."""

        def run(w: BatchWriter) -> int:
            taken = 0
            for (session,) in w.link.execute(queries.EXPIRED, self._values()).fetchall():
                values = self._values(session=session)
                taken += w.link.execute(queries.TAKE_OVER, values).rowcount
                w.link.execute(queries.END_SESSION, values)
            return taken + w.link.execute(queries.ADRIFT, self._values(adrift=ADRIFT_MICROS)).rowcount

        return await self._change(run, news=False)

    async def hand_over(self, rid: int, epoch: int, session: str) -> None:
        """Give a claimed run to another session."""
        values = {"rid": rid, "epoch": epoch, "session": session}

        def run(w: BatchWriter) -> None:
            if w.link.execute(queries.HAND_OVER, values).rowcount == 0:
                raise Superseded(f"epoch {epoch} is no longer the owner, so the run cannot be handed over")

        await self._change(run)

    # watching --------------------------------------------------------------------------------------------------

    def changes(self) -> int:
        """Differs once there is news: by this store at once, by others when it is heard of. Reads memory only."""
        if self._writer is None:
            raise StoreError("the store is closed; open it first")
        return self._news

    async def changed(self, since: int, *, within: float) -> None:
        """Return once `changes()` differs from `since`, or after `within` seconds."""
        if self._writer is None or self._news != since or within <= 0:
            return
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()
        self._watching.add(news)
        timer = loop.call_later(within, _wake, news)
        try:
            await news
        finally:
            timer.cancel()
            self._watching.discard(news)

    def _on_others_news(self) -> None:
        self._soon(self._on_news)

    def _look_again(self) -> None:
        assert self._loop is not None
        self._soon(self._loop.call_later, AGAIN_SECONDS, self._on_news)

    def _soon(self, function: Callable[..., Any], *arguments: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:
            return  # the loop is closed: nobody is left to tell

    def _on_news(self) -> None:
        self._news += 1
        for news in self._watching:
            _wake(news)


def _wake(news: asyncio.Future[None]) -> None:
    if not news.done():
        news.set_result(None)


def _named(ref: RunRef) -> dict[str, str]:
    return {"tenant": ref.tenant, "id": ref.id}


def _key(c: Link, tenant: str) -> bytes:
    row = c.execute(queries.TENANT_KEY, {"tenant": tenant}).fetchone()
    assert row is not None
    return row[0]


def _entries(c: Link, rid: int, tenant: str, *, after: int = 0, limit: int | None = None) -> list[Entry]:
    values = {"rid": rid, "tenant": tenant, "after": after, "limit": limit}
    return [Entry(*row) for row in c.execute(queries.READ_ENTRIES, values)]
