"""Retry policies: how often, how long, and with which pauses an attempt that failed is made again.

Pauses grow exponentially and are drawn at random from nothing to their bound ("full jitter": M. Brooker, *Exponential
Backoff and Jitter*, AWS Architecture Blog, 2015, which finds that it makes the fewest calls under contention). So
callers that failed together do not come back together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, ClassVar, cast

from ...core.errors import ConfigError
from ...core.failures import Diagnosis, FailureClass

__all__ = ["Retry"]

_ZERO = timedelta()
_LONGEST = timedelta(days=3650)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """When an attempt that failed is made again. Raises `ConfigError` where the numbers make no sense.

    >>> Retry(attempts=6, total=timedelta(minutes=30))
    >>> Retry(classes={FailureClass.OVERLOADED: Retry(attempts=10, first=timedelta(seconds=5), total=None)})
    """

    NEVER: ClassVar[Retry]
    """one attempt, and no more"""

    attempts: int = 4
    """in all; 1: never again"""
    total: timedelta | None = timedelta(minutes=5)
    """from the beginning of the first attempt to the beginning of the last; None: no bound but `attempts`"""
    first: timedelta = timedelta(seconds=0.5)
    """the bound of the first pause"""
    most: timedelta = timedelta(seconds=60)
    """the bound of any pause, but for what the receiver asks with `Retry-After`"""
    factor: float = 2
    """by which the bound grows with each attempt"""
    on: frozenset[FailureClass] = frozenset({FailureClass.TRANSIENT, FailureClass.OVERLOADED})
    """the classes of failure after which there is another attempt; their names will do"""
    classes: Mapping[FailureClass, Retry] = field(default_factory=dict[FailureClass, "Retry"], hash=False)
    """policies for single classes, which hold instead of this one"""

    def __post_init__(self) -> None:
        """Check the numbers, and take names for classes."""
        if type(self.attempts) is not int or self.attempts < 1:
            raise ConfigError(f"attempts `{self.attempts}` is not a count: give 1 (never again) or more")
        for name in ("first", "most", "total"):
            value = getattr(self, name)
            if value is None and name == "total":
                continue
            if not isinstance(value, timedelta) or not _ZERO <= value <= _LONGEST:
                raise ConfigError(
                    f"`{name}` of a retry is `{value!r}`: give a timedelta between 0 and {_LONGEST.days} days"
                )
        if self.most < self.first:
            raise ConfigError(
                f"the longest pause `{self.most}` of a retry is below the first, `{self.first}`"
            )
        if type(self.factor) not in (int, float) or not 1 <= self.factor <= 1000:
            raise ConfigError(f"factor `{self.factor}` of a retry does not grow: give 1 (steady) to 1000")
        object.__setattr__(self, "on", _classes(self.on))
        own: dict[FailureClass, Retry] = {}
        for name, policy in cast("Mapping[Any, Any]", self.classes).items():
            (failure,) = _classes([name])
            if not isinstance(policy, Retry) or policy.classes:
                raise ConfigError(
                    f"the policy of class `{failure}` is `{policy!r}`: give a Retry without `classes`"
                )
            own[failure] = policy
        object.__setattr__(self, "classes", MappingProxyType(own))

    def policy(self, failure: FailureClass) -> Retry:
        """What holds after a failure of this class."""
        own = self.classes.get(failure)
        if own is not None:
            return own
        return self if failure in self.on else Retry.NEVER

    def wait(
        self,
        attempt: int,
        diagnosis: Diagnosis,
        draw: Callable[[], float],
        *,
        passed: timedelta = _ZERO,
    ) -> timedelta | None:
        """How long to wait before the next attempt; None: there is none.

        Args:
            attempt: how many were made, the failed one included: 1 after the first.
            diagnosis: of the failed one. What it asks for as `retry_after` is always waited, and a share of the
                pause on top of it, so that not all come at that moment; where it ends beyond `total`, it is the end.
            draw: a random number from 0 up to 1, drawn once.
            passed: since the first attempt began.
        """
        policy = self.policy(diagnosis.failure)
        if attempt >= policy.attempts:
            return None
        left = None if policy.total is None else policy.total - passed
        asked = timedelta(seconds=min(diagnosis.retry_after or 0.0, _LONGEST.total_seconds()))
        if left is not None and (left <= _ZERO or asked > left):
            return None
        wait = asked + policy.bound(attempt) * draw()
        return wait if left is None else min(wait, left)

    def bound(self, attempt: int) -> timedelta:
        """The longest pause after so many attempts, but for what the receiver asks."""
        try:
            return min(self.most, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            return self.most


def _classes(given: Iterable[FailureClass | str]) -> frozenset[FailureClass]:
    names = [given] if isinstance(given, str) else list(given)
    known = {str(failure) for failure in FailureClass}
    for name in names:
        if str(name) not in known:
            raise ConfigError(f"`{name}` is no class of failure: they are {', '.join(sorted(known))}")
    return frozenset(FailureClass(str(name)) for name in names)


Retry.NEVER = Retry(attempts=1, total=_ZERO, on=frozenset())
