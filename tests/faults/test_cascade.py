"""S38: one that loops, and one whose sub-agents fan out: each is stopped by what is there for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Breaker, Budget, CircuitOpen, PerdureError, Retry, Run, RunFailed
from perdure.testing import SkippingClock
from tests.runtime.conversations import Answers, asks


async def test_s38_an_agent_that_loops_is_stopped_by_the_progress_check() -> None:
    app, calls = App("memory://"), list[str]()
    model = Answers(then=lambda _: asks(("search", {"q": "a"})))
    app.models.register("fake", model)

    @app.tool(effect="read")
    async def search(q: str) -> str:
        calls.append(q)
        return "nothing"

    @app.agent("looper")
    async def looper(run: Run) -> str:
        return await run.model("fake:m", "find it", tools=[search], max_turns=500)

    async with app:
        with pytest.raises(RunFailed, match="Stuck"):
            await (await app.start(looper)).result()
    assert len(calls) <= 8
    assert len(model.requests) <= 8


@pytest.mark.parametrize("limited", [True, False], ids=["limited", "without"])
async def test_s38_a_sub_agent_that_fans_out_is_stopped_by_the_parents_budget(
    store_url: str, limited: bool
) -> None:
    app, done = App(store_url), list[int]()

    @app.tool(effect="idempotent")
    async def work(n: int) -> None:
        done.append(n)

    @app.agent("branching")
    async def branching(run: Run, depth: int) -> None:
        await run.call(work, depth)

        async def one() -> None:
            try:
                await run.child(branching, depth + 1)
            except PerdureError:
                return  # it goes on with the next, as rogues do

        if depth < 3:  # so that it ends at all, where nothing stops it
            await run.gather(*(one() for _ in range(3)))

    @app.agent("parent", budget=Budget(tool_calls=6, on_limit="stop") if limited else None)
    async def parent(run: Run) -> str:
        try:
            await run.child(branching, 1)
        except PerdureError as error:
            return type(error).__name__
        return "done"

    async with app:
        await (await app.start(parent)).result()
    if limited:
        assert 1 <= len(done) <= 6
    else:
        assert len(done) == 1 + 3 + 9


async def test_s38_what_fails_for_all_of_them_is_left_alone_by_the_breaker(store_url: str) -> None:
    app, asked = App(store_url, clock=SkippingClock()), list[int]()

    @app.tool(
        effect="idempotent",
        retry=Retry(attempts=1),
        breaker=Breaker(failures=4, open_for=timedelta(hours=1), within=timedelta(hours=1)),
    )
    async def fetch(n: int) -> None:
        asked.append(n)
        raise ConnectionError("it is down")

    @app.agent("leaf")
    async def leaf(run: Run, n: int) -> str:
        try:
            await run.call(fetch, n)
        except CircuitOpen:
            return "left alone"
        except ConnectionError:
            return "failed"
        return "done"

    @app.agent("fan")
    async def fan(run: Run) -> list[Any]:
        return [await run.child(leaf, n) for n in range(8)]

    async with app:
        found = await (await app.start(fan)).result()
    assert found == ["failed"] * 4 + ["left alone"] * 4
    assert len(asked) == 4
