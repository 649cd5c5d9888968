"""Model turns of the OpenAI Agents SDK as steps: the model behind an agent, and the provider that finds it by name.

A stream is a step as well: its events reach the caller as they come, and what is recorded is the finished message. On
replay, and after the last event, the caller gets what was recorded: the text in one piece, and the end of the message.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import pydantic_core
from agents import Handoff, Model, ModelProvider, ModelResponse, ModelSettings
from agents.tool import CustomTool, FunctionTool
from agents.usage import Usage as TheirUsage
from agents.usage import deserialize_usage, serialize_usage
from openai.types.responses import (
    Response,
    ResponseFunctionToolCall,
    ResponseOutputMessage,
    ResponseOutputText,
    ResponseReasoningItem,
    ResponseTextDeltaEvent,
)

from ...core.codec import Shape, own_shape
from ...core.errors import ConfigError
from ...runtime.conversation.messages import Usage
from ...runtime.frameworks.crossing import Asked, Conversation, Offered, Seen, current
from ...runtime.frameworks.offering import Offering, offering_of
from ...runtime.frameworks.wrapping import Wrapping
from .streams import AnswerRestarted, read, told

__all__ = ["RecordedModel", "RecordedProvider", "refuse_hosted"]

_COVERED = (FunctionTool, CustomTool)


# what comes back -----------------------------------------------------------------------------------------------------


def _dump(value: Any) -> bytes:
    reply: ModelResponse = value
    return pydantic_core.to_json(
        {
            "output": [_item(item) for item in reply.output],
            "usage": serialize_usage(reply.usage),
            "response_id": reply.response_id,
            "request_id": getattr(reply, "request_id", None),
        }
    )


def _item(item: Any) -> Any:
    if isinstance(item, dict):
        return cast("Any", item)
    return item.model_dump(mode="json", exclude_unset=True, warnings=False)


def _load(data: bytes) -> ModelResponse:
    told: dict[str, Any] = pydantic_core.from_json(data)
    reply = ModelResponse(
        output=Response.construct(output=told["output"]).output,
        usage=deserialize_usage(told["usage"]),
        response_id=told["response_id"],
    )
    if told["request_id"] is not None:
        reply.request_id = told["request_id"]
    return reply


REPLY: Shape[ModelResponse] = own_shape(ModelResponse, _dump, _load)
"""Answers as the SDK reads them from the wire: what a provider adds or leaves out is kept, and nothing refused."""


def _see(reply: ModelResponse) -> Seen:
    texts: list[str] = []
    reasons: list[str] = []
    calls: list[str] = []
    for item in reply.output:
        if isinstance(item, ResponseOutputMessage):
            texts += [str(getattr(c, "text", None) or getattr(c, "refusal", "")) for c in item.content]
        elif isinstance(item, ResponseReasoningItem):
            reasons += [s.text for s in item.summary or ()]
        elif (name := getattr(item, "name", None)) is not None and "call" in str(item.type):
            calls.append(str(name))
    return Seen(
        usage=_usage(reply.usage),
        finish_reason="tool_call" if calls else "stop",
        calls=calls,
        text="".join(texts) or None,
        reasoning="\n".join(reasons) or None,
    )


def _usage(usage: TheirUsage) -> Usage:
    if not (usage.input_tokens or usage.output_tokens):
        return Usage()
    return Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.input_tokens_details.cached_tokens or None,
        reasoning_tokens=usage.output_tokens_details.reasoning_tokens or None,
    )


# what is asked -------------------------------------------------------------------------------------------------------


def hosted_in(tools: Sequence[Any]) -> list[str]:
    """Names of the tools that no step covers."""
    return [str(tool.name) for tool in tools if not isinstance(tool, _COVERED) and tool.name != "tool_search"]


def refuse_hosted(tools: Sequence[Any], wrapping: Wrapping) -> list[str]:
    """Names of the tools that no step covers. Raises `ConfigError` for those that the owner does not allow by name."""
    found = hosted_in(tools)
    refused = [name for name in found if name not in wrapping.table.allowed]
    if refused:
        allow = ", ".join(f'"{name}"' for name in refused)
        raise ConfigError(
            f"agent `{wrapping.name}` has the tool `{refused[0]}`, which the provider or the SDK runs by itself: "
            "Perdure can neither record nor stop what it does. Use a function tool, or let it through: "
            f"`app.effects.allow({allow})`; each turn then says that it was offered"
        )
    return found


def _asked(
    conversation: Conversation,
    wrapping: Wrapping,
    *,
    model: str,
    instructions: str | None,
    items: str | list[Any],
    settings: ModelSettings,
    tools: Sequence[Any],
    output: Any,
    handoffs: Sequence[Handoff[Any, Any]],
) -> Asked:
    uncovered = refuse_hosted(tools, wrapping)
    offered = [
        Offered(t.name, t.description, getattr(t, "params_json_schema", None))
        for t in tools
        if isinstance(t, _COVERED)
    ]
    offered += [Offered(h.tool_name, h.tool_description, h.input_json_schema) for h in handoffs]
    first = conversation.first
    return Asked(
        model=model,
        messages=_said(items) if first else None,
        settings=_settings(settings),
        tools=offered,
        output=None if output is None or output.is_plain_text() else output.json_schema(),
        instructions=instructions if first else None,
        uncovered=uncovered,
        prompt_tokens=lambda: _tokens([instructions, _said(items)], offered),
    )


_PER_TOKEN = 3
"""Characters of JSON: of most texts there are four or more to a token."""


def _tokens(said: Any, offered: Sequence[Offered]) -> int:
    sent = pydantic_core.to_json([said, [(t.name, t.description, t.schema) for t in offered]])
    return len(sent) // _PER_TOKEN + 1


_NOT_SETTINGS = ("retry", "extra_headers", "prompt_cache_key", "metadata", "extra_args")
"""What changes no answer, may be a secret, or is made up for each run."""


def _settings(settings: ModelSettings) -> dict[str, Any]:
    told = pydantic_core.from_json(
        pydantic_core.to_json(vars(settings), fallback=lambda v: type(v).__qualname__)
    )
    return {k: v for k, v in told.items() if v is not None and k not in _NOT_SETTINGS}


_MEANT = ("type", "role", "content", "name", "arguments", "output", "text")


def _said(items: str | list[Any]) -> Any:
    """What is said, by what it means: no ids."""
    if isinstance(items, str):
        return items
    told: list[dict[str, Any]] = pydantic_core.from_json(pydantic_core.to_json(items, fallback=str))
    return [{k: v for k, v in item.items() if k in _MEANT} for item in told]


def _full_name(model: Model, asked: str | None) -> str:
    """`provider:name`, as prices and policies know models."""
    own = getattr(model, "model", None)
    name = own if isinstance(own, str) and own else asked or type(model).__qualname__
    if type(model).__module__.startswith("agents.models.openai_"):
        return f"openai:{name}"
    return name.replace("/", ":", 1) if ":" not in name else name


def _one_attempt() -> AbstractContextManager[None]:
    """Inside, the provider's client does not try again by itself: of that the journal would know nothing."""
    try:
        from agents.models._retry_runtime import provider_managed_retries_disabled  # no public way
    except ImportError:
        return nullcontext()
    return provider_managed_retries_disabled(True)


