"""`/cost`: a chart over time, a table by one thing, and the budgets."""

from __future__ import annotations

from datetime import timedelta

from starlette.responses import Response

from ...core.clock import to_micros
from ...core.errors import ConfigError
from ...governance.amounts import in_words
from ...views.cost import GROUPS, BudgetLine, budget_lines, cost_over_time, cost_table
from ..rooms import Page, Room
from ..visit import Visit

__all__ = ["COST"]

SPANS = {
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "90d": timedelta(days=90),
}

TITLES = {
    "agent": "Agent",
    "model": "Model",
    "step": "Step or tool",
    "tenant": "Tenant",
    "version": "Version",
    "label": "Label",
    "outcome": "Goal",
}

_GOALS = {"met": "met", "not-met": "not met", "unknown": "nobody has said"}


async def show(visit: Visit) -> Response:
    """The page."""
    by = visit.given("by") or "agent"
    if by not in GROUPS:
        raise ConfigError(f"by `{by[:40]}` is not one of {', '.join(GROUPS)}")
    span = visit.given("span") or "7d"
    if span not in SPANS:
        raise ConfigError(f"span `{span[:20]}` is not one of {', '.join(SPANS)}")
    agent = visit.given("agent") or None
    now = visit.store.now()
    since = now - to_micros(SPANS[span])
    table = await cost_table(visit.store, tenant=visit.tenant, by=by, agent=agent, since=since, until=now)
    points = await cost_over_time(visit.store, tenant=visit.tenant, agent=agent, since=since, until=now)
    budgets = budget_lines(await visit.app.budgets.ls(tenant=visit.tenant), now=now)
    return await visit.page(
        "cost/cost.html",
        by=by,
        span=span,
        agent=agent,
        groups=[(name, TITLES[name]) for name in GROUPS],
        spans=[*SPANS],
        table=table,
        names={
            row.name: _GOALS.get(row.name, row.name) if by == "outcome" else row.name for row in table.rows
        },
        points=points,
        chart=[[p.at // 1_000_000 for p in points], [p.money / 1e9 for p in points]],
        budgets=[(line, _words(line)) for line in budgets],
        place=await visit.store.projected(),
        widest=max((row.money for row in table.rows), default=0),
    )


def _words(line: BudgetLine) -> dict[str, str]:
    def said(n: int | None) -> str:
        return "" if n is None else in_words(line.dimension, n)

    return {
        "used": said(line.used),
        "limit": said(line.limit),
        "held": said(line.held),
        "forecast": said(line.forecast),
    }


COST = Room(title="Cost", path="/cost", key="c", pages=(Page(path="/cost", handler=show),))
"""What it has cost."""
