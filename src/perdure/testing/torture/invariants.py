"""What must hold whatever befalls a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ...core.errors import StoreCorrupt
from ...governance import Budget
from ...governance.amounts import DIMENSIONS
from ...governance.budgets import decimal_limits
from ...governance.ledger import Ledger
from ...journal import ENDINGS, Kind, verify_chain
from ..witness import call_of, generations
from .schedule import Schedule
from .trial import Outcome

__all__ = ["INVARIANTS", "Violation", "violations"]

INVARIANTS: dict[str, str] = {
    "lost": "a run ends, whatever befalls it",
    "nondeterministic": "a replay asks for what was recorded",
    "result": "it ends as it does when it is left alone, with the same result",
    "world": "what was seen outside is the same as when it is left alone",
    "write": "each write is done once",
    "unsaid": "a write of which nobody knows is said to be in doubt",
    "repeated": "no finished step is finished again",
    "budget": "no budget is exceeded",
    "chain": "the journal verifies",
}
"""What is checked, by name."""


@dataclass(frozen=True, slots=True)
class Violation:
    """What did not hold, under which schedule."""

    invariant: str
    text: str
    schedule: Schedule

    def __str__(self) -> str:
        return f"{self.schedule}: {self.text}"


def violations(
    outcome: Outcome,
    references: Sequence[Outcome],
    *,
    equal: Callable[[Any, Any], bool],
    budget: Budget | None,
) -> list[Violation]:
    """What does not hold of an outcome; it must be as one of the references is, where there are any."""
    found = [*_standing(outcome)]
    if not found:
        found += _compared(outcome, references, equal)
    found += _writes(outcome)
    found += _journals(outcome)
    if budget is not None:
        found += _spent(outcome, budget)
    return [Violation(invariant, text, outcome.schedule) for invariant, text in found]


Found = Iterator[tuple[str, str]]


def _standing(outcome: Outcome) -> Found:
    if outcome.nondeterministic is not None:
        yield "nondeterministic", outcome.nondeterministic
    elif outcome.why or outcome.status not in ENDINGS:
        yield "lost", f"the run has not ended: {outcome.why or outcome.status}"


def _compared(
    outcome: Outcome, references: Sequence[Outcome], equal: Callable[[Any, Any], bool]
) -> list[tuple[str, str]]:
    """The differences to the reference that is nearest; none where one is the same."""
    nearest: list[tuple[str, str]] | None = None
    for reference in references:
        found = list(_differences(outcome, reference, equal))
        if not found:
            return []
        nearest = nearest or found
    return nearest or []


def _differences(outcome: Outcome, reference: Outcome, equal: Callable[[Any, Any], bool]) -> Found:
    if (outcome.status, outcome.error) != (reference.status, reference.error):
        here, there = (f"`{o.status}`" + (f" ({o.error})" if o.error else "") for o in (outcome, reference))
        yield "result", f"the run ended {here}, and {there} when it was left alone"
    elif not equal(outcome.result, reference.result):
        yield (
            "result",
            f"the result is `{outcome.result!r}`, and `{reference.result!r}` when it was left alone",
        )
    if outcome.observed != reference.observed:
        yield (
            "world",
            f"seen outside was `{outcome.observed!r}`, and `{reference.observed!r}` when it was left alone",
        )
    if outcome.status == reference.status and outcome.error == reference.error:
        for call in sorted({*outcome.effects, *reference.effects}):
            times, expected = outcome.effects.get(call, 0), reference.effects.get(call, 0)
            if times < expected:
                yield "write", f"{_told(call)} was done {times} times, and {expected} when it was left alone"


def _writes(outcome: Outcome) -> Found:
    """Each effect against the steps that wanted it."""
    wanted: Counter[tuple[str, bytes]] = Counter()
    for ref, entries in outcome.journals:
        for own in generations(entries):
            intents = {e.key: e for e in own if e.kind == Kind.INTENT}
            wanted.update(call_of(e) for e in intents.values())
            ends = {e.key for e in own if e.kind in (Kind.RESULT, Kind.FAILED, Kind.UNKNOWN, Kind.SETTLED)}
            if outcome.status in ENDINGS:
                for key in sorted(intents.keys() - ends):
                    yield (
                        "unsaid",
                        f"step `{key}` of run `{ref.id}` was begun, and nothing is said of how it ended",
                    )
    for call, times in sorted(outcome.effects.items()):
        if times > wanted[call]:
            yield "write", f"{_told(call)} was done {times} times, for {wanted[call]} steps that wanted it"


def _told(call: tuple[str, bytes]) -> str:
    return f"the write `{call[0]}` of `{call[1].decode(errors='replace')[:200]}`"


def _journals(outcome: Outcome) -> Found:
    for ref, entries in outcome.journals:
        try:
            verify_chain(ref, entries)
        except StoreCorrupt as error:
            yield "chain", str(error)
        for own in generations(entries):
            for key, times in Counter(e.key for e in own if e.kind in (Kind.RESULT, Kind.FAILED)).items():
                if times > 1:
                    yield "repeated", f"step `{key}` of run `{ref.id}` was finished {times} times"


def _spent(outcome: Outcome, budget: Budget) -> Found:
    ledger = Ledger(outcome.entries)
    for name, most in budget.limits.items():
        used = getattr(ledger.spent, name) if name in DIMENSIONS else 0
        most += ledger.raised.get(name, 0)
        if name != "active_time" and used > most:  # time passes while it is counted
            had, allowed = decimal_limits({name: used}), decimal_limits({name: most})
            yield "budget", f"of `{name}` {had.get(name)} was used, and {allowed.get(name)} allowed"
