"""What a reader of errors sees and says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from ....core.failures import Diagnosis, FailureClass

__all__ = [
    "Finding",
    "Inside",
    "Reader",
    "Seen",
    "attribute",
    "in_doubt",
    "leaf",
    "module_of",
    "not_done",
    "type_names",
]


@dataclass(frozen=True, slots=True)
class Seen:
    """One error, as the readers get it."""

    error: BaseException
    names: tuple[str, ...]
    """`module:Qualname` of its type and the types that this is derived from, nearest first"""
    now: Callable[[], float]
    """seconds since the Unix epoch: a date in `Retry-After` is turned into a wait"""

    @property
    def name(self) -> str:
        """The type's own name."""
        return self.names[0]

    def is_a(self, *names: str) -> bool:
        """Whether the type is, or is derived from, one of these."""
        return any(name in self.names for name in names)


@dataclass(frozen=True, slots=True)
class Inside:
    """The error is a wrapper, and what it wraps decides."""

    error: BaseException | None
    otherwise: Diagnosis
    """where nothing is inside, or nothing that is known"""
    proof: bool = True
    """False: what is inside proves nothing about the whole (it is the last of several attempts)"""


Finding = Diagnosis | Inside
Reader = Callable[[Seen], Finding | None]
"""What it finds in an error; None: the error is none of those that it knows."""


def not_done(failure: FailureClass, why: str, retry_after: float | None = None) -> Diagnosis:
    """A diagnosis with the proof that nothing was done."""
    return Diagnosis(failure, True, retry_after, why)


def in_doubt(failure: FailureClass, why: str, retry_after: float | None = None) -> Diagnosis:
    """A diagnosis without that proof."""
    return Diagnosis(failure, False, retry_after, why)


@lru_cache(maxsize=512)
def type_names(kind: type) -> tuple[str, ...]:
    """`module:Qualname` of a type and of all that it is derived from."""
    return tuple(f"{base.__module__}:{base.__qualname__}" for base in kind.__mro__ if base is not object)


def leaf(name: str) -> str:
    """The type's name without module and outer classes."""
    return name.rpartition(":")[2].rpartition(".")[2]


def module_of(name: str) -> str:
    """The top of the package that a type comes from."""
    return name.partition(":")[0].partition(".")[0]


def attribute(thing: Any, *names: str) -> Any:
    """The first attribute that is there and is not None. One that cannot be read is not there."""
    for name in names:
        try:
            value = getattr(thing, name, None)
        except Exception:  # a property may raise anything: httpx's `request` does, before one was sent
            continue
        if value is not None:
            return value
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on, as a traceback shows it."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen and len(seen) < 20:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)


def mapping(value: Any) -> dict[str, Any]:
    """The value, if it is a dict; else an empty one."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def with_wait(diagnosis: Diagnosis, retry_after: float | None) -> Diagnosis:
    """The same, with how long the receiver asked to wait."""
    return diagnosis if retry_after is None else replace(diagnosis, retry_after=retry_after)
