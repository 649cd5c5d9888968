"""Writing one batch: appends alone in one statement, anything else in one transaction."""

from __future__ import annotations

import hmac
import json
import struct
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import errors

from ...core.errors import PerdureError, StoreError, Superseded
from ...core.ids import new_id
from ...journal import ENDINGS, Append, CellKey, Entry, NewRun, Post
from ..group_commit import Call, cells_of, hoisted
from . import queries, rows
from .arrays import Byteas, Ints, Texts
from .connection import Link, Patience, named_errors
from .locked_cells import ChangeRaised, LockedCells

__all__ = ["BLOB_BYTES", "BatchWriter"]

BLOB_BYTES = 32 * 1024
"""Payloads of more bytes are stored once, by address, beside the entries."""

_WHOLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
"""What is not one job's fault: the connection, the disk, a deadlock, a standby."""

_AGAIN = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)


class BatchWriter:
    """Writes batches on one link, in the writer's thread.

    **A commit whose answer was lost** is resolved by looking. A transaction first writes this writer's row in
    `batches`, with the batch's number, and so holds that row until it has ended: whoever gets the row afterwards sees
    whether it was committed. A batch of appends alone is one statement without that row; it is sent again, and of a
    run that refuses it then, the last entry's hash (which is salted) shows whether the first try was carried out.
    """

    def __init__(self, link: Link, name: str, now: Callable[[], int | None], *, patience: float) -> None:
        self.link = link
        self.cells = LockedCells(link, now)
        """of the transaction that is under way"""
        self._patience = patience
        self.id = new_id()
        self._name = name
        self._now = now
        self._number = 0
        self._marked = False
        self._isolating = False
        """a job of this batch fails by itself: each is applied under a savepoint"""
        self._doubt = False
        """an earlier try of this batch may have been carried out"""
        self._committing = False
        self.moved: set[int] = set()
        """runs whose head the transaction that is under way moves, but for those of plain appends"""
        self.given_up = False
        """the database was waited for in vain, and has not been reached since"""

    def write(self, batch: Sequence[Any]) -> bool:
        """Apply every job in order and commit. Returns whether there is news for those who watch.

        A job that fails by itself is rolled back alone. A lost connection is made anew, and the batch written once;
        where that does not succeed in time, the whole batch fails with `StoreUnavailable`. What is queued behind it is
        then tried once: a database that is gone is waited for once, not once a batch.
        """
        self._number += 1
        self._doubt = False
        news = any(_is_news(job) for job in batch)
        patience = Patience(0 if self.given_up else self._patience)
        while True:
            self._committing = self._marked = self._isolating = False
            try:
                if not (self._doubt and self._happened()):
                    self._attempt(batch, news)
                self.given_up = False
                return news
            except psycopg.Error as error:
                lost = self.link.lost
                self._doubt = self._doubt or (lost and self._committing)
                self.link.drop()  # and with it what was not committed
                if not (lost or isinstance(error, _AGAIN)) or not patience.rest():
                    self.given_up = self.given_up or lost
                    with named_errors(self._name):
                        raise
            except BaseException:
                self.link.drop()
                raise

    def forget(self) -> None:
        """Take this writer's row away and let go; a row that stays, as the database is gone, is taken in a week."""
        try:
            self.link.execute(queries.FORGET_WRITER, (self.id,))
        except psycopg.Error:
            pass
        self.link.drop()

    def _happened(self) -> bool:
        """Whether this batch was committed; waits for the transaction that may still be under way."""
        row = self.link.execute(queries.BATCH_NUMBER, (self.id,)).fetchone()
        return row is not None and row[0] >= self._number

    def _attempt(self, batch: Sequence[Any], news: bool) -> None:
        if _are_plain(batch):
            self._committing = True
            try:
                return self._append_plain(batch)
            except _WHOLE:
                raise
            except (psycopg.Error, UnicodeError, struct.error):
                self._committing = False  # one of the rows is bad: below it is found
        begin = queries.BEGIN.format(writer=self.id, number=self._number, news=int(news))
        begin += queries.TELL.format(writer=self.id) if news else ""
        cells = cells_of(batch)
        self._begin(begin, cells)
        try:
            self._apply(batch)
            self.cells.flush()
        except _WHOLE:
            raise
        except Exception:
            # A job is at fault. Which one, a savepoint before each shows: a round trip a job that few batches need.
            self.link.execute("rollback")
            self._begin(begin, cells)
            self._isolating = True
            self._apply(batch)
        self._committing = True
        done = self._commit()
        self._committing = False
        if done != "COMMIT":
            raise StoreError(f"`{self._name}` rolled a batch back (`{done}`); this is a bug of Perdure")

    def _commit(self) -> str | None:
        """What the server says of it. Heads that were moved are told of in the same trip."""
        rids = ",".join(map(str, sorted(self.moved)))
        cursor = self.link.execute((queries.TELL_MOVED.format(rids=rids) if rids else "") + "commit")
        while cursor.nextset():
            pass
        return cursor.statusmessage

    def _begin(self, words: str, cells: Sequence[CellKey]) -> None:
        self.moved.clear()
        while True:
            self.link.execute(words)
            self.cells = LockedCells(self.link, self._now)
            if not cells or self.cells.take(cells):
                return
            self.link.execute("rollback")

    def _apply(self, batch: Sequence[Any]) -> None:
        first, others = hoisted(batch)
        self._append_isolated(first)
        for job in others:
            if not isinstance(job, Append):
                call: Call[Link] = job
                self._alone(call, lambda c=call: c.function(self.link))
            elif job.change is None:
                self._append_isolated([job])
            else:
                self._alone(job, lambda j=job: self._append_with_change(j))

    def _mark(self) -> None:
        # Released before the next: hundreds of open savepoints make every visibility check slow.
        self.link.execute("release savepoint job; savepoint job" if self._marked else "savepoint job")
        self._marked = True

    def _alone(self, job: Any, function: Callable[[], Any]) -> None:
        """Run a job; its failure is its own where it stands under a savepoint."""
        if not self._isolating:
            job.outcome = function()
            job.error = None
            return
        self._mark()
        try:
            job.outcome = function()
            self.cells.flush()
            job.error = None
        except _WHOLE:
            raise
        except Exception as error:
            self.link.execute("rollback to savepoint job")
            self.cells.restore()
            job.error = self._named(error)

    def _append_isolated(self, jobs: Sequence[Append]) -> None:
        """Appends without changes; where they stand under a savepoint a bad row is found by halving."""
        if not jobs:
            return
        if not self._isolating:
            return self._append_plain(jobs)
        self._mark()
        try:
            self._append_plain(jobs)
        except _WHOLE:
            raise
        except Exception as error:
            self.link.execute("rollback to savepoint job")
            if len(jobs) == 1:
                jobs[0].error = self._named(error)
                return
            half = len(jobs) // 2
            self._append_isolated(jobs[:half])
            self._append_isolated(jobs[half:])

    def _named(self, error: Exception) -> Exception:
        if isinstance(error, ChangeRaised):
            return error.error
        if isinstance(error, PerdureError):
            return error
        if isinstance(error, UnicodeError | struct.error):
            return StoreError(f"`{self._name}` cannot hold this value: {error}")
        try:
            with named_errors(self._name):
                raise error
        except Exception as named:
            return named

    def _append_plain(self, jobs: Sequence[Append]) -> None:
        """Entries without changes: the hot path. Fences and rows in one statement."""
        runs: dict[int, list[Append]] = {}
        entries: list[tuple[int, Entry]] = []
        large: list[tuple[int, Entry]] = []
        for job in jobs:
            job.outcome = True
            job.error = None
            runs.setdefault(job.rid, []).append(job)
            for entry in job.entries:
                (entries if len(entry.payload) <= BLOB_BYTES else large).append((job.rid, entry))
        rids = sorted(runs)
        fences = [(runs[rid][0], runs[rid][-1].entries[-1]) for rid in rids]
        values: dict[str, Any] = {
            "now": self._now(),
            "f_rid": Ints(rids),
            "f_epoch": Ints([first.epoch for first, _ in fences]),
            "f_head": Ints([first.head for first, _ in fences]),
            "f_last": Ints([last.seq for _, last in fences]),
            "f_hash": Byteas([last.hash for _, last in fences]),
            "f_results": Ints([sum(job.results for job in runs[rid]) for rid in rids]),
        }
        passed = self.link.execute(queries.APPEND, values | _columns(entries)).fetchall()
        if len(passed) != len(rids):
            self._refuse(runs, set(rids).difference(rid for (rid,) in passed))
        for rid, entry in large:
            if runs[rid][0].error is None:
                self._add_large(rid, entry)

    def _refuse(self, runs: dict[int, list[Append]], rids: set[int]) -> None:
        if self._doubt:
            last = [(rid, runs[rid][-1].entries[-1]) for rid in rids]
            values = {
                "rid": Ints([rid for rid, _ in last]),
                "seq": Ints([entry.seq for _, entry in last]),
                "hash": Byteas([entry.hash for _, entry in last]),
            }
            rids = rids.difference(rid for (rid,) in self.link.execute(queries.WRITTEN, values).fetchall())
        for rid in rids:
            state = self.link.execute(queries.FENCE_STATE, {"rid": rid}).fetchone()
            for job in runs[rid]:
                job.error = _superseded(runs[rid][0].epoch, runs[rid][0].head, state)

    def _append_with_change(self, job: Append) -> bool:
        change = job.change
        assert change is not None
        last = job.entries[-1] if job.entries else None
        values: dict[str, Any] = {
            "run": job.rid,
            "run_epoch": job.epoch,
            "head": job.head,
            "new_head": last.seq if last else job.head,
            "last_hash": last.hash if last else None,
            "results": job.results,
            "now": self._now(),
            "drained": change.drained,
            "guarded": change.guarded,
            "progress": change.progress,
            "status": change.status,
            "reasons": [json.dumps(reason) for reason in change.reasons],
            "next_wake": None if change.status in ENDINGS else change.next_wake,
            "base": change.base,
            "base_hash": change.base_hash,
        }
        small = [(job.rid, entry) for entry in job.entries if len(entry.payload) <= BLOB_BYTES]
        closes = change.status in ENDINGS or change.base is not None
        closed = bool(closes and small and change.status and not change.opened)
        """in the same statement"""
        if small:
            release = queries.END_RUN_AND_APPEND if closed else queries.RELEASE_RUN_AND_APPEND
            sql = release if change.status else queries.CHANGE_RUN_AND_APPEND
            values |= _columns(small)
        else:
            sql = queries.RELEASE_RUN if change.status else queries.CHANGE_RUN
        if self.link.execute(sql, values).rowcount == 0:
            state = self.link.execute(queries.FENCE_STATE, {"rid": job.rid}).fetchone()
            if state is None or tuple(state) != (job.epoch, job.head, "running"):
                raise _superseded(job.epoch, job.head, state)
            return False
        if last:
            self.moved.add(job.rid)
        self.cells.amend(change.amendments)
        for entry in job.entries:
            if len(entry.payload) > BLOB_BYTES:
                self._add_large(job.rid, entry)
        for a in change.opened:
            self.link.execute(
                queries.OPEN_APPROVAL, (job.rid, a.step, a.question, a.opened_at, a.due, a.show)
            )
        for step in change.closed:
            self.link.execute(queries.CLOSE_APPROVAL, (job.rid, step))
        if closes and not closed:
            self.link.execute(queries.CLOSE_APPROVALS, (job.rid,))
        for post in change.posts:
            self.post(post)
        return True

    def post(self, post: Post) -> tuple[str, bool] | None:
        """Put a message into an inbox and make its run due: the run's status, and whether the message was new."""
        ref, kind, name, id_, sender, body = post.ref, post.kind, post.name, post.id, post.sender, post.body
        row = self.link.execute(
            queries.POST,
            {
                "tenant": ref.tenant,
                "run": ref.id,
                "kind": kind,
                "name": name,
                "id": id_,
                "sender": sender,
                "body": body,
                "now": self._now(),
            },
        ).fetchone()
        return None if row is None else (row[0], row[1] == 1)

    def add_run(self, new: NewRun, fresh: bytes) -> rows.Row | None:
        """Accept a run: its row, or None where its id is there already. `fresh` becomes its tenant's key if need be."""
        small = [(0, entry) for entry in new.entries if len(entry.payload) <= BLOB_BYTES]
        row = self.link.execute(
            queries.ADD_RUN,
            _columns(small)
            | {
                "fresh": fresh,
                "now": self._now(),
                "tenant": new.ref.tenant,
                "id": new.ref.id,
                "agent": new.agent,
                "version": new.version,
                "labels": rows.coded_labels(new.labels),
                "parent": new.parent,
                "deadline": new.deadline,
                "due": new.due,
                "head": new.entries[-1].seq,
                "head_hash": new.entries[-1].hash,
                "priority": new.priority,
                "needs": " ".join(new.needs),
                "principal": new.principal,
                "subject": new.subject,
            },
        ).fetchone()
        if row is not None:
            self.moved.add(row[0])
            self.cells.amend(new.amendments)
            for entry in new.entries:
                if len(entry.payload) > BLOB_BYTES:
                    self._add_large(row[0], entry)
        return row

    def add_entry(self, rid: int, entry: Entry) -> None:
        """One entry, its payload in place or by address."""
        if len(entry.payload) > BLOB_BYTES:
            self._add_large(rid, entry)
        else:
            self.link.execute(queries.ADD_ENTRIES, _columns([(rid, entry)]))

    def tenant_key(self, tenant: str, fresh: bytes) -> bytes:
        """The tenant's key; `fresh` becomes it if there is none yet."""
        self.link.execute(queries.ADD_TENANT, {"tenant": tenant, "key": fresh})
        row = self.link.execute(queries.TENANT_KEY, {"tenant": tenant}).fetchone()
        assert row is not None
        return row[0]

    def _add_large(self, rid: int, entry: Entry) -> None:
        row = self.link.execute(queries.OWNER_OF, {"rid": rid}).fetchone()
        assert row is not None
        tenant, key = row
        address = hmac.digest(key, entry.payload, "sha256")
        self.link.execute(
            queries.ADD_BLOB,
            {"tenant": tenant, "address": address, "data": entry.payload, "now": self._now()},
        )
        self.link.execute(queries.ADD_BLOB_ENTRY, (rid, *entry._replace(payload=address)))


