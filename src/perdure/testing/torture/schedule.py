"""Schedules: what befalls a run, and where, in words that can be pasted.

    kill before result pay; tool send transient #2; answers twice

Faults are joined by `;` and strike in their order. A place in a journal is `before` or `after`, a kind of entry
(`entry`: any), the key of a step, and `#N` where it is not the first such since the fault before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Self, cast

from ...core.errors import ConfigError
from ...journal import Kind
from ..kills import Boundary
from ..model_server import FAULTS

__all__ = ["KINDS", "MODEL_FAULTS", "TOOL_FAULTS", "Hit", "KindName", "Schedule", "general", "label", "place"]

KindName = Literal["kill", "freeze", "store", "worker", "answer", "tool", "model"]
"""A kind of fault; `KINDS` says what each is."""

KINDS: dict[KindName, str] = {
    "kill": "its worker dies",
    "freeze": "its worker stands still for longer than its lease, and wakes up when another has finished",
    "store": "the store is away for a moment; what was just written is there, or is not",
    "worker": "two workers drive the store at once",
    "answer": "answers and signals come when no worker is there, or twice",
    "tool": "a tool fails: for now, for good, by its timeout, or after it was done",
    "model": "a model fails, as `ModelServer` has it",
}
"""What can be done to a run. A schedule counts as of the last of these that it has, or as `twice` with two kills."""

TOOL_FAULTS = ("transient", "permanent", "hangs", "lost")
"""It is not done, and might be the next time; it is refused; it does not come back in its time; it is done, and its
answer is lost."""

MODEL_FAULTS = ("transient", "permanent", *FAULTS)
"""The first two are raised by the provider of `run.model` itself; the others need a scenario with a `model`."""

_PLACED = ("kill", "freeze", "store")

_PLACE = re.compile(r"(before|after) +([a-z_]+)(?: +(.*?))?(?: *#(\d+))?")
_NAMED = re.compile(r"(?:(.*) +)?([a-z_]+)(?: *#(\d+))?")


@dataclass(frozen=True, slots=True)
class Hit:
    """One fault and where it strikes."""

    kind: KindName
    at: Boundary | None = None
    """of `kill`, `freeze` and `store`"""
    name: str = ""
    """of the tool"""
    how: str = ""
    """of `tool` and `model` which fault, of `answer` `late` or `twice`"""
    nth: int = 1
    """which call of the tool, or turn of a model, is struck"""

    @property
    def worldly(self) -> bool:
        """Whether it changes what the run meets, so that the run may rightly end in another way."""
        return self.kind in ("tool", "model")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives. Raises `ConfigError`."""
        verb, _, rest = text.strip().partition(" ")
        if verb in _PLACED:
            found = _PLACE.fullmatch(rest.strip())
            if found is None:
                raise _wrong(text, f"write `{verb} before result STEP`, or `{verb} after entry #3`")
            when, entry, step, nth = found.groups()
            if nth == "0":
                raise _wrong(text, "`#1` is the first")
            at = Boundary(
                cast("Literal['before', 'after']", when),
                None if entry == "entry" else entry,
                general(step or "") or None,
                int(nth or 1),
            )
            return cls(cast("KindName", verb), at)
        if text.strip() == "two workers":
            return cls("worker")
        if verb == "answers" and rest.strip() in ("late", "twice"):
            return cls("answer", how=rest.strip())
        named = _NAMED.fullmatch(rest.strip())
        if verb in ("tool", "model") and named is not None:
            name, how, nth = named.groups()
            known = TOOL_FAULTS if verb == "tool" else MODEL_FAULTS
            if how not in known:
                raise _wrong(text, f"a {verb} fails as one of {', '.join(known)}")
            if bool(name) == (verb == "tool") and nth != "0":
                return cls(cast("KindName", verb), name=name or "", how=how, nth=int(nth or 1))
        raise _wrong(
            text,
            "write `kill before result STEP`, `freeze after intent STEP`, `store after entry #3`, `two workers`, "
            "`answers late`, `answers twice`, `tool NAME transient #2` or `model overloaded`",
        )

    def __str__(self) -> str:
        if self.at is not None:
            nth = f" #{self.at.nth}" if self.at.nth > 1 or self.at.entry is None else ""
            step = f" {self.at.step}" if self.at.step else ""
            return f"{self.kind} {self.at.when} {self.at.entry or 'entry'}{step}{nth}"
        if self.kind == "worker":
            return "two workers"
        if self.kind == "answer":
            return f"answers {self.how}"
        nth = f" #{self.nth}" if self.nth > 1 else ""
        return " ".join(filter(None, (self.kind, self.name, self.how))) + nth


@dataclass(frozen=True, slots=True)
class Schedule:
    """All that befalls one run. Without a hit it is left alone."""

    hits: tuple[Hit, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gives. Raises `ConfigError`."""
        return cls(tuple(Hit.parse(part) for part in text.split(";") if part.strip()))

    @classmethod
    def of(cls, *hits: Hit) -> Self:
        """These, in this order."""
        return cls(hits)

    @property
    def kind(self) -> str:
        """What it counts as."""
        if sum(hit.kind == "kill" for hit in self.hits) > 1 and all(hit.kind == "kill" for hit in self.hits):
            return "twice"
        kinds = {hit.kind for hit in self.hits}
        return next((kind for kind in reversed(KINDS) if kind in kinds), "none")

    @property
    def world(self) -> Schedule:
        """Those hits after which the run may rightly end in another way."""
        return Schedule(tuple(hit for hit in self.hits if hit.worldly))

    @property
    def placed(self) -> list[Hit]:
        """Those that strike at a place in the journal."""
        return [hit for hit in self.hits if hit.at is not None]

    def __str__(self) -> str:
        return "; ".join(map(str, self.hits)) or "nothing"


def place(when: Literal["before", "after"], entries: Iterable[tuple[int, str]], nth: int) -> Boundary:
    """The place of an append of these entries, which is the nth that has such a one."""
    kind, key = label(entries)
    return Boundary(when, Kind(kind).name.lower(), key or None, nth)


def label(entries: Iterable[tuple[int, str]]) -> tuple[int, str]:
    """Of the entries of an append, the one that names it: what it is for, if it has that, or else a step's."""
    known = list(entries)
    of_steps = [(kind, key) for kind, key in known if key]
    return next((each for each in of_steps if each[0] in _TELLING), (of_steps or known)[0])


def general(key: str) -> str:
    """A step's key without the digests of a run's own: a call of a wrapped agent has another in each run."""
    return _DIGEST.sub("", key)


_DIGEST = re.compile(r"\.[0-9a-f]{8}(?=[/:]|$)")
_TELLING = (Kind.RESULT, Kind.FAILED, Kind.INTENT)


def _wrong(text: str, instead: str) -> ConfigError:
    return ConfigError(f"`{text.strip()[:120]}` is no fault of a schedule: {instead}")
