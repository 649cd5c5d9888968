"""A circuit breaker as a value: its policy, its state, and how that changes. `breakers` shares it among workers.

              failures in a row, within a time                      its time is over
    CLOSED ──────────────────────────────────► OPEN ──────────────────────────────► HALF OPEN
       ▲                                        ▲                                    │     │
       │                                        └──── the probe fails ───────────────┘     │
       └───────────────────────────────────────────── the probe succeeds ──────────────────┘

A *probe* is one call by one worker, while everybody else is still turned away. One that does not report in its time is
given to another. (M. Nygard, *Release It!*, 2007, is where the pattern comes from.)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from typing import Any, Literal

import pydantic_core

from ..core.clock import to_micros
from ..core.errors import ConfigError
from ..core.failures import FailureClass

__all__ = ["Breaker", "BreakerState", "admit", "after_failure", "after_success", "phase"]

LOOK_AGAIN = 5_000_000
"""Microseconds after which somebody who was turned away by a probe under way may ask again, at the latest."""

LONGEST_OPEN = 3_600_000_000
"""However late a `Retry-After` is, somebody probes after this."""

KEPT = 86_400_000_000
"""An open breaker that nobody has asked for so long is forgotten."""

MOST_SAID = 300

Phase = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """When calls stop for a while. Raises `ConfigError` where the numbers make no sense.

    A success between two failures begins the count anew: what fails now and then is for `Retry`.
    """

    failures: int = 5
    """so many in a row, over all workers, open it"""
    within: timedelta = timedelta(seconds=60)
    """older failures do not count"""
    open_for: timedelta = timedelta(seconds=30)
    """from the last failure to the probe; longer where the receiver asks for that with `Retry-After`"""
    probe: timedelta = timedelta(seconds=60)
    """the time that a probe has to report, before another gets its turn"""
    on: frozenset[FailureClass] = frozenset({FailureClass.TRANSIENT, FailureClass.OVERLOADED})
    """the classes of failure that count; after any other the receiver was there, and answered"""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if type(self.failures) is not int or not 1 <= self.failures <= 1000:
            raise ConfigError(f"failures `{self.failures}` of a breaker is not a count from 1 to 1000")
        for name in ("within", "open_for", "probe"):
            value = getattr(self, name)
            if not isinstance(value, timedelta) or not timedelta() < value <= timedelta(days=1):
                raise ConfigError(
                    f"`{name}` of a breaker is `{value!r}`: give a timedelta above nothing, up to a day"
                )
        try:
            object.__setattr__(self, "on", frozenset(FailureClass(str(name)) for name in self.on))
        except ValueError as error:
            raise ConfigError(f"`on` of a breaker: {error}") from None


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What is stored of a breaker that has something to remember. Times are microseconds, the store's clock."""

    failures: tuple[int, ...] = ()
    """when it failed, the last ones in a row"""
    since: int | None = None
    """when it opened; it stays so over probes that fail"""
    until: int | None = None
    """when a probe is due"""
    count: int = 0
    """failures since it opened, those that opened it included"""
    why: str = ""
    """of the last failure"""
    probe_by: str | None = None
    probe_at: int | None = None
    probe_until: int | None = None

    @property
    def data(self) -> bytes:
        """As a cell keeps it."""
        return pydantic_core.to_json({k: v for k, v in asdict(self).items() if v not in (None, "", ())})

    @classmethod
    def read(cls, data: bytes) -> BreakerState:
        """From a cell. A field of a later release is left out."""
        told: Mapping[str, Any] = pydantic_core.from_json(data)
        known: dict[str, Any] = {name: told[name] for name in cls.__slots__ if name in told}
        known["failures"] = tuple(told.get("failures", ()))
        return cls(**known)

    def due(self, policy: Breaker) -> int:
        """When it may be forgotten."""
        if self.until is not None:
            return self.until + KEPT
        return (self.failures[-1] if self.failures else 0) + to_micros(policy.within)


def phase(state: BreakerState | None, now: int) -> Phase:
    """In which of its three states it is."""
    if state is None or state.until is None:
        return "closed"
    return "open" if now < state.until else "half_open"


def admit(
    state: BreakerState | None, policy: Breaker, now: int, by: str
) -> tuple[BreakerState | None, bool, bool]:
    """Whether a call may go: the state after, whether it goes, and whether it is the probe."""
    match phase(state, now):
        case "closed":
            return state, True, False
        case "open":
            return state, False, False
        case "half_open":
            assert state is not None
            if state.probe_until is not None and now < state.probe_until:
                return state, False, False
            until = now + to_micros(policy.probe)
            return replace(state, probe_by=by, probe_at=now, probe_until=until), True, True


def ask_again_at(state: BreakerState, now: int) -> int:
    """When somebody who was turned away may ask again."""
    assert state.until is not None
    if now < state.until:
        return state.until
    return min(state.probe_until or now, now + LOOK_AGAIN)


def is_probe(state: BreakerState | None, by: str, probe: int | None) -> bool:
    """Whether this is the probe that is under way, and not one whose time was over."""
    return state is not None and probe is not None and (state.probe_by, state.probe_at) == (by, probe)


def after_failure(
    state: BreakerState | None,
    policy: Breaker,
    now: int,
    *,
    by: str = "",
    probe: int | None = None,
    why: str = "",
    wait: int = 0,
) -> BreakerState | None:
    """The state after a failure that counts. `wait`: what the receiver asked for, microseconds."""
    state = state or BreakerState()
    until = now + max(to_micros(policy.open_for), min(wait, LONGEST_OPEN))
    if phase(state, now) != "closed":
        if not is_probe(state, by, probe):
            return state  # it began before it opened, or its time was over: it says nothing new
        return BreakerState((), state.since, until, state.count + 1, why[:MOST_SAID])
    oldest = now - to_micros(policy.within)
    failures = (*(at for at in state.failures if at > oldest), now)
    if len(failures) < policy.failures:
        return BreakerState(failures, why=why[:MOST_SAID])
    return BreakerState((), now, until, len(failures), why[:MOST_SAID])


def after_success(
    state: BreakerState | None, now: int, *, by: str = "", probe: int | None = None
) -> BreakerState | None:
    """The state after a success: None, closed, with nothing to remember.

    Only a probe closes it: what succeeds else began before it opened. A probe whose time was over has succeeded too.
    """
    if phase(state, now) == "closed" or probe is not None:
        return None
    return state


def after_silence(state: BreakerState | None, now: int, *, by: str, probe: int) -> BreakerState | None:
    """The state after a probe that says neither: the next who asks is given it."""
    if state is None or not is_probe(state, by, probe):
        return state
    return replace(state, probe_by=None, probe_at=None, probe_until=None)
