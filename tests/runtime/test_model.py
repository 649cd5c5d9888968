"""`run.model`: one conversation, live."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from perdure import (
    App,
    ConfigError,
    InvalidOutput,
    Run,
    RunFailed,
    TurnLimit,
)
from perdure.journal import Kind
from perdure.runtime.conversation.messages import SystemMessage, Usage, UserMessage
from tests.runtime.conversations import Answers, app_with, ask, asks, of_kind, payload, says, turns


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
