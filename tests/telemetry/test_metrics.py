"""What Prometheus is told is what the tallies say, of the caller's tenant, without any run or user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("prometheus_client", reason='no prometheus_client: `pip install "perdure[serve]"`')

from prometheus_client.parser import text_string_to_metric_families

from perdure import App
from perdure.server import asgi
from perdure.telemetry import Projector
from perdure.telemetry.metrics import exposed, read_metrics
from perdure.views.cost import cost_table
from tests.api.desk import BelievingGate, as_

from .desk import desk
from .test_projector import everyday

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = desk(f"sqlite:///{tmp_path / 'store.db'}")
    async with app:
        await everyday(app)
        yield app


def samples(text: str) -> Samples:
    return {
        (s.name, frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


async def told(app: App, tenant: str | None) -> Samples:
    return samples(exposed(await read_metrics(app.store, tenant=tenant))[0].decode())


def of(**labels: str) -> frozenset[tuple[str, str]]:
    return frozenset(labels.items())


async def test_numbers_are_those_of_the_tallies(app: App) -> None:
    found = await told(app, app.tenant)
    clerk = {"agent": "clerk", "version": "2"}
    assert found["perdure_runs_started_total", of(**clerk)] == 4
    assert found["perdure_runs_ended_total", of(**clerk, status="failed")] == 2
    assert found["perdure_run_goals", of(**clerk, outcome="not-met")] == 2
    assert found["perdure_runs", of(agent="clerk", state="waiting", reason="approval")] == 1
    assert found["perdure_step_calls_total", of(agent="clerk", step="look")] == 4
    assert found["perdure_step_errors_total", of(agent="clerk", step="look")] == 1
    assert (
        found["perdure_model_tokens_total", of(agent="clerk", model="fake:small", direction="input")] == 300
    )
    assert found["perdure_unpriced_charges_total", of(agent="clerk", name="fake:free")] == 3
    assert found["perdure_wait_seconds_count", of(agent="clerk", reason="approval")] == 2
    assert found["perdure_wait_seconds_bucket", of(agent="clerk", reason="approval", le="+Inf")] == 2
    total = (await cost_table(app.store, tenant=app.tenant)).total.money / 1e9
    assert sum(v for (name, _), v in found.items() if name == "perdure_cost_dollars_total") == pytest.approx(
        total
    )
    assert (found["perdure_workers", of()], found["perdure_projection_lag_heads", of()]) == (1, 0)
    assert not [k for k in found if {"run", "run_id", "user", "principal", "tenant"} & dict(k[1]).keys()]


async def test_another_tenant_is_told_nothing_of_these(app: App) -> None:
    assert not [name for name, labels in await told(app, "another") if ("agent", "clerk") in labels]


async def test_counters_are_left_out_while_they_are_made_again(app: App) -> None:
    """They come back as they were: a counter that began anew would look like a burst."""
    before = await told(app, app.tenant)
    await app.store.drop_projections()
    during = await told(app, app.tenant)
    assert not [name for name, _ in during if name.endswith("_total")]
    assert during["perdure_projection_rebuilding", of()] == 1
    await Projector(app.store).catch_up()
    after = await told(app, app.tenant)
    counters = {key: value for key, value in before.items() if key[0].endswith("_total")}
    assert {key: after[key] for key in counters} == counters


async def test_a_scraper_says_who_it_is(app: App) -> None:
    transport = httpx2.ASGITransport(app=asgi(app, gate=BelievingGate(), pages=False))
    async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
        assert (await client.get("/metrics")).status_code == 401
        answer = await client.get("/metrics", headers=as_())
        assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain; version=")
        assert "perdure_runs_started_total" in answer.text
        other = await client.get("/metrics", headers=as_(tenant="another"))
        assert "clerk" not in other.text
