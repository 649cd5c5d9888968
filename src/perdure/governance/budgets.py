"""Budgets: how much of what may be used, in which time, and what happens when that is used up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, Self, get_args

from ..core.clock import to_micros
from ..core.errors import ConfigError
from ..core.spending_settings import LimitSettings
from .amounts import DIMENSIONS, Amount, in_words, share_in_words
from .money import Dollars, from_nanos, to_nanos
from .periods import PERIODS, Per, zone

__all__ = [
    "LIMITED",
    "Budget",
    "Exhausted",
    "Limits",
    "OnLimit",
    "budget_of",
    "decimal_limits",
    "exhausted_by",
    "passed",
    "warning",
]

OnLimit = Literal["ask", "finish", "stop"]
"""`ask`: the run waits until its owner raises the budget or stops the run. `finish`: one last call from what was held
back, then the run ends `partial`. `stop`: it ends with `BudgetExceeded`."""

LIMITED = (*DIMENSIONS, "wall_clock")
"""What a budget can limit."""

Limits = Mapping[str, int]
"""The most of each dimension that is limited: nano-dollars, tokens, calls, microseconds."""

_COUNTS = ("input_tokens", "output_tokens", "tokens", "model_calls", "tool_calls")
_TIMES = ("wall_clock", "active_time")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The most that a run, an agent or a tenant may use. What is None is not limited.

    Raises `ConfigError` for a budget that limits nothing, or cannot mean anything.
    """

    money: Dollars | None = None
    """dollars; what has no price costs nothing here, unless `allow_unpriced` is False"""
    input_tokens: int | None = None
    output_tokens: int | None = None
    tokens: int | None = None
    """input and output together"""
    model_calls: int | None = None
    tool_calls: int | None = None
    wall_clock: timedelta | None = None
    """since the run was started; waiting counts. Of a run only"""
    active_time: timedelta | None = None
    """in which a worker held the run"""
    per: Per | None = None
    """of a tenant or an agent: the budget begins anew with each period; None: it holds for good"""
    timezone: str = "UTC"
    """in which a day, a week or a month begins"""
    on_limit: OnLimit = "ask"
    reserve: float = 0.1
    """with `finish`: the share of the budget that is held back for the last call"""
    warn: tuple[float, ...] = (0.5, 0.8, 0.95)
    """shares of the budget at which the journal and the log say so, once each"""
    children: float = 0.5
    """the share of what is left that a child run gets where nothing else is said"""
    allow_unpriced: bool = True
    """False: a call that has no price is refused"""

    def __post_init__(self) -> None:
        limits = self.limits
        if not limits and self.allow_unpriced:
            raise ConfigError(f"a budget limits nothing: give it one or more of {', '.join(LIMITED)}")
        for name in _COUNTS:
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ConfigError(f"budget `{name}={value}` is not a whole number from 0")
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and value <= timedelta():
                raise ConfigError(f"budget `{name}={value}` is not a time above nothing")
        if self.per is not None and self.per not in PERIODS:
            raise ConfigError(f"budget `per={self.per}` is not one of {', '.join(PERIODS)}")
        if self.on_limit not in get_args(OnLimit):
            raise ConfigError(f"budget `on_limit={self.on_limit}` is not one of ask, finish, stop")
        if not 0 < self.reserve < 1:
            raise ConfigError(f"budget `reserve={self.reserve}` is not a share between 0 and 1")
        if not 0 < self.children <= 1:
            raise ConfigError(f"budget `children={self.children}` is not a share above 0, up to 1")
        if any(not 0 < share <= 1 for share in self.warn):
            raise ConfigError(f"budget `warn={self.warn}`: each is a share above 0, up to 1")
        object.__setattr__(self, "warn", tuple(sorted(set(self.warn))))
        zone(self.timezone)

    @property
    def limits(self) -> dict[str, int]:
        """What is limited, in the units that are reckoned with."""
        found: dict[str, int] = {}
        for name in LIMITED:
            value = getattr(self, name)
            if value is None:
                continue
            if name == "money":
                found[name] = to_nanos(value, what="budget `money`")
            else:
                found[name] = to_micros(value) if isinstance(value, timedelta) else value
        return found

    def held_back(self, limits: Limits) -> dict[str, int]:
        """Of `limits`, what only the last call may use."""
        if self.on_limit != "finish":
            return {}
        return {name: -int(-most * self.reserve // 1) for name, most in limits.items() if name not in _TIMES}

    def for_run(self, whose: str) -> Self:
        """The same, once it is sure that it can be a run's. Raises `ConfigError`."""
        if self.per is not None:
            raise ConfigError(f"{whose}: a run's budget has no `per={self.per}`: it holds for the whole run")
        return self

    def for_all(self, whose: str) -> Self:
        """The same, once it is sure that many runs can share it. Raises `ConfigError`."""
        if self.wall_clock is not None:
            raise ConfigError(f"{whose}: `wall_clock` is of one run; limit `active_time` where many share it")
        return self

    def to_json(self) -> dict[str, Any]:
        """What differs from a budget that says nothing; limits in the units that are reckoned with."""
        told: dict[str, Any] = {"limits": self.limits}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in LIMITED and value != field.default:
                told[field.name] = value
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`."""
        given: dict[str, Any] = {name: told[name] for name in _POLICY if name in told}
        if "warn" in given:
            given["warn"] = tuple(given["warn"])
        for name, most in told["limits"].items():
            if name == "money":
                given[name] = from_nanos(most)
            elif name in _TIMES:
                given[name] = timedelta(microseconds=most)
            elif name in LIMITED:
                given[name] = most
        return cls(**given)


_POLICY = tuple(f.name for f in fields(Budget) if f.name not in LIMITED)


def budget_of(settings: LimitSettings) -> Budget:
    """The budget of a table in `perdure.toml`. Raises `ConfigError`."""
    given: dict[str, Any] = {name: value for name, value in settings if value is not None}
    return Budget(**given)


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A budget does not hold what a call needs."""

    whose: str
    """`run`, `agent NAME` or `tenant`"""
    dimension: str
    limit: int
    used: int
    """what was used and what is set aside for calls that are under way"""
    needed: int
    until: int | None = None
    """when a shared budget begins anew, or should be looked at again (microseconds)"""
    on_limit: OnLimit = "ask"

    def __str__(self) -> str:
        def words(n: int) -> str:
            return in_words(self.dimension, n)

        return (
            f"the budget of this {self.whose} holds {words(self.limit)}; {words(max(0, self.used))} are used or set "
            f"aside, and the next call may need {words(self.needed)}"
        )

    def to_json(self) -> dict[str, Any]:
        """For the journal."""
        return {
            "whose": self.whose,
            "dimension": self.dimension,
            "limit": self.limit,
            "used": self.used,
            "needed": self.needed,
            "until": self.until,
            "on_limit": self.on_limit,
        }


def exhausted_by(limits: Limits, used: Amount, need: Amount) -> tuple[str, int, int, int] | None:
    """The first dimension in which `need` does not fit: `(dimension, limit, used, needed)`."""
    for name, had, wants in zip(DIMENSIONS, used.values, need.values, strict=True):
        most = limits.get(name)
        if most is None:
            continue
        # Nobody knows beforehand how long a call takes: it begins where there is any time left.
        if had + wants > most if wants else name == "active_time" and had >= most:
            return name, most, had, wants
    return None


def passed(whose: str, budget: Budget, limits: Limits, before: Amount, after: Amount) -> list[dict[str, Any]]:
    """The thresholds of a budget that lie between two sums: of each dimension the highest."""
    found: list[dict[str, Any]] = []
    for name, had, has in zip(DIMENSIONS, before.values, after.values, strict=True):
        most = limits.get(name)
        shares = [share for share in budget.warn if had < share * most <= has] if most else []
        if shares:
            found.append({"whose": whose, "dimension": name, "share": shares[-1], "used": has, "limit": most})
    return found


def warning(told: Mapping[str, Any]) -> str:
    """What `passed` found, for people: how much is used now, which may be far above the threshold that it passed."""
    dimension, used, limit = str(told["dimension"]), int(told["used"]), int(told["limit"])
    share = used * 100 // limit if limit else 100
    words = share_in_words(dimension, used, limit)
    return f"{share} % of the {dimension.replace('_', ' ')} in the budget of this {told['whose']} are used ({words})"


def decimal_limits(limits: Limits) -> dict[str, Decimal | int]:
    """Limits for people and JSON: dollars instead of nano-dollars."""
    return {name: from_nanos(n) if name == "money" else n for name, n in limits.items()}
