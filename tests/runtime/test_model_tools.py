"""`run.model` and the tools that it calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

import pytest

from perdure import (
    App,
    EffectKey,
    NotDone,
    Retry,
    Run,
    RunFailed,
    Unserialisable,
)
from perdure.journal import Kind
from tests.runtime.conversations import Answers, app_with, ask, asks, of_kind, says


@dataclass
class Point:
    x: int
    y: int


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


ODD = "test_what_was_wrong_with_a_call_is_told_to_the_model.<locals>.Odd"


async def test_tools_of_one_turn_run_at_once_and_each_has_a_scope_of_its_own():
    provider = Answers(
        asks(("left", {"n": 1}), ("right", {}), ("left", {"n": 2})),
        says("done"),
    )
    app = app_with(provider)
    meet = asyncio.Barrier(3)

    @app.tool(effect="read")
    async def left(n: int) -> str:
        await meet.wait()
        return f"left {n}"

    @app.tool(effect="read")
    async def right(when: date | None = None) -> dict[str, Any]:
        await meet.wait()
        return {"when": when}

    @app.agent("caller")
    async def caller(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[left, right], name="ask")

    async with app:
        handle = await app.start(caller)
        assert await handle.result() == "done"

    assert provider.told() == ["left 1", '{"when":null}', "left 2"]
    keys = {e.key for e in of_kind(await handle.entries(), Kind.RESULT)}
    assert keys == {"ask/turn", "ask/turn.0/left", "ask/turn.1/right", "ask/turn.2/left", "ask/turn:2"}


async def test_a_write_goes_by_intent_effect_and_result():
    provider = Answers(asks(("send", {"to": "bob"})), says("sent"))
    app = app_with(provider)

    @app.tool
    def send(to: str) -> str:
        return f"mail-{to}"

    @app.agent("sender")
    async def sender(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[send])

    async with app:
        handle = await app.start(sender)
        await handle.result()
    trail = [Kind(e.kind).name for e in await handle.entries() if e.key == "model/turn.0/send"]
    assert trail == ["INTENT", "RESULT"]


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("found", {}, "There is no tool `found`. Call one of `find`, or answer without a tool."),
        (
            "find",
            {"q": "x", "dry_run": True},
            "`find` was not called: it takes no `dry_run`. It takes `q` (string), `limit` (integer, optional).",
        ),
        (
            "find",
            {"limit": "many"},
            "`find` was not called: `q`: Field required; `limit`: Input should be a valid integer, unable to parse "
            "string as an integer (given: `many`). It takes `q` (string), `limit` (integer, optional).",
        ),
        (
            "find",
            '{"q": "x"',
            '`find` was not called: its arguments are no JSON object (`{"q": "x"`). It takes `q` (string), '
            "`limit` (integer, optional).",
        ),
        ("find", "[1]", "`find` was not called: its arguments are no JSON object (`[1]`)."),
        ("find", {"q": "boom"}, "`find` failed: LookupError: nothing about boom"),
        ("find", {"q": "odd"}, f"`find` failed: {ODD}: of a type that no journal can name"),
        ("find", {"q": "later"}, "`find` failed: NotDone: the index is being built"),
    ],
)
async def test_what_was_wrong_with_a_call_is_told_to_the_model(
    name: str, arguments: dict[str, Any] | str, told: str
):
    provider = Answers(asks((name, arguments)), says("I see"))
    app = App("memory://")
    called: list[str] = []

    class Odd(Exception):
        pass

    @app.tool(effect="idempotent")
    async def find(q: str, limit: int = 3) -> str:
        called.append(q)
        if q == "odd":
            raise Odd("of a type that no journal can name")
        if q == "boom":
            raise LookupError("nothing about boom")
        raise NotDone("the index is being built")

    assert await ask(provider, tools=[find]) == "I see"
    (said,) = provider.told()
    assert said.startswith(told)
    message = provider.requests[-1].messages[-1]
    assert message.role == "tool"
    assert message.failed
    assert bool(called) == ("failed" in told)


async def test_arguments_are_read_as_the_types_that_the_tool_declares():
    provider = Answers(
        asks(("book", {"day": "2026-03-01", "at": {"x": 1, "y": 2}, "mood": "bad"})), says("ok")
    )
    app = App("memory://")
    seen: list[Any] = []

    @app.tool(effect="read")
    def book(day: date, at: Point, mood: Mood, note: str = "none") -> None:
        seen.extend([day, at, mood, note])

    await ask(provider, tools=[book])
    assert seen == [date(2026, 3, 1), Point(1, 2), Mood.BAD, "none"]
    assert provider.told() == ["null"]


async def test_a_mistake_in_the_program_is_not_the_models_to_mend():
    provider = Answers(asks(("odd", {})))
    app = App("memory://")

    @app.tool(effect="read")
    def odd() -> Any:
        return {"when": date(2026, 3, 1)}

    with pytest.raises(Unserialisable, match=r"\$\.when"):
        await ask(provider, tools=[odd])


async def test_a_failed_effect_that_the_model_asks_for_again_keeps_its_key():
    provider = Answers(asks(("pay", {"cents": 5})), asks(("pay", {"cents": 5})), says("paid"))
    app = App("memory://")
    keys: list[str] = []

    @app.tool(effect="idempotent", retry=Retry.NEVER)
    def pay(cents: int, key: EffectKey) -> str:
        keys.append(key)
        if len(keys) == 1:
            raise TimeoutError("no answer from the bank")
        return "ok"

    assert await ask(provider, tools=[pay]) == "paid"
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def test_a_cancelled_run_is_not_told_to_the_model():
    provider = Answers(asks(("wait", {})))
    app = app_with(provider)
    begun = asyncio.Event()

    @app.tool(effect="read")
    async def wait() -> str:
        begun.set()
        await go.wait()
        return "ok"

    go = asyncio.Event()

    @app.agent("waiter")
    async def waiter(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[wait])

    async with app:
        handle = await app.start(waiter)
        await begun.wait()
        await handle.cancel(reason="enough")
        while not any(entry.kind == Kind.MESSAGE for entry in await handle.entries()):
            await app.store.changed(app.store.changes(), within=1.0)
        go.set()
        with pytest.raises(RunFailed, match="cancelled"):
            await handle.result()
    assert len(provider.requests) == 1
