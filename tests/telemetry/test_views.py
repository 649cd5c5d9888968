"""What pages and commands show of cost, health and agents is what the journals say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import App, UnknownAgent
from perdure.governance import charges
from perdure.governance.amounts import Amount
from perdure.journal import RunQuery
from perdure.telemetry import DAY_MICROS
from perdure.views.agents import agent_lines, agent_page, wilson
from perdure.views.answers import answers
from perdure.views.cost import budget_lines, cost_over_time, cost_table
from perdure.views.health import health

from .desk import desk, fold
from .test_projector import everyday


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = desk(f"sqlite:///{tmp_path / 'store.db'}")
    app.budget_settings = app.budget_settings.read({"tenant": {"money": "3", "per": "day"}}, where="the test")
    async with app:
        await everyday(app)
        yield app


async def charged(app: App, agent: str | None = None) -> Amount:
    runs = await app.store.find(RunQuery(agent=agent))
    total = Amount()
    async for one in charges(app.store, runs):
        assert one.line is not None
        total += one.line.amount
    return total


async def test_costs_are_those_of_the_journals(app: App) -> None:
    total = await charged(app)
    for by in ("agent", "version", "tenant", "outcome", "model", "step"):
        table = await cost_table(app.store, tenant=app.tenant, by=by)
        shown = Amount(
            money=table.total.money,
            input_tokens=table.total.input_tokens,
            output_tokens=table.total.output_tokens,
            tokens=table.total.input_tokens + table.total.output_tokens,
            model_calls=table.total.model_calls,
            tool_calls=table.total.tool_calls,
        )
        assert shown == total, by
        if by not in ("model", "step"):
            assert sum(row.money for row in table.rows) == total.money
    agents = await cost_table(app.store, tenant=app.tenant)
    assert [(row.name, row.money) for row in agents.rows] == [
        (name, (await charged(app, name)).money) for name in ("clerk", "helper")
    ]
    models = {r.name: r for r in (await cost_table(app.store, tenant=app.tenant, by="model")).rows}
    assert (models["fake:free"].money, models["fake:free"].unpriced_share) == (0, 1.0)
    labels = await cost_table(app.store, tenant=app.tenant, by="label")
    assert [row.name for row in labels.rows] == ["team=red", "team=blue"]
    assert (await cost_table(app.store, tenant="another")).rows == []

    now = app.store.now()
    for span in (DAY_MICROS, 10 * DAY_MICROS):
        points = await cost_over_time(app.store, tenant=app.tenant, since=now - span, until=now)
        assert sum(p.money for p in points) == total.money
        assert len(points) in (24, 25) if span == DAY_MICROS else 11


async def test_budgets_say_where_they_lead(app: App) -> None:
    (standing,) = await app.budgets.ls()
    period = standing.shared.period
    assert period.ends is not None
    early = period.starts + (period.ends - period.starts) // 20
    (line,) = budget_lines([standing], now=early)
    assert (line.scope, line.dimension, line.limit) == ("tenant", "money", 3 * 10**9)
    assert line.spent == (await charged(app)).money and line.forecast is None
    later = period.starts + (period.ends - period.starts) // 8
    (line,) = budget_lines([standing], now=later)
    assert line.forecast == 8 * line.spent > line.limit
    assert line.used_up_at is not None and later < line.used_up_at < period.ends


async def test_agents_by_version(app: App) -> None:
    clerk, helper = await agent_lines(app.store, tenant=app.tenant)
    assert (clerk.agent, clerk.version, clerk.started, clerk.ended) == (
        "clerk",
        "2",
        4,
        {"failed": 2, "succeeded": 1},
    )
    assert (clerk.under_way, clerk.met, clerk.not_met, clerk.approvals, clerk.workers) == (1, 0, 2, 2, 1)
    assert clerk.money == (await charged(app, "clerk")).money
    assert clerk.success == wilson(1, 3) and clerk.goals == wilson(0, 2)
    assert (helper.agent, helper.started, helper.ended) == ("helper", 3, {"succeeded": 3})
    page = await agent_page(app.store, "clerk", tenant=app.tenant)
    look = next(s for s in page.steps if s.name == "look")
    assert (look.what, look.calls, look.errors) == ("step", 4, 1)
    assert page.waits["approval"].timed == 2
    (behaviour,) = page.behaviours
    assert (behaviour.version, behaviour.policies, "code" in behaviour.parts) == ("2", None, True)
    assert [line.agent for line in await agent_lines(app.store, tenant="another")] == ["clerk", "helper"]
    assert not any(line.started for line in await agent_lines(app.store, tenant="another"))


def test_a_share_of_few_is_known_badly() -> None:
    assert wilson(0, 0) is None
    none = wilson(0, 10)
    assert none is not None and (none.share, none.low) == (0, 0) and 0.27 < none.high < 0.28


async def test_the_five_answers(app: App) -> None:
    found = await answers(app, "clerk", tenant=app.tenant)
    assert [a.state for a in found] == ["partly", "yes", "partly", "not yet", "partly"]
    assert all(a.todo for a in found if a.state != "yes")
    seen = {e.what: e.value for a in found for e in a.evidence}
    assert seen["writes and idempotent calls tried"] == "1"
    assert seen["goals met by version 2"].startswith("0% of 2 (95 % sure: 0% to ")
    with pytest.raises(UnknownAgent, match="no run of agent `nobody`"):
        await answers(app, "nobody", tenant=app.tenant)
    with pytest.raises(UnknownAgent):
        await answers(app, "clerk", tenant="another")


async def test_how_the_fleet_is(app: App) -> None:
    found = await health(app, tenant=app.tenant)
    assert [w.runs for w in found.workers] == [0] and not found.stranded
    assert found.standing == {"waiting:approval": 1}
    assert (found.queued, found.queued_since, found.quarantined, found.overdue_approvals) == (0, None, 0, 0)
    assert (found.lag.unfolded, found.lag.unsequenced, found.lag.rebuilding) == (0, 0, None)
    stranger = App(app.store)
    stranger.agent("lost", version="7")(desk("memory://").agents["helper", "1"].function)
    await stranger.start("lost", "x")
    found = await health(app, tenant=app.tenant)
    (lost,) = found.stranded
    assert (lost.queue.agent, lost.queue.version, lost.queue.runs) == ("lost", "7", 1)
    assert lost.reason == "no_worker_for_version" and found.queued == 1
    assert found.queued_since == lost.queue.since
    await fold(app.store)
    assert (await health(app, tenant=app.tenant)).standing["pending"] == 1
