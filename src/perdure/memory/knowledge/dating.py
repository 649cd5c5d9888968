"""Where facts end of which one holds at a time, and which facts cannot hold together.

Of a relation like `works_at` a program may declare that only one holds at a time. Then, of the facts about one subject:

- a fact whose end nobody said ends where the next later one begins that says something else;
- an end that somebody said stays. Where two facts hold at the same time all the same, they contradict each other: both
  are kept, and whoever reads one is told of the other.

So ends follow from what was said, in whatever order it was said, and follow anew when something is taken back.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .ledger import FactRow
from .times import NEVER

__all__ = ["contradictions", "ends"]


def ends(facts: Sequence[FactRow]) -> dict[int, int]:
    """By version: where it ends. The facts are those of one subject and a relation of which one holds at a time."""
    found: dict[int, int] = {}
    later = sorted(facts, key=lambda f: f.valid_from, reverse=True)
    for fact in facts:
        found[fact.version] = fact.said_to
        if fact.said_to == NEVER:
            for other in later:  # the last of those behind it is the next
                if other.valid_from <= fact.valid_from:
                    break
                if _says(other) != _says(fact):
                    found[fact.version] = other.valid_from
    return found


def contradictions(facts: Iterable[FactRow]) -> dict[int, set[int]]:
    """By fact: which others hold at the same time, say something else, and are known at the same time.

    The facts are those of one subject and a relation of which one holds at a time.
    """
    found: dict[int, set[int]] = {}
    open_ones: list[FactRow] = []
    for fact in sorted(facts, key=lambda f: f.valid_from):
        open_ones = [other for other in open_ones if other.valid_to > fact.valid_from]
        for other in open_ones:
            together = other.at < fact.until and fact.at < other.until
            if together and other.fact != fact.fact and _says(other) != _says(fact):
                found.setdefault(fact.fact, set()).add(other.fact)
                found.setdefault(other.fact, set()).add(fact.fact)
        open_ones.append(fact)
    return found


def _says(fact: FactRow) -> tuple[int, str]:
    return fact.object, fact.value
