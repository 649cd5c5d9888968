"""The page of one run: what it shows of the journal, what it does not, and what an operator can do from it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from perdure import App, ModelReply, ModelRequest, Run
from perdure.access.callers import Role
from perdure.journal import Kind, RunStatus
from perdure.runtime.conversation.messages import ToolCall
from tests.web.scene import Reader, reading, text_of

EVIL = '<img src=x onerror=alert(1)><div hx-post="/runs/steer/cancel" hx-trigger="load" data-mark="x">'
BEACON = "![seen](https://beacon.example/seen.png)"


class Obliging:
    """Says what a page must survive, and calls the tool with it."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        if any(message.role == "tool" for message in request.messages):
            return ModelReply(text=BEACON)
        return ModelReply(text=EVIL, tool_calls=(ToolCall(id="1", name="look", arguments={"where": EVIL}),))


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App("memory://")
    app.models.register("bad", Obliging())

    @app.tool(effect="read")
    def look(where: str) -> dict[str, str]:
        return {"found": EVIL}

    @app.agent("steer")
    async def steer(run: Run, given: Any = None) -> Any:
        await run.decide("way", ["left", "right"], "left", reason=EVIL, confidence=0.8)
        await run.decide("bare", ["a"], "a")
        run.progress("looking", done=1, total=2)
        if given == "ask":
            return await run.receive("go")
        if given == "fail":
            raise ValueError(EVIL)
        return await run.model("bad:1", EVIL, tools=[look], name="talk")

    @app.tool(effect="write")
    def pay(cents: int) -> str:
        raise ConnectionResetError("the bank went away after it had the request")

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, 500)

    @app.agent("many")
    async def many(run: Run, steps: int) -> int:
        for n in range(steps):
            await run.step("page", lambda n=n: n)
        return await run.child("steer", "fail-not") and steps

    async with app:
        yield app


@pytest.fixture
async def reader(app: App) -> AsyncIterator[Reader]:
    async with reading(app) as found:
        yield found


async def started(app: App, agent: str, given: Any, id: str, status: RunStatus) -> None:
    handle = (
        await app.start(agent, given, run_id=id) if given is not None else await app.start(agent, run_id=id)
    )
    while await handle.status() is not status:
        await app.store.changed(app.store.changes(), within=0.05)


async def test_what_a_model_wrote_is_inert(app: App, reader: Reader) -> None:
    """S28, S29: it is text on every part of the page, and nothing is fetched."""
    await started(app, "steer", EVIL, "steer-1", RunStatus.SUCCEEDED)
    await started(app, "steer", "fail", "steer-2", RunStatus.FAILED)
    parts = ["", "?show=decisions", "?show=data", "?step=talk/turn", "?step=talk/turn.0/look", "?step=way"]
    for path in [f"/runs/steer-1{part}" for part in parts] + [
        "/runs/steer-2",
        "/runs",
        "/runs?agent=" + EVIL,
    ]:
        page = await reader.get(path)
        assert "<img" not in page and 'hx-trigger="load"' not in page and 'src="http' not in page, path
        marks = set(re.findall(r'data-mark="([^"]*)"', page))
        assert len(marks) <= 1 and "x" not in marks, path
        for element in re.findall(r"<[^>]*\shx-(?:get|post)=[^>]*>", page):
            assert "data-mark=" in element, path
    page = await reader.get("/runs/steer-1?step=talk/turn.0/look")
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "beacon.example" in await reader.get("/runs/steer-1?show=data")


async def test_look_alike_text_is_written_out(app: App, reader: Reader) -> None:
    await started(app, "steer", {"to": "p\u0430ypal\u202e"}, "steer-1", RunStatus.SUCCEEDED)
    page = await reader.get("/runs/steer-1?show=data")
    assert "p\\u0430ypal\\u202e" in page and 'class="code odd"' in page and "\u202e" not in page


async def test_decisions_stand_as_recorded_and_what_is_absent_is_absent(app: App, reader: Reader) -> None:
    await started(app, "steer", "x", "steer-1", RunStatus.SUCCEEDED)
    page = text_of(await reader.get("/runs/steer-1?show=decisions"))
    first, second, model = page.split("Verdict")[:3]
    assert "left (taken)" in first and "80 %" in first and "not said" in first
    assert "none was given" in second and "none was said" in second
    assert "look (taken)" in model and "none was said" in model
    assert "nobody judged what followed" in page


async def test_the_pane_tells_what_a_step_was_given_and_gave(app: App, reader: Reader) -> None:
    await started(app, "steer", "x", "steer-1", RunStatus.SUCCEEDED)
    page = text_of(await reader.part("/runs/steer-1?step=talk/turn.0/look", target="panel"))
    assert "Input as talk/turn asked" in page and "Output" in page and "found" in page
    entry = next(e for e in await app.store.read(app.ref("steer-1")) if e.kind == Kind.RESULT)
    turn = text_of(await reader.get("/runs/steer-1?step=talk/turn"))
    assert entry.hash.hex() in turn
    assert "No such step" in text_of(await reader.get("/runs/steer-1?step=nothing"))


