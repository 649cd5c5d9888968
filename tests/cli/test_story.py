"""`perdure runs show`: what the boundary did, in words that somebody understands who was woken up by it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Budget, Cache, FailureClass, Handle, Instead, Retry, Run
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, ToolMessage, Usage
from perdure.testing import SkippingClock

from .conftest import Cli

PRICES = {"models": {"fake:*": {"input": 1, "output": 10}}}


class TooLong(Exception):
    """What a provider raises where the conversation does not fit."""


def long(error: BaseException) -> FailureClass | None:
    return FailureClass.CONTEXT_EXCEEDED if isinstance(error, TooLong) else None


class Model:
    """Reads one page after the other, as far as its conversation holds them."""

    def __init__(self, **holds: int) -> None:
        self.holds = holds

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        size = sum(len(m.text) for m in request.messages)
        if size > self.holds.get(model.partition(":")[2], 10**6):
            raise TooLong(f"{size} characters are too many")
        usage = Usage(input_tokens=100, output_tokens=50)
        page = sum(isinstance(m, ToolMessage) for m in request.messages) + 1
        if request.tools and page < 4:
            call: Any = {"id": str(page), "name": "page", "arguments": {"number": page}}
            return ModelReply(tool_calls=(call,), usage=usage)
        return ModelReply(text="read", usage=usage)


@pytest.fixture
def app(cli: Cli) -> App:
    made = App(cli.store, prices=PRICES, clock=SkippingClock(), retry=Retry(attempts=3))
    made.classify(long)
    return made


def shown(cli: Cli, app: App, start: Callable[[], Awaitable[Handle]]) -> tuple[str, Any]:
    """What is said of a run that has ended, for people and for programs."""

    async def drive() -> str:
        async with app:
            run = await start()
            await run.ending()
            return run.ref.id

    run_id = asyncio.run(drive())
    return cli("runs", "show", run_id, columns="200").stdout, cli.record(run_id)


def step_of(record: Any, name: str) -> Any:
    return next(step for step in record["steps"] if step["step"] == name)


def test_failed_attempts_and_what_was_found_instead(cli: Cli, app: App) -> None:
    left = [TimeoutError("no answer"), ConnectionError("reset")]

    @app.tool(effect="read")
    def rate(currency: str) -> float:
        if left:
            raise left.pop(0)
        return 1.1

    @app.tool(effect="read", retry=Retry.NEVER, fallback=Instead("yesterday's"))
    def news() -> str:
        raise ConnectionError("no route")

    @app.agent("trader")
    async def trader(run: Run) -> list[Any]:
        return [await run.call(rate, "EUR"), await run.call(news)]

    told, record = shown(cli, app, lambda: app.start(trader))

    assert (step_of(record, "rate")["attempts"], step_of(record, "rate")["state"]) == (3, "ok")
    assert "3 attempts" in told
    assert "went well in the end; rate failed (transient): " in told
    assert "by answer instead; news failed (transient): " in told
    first, second, third = record["on_the_way"]
    assert first["step"] == "rate"
    assert first["what"].startswith("attempt 1 by rate failed (transient): ")
    assert "; again in " in second["what"]
    assert third["what"].endswith("; answer is next")


@pytest.mark.parametrize("larger", [None, "fake:large"])
def test_a_conversation_that_did_not_fit_has_not_failed(cli: Cli, app: App, larger: str | None) -> None:
    @app.tool(effect="read")
    def page(number: int) -> str:
        return f"page {number}: " + "x" * (2000 if larger is None else 300)

    app.models.register("fake", Model(m=4500 if larger is None else 200))

    @app.agent("reader")
    async def reader(run: Run) -> str:
        return await run.model("fake:m", "read", tools=[page], **({"larger": larger} if larger else {}))

    told, record = shown(cli, app, lambda: app.start(reader))

    (long_one,) = [step for step in record["steps"] if step["state"] == "overcome"]
    assert record["failure"] is None
    assert "✗" not in told
    after = "shortened, and asked again as" if larger is None else "a larger one is asked as"
    assert f"it was too long for the model; {after} model/turn:" in long_one["note"]
    compactions = [one["what"] for one in record["on_the_way"] if "shortened from about" in one["what"]]
    assert bool(compactions) == (larger is None)


def test_what_was_spent_and_that_a_budget_is_nearly_used(cli: Cli, app: App) -> None:
    app.models.register("fake", Model())

    @app.agent("asker", budget=Budget(model_calls=2, money=1))
    async def asker(run: Run) -> None:
        for _ in range(2):
            await run.model("fake:m", "go", settings={"max_tokens": 100})

    told, record = shown(cli, app, lambda: app.start(asker, budget=Budget(model_calls=2, money="0.5")))

    assert record["spent"] == {
        "money": "0.001200000",
        "input_tokens": 200,
        "output_tokens": 100,
        "tokens": 300,
        "model_calls": 2,
    }
    assert record["ending"]["spent"]["money"] == "0.001200000"
    assert step_of(record, "model/turn")["cost"]["money"] == "0.000600000"
    assert "cost    $0.0012 of $0.50, 200 input tokens, 100 output tokens, 2 of 2 model calls" in told
    warned = [one["what"] for one in record["on_the_way"]]
    assert warned == [
        "50 % of the model calls in the budget of this run are used (1 of 2 model calls)",
        "100 % of the model calls in the budget of this run are used (2 of 2 model calls)",
    ]


@pytest.mark.parametrize(
    ("budget", "option", "more", "why"),
    [
        (Budget(tool_calls=1), "--tool-calls", "1", "holds 1 tool calls"),
        (Budget(wall_clock=timedelta(hours=1)), "--wall-clock", "1d", "holds 3,600.0 s"),
    ],
)
def test_a_run_that_waits_for_its_budget_shows_what_raises_it(
    cli: Cli, app: App, budget: Budget, option: str, more: str, why: str
) -> None:
    @app.tool(effect="read")
    def look() -> int:
        return 1

    @app.agent("looker", budget=budget)
    async def looker(run: Run) -> None:
        await run.call(look)
        await run.sleep(timedelta(hours=2))
        await run.call(look)

    async def until_it_waits() -> None:
        async with app:
            run = await app.start(looker, run_id="r")
            while "budget" not in (await run.record()).reasons:
                await app.store.changed(app.store.changes(), within=0.1)

    async def until_it_ends() -> None:
        async with app:
            await (await app.handle("r")).result()

    asyncio.run(until_it_waits())
    told = cli("runs", "show", "r", columns="200").stdout
    assert f"waits for budget: the budget of this run {why}" in told
    assert f"perdure budget raise r {option} MORE" in told
    assert "perdure budget raise r --stop" in told

    assert cli("budget", "raise", "r", option, more).code == 0
    asyncio.run(until_it_ends())
    told = cli("runs", "show", "r", columns="200").stdout
    assert "It waits" not in told
    assert cli.record("r")["steps"][-1]["state"] == "ok"


def test_who_approved_what_and_what_came_from_the_cache(cli: Cli, app: App) -> None:
    @app.tool(effect="write", needs_approval=True)
    def refund(order: str, amount: int) -> str:
        return f"{amount} for {order}"

    @app.tool(effect="read", cache=Cache(timedelta(hours=1)))
    def rate(currency: str) -> float:
        return 1.1

    @app.agent("desk")
    async def desk(run: Run) -> list[Any]:
        return [await run.call(rate, "EUR"), await run.call(refund, "A-17", 500)]

    @app.agent("clerk")
    async def clerk(run: Run) -> float:
        return await run.call(rate, "EUR")

    shown(cli, app, lambda: app.start(clerk, run_id="before", by="user:ann"))

    async def start() -> Handle:
        run = await app.start(desk, run_id="r", by="user:ann")
        while not (asked := await app.open_approvals("r")):
            await app.store.changed(app.store.changes(), within=0.1)
        digest = json.loads(asked[0].show)["digest"]
        given = {"order": "A-17", "amount": 250}
        await app.answer(
            "r", "refund", approved=True, by="bob", digest=digest, arguments=given, reason="half of it"
        )
        return run

    told, record = shown(cli, app, start)

    assert "approved by bob, with amount 250 for 500: half of it" in told
    assert " by user:ann, ended after" in told
    assert record["principal"] == "user:ann"
    assert step_of(record, "refund")["note"] == "approved by bob, with amount 250 for 500: half of it"
    assert step_of(record, "rate")["note"].startswith("answered from the cache, ")
    assert step_of(record, "rate")["note"].endswith(" old, by run before")
