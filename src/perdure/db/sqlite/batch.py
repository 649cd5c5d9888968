"""Writing one batch: every queued append and call, in one transaction."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, TypeVar

import apsw

from ...core.errors import StoreError, Superseded
from ...core.ids import RunRef
from ...journal import ENDINGS, Amendment, Append, Cell, CellKey, NewRun, Post, outcome_of
from ..group_commit import Call, hoisted
from . import queries
from .connection import Connection, Row, named_errors

__all__ = ["BLOB_BYTES", "BatchWriter"]

R = TypeVar("R", bound="Sequence[Any]")

BLOB_BYTES = 32 * 1024
"""Payloads of more bytes are stored once, by address, beside the entries."""

_SIZES = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Of multi-row statements: powers of two, so that any number of rows takes few, and all stay in the cache."""

Fence = list[Any]
"""What a run must be, and what it becomes: rid, epoch, head; the last entry's seq and hash; results more."""


class BatchWriter:
    """Writes batches on one connection, in the writer's thread."""

    def __init__(self, connection: Connection, path: str, now: Callable[[], int]) -> None:
        self.connection = connection
        self._path = path
        self._now = now

    def write(self, batch: Sequence[Any]) -> bool:
        """Apply every job in order and commit. Returns whether there is news for those who watch.

        A job that fails by itself is rolled back alone. An error of the file fails the whole batch.
        """
        with named_errors(self._path):
            self.connection.execute("begin immediate")
            try:
                news = self._apply(batch)
                self.connection.execute("commit")
            except BaseException:
                if not self.connection.get_autocommit():
                    self.connection.execute("rollback")
                raise
        return news

    def _apply(self, batch: Sequence[Any]) -> bool:
        first, others = hoisted(batch)
        self._append_plain(first)
        news = False
        for job in others:
            if not isinstance(job, Append):
                call: Call[Connection] = job
                news = news or call.news
                self._alone(call, lambda c=call: c.function(self.connection))
            elif job.change is None:
                self._append_plain([job])
            else:
                news = news or job.change.status is not None or bool(job.change.posts)
                self._alone(job, lambda j=job: self._append_with_change(j))
        return news

    def _alone(self, job: Any, function: Callable[[], Any]) -> None:
        """Run a job under a savepoint, so that its failure is its own."""
        self.connection.execute("savepoint job")
        try:
            job.outcome = function()
            job.error = None
        except (apsw.FullError, apsw.IOError, apsw.CorruptError):
            raise
        except Exception as error:
            self.connection.execute("rollback to job")
            job.error = self._named(error) if isinstance(error, apsw.Error) else error
        self.connection.execute("release job")

    def _named(self, error: apsw.Error) -> Exception:
        try:
            with named_errors(self._path):
                raise error
        except StoreError as named:
            return named

    def _append_plain(self, jobs: Sequence[Append]) -> None:
        """Entries without changes: the hot path. Fences first, then all rows of the runs that passed.

        Appends of one run go on from each other, and share a fence.
        """
        if not jobs:
            return
        of_run: dict[int, Fence] = {}
        for job in jobs:
            job.outcome = True
            job.error = None
            last = job.entries[-1]
            fence = of_run.get(job.rid)
            if fence is None:
                of_run[job.rid] = [job.rid, job.epoch, job.head, last.seq, last.hash, job.results]
            else:
                fence[3:] = last.seq, last.hash, fence[5] + job.results
        fences, now = list(of_run.values()), self._now()
        self.connection.execute("savepoint fences")
        passed = 0
        for part in _parts(fences):
            self.connection.execute(queries.fence(len(part)), (now, *chain.from_iterable(part)))
            passed += self.connection.changes()
        if passed != len(fences):
            self.connection.execute("rollback to fences")
            jobs = self._only_passed(fences, jobs, now)
        self.connection.execute("release fences")
        small: list[Row] = []
        large: list[Row] = []
        for job in jobs:
            for entry in job.entries:
                row: Row = (job.rid, *entry)
                (small if len(row[12]) <= BLOB_BYTES else large).append(row)
        for part in _parts(small):
            self.connection.execute(queries.add_entries(len(part)), tuple(chain.from_iterable(part)))
        for row in large:
            self._add_blob_entry(row)

    def _only_passed(self, fences: list[Fence], jobs: Sequence[Append], now: int) -> list[Append]:
        """One fence at a time, to find out which are refused; the jobs of the others."""
        refused: dict[int, Superseded] = {}
        for one in fences:
            self.connection.execute(queries.fence(1), (now, *one))
            if self.connection.changes() == 0:
                rid, epoch, head, *_ = one
                state = self.connection.execute(queries.FENCE_STATE, (rid,)).fetchone()
                refused[rid] = _superseded(epoch, head, state)
        for job in jobs:
            if job.rid in refused:
                job.error = refused[job.rid]
        return [job for job in jobs if job.error is None]

    def _append_with_change(self, job: Append) -> bool:
        change = job.change
        assert change is not None
        last = job.entries[-1] if job.entries else None
        values = {
            "rid": job.rid,
            "epoch": job.epoch,
            "head": job.head,
            "new_head": last.seq if last else job.head,
            "hash": last.hash if last else None,
            "results": job.results,
            "now": self._now(),
            "drained": change.drained,
            "guarded": change.guarded,
            "progress": change.progress,
            "status": change.status,
            "reasons": json.dumps(change.reasons),
            "next_wake": None if change.status in ENDINGS else change.next_wake,
            "ended": change.status in ENDINGS,
            "base": change.base,
            "base_hash": change.base_hash,
        }
        self.connection.execute(queries.RELEASE_RUN if change.status else queries.CHANGE_RUN, values)
        if self.connection.changes() == 0:
            state = self.connection.execute(queries.FENCE_STATE, (job.rid,)).fetchone()
            if state is None or tuple(state) != (job.epoch, job.head, "running"):
                raise _superseded(job.epoch, job.head, state)
            return False
        self.amend(change.amendments)
        for entry in job.entries:
            self.add_entry(job.rid, entry)
        for a in change.opened:
            self.connection.execute(
                queries.OPEN_APPROVAL, (job.rid, a.step, a.question, a.opened_at, a.due, a.show)
            )
        for step in change.closed:
            self.connection.execute(queries.CLOSE_APPROVAL, (job.rid, step))
        if change.status in ENDINGS or change.base is not None:
            self.connection.execute(queries.CLOSE_APPROVALS, (job.rid,))
        for post in change.posts:
            self.deliver(post)
        return True

    def add_message(self, rid: int, post: Post) -> bool:
        """Put a message into an inbox and make its run due; False if the id was there already."""
        now = self._now()
        self.connection.execute(
            queries.ADD_MESSAGE, (rid, post.kind, post.name, post.id, post.sender, now, post.body)
        )
        if self.connection.changes() == 0:
            return False
        self.connection.execute(queries.STIR_RUN, (rid, now))
        return True

    def add_run(self, new: NewRun, fresh: bytes) -> bool:
        """Accept a run; False where its id is there already. `fresh` becomes its tenant's key if there is none yet."""
        now = self._now()
        rid = self.connection.execute(
            queries.ADD_RUN,
            (
                *new.ref,
                new.agent,
                new.version,
                json.dumps(dict(new.labels)),
                new.parent,
                now,
                now,
                new.deadline,
                max(new.due, now),
                new.entries[-1].seq,
                new.entries[-1].hash,
                new.priority,
                " ".join(new.needs),
                new.principal,
                new.subject,
            ),
        ).get
        if rid is None:
            return False
        self.connection.execute(queries.ADD_TENANT, (new.ref.tenant, fresh))
        self.amend(new.amendments)
        for entry in new.entries:
            self.add_entry(rid, entry)
        return True

    def amend(self, amendments: Sequence[Amendment]) -> None:
        """Make the amendments, one after the other: whoever writes has the file alone. Raises what they raise."""
        results: list[Any] = []
        for amendment in amendments:
            rows = {key: self.connection.execute(queries.GET_CELL, key).fetchone() for key in amendment.keys}
            there: dict[CellKey, Cell | None] = {k: Cell(*row) for k, row in rows.items() if row is not None}
            written, result = outcome_of(amendment, there, self._now())
            results.append(result)
            for key, cell in written.items():
                if cell is None:
                    self.connection.execute(queries.DROP_CELL, key)
                elif cell != there.get(key):
                    self.connection.execute(queries.PUT_CELL, (*key, *cell))
        for amendment, result in zip(amendments, results, strict=True):
            amendment.result = result

    def deliver(self, post: Post) -> None:
        """Put a message into an inbox, unless its run is gone or has ended."""
        target = self.connection.execute(queries.GET_RUN, post.ref).fetchone()
        if target is not None and target[5] not in ENDINGS:
            self.add_message(target[0], post)

    def tenant_key(self, tenant: str, fresh: bytes) -> bytes:
        """The tenant's key; `fresh` becomes it if there is none yet."""
        self.connection.execute(queries.ADD_TENANT, (tenant, fresh))
        return self.connection.execute(queries.TENANT_KEY, (tenant,)).get

    def add_entry(self, rid: int, entry: Sequence[Any]) -> None:
        """One entry, its payload in place or by address."""
        row: Row = (rid, *entry)
        if len(row[12]) > BLOB_BYTES:
            self._add_blob_entry(row)
        else:
            self.connection.execute(queries.add_entries(1), row)

    def _add_blob_entry(self, row: Row) -> None:
        run = self.connection.execute(queries.GET_RUN_BY_RID, (row[0],)).fetchone()
        assert run is not None
        ref = RunRef(run[1], run[2])
        key = self.connection.execute(queries.TENANT_KEY, (ref.tenant,)).get
        address = hmac.digest(key, row[12], "sha256")
        self.connection.execute(queries.ADD_BLOB, (ref.tenant, address, row[12], self._now()))
        self.connection.execute(queries.ADD_BLOB_ENTRY, (*row[:12], row[13], address))


def _parts(rows: list[R]) -> list[list[R]]:
    parts: list[list[R]] = []
    at = 0
    for size in _SIZES:
        while len(rows) - at >= size:
            parts.append(rows[at : at + size])
            at += size
    return parts


def _superseded(epoch: int, head: int, state: Any) -> Superseded:
    if state is None:
        return Superseded("the run is gone from the store")
    return Superseded(
        f"epoch {epoch} at entry {head} is no longer the owner: the run is at epoch {state[0]}, entry {state[1]}, "
        f"and {state[2]}"
    )
