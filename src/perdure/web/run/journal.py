"""One run's journal, read and told for its page."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from ...core.errors import StoreError, UnknownRun
from ...core.ids import RunRef
from ...governance import Amount
from ...journal import ENDINGS, Entry, Kind, RunRecord, RunStatus, Store, verify_chain
from ...views.standing import Tone, tone
from ...views.story import Story, as_list, as_object, fields, story_of

__all__ = ["Decision", "Journal"]

_REFUSING = frozenset({"scope", "policy", "revocation"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A choice as it was recorded. What is None was not recorded, which is not the same as empty."""

    seq: int
    at: int
    step: str
    options: list[Any] | None
    choice: Any
    reason: str | None
    confidence: float | None
    unknowns: list[Any] | None
    by: str | None
    verdicts: list[str]
    """what the boundary said of the calls that followed from it"""

    @property
    def chosen(self) -> list[Any]:
        """What was taken: several, where a model calls several tools at once."""
        found = as_list(self.choice)
        return found if found or self.choice == [] else [self.choice]


@dataclass(frozen=True, kw_only=True)
class Journal:
    """The row, the entries, and what they tell."""

    record: RunRecord
    entries: list[Entry]
    story: Story
    broken: StoreError | None = None
    """why it cannot be trusted: then nothing is told from it"""

    @classmethod
    async def read(cls, store: Store, ref: RunRef) -> Self:
        """Of a run, from where it last began. Raises `UnknownRun`."""
        record = await store.get(ref)
        if record is None:
            raise UnknownRun(f"there is no run `{ref.id}` in the tenant `{ref.tenant}`")
        entries = await store.read(ref, after=record.base - 1)
        previous = record.base_hash if record.base > 1 else None
        try:
            verify_chain(ref, entries, after=record.base - 1, previous=previous)
        except StoreError as error:
            return cls(record=record, entries=entries, story=Story(), broken=error)
        return cls(record=record, entries=entries, story=story_of(entries))

    @property
    def tone(self) -> Tone:
        """How its state is coloured."""
        return tone(self.record.status, self.record.reasons)

    @property
    def ended(self) -> bool:
        """Whether it is over."""
        return self.record.status in ENDINGS

    @property
    def spent(self) -> Amount:
        """What it has used, its children included."""
        return self.story.ledger.spent

    @property
    def unpriced(self) -> int:
        """Charges without a price, which are not in the cost."""
        return sum(line.unpriced for line in self.story.ledger.charges)

    @property
    def estimated(self) -> int:
        """Charges of calls that nobody counted."""
        return sum(line.estimated for line in self.story.ledger.charges)

    def active(self, now: int) -> int:
        """Microseconds in which a worker held it, or has held it until now."""
        goes_on = max(0, now - self.story.last) if self.record.status is RunStatus.RUNNING else 0
        return self.story.ledger.active_time() + goes_on

    def wall(self, now: int) -> int:
        """Microseconds from its start to its end, or until now."""
        end = self.record.ended_at if self.ended else now
        return max(0, (end or self.story.last) - self.record.created_at)

    @cached_property
    def guardrails(self) -> dict[str, int]:
        """How often something held it back, by what."""
        found: dict[str, int] = {}
        for entry in self.entries:
            what = None
            if entry.kind == Kind.VERDICT and not entry.erased:
                told = fields(entry)
                stage, verdict = told.get("stage"), told.get("verdict")
                if stage in _REFUSING and verdict in ("denied", "deny"):
                    what = "refused"
                elif stage == "budget":
                    what = "budget"
            elif entry.kind == Kind.WAITING and fields(entry).get("on") == "approval":
                what = "asked"
            if what is not None:
                found[what] = found.get(what, 0) + 1
        return found

    @cached_property
    def decisions(self) -> list[Decision]:
        """Every choice that was recorded, in order."""
        verdicts = [e for e in self.entries if e.kind == Kind.VERDICT and not e.erased]
        return [
            _decision(entry, verdicts)
            for entry in self.entries
            if entry.kind == Kind.DECISION and not entry.erased
        ]

    @property
    def confidence(self) -> float | None:
        """Of the last decision that said one."""
        said = [d.confidence for d in self.decisions if d.confidence is not None]
        return said[-1] if said else None


def _decision(entry: Entry, verdicts: list[Entry]) -> Decision:
    told = fields(entry)
    confidence, options, unknowns = told.get("confidence"), told.get("options"), told.get("unknowns")
    reason = told.get("reason") or told.get("reasoning")
    made = Decision(
        seq=entry.seq,
        at=entry.at,
        step=entry.key,
        options=as_list(options) if isinstance(options, list) else None,
        choice=told.get("choice"),
        reason=None if reason is None else str(reason),
        confidence=float(confidence) if isinstance(confidence, int | float) else None,
        unknowns=as_list(unknowns) if isinstance(unknowns, list) else None,
        by=told.get("by"),
        verdicts=[],
    )
    scope = entry.key.rpartition("/")[0]
    wanted = {name for name in made.chosen if isinstance(name, str)}
    for verdict in verdicts:
        if verdict.seq > entry.seq and verdict.key.startswith(scope):
            said = fields(verdict)
            if said.get("tool") in wanted and said.get("verdict") not in ("reminded", "waived"):
                wanted_by = as_object(said.get("signed")) and ", signed"
                by = f" by {said['by']}" if said.get("by") else ""
                word = str(said.get("verdict")).replace("_", " ")
                made.verdicts.append(f"{said.get('stage')}: {word}{by}{wanted_by or ''}")
                if len(made.verdicts) == 6 or said.get("verdict") in ("deny", "denied", "approved"):
                    break
    return made
