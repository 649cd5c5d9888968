"""The pages of what agents remember: read, explained, decided, withdrawn, forgotten, each by whom it is for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from perdure import App, Run
from perdure.access.callers import Role

from .scene import TestGate, reading, text_of

ITEM = "w/session_append"
VIEWER = frozenset({Role.VIEWER})


async def remembering(review: str) -> App:
    app = App("memory://", memory={"review": review})

    @app.agent("keeper")
    async def keeper(run: Run) -> None:
        await run.step("mail", lambda: "a stranger's mail")
        await run.session("case-17").append("user", "<b>where is my tea</b>")

    @app.agent("reader")
    async def reader(run: Run) -> int:
        return len(await run.session("case-17").messages())

    async with app:
        await (await app.start(keeper, run_id="w")).result()
        await (await app.start(reader, run_id="r")).result()
    return app


@pytest.fixture
async def app() -> AsyncIterator[App]:
    yield await remembering("none")


@pytest.fixture
async def reviewed() -> AsyncIterator[App]:
    yield await remembering("untrusted")


async def test_an_item_is_found_and_explained(app: App) -> None:
    async with reading(app) as reader:
        page = await reader.get("/memory?text=TEA")
        assert "user: <b>where is my tea</b>" in text_of(page) and "<b>where" not in page
        assert "Nothing of that is remembered" in await reader.get("/memory?text=coffee")

        page = await reader.get(f"/memory/item?item={ITEM}")
        said = text_of(page)
        assert "<b>where" not in page and "untrusted" in said and "agent keeper@1" in said
        assert "What its run had been told before mail" in said
        assert "Who was handed it since r of reader, session_messages , as number 1" in said
        step = await reader.get("/runs/r?step=session_messages")
        assert "1 item of memory (untrusted)" in text_of(
            step
        ) and f"/memory/item?item={ITEM}" in step.replace("%2F", "/")
        assert "Nothing of that name is remembered" in await reader.get(
            "/memory/item?item=w/nothing", status=404
        )


async def test_another_tenants_memory_is_not_there(app: App) -> None:
    """S32."""
    async with reading(app, TestGate(tenant="other")) as reader:
        assert ITEM not in await reader.get("/memory?text=tea")
        await reader.get(f"/memory/item?item={ITEM}", status=404)
        await reader.post("/memory/undo", status=404, target="w", why="theirs")
        await reader.post("/memory/undo", status=404, target=ITEM, why="theirs")


async def test_a_viewer_sees_where_it_comes_from_and_changes_nothing(app: App) -> None:
    async with reading(app, TestGate(roles=VIEWER)) as reader:
        for path in ("/memory", "/memory?text=tea", "/memory?text=coffee", f"/memory/item?item={ITEM}"):
            page = await reader.get(path)
            assert ITEM in page and "my tea" not in page, path
            assert 'action="/memory/' not in page, path
        for path in ("undo", "restore", "review", "forget"):
            await reader.post(f"/memory/{path}", status=403, target="w", item=ITEM, verdict="accept")


async def test_what_waits_is_accepted_or_rejected_with_a_reason(reviewed: App) -> None:
    async with reading(reviewed) as reader:
        page = await reader.get("/memory")
        assert "Waits for a review 1" in text_of(page) and "<b>where" not in page
        assert "where is my tea" in text_of(await reader.get(f"/memory/item?item={ITEM}"))
        await reader.post("/memory/review", status=422, item=ITEM, verdict="reject")
        await reader.post("/memory/review", status=422, item=ITEM, verdict="perhaps")
        done = await reader.post("/memory/review", item=ITEM, verdict="accept", why="it is about tea")
        assert done.headers["location"] == "/memory?done=accepted"
        assert "Waits for a review" not in await reader.get("/memory")
        said = text_of(await reader.get(f"/memory/item?item={ITEM}"))
        assert "accepted by dana: it is about tea" in said and "reviewed" in said
        await reader.post("/memory/review", status=409, item=ITEM, verdict="reject", why="no")


async def test_what_a_run_has_written_is_withdrawn_and_brought_back(app: App) -> None:
    async with reading(app) as reader:
        await reader.post("/memory/undo", status=422, target="w", item=ITEM)
        done = await reader.post("/memory/undo", target="w", item=ITEM, why="<i>planted</i>")
        assert done.headers["location"] == f"/memory/item?item={ITEM.replace('/', '%2F')}&done=withdrawn"
        page = await reader.get(f"/memory/item?item={ITEM}&done=withdrawn")
        assert "<i>planted</i> dana" in text_of(page) and "<i>planted" not in page
        assert "withdrawn" in text_of(await reader.get("/memory"))
        await reader.post("/memory/restore", target="w", item=ITEM)
        assert await app.memory.holds() == []


async def test_how_far_it_has_spread_is_told_and_withdrawn(app: App) -> None:
    async with reading(app) as reader:
        page = await reader.get("/memory/spread?run=w")
        assert "Handed to 1 run: r" in text_of(page) and "Withdraw all of it" in page
        await reader.get("/memory/spread?run=nobody", status=404)
        done = await reader.post("/memory/undo", target="w", spread="yes", why="a forged mail")
        assert done.headers["location"] == "/memory/spread?run=w&done=withdrawn-all"
        assert [hold.target for hold in await app.memory.holds()] == ["w"]


async def test_a_person_is_forgotten_by_who_means_it(app: App) -> None:
    async with reading(app) as reader:
        await reader.post("/memory/forget", status=422, subject="ann")
        done = await reader.post("/memory/forget", subject="ann", sure="yes")
        assert done.headers["location"] == "/memory?done=forgotten"
