"""Whether an agent gets anywhere: seen in the calls that it makes and in what they give.

    the same call with the same result, turn after turn
    two turns that alternate
    results that have all been seen before
    turns without `run.progress`

The agent is warned once, in words that it can act on; where it goes on like that, it is stopped. Pure, and fed with
what was recorded, so that a replay finds the same. It knows no framework: whoever drives a loop of turns can feed it.

What counts as the same result is what it says, not how it is laid out: times, ids and blanks are left out of the
comparison. Numbers are not, for a job at 40 % is not one at 30 %, but a result that differs from the last one only in
its numbers is not waited for for ever either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import pydantic_core

from ...core.errors import ConfigError

__all__ = ["Observed", "StuckRules", "Watch", "observed"]

_TIME = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z| ?[+-]\d\d:?\d\d)?)?|\b\d\d?:\d\d:\d\d(?:[.,]\d+)?\b"
)
_ID = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b"
    r"|\b\d{10,}\b",
    re.IGNORECASE,
)
_BLANK = re.compile(r"\s+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StuckRules:
    """When an agent counts as stuck. None switches a rule off; `StuckRules.OFF` all of them.

    Raises `ConfigError` for numbers that would catch what is no repetition.

    >>> StuckRules(same=5, without_progress=20)
    """

    OFF: ClassVar[StuckRules]
    """no rule at all"""

    same: int | None = 3
    """turns in a row with the same call and the same result"""
    similar: int | None = 20
    """the same, where the results differ in their numbers only: somebody who waits for something"""
    ping_pong: int | None = 3
    """times that the same two turns, results included, came one after the other"""
    nothing_new: int | None = 10
    """results in a row that have all occurred before in this conversation, whatever was called"""
    without_progress: int | None = None
    """turns in a row in which the run recorded no `run.progress`"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in _RULES:
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 2):
                raise ConfigError(
                    f"`{name}={value}` of the rules for being stuck counts no repetition: give 2 or more, or None"
                )


_RULES = ("same", "similar", "ping_pong", "nothing_new", "without_progress")

StuckRules.OFF = StuckRules(same=None, similar=None, ping_pong=None, nothing_new=None, without_progress=None)


class Observed(NamedTuple):
    """A call and what it gave, as digests: what was said is not kept."""

    tool: str
    arguments: bytes
    result: bytes
    form: bytes
    """of the result without its numbers"""
    telling: bool
    """whether its result says something: nothing does not, and of a write it only says that it was done"""


def observed(tool: str, arguments: Any, result: str, *, telling: bool = True) -> Observed:
    """A call as `Watch` takes it. `arguments` is anything that JSON can say, or a text."""
    given = arguments if isinstance(arguments, str) else _canonical(arguments)
    plain = _BLANK.sub(" ", _ID.sub("#", _TIME.sub("@", result))).strip()
    form = _NUMBER.sub("0", plain)
    return Observed(tool, _digest(given), _digest(plain), _digest(form), telling and bool(plain))


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        inner = sorted((str(k), _canonical(v)) for k, v in value.items())  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
        return repr(inner)
    if isinstance(value, list | tuple):
        return repr([_canonical(v) for v in value])  # pyright: ignore[reportUnknownVariableType]
    return pydantic_core.to_json(value, fallback=repr).decode()


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


class Watch:
    """Folds the turns of one conversation."""

    def __init__(self, rules: StuckRules) -> None:
        self._rules = rules
        self._streaks: dict[tuple[str, bytes], tuple[bytes, bytes, int, int]] = {}
        """of the calls of the last turn: result, its form, and how many turns in a row they gave each"""
        self._turns: list[frozenset[tuple[str, bytes, bytes]]] = []
        """the last ones"""
        self._seen: set[bytes] = set()
        self._stale = 0
        self._quiet = 0
        self._marks = 0

    def turn(self, calls: Sequence[Observed], *, marks: int = 0) -> str | None:
        """One more turn with its calls; `marks`: how often the run has recorded progress so far.

        Returns what the agent does over and over, in words for it; None: it gets somewhere.
        """
        return (
            self._repeats(calls)
            or self._alternates(calls)
            or self._learns_nothing(calls)
            or self._drags(marks)
        )

    def warned(self) -> None:
        """The agent was told: what counts over many turns is counted anew, so that it can do better."""
        self._stale = 0
        self._quiet = 0
        self._turns.clear()
        self._streaks = {call: (r, f, same, 0) for call, (r, f, same, _) in self._streaks.items()}

    def _repeats(self, calls: Sequence[Observed]) -> str | None:
        streaks: dict[tuple[str, bytes], tuple[bytes, bytes, int, int]] = {}
        found: str | None = None
        for call in calls:
            key = call.tool, call.arguments
            result, form, same, similar = self._streaks.get(key, (b"", b"", 0, 0))
            same = same + 1 if result == call.result else 1
            similar = similar + 1 if form == call.form else 1
            streaks[key] = call.result, call.form, same, similar
            if _reached(same, self._rules.same):
                found = (
                    found
                    or f"you called `{call.tool}` {same} times with the same arguments, and got the same"
                )
            elif _reached(similar, self._rules.similar):
                found = found or (
                    f"you called `{call.tool}` {similar} times with the same arguments, and only numbers changed in "
                    "what you got"
                )
        self._streaks = streaks
        return found

    def _alternates(self, calls: Sequence[Observed]) -> str | None:
        rounds = self._rules.ping_pong
        if rounds is None:
            return None
        self._turns.append(frozenset((c.tool, c.arguments, c.result) for c in calls))
        del self._turns[: -2 * rounds]
        last = self._turns
        one, other = last[0], last[1] if len(last) > 1 else last[0]
        if len(last) < 2 * rounds or one == other or not one or not other:
            return None
        if any(turn != (one, other)[i % 2] for i, turn in enumerate(last)):
            return None
        names = " and ".join(sorted({f"`{tool}`" for tool, _, _ in one | other}))
        return f"you go back and forth between the same calls ({names}), {rounds} times now, with the same results"

    def _learns_nothing(self, calls: Sequence[Observed]) -> str | None:
        for call in calls:
            if not call.telling:
                continue
            self._stale = self._stale + 1 if call.result in self._seen else 0
            self._seen.add(call.result)
        if not calls or not _reached(self._stale, self._rules.nothing_new):
            return None
        return f"the last {self._stale} results all say what earlier ones had said: nothing in them was new"

    def _drags(self, marks: int) -> str | None:
        self._quiet = self._quiet + 1 if marks == self._marks else 0
        self._marks = marks
        if not _reached(self._quiet, self._rules.without_progress):
            return None
        return f"in the last {self._quiet} turns no progress was recorded"


def _reached(count: int, bound: int | None) -> bool:
    return bound is not None and count >= bound