_GIVEN = tuple(inspect.signature(Model.get_response).parameters)[1:]
"""Names of what the SDK asks a model with, in order: it gives some of it by name."""


def _exists(tool: Any, offering: Offering) -> bool:
    """Whether a tool is there for the model; what its provider runs is none of ours, and let through by name."""
    return not isinstance(tool, _COVERED) or offering.offers(tool.name)


def _shown(tool: Any, offering: Offering) -> Any:
    """A tool as the model is to see it."""
    if not isinstance(tool, FunctionTool):
        return tool
    form = offering.form(tool.name, tool.params_json_schema)
    if form is tool.params_json_schema:
        return tool
    made = copy.copy(tool)
    made.params_json_schema = form
    return made


def _taken(reply: ModelResponse, offering: Offering) -> ModelResponse:
    output = [
        item.model_copy(update={"arguments": offering.taken(item.name, item.arguments)})
        if isinstance(item, ResponseFunctionToolCall)
        else item
        for item in reply.output
    ]
    made = copy.copy(reply)
    made.output = output if any(_is_call(item) for item in output) else _without_said(output, offering)
    return made


def _is_call(item: Any) -> bool:
    return getattr(item, "name", None) is not None and "call" in str(item.type)


def _without_said(output: list[Any], offering: Offering) -> list[Any]:
    """A final answer without what the model says of itself, which stands at its end."""
    made = list(output)
    for i in reversed(range(len(made))):
        item: Any = made[i]
        if isinstance(item, ResponseOutputMessage) and item.content:
            last: Any = item.content[-1]
            if isinstance(last, ResponseOutputText):
                content = [*item.content[:-1], last.model_copy(update={"text": offering.answered(last.text)})]
                made[i] = item.model_copy(update={"content": content})
            break
    return made


