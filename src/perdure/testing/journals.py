"""Journals made by hand: entries with the right sequence and hashes, without a runtime."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.ids import RunRef
from ..journal.entry import Entry, Kind, genesis, seal
from ..journal.store import Append, Change, RunRecord

__all__ = ["JournalBuilder"]


class JournalBuilder:
    """Makes the entries of one run, each chained to the one before.

    It trusts that what it made was written: after a refused append, begin again with `of`.
    """

    def __init__(
        self, ref: RunRef, *, head: int = 0, last: bytes | None = None, epoch: int = 0, rid: int = 0
    ) -> None:
        self.ref = ref
        self.rid = rid
        self.head = head
        """`seq` of the last entry"""
        self.last = genesis(ref) if last is None else last
        """hash of the last entry"""
        self.epoch = epoch

    @classmethod
    def of(cls, run: RunRecord) -> JournalBuilder:
        """A builder that goes on where the run's journal ends, under the run's epoch."""
        return cls(run.ref, head=run.head, last=run.head_hash, epoch=run.epoch, rid=run.rid)

    def entry(
        self,
        kind: Kind = Kind.RESULT,
        key: str = "",
        payload: bytes = b"",
        *,
        at: int = 0,
        took: int = 0,
        actor: str = "tester",
        fingerprint: bytes = b"",
    ) -> Entry:
        """The next entry. `at` and `took` are in microseconds."""
        entry = seal(self.last, kind, self.head + 1, self.epoch, at, took, key, actor, fingerprint, payload)
        self.head, self.last = entry.seq, entry.hash
        return entry

    def append(self, *payloads: bytes, results: int | None = None, change: Change | None = None) -> Append:
        """An append of one RESULT entry a payload (`results` counts them all, unless given)."""
        head = self.head
        entries: Sequence[Entry] = [
            self.entry(Kind.RESULT, f"step:{head + 1 + i}", p) for i, p in enumerate(payloads)
        ]
        return Append(
            self.rid,
            self.epoch,
            head,
            entries,
            results=len(payloads) if results is None else results,
            change=change,
        )
