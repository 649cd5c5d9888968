"""What runs have cost, by whatever it is asked by, over time; and how budgets stand and where they lead.

It is read from tallies, which are folded from the journals' charges: `perdure cost` adds up the same from those.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..governance import Standing
from ..journal import Grain, Store, TallyColumn, TallyQuery
from ..telemetry import DAY_MICROS, HOUR_MICROS, Tally, tallied

__all__ = [
    "GROUPS",
    "BudgetLine",
    "CostBy",
    "CostPoint",
    "CostRow",
    "CostTable",
    "budget_lines",
    "cost_over_time",
    "cost_table",
]

CostBy: TypeAlias = Literal["tenant", "agent", "version", "model", "step", "label", "outcome"]

GROUPS: tuple[CostBy, ...] = ("agent", "model", "step", "tenant", "version", "label", "outcome")
"""What costs may be asked by. `step` has tools, too."""

_CHARGED = ("model", "step", "human")
_COLUMNS: dict[str, tuple[TallyColumn, ...]] = {
    "tenant": ("tenant",),
    "agent": ("agent",),
    "version": ("agent", "version"),
    "model": ("name",),
    "step": ("name",),
    "label": ("label",),
    "outcome": ("outcome",),
}

HOURS_UP_TO = 2 * DAY_MICROS
"""Of a span so long at most hours are told apart; of a longer one days."""

EARLY = 0.1
"""Of a period's beginning this part says nothing yet about its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one of them has cost. Money is nano-dollars."""

    name: str
    """empty: of what has none of that"""
    money: int
    input_tokens: int
    output_tokens: int
    model_calls: int
    tool_calls: int
    charges: int
    unpriced: int
    """charges without a price, which `money` does not hold"""
    estimated: int

    @property
    def unpriced_share(self) -> float:
        """The part of the calls of models that had no price, from 0 to 1."""
        return self.unpriced / self.model_calls if self.model_calls else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CostTable:
    """What was charged in a span of time, by one thing, the dearest first."""

    by: CostBy
    rows: Sequence[CostRow]
    total: CostRow
    since: int | None
    """the beginning of the hour or the day that was asked for; microseconds"""
    until: int | None


@dataclass(frozen=True, slots=True)
class CostPoint:
    """What was charged in an hour or a day that began then."""

    at: int
    money: int
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """One limit of a shared budget in its present period, and where it leads. Amounts are those of the dimension."""

    scope: str
    """`tenant`, `agent/NAME`"""
    dimension: str
    period: str
    starts: int
    ends: int | None
    """None: it holds for good"""
    spent: int
    held: int
    """set aside by runs that are under way"""
    limit: int
    source: str
    on_limit: str
    forecast: int | None
    """what will have been spent at the end of the period, at the pace so far; None: too early to say, or no end"""
    used_up_at: int | None
    """when it will be used up at that pace, within the period; None: not"""

    @property
    def used(self) -> int:
        """Spent or held."""
        return self.spent + self.held

    @property
    def share(self) -> float:
        """The part of the limit that is used; 1 and more: all of it."""
        return self.used / self.limit if self.limit else 1.0


async def cost_table(
    store: Store,
    *,
    tenant: str | None,
    by: CostBy = "agent",
    agent: str | None = None,
    since: int | None = None,
    until: int | None = None,
) -> CostTable:
    """What was charged from `since` on and before `until`, to the hour within two days, else to the day (UTC).

    By label, outcome and over all time days are told apart, never hours.
    """
    grain, since, until = _span(by, since, until)
    where: dict[TallyColumn, Sequence[str]] = {"what": [by] if by in ("model", "step") else _CHARGED}
    if tenant is not None:
        where["tenant"] = [tenant]
    if agent is not None:
        where["agent"] = [agent]
    query = TallyQuery(by=_COLUMNS[by], grain=grain, since=since, until=until, where=where)
    rows = [
        _row(_name(by, group), tally)
        for group, tally in await tallied(store, query)
        if tally.model_calls or tally.tool_calls or tally.money or tally.unpriced
    ]
    whole = TallyQuery(by=(), grain=grain, since=since, until=until, where={**where, "what": _CHARGED})
    total = next((_row("", tally) for _, tally in await tallied(store, whole)), _row("", Tally()))
    rows.sort(key=lambda row: (-row.money, row.name))
    return CostTable(by=by, rows=rows, total=total, since=since, until=until)