async def test_without_the_role_no_payload_is_shown(app: App, reader: Reader) -> None:
    await started(app, "steer", {"iban": "DE89-secret"}, "steer-1", RunStatus.SUCCEEDED)
    await started(app, "steer", "fail", "steer-2", RunStatus.FAILED)
    reader.gate.roles = frozenset({Role.VIEWER})
    for part in ("", "?show=data", "?show=decisions", "?step=talk/turn", "?step=talk/turn.0/look"):
        page = await reader.get(f"/runs/steer-1{part}")
        assert "secret" not in page and "onerror" not in page and "beacon" not in page, part
        assert "talk/turn" in text_of(page) or "turn" in text_of(page)
    assert "onerror" not in await reader.get("/runs/steer-2")
    await reader.post("/runs/steer-1/cancel", status=403, reason="no")


async def test_another_tenants_run_is_not_there(app: App, reader: Reader) -> None:
    """S32, on every address that takes a run's id."""
    await started(app, "steer", "ask", "steer-1", RunStatus.WAITING)
    reader.gate.tenant = "other"
    for path in (
        "/runs/steer-1",
        "/runs/steer-1/live",
        "/approvals/steer-1",
        "/runs/..%2Fx",
        "/runs/" + "x" * 300,
    ):
        page = await reader.get(path, status=404)
        assert "No such run" in text_of(page) or "Nothing here" in text_of(page), path
    for path in ("cancel", "pause", "resume", "settle"):
        await reader.post(f"/runs/steer-1/{path}", status=404, reason="x", step="x", happened="no")
    await reader.post("/approvals/steer-1", status=404, verdict="approve", step="x")
    assert "steer-1" not in await reader.get("/runs")
    reader.gate.tenant = "default"
    assert (await app.store.get(app.ref("steer-1"))).status is RunStatus.WAITING  # type: ignore[union-attr]


async def test_an_operator_pauses_resumes_and_cancels(app: App, reader: Reader) -> None:
    await started(app, "steer", "ask", "steer-1", RunStatus.WAITING)
    await reader.post("/runs/steer-1/pause")
    await until(app, "steer-1", lambda r: "paused" in r.reasons)
    assert "Resume" in text_of(await reader.get("/runs/steer-1"))
    await reader.post("/runs/steer-1/resume")
    await until(app, "steer-1", lambda r: "paused" not in r.reasons and r.status is RunStatus.WAITING)
    answer = await reader.post("/runs/steer-1/cancel", reason="not needed", how="ask")
    assert "asked to stop" in text_of(await reader.get(answer.headers["location"]))
    await until(app, "steer-1", lambda r: r.status is RunStatus.CANCELLED)
    assert "has ended" in text_of((await reader.post("/runs/steer-1/pause", status=409)).text)
    sender = [e for e in await app.store.read(app.ref("steer-1")) if e.kind == Kind.MESSAGE]
    assert all(b'"sender":"user:dana"' in e.payload for e in sender) and len(sender) == 3


async def test_a_write_in_doubt_is_settled_from_its_page(app: App, reader: Reader) -> None:
    await started(app, "payer", None, "payer-1", RunStatus.WAITING)
    page = text_of(await reader.get("/runs/payer-1"))
    assert "Nobody knows whether pay happened" in page and "the bank went away" in page
    step = "pay"
    answer = await reader.post("/runs/payer-1/settle", status=422, step=step, happened="yes", result="{")
    assert "is not JSON" in text_of(answer.text)
    await reader.post("/runs/payer-1/settle", step=step, happened="yes", result='"receipt 7"')
    await until(app, "payer-1", lambda r: r.status is RunStatus.SUCCEEDED)
    assert "receipt 7" in text_of(await reader.get("/runs/payer-1?show=data"))


async def test_many_steps_come_in_pages(app: App, reader: Reader) -> None:
    await started(app, "many", 620, "many-1", RunStatus.SUCCEEDED)
    first, second = await reader.get("/runs/many-1"), await reader.get("/runs/many-1?page=2")
    assert first.count("<tr data-row") == 500 and "1–500 of 621" in text_of(first)
    assert second.count("<tr data-row") == 121
    assert len(await reader.part("/runs/many-1")) < 700_000
    assert first.count('<span class="sign') == 200 and "Earlier events" in text_of(first)
    children = text_of(await reader.get("/runs/many-1?show=children"))
    assert "steer@1" in children and "succeeded" in children


async def until(app: App, run: str, there: Any) -> None:
    while not there(await app.store.get(app.ref(run))):
        await app.store.changed(app.store.changes(), within=0.05)
