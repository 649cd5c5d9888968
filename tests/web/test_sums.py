"""The pages of costs, agents and the fleet: what they show is what the journals say, of the reader's tenant."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import App
from perdure.engines.alerts import Occurrence
from perdure.governance import dollars
from perdure.views.cost import cost_table
from tests.telemetry.desk import desk, fold
from tests.telemetry.test_projector import everyday

from .scene import TestGate, reading, text_of


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = desk(f"sqlite:///{tmp_path / 'store.db'}")
    app.budget_settings = app.budget_settings.read({"tenant": {"money": "5", "per": "day"}}, where="the test")
    async with app:
        await everyday(app)
        yield app


async def test_each_sum_is_that_of_the_journals(app: App) -> None:
    total = (await cost_table(app.store, tenant=app.tenant)).total
    async with reading(app) as reader:
        for by in ("agent", "model", "step", "tenant", "version", "label", "outcome"):
            page = text_of(await reader.get(f"/cost?by={by}"))
            assert f"Spent in 7d {dollars(total.money)}" in page, by
        page = text_of(await reader.get("/cost?by=model"))
        assert "fake:free" in page and "their cost" not in page
        assert "tenant configuration money" in page, "the budget is there"
        await reader.get("/cost?by=nothing", status=400)
        page = text_of(await reader.get("/agents"))
        assert "clerk @2" in page or "clerk@2" in page
        assert "33% 95 % sure: 6% to 79% of 3" in page
        page = text_of(await reader.get("/agents/clerk"))
        assert "Where does its state live" in page and "torture" in page
        assert "approval 2" in page
        page = text_of(await reader.get("/fleet"))
        assert "Workers 1" in page and "waiting approval 1" in page


async def test_nothing_of_another_tenant_is_shown(app: App) -> None:
    async with reading(app, TestGate(tenant="another")) as reader:
        assert "clerk" not in text_of(await reader.get("/cost"))
        assert "Nothing was charged" in text_of(await reader.get("/cost"))
        assert "waiting approval" not in text_of(await reader.get("/fleet"))
        await reader.get("/agents/nobody", status=404)


async def test_what_perdure_writes_for_itself_is_not_among_the_runs(app: App) -> None:
    async with reading(app) as reader:
        before = re.findall(r"All <b>\d+", await reader.get("/runs"))
        seen = Occurrence(kind="run_failed", tenant=app.tenant, about="clerk", subject="`clerk` fails")
        await app.alarms.raise_(seen)
        await fold(app.store)
        page = await reader.get("/runs")
        assert "perdure-alerts" not in page and re.findall(r"All <b>\d+", page) == before != []
        assert "perdure-alerts" not in await reader.get("/agents")
        assert "alerts-" in await reader.get("/runs?agent=perdure-alerts")
        assert "perdure-alerts" in text_of(await reader.get("/agents/perdure-alerts"))


async def test_empty_pages_teach(tmp_path: Path) -> None:
    app = App("memory://")
    async with reading(app) as reader:
        assert "perdure budget set" in text_of(await reader.get("/cost"))
        assert "No agent has run yet" in text_of(await reader.get("/agents"))
        assert "No worker is alive" in text_of(await reader.get("/fleet"))
    await app.close()
