"""Stopping from the pages, what they say of it, and alerts on the page of the fleet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run
from perdure.access.callers import Role
from perdure.core.alert_settings import AlertSettings
from perdure.engines.alerts import Occurrence

from .scene import TestGate, reading, text_of

VIEWER = frozenset({Role.VIEWER})
OPERATOR = frozenset({Role.OPERATOR})


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    app = App(f"sqlite:///{tmp_path / 'store.db'}", alerts=AlertSettings(runbooks="https://books.test"))

    @app.agent("clerk")
    async def clerk(run: Run) -> str:
        return await run.step("look", lambda: "here")

    async with app:
        await app.start(clerk, run_id="r1")
        yield app


async def test_an_agent_is_stopped_and_started_again_on_its_page(app: App) -> None:
    async with reading(app, TestGate(roles=OPERATOR)) as reader:
        assert "Stop clerk?" in text_of(await reader.get("/agents/clerk"))
        agent: Any = {"what": "agent", "name": "clerk", "from": "agent"}
        await reader.post("/stops", status=422, **agent)  # no reason
        assert await app.stopped() == []
        done = await reader.post("/stops", **agent, reason="<b>wrong</b> prices")
        assert done.headers["location"] == "/agents/clerk?done=stopped"
        page = await reader.get("/agents/clerk?done=stopped")
        assert "It is stopped before its next effect" in text_of(page)
        assert "Agent clerk is stopped <b>wrong</b> prices dana" in text_of(page)
        assert "<b>wrong</b>" not in page and "Stop clerk?" in page
        for other in ("/runs", "/fleet"):
            assert "Agent clerk is stopped" in text_of(await reader.get(other)), other
        again = await reader.post("/stops", **agent, reason="another")
        assert again.headers["location"].endswith("done=stopped-before")
        lifted = await reader.post("/stops/lift", **agent)
        assert lifted.headers["location"] == "/agents/clerk?done=lifted"
        assert "is stopped" not in text_of(await reader.get("/runs"))
        await reader.post("/stops/lift", status=409, **agent)


async def test_who_is_not_to_stop_sees_it_and_cannot(app: App) -> None:
    await app.stop(agent="clerk", by="user:ann", reason="wait")
    async with reading(app, TestGate(roles=VIEWER)) as reader:
        for path in ("/agents/clerk", "/fleet"):
            page = await reader.get(path)
            assert "Agent clerk is stopped" in text_of(page)
            assert 'action="/stops' not in page, path
        await reader.post("/stops/lift", status=403, what="agent", name="clerk")
    async with reading(app, TestGate(roles=OPERATOR)) as reader:
        answer = await reader.client.post("/stops/lift", data={"what": "agent", "name": "clerk"})
        assert answer.status_code == 403, "without a token"
    async with reading(app, TestGate(tenant="another")) as reader:
        assert "is stopped" not in text_of(await reader.get("/runs"))
    assert len(await app.stopped()) == 1


async def test_much_is_stopped_only_by_who_says_so_twice(app: App) -> None:
    everything: Any = {"what": "everything", "reason": "a leak", "sure": "yes"}
    async with reading(app, TestGate(roles=OPERATOR)) as reader:
        assert "Every agent of every tenant" not in await reader.get("/fleet")
        await reader.post("/stops", status=403, **everything)
        await reader.post("/stops", status=422, what="tenant", reason="a leak")
        await reader.post("/stops", what="tenant", reason="a leak", sure="yes")
        await reader.post("/stops", status=422, what="the world", reason="a leak", sure="yes")
    async with reading(app) as reader:
        assert "Every agent of every tenant" in await reader.get("/fleet")
        await reader.post("/stops", **everything)
    async with reading(app, TestGate(tenant="another")) as reader:
        page = await reader.get("/fleet")
        assert "Everything, in every tenant, is stopped" in text_of(page)
        assert 'action="/stops/lift"' not in page, "an admin of another tenant"
    assert {one.who.what for one in await app.stopped()} == {"all", "tenant"}


async def test_an_alert_is_taken_on_the_page_of_the_fleet(app: App) -> None:
    async with reading(app, TestGate(roles=VIEWER)) as reader:
        assert "None is open" in text_of(await reader.get("/fleet"))
        seen = Occurrence(
            kind="run_failed", tenant="default", about="clerk", subject="`clerk` <i>fails</i>", why="no tea"
        )
        await app.alarms.raise_(seen)
        (alert,) = await app.alerts()
        page = await reader.get("/fleet")
        assert "`clerk` <i>fails</i>" in text_of(page) and "<i>fails" not in page
        assert 'href="https://books.test/run-failed.md"' in page
        assert "no tea" not in page and "Take it</button>" not in page
        await reader.post(f"/alerts/{alert.id}/acknowledge", status=403)
    async with reading(app, TestGate(roles=OPERATOR)) as reader:
        assert "no tea" in await reader.get("/fleet")
        await reader.post(f"/alerts/{alert.id}/acknowledge")
        assert "taken dana" in text_of(await reader.get("/fleet"))
        await reader.post("/alerts/al-none/acknowledge", status=404)
    (alert,) = await app.alerts()
    assert (alert.state, alert.by) == ("acknowledged", "user:dana")
