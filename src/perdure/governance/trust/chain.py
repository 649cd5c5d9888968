"""Which ring the records of one agent and action come to. Whatever is wrong with them, no ring gets wider by it.

an unsigned record          can only narrow, whatever it says
a signature that is bad     the record is refused, and the narrowest ring holds that any good record names
a record that is missing    nobody knows what it said: `observe`
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...core.rings import Ring
from .records import GENESIS, TrustRecord

__all__ = ["Chain", "Judged", "TrustStanding"]


@dataclass(frozen=True, slots=True)
class Judged:
    """A record, and what is wrong with it."""

    record: TrustRecord
    problem: str = ""
    """empty: it counts"""

    def to_json(self) -> dict[str, Any]:
        """For whoever shows it."""
        return {**self.record.told(), "hash": self.record.hash, "problem": self.problem or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustStanding:
    """Where an agent stands with one action."""

    tenant: str
    agent: str
    action: str
    ring: Ring
    start: Ring
    """where it began"""
    records: Sequence[Judged] = ()
    """what changed it, the oldest first"""
    capped: TrustRecord | None = None
    """what narrowed all actions of the agent further than this one"""
    problem: str = ""
    """what is wrong with the records; the ring is narrow because of that"""

    def to_json(self) -> dict[str, Any]:
        """For whoever shows it."""
        last = self.capped or self.last
        return {
            "tenant": self.tenant,
            "agent": self.agent,
            "action": self.action,
            "ring": str(self.ring),
            "start": str(self.start),
            "records": len(self.records),
            "changed_at": None if last is None else last.at,
            "changed_by": None if last is None else last.by,
            "reason": None if last is None else last.reason,
            "by_all_actions": self.capped is not None,
            "problem": self.problem or None,
        }

    @property
    def last(self) -> TrustRecord | None:
        """The last record that counts."""
        return next((j.record for j in reversed(self.records) if not j.problem), None)

    @property
    def seq(self) -> int:
        """Of the last record; 0: there is none."""
        return self.records[-1].record.seq if self.records else 0

    @property
    def hash(self) -> str:
        """Of the last record."""
        return self.records[-1].record.hash if self.records else GENESIS


@dataclass(frozen=True, slots=True)
class Chain:
    """The records of one agent and action, looked through."""

    judged: Sequence[Judged] = ()
    torn: str = ""
    """why nobody can know what they say"""

    def ring(self, start: Ring) -> tuple[Ring, str]:
        """Which ring holds, where it began at `start`; and what is wrong."""
        if self.torn:
            return Ring.OBSERVE, self.torn
        ring = narrowest = start
        problem = ""
        for judged in self.judged:
            record = judged.record
            if judged.problem:
                ring = narrowest
                problem = f"record {record.seq}: {judged.problem}"
                continue
            if record.proof is not None:
                ring, problem = record.ring, ""  # who signed it saw what was before it
            else:
                ring = ring.narrowed_to(record.ring)
            narrowest = narrowest.narrowed_to(record.ring)
        return ring, problem


def torn(records: Sequence[TrustRecord], *, seq: int, head: str) -> str:
    """Why these cannot be all that was written: a hash that does not fit, one that is missing. Empty: they are."""
    prev = GENESIS
    for n, record in enumerate(records, 1):
        if record.seq != n:
            return f"record {n} is missing"
        if record.prev != prev or record.hash != record.hashed():
            return f"record {n} is not what was written"
        prev = record.hash
    if (len(records), prev) != (seq, head):
        return f"{seq} records were written, and {len(records)} are there, or the last is another"
    return ""