def _columns(entries: Sequence[tuple[int, Entry]]) -> dict[str, Any]:
    """The rows as arrays, a column each."""
    seqs, formats, kinds, keys, ats, tooks, actors, epochs, codecs, fingerprints, salts, payloads, hashes = (
        zip(*(entry for _, entry in entries), strict=True) if entries else ((),) * 13
    )
    return {
        "rid": Ints([rid for rid, _ in entries]),
        "seq": Ints(seqs),
        "format": Ints(formats),
        "kind": Ints(kinds),
        "key": Texts(keys),
        "at": Ints(ats),
        "took": Ints(tooks),
        "actor": Texts(actors),
        "epoch": Ints(epochs),
        "codec": Ints(codecs),
        "fingerprint": Byteas(fingerprints),
        "salt": Byteas(salts),
        "payload": Byteas(payloads),
        "hash": Byteas(hashes),
    }


def _is_news(job: Any) -> bool:
    if isinstance(job, Append):
        return job.change is not None and (job.change.status is not None or bool(job.change.posts))
    return job.news


def _are_plain(batch: Sequence[Any]) -> bool:
    """Whether the batch is appends alone, which one statement can write."""
    tails: dict[int, tuple[int, int]] = {}
    for job in batch:
        if not isinstance(job, Append) or job.change is not None:
            return False
        if tails.get(job.rid, (job.epoch, job.head)) != (job.epoch, job.head):
            return False
        for entry in job.entries:
            if len(entry.payload) > BLOB_BYTES:
                return False
        tails[job.rid] = (job.epoch, job.entries[-1].seq)
    return True


def _superseded(epoch: int, head: int, state: Any) -> Superseded:
    if state is None:
        return Superseded("the run is gone from the store")
    return Superseded(
        f"epoch {epoch} at entry {head} is no longer the owner: the run is at epoch {state[0]}, entry {state[1]}, "
        f"and {state[2]}"
    )