_END = object()
"""of the events of a stream"""


class RecordedModel(Model):
    """A model whose every answer is a step of the run."""

    def __init__(self, model: Model, wrapping: Wrapping, name: str | None = None) -> None:
        self._model = model
        self._wrapping = wrapping
        self._name = _full_name(model, name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    async def close(self) -> None:
        """Close the model."""
        await self._model.close()

    def get_retry_advice(self, request: Any) -> Any:
        """None: when to try again is said by the run's policy."""
        return None

    async def get_response(self, *args: Any, **named: Any) -> ModelResponse:
        """The recorded answer, or the model's."""

        async def ask(shown: Mapping[str, Any]) -> ModelResponse:
            with _one_attempt():
                return await self._model.get_response(**shown)

        return await self._turn(ask, args, named)

    async def stream_response(self, *args: Any, **named: Any) -> AsyncIterator[Any]:
        """The model's events as they come, then the recorded end; on replay the recorded message in one piece."""
        events: asyncio.Queue[Any] = asyncio.Queue()
        recorder, scope = self._wrapping.recorder, current().scope
        key = scope.ahead("turn")
        attempt = 0

        async def ask(shown: Mapping[str, Any]) -> ModelResponse:
            nonlocal attempt
            attempt += 1
            if attempt > 1 or recorder.epoch > 1:
                events.put_nowait(AnswerRestarted(key, attempt))
            say = current().saying()

            def heard(event: Any) -> None:
                events.put_nowait(event)
                if isinstance(event, ResponseTextDeltaEvent):
                    say(event.delta)

            with _one_attempt():
                stream = self._model.stream_response(**shown)
                return await read(stream, heard)

        turn = asyncio.ensure_future(self._turn(ask, args, named))
        turn.add_done_callback(lambda _: events.put_nowait(_END))
        try:
            while (event := await events.get()) is not _END:
                yield event
            for event in told(await turn, whole=attempt == 0):
                yield event
        finally:
            if not turn.done():
                turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)

    async def _turn(
        self, ask: Callable[[Mapping[str, Any]], Any], args: Sequence[Any], named: Mapping[str, Any]
    ) -> ModelResponse:
        conversation = current()
        given = {**dict(zip(_GIVEN, args, strict=False)), **named}
        asked = _asked(
            conversation,
            self._wrapping,
            model=self._name,
            instructions=given["system_instructions"],
            items=given["input"],
            settings=given["model_settings"],
            tools=given["tools"],
            output=given["output_schema"],
            handoffs=given["handoffs"],
        )
        terms = self._wrapping.terms_of(asked.model)
        offering = offering_of(conversation, self._wrapping, asked.tools)

        async def asking() -> ModelResponse:
            if offering is None:
                return await ask(given)
            tools = [_shown(tool, offering) for tool in given["tools"] if _exists(tool, offering)]
            told = "\n\n".join(t for t in (given["system_instructions"], offering.instruction) if t) or None
            return _taken(await ask({**given, "tools": tools, "system_instructions": told}), offering)

        return await conversation.turn(asking, asked, shape=REPLY, see=_see, terms=terms, offering=offering)


class RecordedProvider(ModelProvider):
    """Finds models by name as another provider does; their answers are steps of the run."""

    def __init__(self, provider: ModelProvider, wrapping: Wrapping) -> None:
        self._provider = provider
        self._wrapping = wrapping

    def get_model(self, model_name: str | None) -> Model:
        """The model, its answers recorded."""
        found = self._provider.get_model(model_name)
        return found if isinstance(found, RecordedModel) else RecordedModel(found, self._wrapping, model_name)

    async def aclose(self) -> None:
        """Close the provider."""
        await self._provider.aclose()
