"""What a model says that cannot be used: it is told so in words that it can act on, and only so often."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field
from pydantic_core import to_jsonable_python

from perdure import App, FailureClass, InvalidOutput, Run, RunFailed
from perdure.journal import Kind
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, UserMessage
from perdure.testing import SkippingClock
from tests.runtime.conversations import Answers, asks, payload, says, turns


class Order(BaseModel):
    sku: str
    count: int = Field(ge=1, le=99)


class Unreadable(Exception):
    """What a provider's library raises for an answer that it cannot read."""


async def ask(provider: Any, *, output: Any = str) -> tuple[Any, list[Any]]:
    """The answer, and the payloads of the turns. Raises the cause of a failure."""
    async with App("memory://", clock=SkippingClock()) as app:
        app.models.register("fake", provider)
        app.classify(lambda error: FailureClass.INVALID_OUTPUT if isinstance(error, Unreadable) else None)

        @app.tool(effect="read")
        def order(
            sku: Annotated[str, Field(min_length=3)],
            count: Annotated[int, Field(ge=1, le=99)],
            speed: Literal["slow", "fast"] = "slow",
        ) -> str:
            return f"{count} of {sku}, {speed}"

        @app.agent("asker")
        async def asker(run: Run) -> Any:
            return to_jsonable_python(await run.model("fake:m", "go", output=output, tools=[order]))

        run = await app.start(asker)
        try:
            return await run.result(), [payload(e) for e in await turns(run) if e.kind == Kind.RESULT]
        except RunFailed as failed:
            assert failed.__cause__ is not None
            raise failed.__cause__ from None


# calls that cannot be made ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("ordre", {}, ["There is no tool `ordre`", "Call one of `order`", "or answer without a tool"]),
        ("order", '{"sku": "abc", "cou', ["`order` was not called", 'no JSON object (`{"sku": "abc", "cou`)']),
        ("order", "[1, 2]", ["no JSON object (`[1, 2]`)"]),
        ("order", {"sku": "abc"}, ["`count`: Field required", "`count` (integer)", "`speed` (string, optional)"]),
        ("order", {"sku": "abc", "count": "many"}, ["`count`: Input should be a valid integer", "(given: `many`)"]),
        ("order", {"sku": "abc", "count": 100}, ["`count`: Input should be less than or equal to 99 (given: `100`)"]),
        ("order", {"sku": "ab", "count": 1}, ["`sku`: String should have at least 3 characters (given: `ab`)"]),
        ("order", {"sku": "abc", "count": 1, "speed": "warp"}, ["`speed`: Input should be 'slow' or 'fast'", "`warp`"]),
        ("order", {"sku": "abc", "count": 1, "color": "red"}, ["it takes no `color`", "It takes `sku` (string)"]),
    ],
)  # fmt: skip
async def test_a_call_that_cannot_be_made_is_told_to_the_model(
    name: str, arguments: Any, said: list[str]
) -> None:
    provider = Answers(asks((name, arguments)), says("fine"))
    assert (await ask(provider))[0] == "fine"
    (told,) = provider.told()
    for words in said:
        assert words in told
    assert provider.requests[-1].messages[-1].role == "tool"


async def test_a_call_that_was_cut_off_is_told_what_cut_it_off() -> None:
    cut = asks(("order", '{"sku": "' + "a" * 300), finish_reason="length")
    provider = Answers(cut, says("fine"))
    await ask(provider)
    (told,) = provider.told()
    assert "you were cut off at the limit of output tokens amid its arguments" in told
    assert "less in one call" in told
    assert len(told) < 300


async def test_of_several_calls_the_good_ones_are_made() -> None:
    provider = Answers(asks(("order", {"sku": "abc", "count": 1}), ("order", {"sku": "abc"})), says("fine"))
    await ask(provider)
    good, bad = provider.told()
    assert good == "1 of abc, slow"
    assert "Field required" in bad


# answers that cannot be used -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "output", "said"),
    [
        (says('{"sku": "a", "cou'), Order, ["does not fit `Order`", "Invalid JSON", "nothing else"]),
        (says('{"sku": "a", "cou', finish_reason="length"), Order, ["limit of output tokens", "more briefly"]),
        (says('{"name": "a"}'), Order, ["`sku`: Field required", "`count`: Field required"]),
        (says('{"sku": "a", "count": 0}'), Order, ["`count`: Input should be greater than or equal to 1 (given: `0`)"]),
        (says(""), Order, ["the answer was empty", "Answer again"]),
        (says("I will not.", finish_reason="content_filter"), str, ["and says `I will not.`", "in other words"]),
        (says("", finish_reason="content_filter"), str, ["the answer was empty", "content filter"]),
        (says("It begins with", finish_reason="length"), str, ["not whole", "limit of output tokens", "more briefly"]),
    ],
)  # fmt: skip
async def test_an_answer_that_cannot_be_used_is_sent_back_once(
    reply: ModelReply, output: Any, said: list[str]
) -> None:
    good = says("fine") if output is str else says('{"sku": "a", "count": 1}')
    provider = Answers(reply, good)
    await ask(provider, output=output)
    (told,) = provider.told()
    for words in said:
        assert words in told
    with pytest.raises(InvalidOutput, match="it had been told so once already"):
        await ask(Answers(reply, reply), output=output)


async def test_an_answer_that_the_provider_cannot_read_is_one_that_does_not_fit() -> None:
    class Damaged(Answers):
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            await super().request(model, request)
            if len(self.requests) == 1:
                raise Unreadable("tool call without\n a name")
            return self.replies[-1]

    provider = Damaged(says("never"), says("fine"))
    value, recorded = await ask(provider)
    assert value == "fine"
    told = provider.requests[-1].messages[-1]
    assert isinstance(told, UserMessage)
    assert told.text == (
        "Your answer could not be used: it could not be read (tool call without a name). Answer again, with text."
    )
    assert recorded[0]["problem"] == "it could not be read (tool call without a name)"
    assert recorded[0]["reply"]["finish_reason"] == "error"
