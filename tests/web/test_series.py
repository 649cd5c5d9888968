"""The pages of series, and their routes: what was done of a goal, for readers of its tenant who may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure import App, AsyncClient, Run
from perdure.access.callers import Role
from perdure.access.viewings import Viewings
from perdure.core.errors import UnknownRun
from perdure.server import asgi
from tests.api.desk import HOST, BelievingGate, as_, asked
from tests.api.transport import StreamingTransport

from .scene import TestGate, reading, text_of

NASTY = "<script>alert(1)</script> [x](javascript:alert(1))"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App("memory://")

    @app.agent("migrates", series="move")
    async def migrates(run: Run, first: bool) -> None:
        if first:
            run.add_items({"a": NASTY, "b": "", "c": "", "d": ""})
        item = await run.next_item()
        assert item is not None
        if item.id == "a":
            run.progress("copied", item="a", state="done", evidence={"rows": 12})
            run.leave_note(f"the table is locked at night {NASTY}")
        else:
            run.progress("in one piece", item=item.id, state="tried", why="too large", evidence="413")

    async with app:
        for i in range(2):
            await (await app.start("migrates", i == 0, run_id=f"run-{i}")).result()
        yield app


async def test_a_series_is_a_page(app: App) -> None:
    async with reading(app) as reader:
        listed = text_of(await reader.get("/series"))
        page = await reader.get("/series/move")
        done = text_of(await reader.get("/series/move?state=done"))
        run = text_of(await reader.get("/runs/run-1"))
    assert "move 2 1 of 4 0 1 2 0" in listed
    assert "<script>alert" not in page and 'href="javascript' not in page
    told = text_of(page)
    assert "the table is locked at night" in told and "rows" in told
    assert "in one piece : too large" in told or "in one piece: too large" in told
    assert "b half done" in told and "a" in done and "half done nothing" not in done
    assert "One of the series move" in run and "b half done" in run


async def test_who_may_not_see_payloads_sees_no_words(app: App) -> None:
    async with reading(app, TestGate(roles=frozenset({Role.VIEWER}))) as reader:
        told = text_of(await reader.get("/series/move"))
    assert "b half done" in told
    for word in ("locked", "too large", "one piece", "rows", "copied", "alert"):
        assert word not in told, word


async def test_nothing_of_another_tenant_is_shown(app: App) -> None:
    async with reading(app, TestGate(tenant="another")) as reader:
        assert "No series yet" in text_of(await reader.get("/series"))
        await reader.get("/series/move", status=404)
        await reader.get("/series/a%20b", status=404)


async def test_a_series_is_told_over_the_api(app: App) -> None:
    async with asked(app) as client:
        (line,) = (await client.get("/series")).json()["items"]
        whole = (await client.get("/series/move")).json()
        some = (await client.get("/series/move", params={"state": "open", "limit": 1})).json()
        silent = (await client.get("/series/move", headers=as_("viewer"))).json()
        elsewhere = await client.get("/series/move", headers=as_(tenant="acme"))
    counts = {"open": 2, "in_hand": 0, "half_done": 1, "done": 1, "failed": 0}
    assert line == {"series": "move", "runs": 2, "items": counts}
    assert whole["number"] == 3 and whole["counts"] == counts and not whole["withheld"]
    a, b, *_ = whole["items"]
    assert (a["state"], a["evidence"], a["runs"]) == ("done", {"rows": 12}, ["run-0"])
    assert (b["tried"][0]["why"], b["tried"][0]["run"]) == ("too large", "run-1")
    assert [i["item"] for i in some["items"]] == ["c"] and some["left_out"]["items"] == 1
    assert silent["withheld"] and silent["notes"][0]["text"] is None
    assert not any(word in str(silent) for word in ("locked", "too large", "copied", "rows"))
    assert elsewhere.status_code == 404
    assert await Viewings(app).write_up(all=True) == 1  # who was shown words of runs, for the audit log


async def test_the_client_reads_series(app: App) -> None:
    application = asgi(app, gate=BelievingGate())
    async with (
        application.life,
        AsyncClient(HOST, key="default/ann/operator", transport=StreamingTransport(application)) as client,
    ):
        page = await client.series.page()
        found = await client.series.handover("move", state="half_done")
        with pytest.raises(UnknownRun):
            await client.series.handover("nothing")
    assert [each.series for each in page.items] == ["move"] and page.next is None
    assert [each.item for each in found.items] == ["b"]
