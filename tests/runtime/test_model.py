"""`run.model`: one conversation, live."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from perdure import (
    App,
    ConfigError,
    EffectKey,
    InvalidOutput,
    NotDone,
    Retry,
    Run,
    RunFailed,
    TurnLimit,
    Unserialisable,
)
from perdure.journal import Kind
from perdure.runtime.conversation.messages import SystemMessage, Usage, UserMessage
from tests.runtime.conversations import Answers, app_with, asks, of_kind, payload, says, turns


class Plan(BaseModel):
    """What to do next."""

    angle: str
    steps: list[str] = []


@dataclass
class Point:
    x: int
    y: int


class Mood(StrEnum):
    GOOD = "good"
    BAD = "bad"


ODD = "test_what_was_wrong_with_a_call_is_told_to_the_model.<locals>.Odd"


async def ask(provider: Answers, /, *, output: Any = str, tools: Any = (), **options: Any) -> Any:
    """The result of an agent that only asks `provider`. Raises the cause of a failure."""
    app = app_with(provider)

    @app.agent("asker")
    async def asker(run: Run) -> Any:
        answer = await run.model("fake:m", "go", output=output, tools=tools, **options)
        return to_jsonable_python(answer)

    async with app:
        handle = await app.start(asker)
        try:
            return await handle.result()
        except RunFailed as failed:
            assert failed.__cause__ is not None
            raise failed.__cause__ from None


# answers ---------------------------------------------------------------------------------------------------------


async def test_text_comes_back_as_it_is_and_the_turn_is_one_entry():
    provider = Answers(says(" hello ", usage=Usage(input_tokens=7, output_tokens=2), model="m-2026"))
    app = app_with(provider)

    @app.agent("greeter")
    async def greeter(run: Run) -> str:
        return await run.model("fake:m", "say hello", system="be brief", settings={"temperature": 0})

    async with app:
        handle = await app.start(greeter)
        assert await handle.result() == " hello "

    (request,) = provider.requests
    assert provider.models == ["fake:m"]
    assert request.messages == (SystemMessage(text="be brief"), UserMessage(text="say hello"))
    assert request.settings == {"temperature": 0}
    assert request.step == "model/turn"
    (turn,) = await turns(handle)
    assert turn.kind == Kind.RESULT
    recorded = payload(turn)
    assert recorded["reply"]["usage"] == {
        "input_tokens": 7,
        "output_tokens": 2,
        "cached_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "requests": 1,
    }
    assert recorded["reply"]["model"] == "m-2026"
    assert [m["text"] for m in recorded["messages"]] == ["be brief", "say hello"]


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (Plan, '{"angle": "cost", "steps": ["a"]}', {"angle": "cost", "steps": ["a"]}),
        (Plan, '```json\n{"angle": "cost"}\n```', {"angle": "cost", "steps": []}),
        (Point, '{"x": 1, "y": 2}', {"x": 1, "y": 2}),
        (list[int], "[1, 2]", [1, 2]),
        (list[Point], '[{"x": 1, "y": 2}]', [{"x": 1, "y": 2}]),
        (Mood, '"bad"', "bad"),
        (Literal["yes", "no"], '"yes"', "yes"),
        (bool, "true", True),
        (Plan | None, "null", None),
    ],
)
async def test_an_answer_comes_back_as_the_type_that_was_asked_for(output: Any, text: str, value: Any):
    provider = Answers(says(text))
    assert await ask(provider, output=output) == value
    schema = provider.requests[0].output
    assert schema is not None
    assert schema.json_schema


async def test_a_type_and_its_docstring_are_told_to_the_model():
    provider = Answers(says('{"angle": "x"}'))
    await ask(provider, output=Plan)
    schema = provider.requests[0].output
    assert schema is not None
    assert (schema.name, schema.description) == ("Plan", "What to do next.")
    assert schema.json_schema["required"] == ["angle"]


async def test_a_prompt_may_be_a_value_or_a_conversation():
    provider = Answers(says("ok"))
    app = app_with(provider)

    @app.agent("asker")
    async def asker(run: Run) -> str:
        await run.model("fake:m", Plan(angle="x"))
        return await run.model("fake:m", [UserMessage(text="one"), UserMessage(text="two")])

    async with app:
        await (await app.start(asker)).result()
    first, second = provider.requests
    assert first.messages == (UserMessage(text='{"angle":"x","steps":[]}'),)
    assert [m.text for m in second.messages] == ["one", "two"]
    assert (first.step, second.step) == ("model/turn", "model:2/turn")


# answers that do not fit -----------------------------------------------------------------------------------------


async def test_an_answer_that_does_not_fit_is_sent_back_once_with_the_error():
    provider = Answers(says('{"steps": "none"}'), says('{"angle": "x"}'))
    assert await ask(provider, output=Plan) == {"angle": "x", "steps": []}
    (told,) = provider.told()
    assert "`Plan`" in told
    assert "`angle`: Field required" in told
    assert "`steps`: Input should be a valid array (given: `none`)" in told
    assert [m.role for m in provider.requests[1].messages] == ["user", "assistant", "user"]


async def test_a_second_answer_that_does_not_fit_is_an_invalid_output():
    provider = Answers(says("no idea"), says("still none"))
    with pytest.raises(InvalidOutput, match=r"`fake:m` \(step `model/turn:2`\).*`Plan`.*once already"):
        await ask(provider, output=Plan)
    assert len(provider.requests) == 2


@pytest.mark.parametrize("output", [str, Plan])
async def test_an_empty_answer_does_not_fit(output: Any):
    provider = Answers(says(" \n", finish_reason="length"), says("", finish_reason="content_filter"))
    with pytest.raises(InvalidOutput, match=r"empty .*content filter"):
        await ask(provider, output=output)
    assert "empty (it was cut off at the limit of output tokens)" in provider.told()[0]


async def test_a_repair_does_not_count_as_a_turn():
    provider = Answers(says("no"), asks(("look", {})), says('{"angle": "x"}'))
    tool = App("memory://").tool(effect="read", name="look")(lambda: "x")
    assert await ask(provider, output=Plan, tools=[tool], max_turns=2) == {"angle": "x", "steps": []}
    assert await ask(Answers(says("no"), says('{"angle": "x"}')), output=Plan, max_turns=1)


# tools -----------------------------------------------------------------------------------------------------------


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


# bounds ----------------------------------------------------------------------------------------------------------


async def test_a_model_that_never_ends_reaches_the_bound_and_its_last_calls_are_not_made():
    provider = Answers(then=lambda _: asks(("dig", {})))
    app = App("memory://")
    dug: list[int] = []

    @app.tool(effect="write")
    async def dig() -> None:
        dug.append(1)

    with pytest.raises(TurnLimit, match=r"`dig`.* last of 3 turns.*not called"):
        await ask(provider, tools=[dig], max_turns=3)
    assert len(provider.requests) == 3
    assert len(dug) == 2


async def test_a_bound_of_no_turns_is_refused():
    with pytest.raises(ConfigError, match="max_turns `0`"):
        await ask(Answers(), max_turns=0)


# decisions -------------------------------------------------------------------------------------------------------


async def test_each_turn_with_tools_records_what_was_offered_what_was_chosen_and_why():
    provider = Answers(
        asks(("find", {"q": "x"}), text="I need the price.", reasoning="price is unknown"),
        asks(("find", {"q": "y"})),
        says("done", model="m-2026"),
    )
    app = app_with(provider)

    @app.tool(effect="read")
    def find(q: str) -> str:
        return q

    @app.agent("finder")
    async def finder(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[find])

    async with app:
        handle = await app.start(finder)
        await handle.result()

    decisions = {e.key: payload(e) for e in of_kind(await handle.entries(), Kind.DECISION)}
    assert list(decisions) == ["model/decision", "model/decision:2", "model/decision:3"]
    absent = {"confidence": None, "unknowns": None}
    assert decisions["model/decision"] == {
        "options": ["find"],
        "choice": ["find"],
        "reason": "I need the price.",
        "reasoning": "price is unknown",
        "by": "fake:m",
        **absent,
    }
    assert decisions["model/decision:2"]["reason"] is None
    assert decisions["model/decision:3"]["choice"] == []
    assert decisions["model/decision:3"]["reason"] is None
    assert decisions["model/decision:3"]["by"] == "m-2026"


# what cannot be asked --------------------------------------------------------------------------------------------


async def test_without_tools_there_is_no_choice_to_record():
    app = app_with(Answers(says("fine")))

    @app.agent("plain")
    async def plain(run: Run) -> str:
        return await run.model("fake:m", "go")

    async with app:
        handle = await app.start(plain)
        await handle.result()
    assert not of_kind(await handle.entries(), Kind.DECISION)


async def test_two_tools_of_one_name_are_refused():
    def find(q: str) -> str:
        return q

    with pytest.raises(ConfigError, match="two tools are named `find`"):
        await ask(Answers(), tools=[find, find])


async def test_a_tool_whose_name_no_provider_takes_is_refused():
    app = App("memory://")
    tool = app.tool(effect="read", name="look up")(lambda: "x")
    with pytest.raises(ConfigError, match="tool `look up` cannot be offered"):
        await ask(Answers(), tools=[tool])


async def test_a_type_without_a_schema_is_refused():
    class Opaque:
        pass

    with pytest.raises(ConfigError, match="Opaque"):
        await ask(Answers(), output=Opaque)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt-5", "`gpt-5` does not name its provider: write `provider:name`"),
        ("scripted:", "does not name its provider"),
        ("nobody:x", r'no provider `nobody` is registered.*app.models.register\("nobody"'),
    ],
)
async def test_a_model_that_cannot_be_had_is_refused_before_its_step_begins(model: str, message: str):
    from perdure.runtime.conversation.providers import Models

    app = App("memory://")
    app._models = Models({"scripted": lambda _: Answers()})  # no other providers  # pyright: ignore

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model(model, "go")

    async with app:
        handle = await app.start(asker)
        with pytest.raises(RunFailed) as failed:
            await handle.result()
    with pytest.raises(ConfigError, match=message):
        raise failed.value.__cause__  # type: ignore[misc]
    assert not await turns(handle)


def test_a_prefix_that_cannot_be_one_is_refused():
    app = App("memory://")
    with pytest.raises(ConfigError, match="`a:b` cannot be a provider's prefix"):
        app.models.register("a:b", Answers())
    with pytest.raises(ConfigError, match="has no `async def request"):
        app.models.register("a", object())
