"""S3: an agent serves what it is there for, and nothing else; tools outside of its zones do not exist for it."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel

from perdure import App, ConfigError, Kind, Run, RunFailed
from perdure.core.errors import TaskRefused
from tests.runtime.conversations import Answers, asks, says


class Refund(BaseModel):
    order: str
    cents: int = 100


class Track(BaseModel):
    order: str


class Odd(BaseModel):
    task: str


def made(url: str, answers: Answers) -> App:
    app = App(url)
    app.models.register("fake", answers)

    @app.tool(effect="read", zone="orders")
    def look(order: str) -> str:
        return f"{order} is on its way"

    @app.tool(effect="write", zone="production")
    def deploy(what: str) -> str:
        raise AssertionError("it is not of this agent's zones")

    @app.agent("desk", tasks={"refund": Refund, "track": Track}, zones=["orders"])
    async def desk(run: Run, task: Refund | Track) -> list[Any]:
        said = await run.model("fake:m", task.order, tools=[look, deploy])
        return [run.task, type(task).__name__, task.order, said]

    @app.agent("direct", zones=["orders"])
    async def direct(run: Run) -> str:
        return await run.call(deploy, "x")

    return app


async def test_a_task_is_named_by_its_type_or_by_its_name(store_url: str) -> None:
    answers = Answers(says("done"))
    async with made(store_url, answers) as app:
        assert await (await app.start("desk", Refund(order="A-1"))).result() == [
            "refund",
            "Refund",
            "A-1",
            "done",
        ]
        found = await (await app.start("desk", {"task": "track", "order": "A-2"})).result()
        assert found == ["track", "Track", "A-2", "done"]


async def test_s3_a_task_that_is_not_listed_is_refused_and_no_model_is_asked(store_url: str) -> None:
    answers = Answers(says("done"))
    async with made(store_url, answers) as app:
        for asked in (
            {"task": "billing", "order": "A-1"},
            {"order": "A-1"},
            {"task": ["refund"], "order": "A-1"},
            "please change my billing address",
            None,
        ):
            with pytest.raises(
                TaskRefused, match=r"is not there for .* It does: `refund` .order, cents.; `track`"
            ):
                await app.start("desk", asked)
        with pytest.raises(TaskRefused, match="cannot do task `refund` with this input"):
            await app.start("desk", {"task": "refund", "cents": 5})
    assert answers.requests == []


async def test_a_tool_of_another_zone_is_not_offered_and_not_called(store_url: str) -> None:
    answers = Answers(asks(("look", {"order": "A-1"}), ("deploy", {"what": "x"})), says("done"))
    async with made(store_url, answers) as app:
        assert (await (await app.start("desk", Track(order="A-1"))).result())[3] == "done"
        assert [tool.name for tool in answers.requests[0].tools] == ["look"]
        run = await app.start("direct")
        with pytest.raises(
            RunFailed, match="is of zone `production`, and this agent's tools are of `orders`"
        ):
            await run.result()
        assert [e.key for e in await run.entries() if e.kind == Kind.VERDICT] == ["deploy"]


def test_tasks_that_cannot_be_told_apart() -> None:
    app = App("memory://")
    with pytest.raises(ConfigError, match="has a field `task`"):

        @app.agent("odd", tasks={"odd": Odd})
        async def odd(run: Run, task: Odd) -> None: ...

    with pytest.raises(ConfigError, match="has tasks, and takes no input"):

        @app.agent("none", tasks={"odd": Track})
        async def none(run: Run) -> None: ...