async def cost_over_time(
    store: Store, *, tenant: str | None, agent: str | None = None, since: int, until: int
) -> list[CostPoint]:
    """What was charged in each hour (within two days) or day, also those in which nothing was."""
    grain, start, end = _span("agent", since, until)
    assert start is not None and end is not None
    where: dict[TallyColumn, Sequence[str]] = {"what": _CHARGED}
    if tenant is not None:
        where["tenant"] = [tenant]
    if agent is not None:
        where["agent"] = [agent]
    found = await tallied(store, TallyQuery(by=("at",), grain=grain, since=start, until=end, where=where))
    by_time = {group[0]: tally for group, tally in found}
    step = HOUR_MICROS if grain == Grain.HOUR else DAY_MICROS
    return [
        CostPoint(at, tally.money, tally.unpriced) if (tally := by_time.get(at)) else CostPoint(at, 0, 0)
        for at in range(start, end, step)
    ]


def budget_lines(standings: Sequence[Standing], *, now: int) -> list[BudgetLine]:
    """Each limit of shared budgets, the one that is nearest to its end first. `app.budgets.ls` has the standings."""
    found = [
        _line(standing, dimension, most, now)
        for standing in standings
        for dimension, most in standing.limits.items()
    ]
    return sorted(found, key=lambda line: (-line.share, line.scope, line.dimension))


def _line(standing: Standing, dimension: str, most: int, now: int) -> BudgetLine:
    shared, account = standing.shared, standing.account
    period = shared.period
    spent: int = getattr(account.spent, dimension)
    held: int = getattr(account.held, dimension)
    forecast = used_up = None
    if period.ends is not None and now > period.starts:
        passed, whole = now - period.starts, period.ends - period.starts
        if passed >= EARLY * whole:
            forecast = spent * whole // passed
            if spent and forecast > most:
                used_up = max(now, period.starts + most * passed // spent)
    return BudgetLine(
        scope=shared.scope,
        dimension=dimension,
        period=period.name,
        starts=period.starts,
        ends=period.ends,
        spent=spent,
        held=held,
        limit=most,
        source=standing.source,
        on_limit=shared.budget.on_limit,
        forecast=forecast,
        used_up_at=used_up,
    )


def _span(by: CostBy, since: int | None, until: int | None) -> tuple[int, int | None, int | None]:
    """The grain, and the span widened to whole periods of it."""
    if since is None and until is None:
        return (Grain.DAY if by == "label" else Grain.TOTAL), None, None
    short = since is not None and until is not None and until - since <= HOURS_UP_TO
    grain = Grain.HOUR if short and by not in ("label", "outcome") else Grain.DAY
    step = HOUR_MICROS if grain == Grain.HOUR else DAY_MICROS
    start = None if since is None else since - since % step
    return grain, start, None if until is None else -(-until // step) * step


def _name(by: CostBy, group: tuple[str | int, ...]) -> str:
    if by == "version":
        return f"{group[0]}@{group[1]}"
    if by == "label":
        key, value = json.loads(str(group[0]))
        return f"{key}={value}"
    if by == "outcome":
        return str(group[0]) or "unknown"
    return str(group[0])


def _row(name: str, tally: Tally) -> CostRow:
    return CostRow(
        name=name,
        money=tally.money,
        input_tokens=tally.input_tokens,
        output_tokens=tally.output_tokens,
        model_calls=tally.model_calls,
        tool_calls=tally.tool_calls,
        charges=tally.n,
        unpriced=tally.unpriced,
        estimated=tally.estimated,
    )
