"""`run.planning()`: a stage of a run in which only reads exist, whoever calls."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure import App, Kind, Refused, Run
from perdure.testing import Boundary, kill_at, until_waiting
from tests.runtime.conversations import Answers, asks, says

sent: list[str] = []


def made(store: Any, answers: Answers) -> App:
    app = App(store)
    app.models.register("fake", answers)

    @app.tool(effect="read")
    def look(q: str) -> str:
        return q.upper()

    @app.tool(effect="write")
    def send(to: str) -> str:
        sent.append(to)
        return "sent"

    @app.tool(effect="idempotent")
    def mark(n: int) -> str:
        sent.append(f"marked {n}")
        return "marked"

    @app.agent("helper")
    async def helper(run: Run) -> str:
        return await run.call(send, "from below")

    @app.agent("planner")
    async def planner(run: Run) -> list[Any]:
        told: list[Any] = []
        async with run.planning():
            told.append(await run.model("fake:m", "plan", tools=[look, send, mark]))
            told.append(await run.call(look, "x"))
            for what in (run.call(send, "eve"), run.call(mark, 1), run.child("helper")):
                try:
                    told.append(await what)
                except Refused as error:
                    told.append(str(error).partition(":")[0])
            told += await run.gather(branch(run))
        told.append(await run.call(send, "ann"))
        return told

    async def branch(run: Run) -> str:
        try:
            return await run.call(send, "from a branch")
        except Refused:
            return "refused"

    @app.agent("waits")
    async def waits(run: Run) -> str:
        async with run.planning():
            await run.receive("go", str)
            try:
                return await run.call(send, "eve")
            except Refused:
                return "refused"

    return app


PLANNED = [
    "the plan",
    "X",
    "`send` was not called",
    "`mark` was not called",
    "agent `helper` was not started",
    "refused",
    "sent",
]


def thinking() -> Answers:
    return Answers(asks(("send", {"to": "eve"}), ("look", {"q": "y"})), says("the plan"))


async def test_only_reads_are_offered_and_only_reads_are_made(store_url: str) -> None:
    sent.clear()
    answers = thinking()
    async with made(store_url, answers) as app:
        run = await app.start("planner")
        assert await run.result() == PLANNED
        told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    assert sent == ["ann"]
    assert [s.name for s in answers.requests[0].tools] == ["look"]
    assert "There is no tool `send`" in answers.told()[0]
    assert [(t["stage"], t["verdict"]) for t in told] == [("planning", "denied")] * 4


@pytest.mark.parametrize(
    "boundary",
    [Boundary("after", "verdict", nth=1), Boundary("before", "verdict", nth=3), Boundary("after", "failed")],
)
async def test_it_comes_to_the_same_plan_wherever_its_worker_dies(boundary: Boundary) -> None:
    trial = await kill_at(made("memory://", thinking()), "planner", None, boundary)
    assert trial.result == PLANNED
    assert trial.calls == {"look": 2, "send": 1}


async def test_a_stage_that_waits_is_the_same_stage_after_it(store_url: str) -> None:
    sent.clear()
    async with made(store_url, Answers()) as app:
        run = await app.start("waits")
        await until_waiting(app, run, "signal")
    async with made(store_url, Answers()) as app:
        run = await app.handle(run.id)
        await run.signal("go", "now")
        assert await run.result() == "refused"
    assert sent == []
