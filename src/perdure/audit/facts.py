"""The fold of a journal into facts: each entry, told to somebody who was not there.

It never fails on what it reads: an entry of a newer release is told by its number, one that was erased by its kind and
step, and a payload that is not what it should be as one that cannot be read. The chain is another matter: `verify`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..core.ids import RunRef
from ..journal import Entry, Kind, RunRecord
from .fact import Fact
from .of_runs import OF_RUNS
from .of_steps import OF_STEPS
from .telling import State, Telling, Words, as_object, told_by

__all__ = ["Facts", "facts_of"]


class Facts:
    """Folds the entries of one run, in their order, from the first on. It keeps what is open, and nothing else."""

    def __init__(self, ref: RunRef, *, agent: str = "", version: str = "") -> None:
        self._state = State(ref, agent=agent, version=version)

    @classmethod
    def of(cls, record: RunRecord) -> Facts:
        """Those of a run, from its first entry on."""
        facts = cls(record.ref, agent=record.agent, version=record.version)
        facts._state.behalf = record.principal  # where the first entry was erased, the row still knows
        return facts

    def see(self, entry: Entry) -> Fact:
        """The fact that the next entry tells."""
        value, readable = told_by(entry)
        state = self._state
        words = _TELL.get(entry.kind, _newer)(state, entry, as_object(value), value)
        return Fact(
            ref=state.ref,
            agent=state.agent,
            version=state.version,
            generation=state.generation,
            seq=entry.seq,
            at=entry.at,
            took=entry.took,
            hash=entry.hash.hex(),
            what=words.what,
            step=entry.key,
            actor=entry.actor,
            by=words.by,
            behalf=state.behalf if _for_somebody(words, state) else None,
            tool=words.tool,
            outcome=words.outcome,
            digest=words.digest,
            key=words.key,
            why=words.why,
            details={k: v for k, v in words.details.items() if v not in (None, [], {}, "")},
            contents={k: v for k, v in words.contents.items() if v is not None},
            erased=not readable,
            taken_over=1 < entry.seq <= state.taken,
            quiet=words.quiet,
        )


def _for_somebody(words: Words, state: State) -> bool:
    """Whether it was done for whom the run acts: what people say to a run they say for themselves."""
    return words.by in (None, state.me()) or words.what.startswith("run.")


def facts_of(record: RunRecord, entries: Iterable[Entry]) -> Iterator[Fact]:
    """The facts of a run, from its first entry on."""
    facts = Facts.of(record)
    return (facts.see(entry) for entry in entries)


def _quiet(name: str) -> Telling:
    def tell(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
        return Words(name, by=state.me(), contents={} if value is None else {"said": value}, quiet=True)

    return tell


def _newer(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    """An entry of a newer release: that it is there, and what it says."""
    return Words(f"entry.{entry.kind}", contents={} if value is None else {"said": value})


_TELL: dict[int, Telling] = {
    **OF_RUNS,
    **OF_STEPS,
    Kind.VALUE: _quiet("value.recorded"),
    Kind.PROGRESS: _quiet("run.progress"),
    Kind.DRIFT: _quiet("prompt.drifted"),
    Kind.SUSPENDED: _quiet("run.suspended"),
    Kind.RESERVED: _quiet("cost.reserved"),
    Kind.HEARTBEAT: _quiet("step.lives"),
}
