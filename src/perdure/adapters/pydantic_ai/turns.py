"""Model turns of pydantic-ai as steps: the model that serves a request, wrapped for that request.

A turn is recorded at the model itself, inside all hooks: on a replay they run again, so that a history which one of
them has shortened is as short as it was. A hook around the request (`wrap_model_request`) would skip them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pydantic_core
from pydantic import ConfigDict, TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.native_tools import AbstractNativeTool
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import RunContext, ToolDefinition

from ...core.codec import Shape
from ...core.errors import ConfigError
from ...core.failures import FailureClass
from ...runtime.conversation.compaction import tokens_in
from ...runtime.conversation.toolbox import structure
from ...runtime.frameworks.crossing import Asked, Conversation, Offered, Seen
from ...runtime.frameworks.offering import Offering, offering_of
from ...runtime.frameworks.wrapping import Wrapping
from .models import one_attempt, reasoning_of, usage_of
from .releases import overheard, recorded_stream, unit

__all__ = ["Progress", "RecordedModel", "hosted_in", "refuse_hosted"]


class _ResponseShape(Shape[ModelResponse]):
    """Responses as pydantic-ai itself writes them: bytes in base64."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(ModelResponse)
        self.dump_json = _dump
        self.load = _load


# Of the one kind of message that is recorded, so that none is tried that it cannot be.
_RESPONSES: TypeAdapter[list[ModelResponse]] = TypeAdapter(
    list[ModelResponse], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
)
_to_json, _from_json = _RESPONSES.serializer.to_json, _RESPONSES.validator.validate_json


def _dump(value: Any, **options: Any) -> bytes:
    return _to_json([value], **options)[1:-1]


def _load(data: bytes) -> ModelResponse:
    (response,) = _from_json(b"[" + data + b"]")
    return response


RESPONSE = _ResponseShape()


@dataclass(slots=True)
class Progress:
    """How far one run of an agent has come."""

    opened: Conversation | None = None
    recorded: bool = False
    """the message that is being read comes out of the journal"""
    granted: set[str] = field(default_factory=set[str])
    """ids of the calls that the framework wanted approved, and was told that they are: Perdure asks"""

    @property
    def conversation(self) -> Conversation:
        """Of the run, which has begun."""
        assert self.opened is not None, "a request before the run has begun"
        return self.opened


class RecordedModel(WrapperModel):
    """A model whose every answer is a step of the run."""

    def __init__(self, wrapped: Model, wrapping: Wrapping, progress: Progress) -> None:
        super().__init__(wrapped)
        self._wrapping = wrapping
        self._progress = progress

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """The recorded answer, or the model's."""
        executed = False

        conversation = self._progress.conversation
        asked = self._asked(conversation, messages, model_settings, model_request_parameters)
        offering = offering_of(conversation, self._wrapping, asked.tools)

        async def ask() -> ModelResponse:
            nonlocal executed
            executed = True
            settings = one_attempt(self.wrapped, model_settings or {})
            shown = _shown(model_request_parameters, offering)
            told = _told(messages, offering)
            return _taken(await self.wrapped.request(told, settings, shown), offering)

        terms = self._wrapping.terms_of(asked.model)
        response = await conversation.turn(
            ask, asked, shape=RESPONSE, see=_see, terms=terms, offering=offering
        )
        unit(executed=executed)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """The model's stream as it comes, or the recorded answer in one piece."""
        # The step is a task of its own, and asks for the stream: it is opened, read and closed in the task that
        # reads it, as connections want it. What fails to open is tried again; what fails later has been seen.
        orders: asyncio.Queue[asyncio.Future[ModelResponse]] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        seen = False

        async def ask() -> ModelResponse:
            delivery: asyncio.Future[ModelResponse] = loop.create_future()
            orders.put_nowait(delivery)
            return await delivery

        conversation = self._progress.conversation
        asked = self._asked(conversation, messages, model_settings, model_request_parameters)
        if offering_of(conversation, self._wrapping, asked.tools) is not None:
            # The framework reads the calls from the stream itself, as they were made: it gets the message in one piece.
            response = await self.request(messages, model_settings, model_request_parameters)
            self._progress.recorded = False
            yield recorded_stream(response, model_request_parameters)
            return
        terms = self._wrapping.terms_of(asked.model)
        said = terms.classify

        def classify(error: BaseException) -> Any:
            return FailureClass.PERMANENT if seen else None if said is None else said(error)

        terms = replace(terms, classify=classify)
        turn = asyncio.ensure_future(conversation.turn(ask, asked, shape=RESPONSE, see=_see, terms=terms))
        try:
            while True:
                order = await _next(orders, turn)
                if order is None:
                    response = await turn
                    unit(executed=False)
                    self._progress.recorded = True
                    yield recorded_stream(response, model_request_parameters)
                    return
                try:
                    settings = one_attempt(self.wrapped, model_settings or {})
                    async with (
                        _stopped_with(turn),
                        self.wrapped.request_stream(
                            messages, settings, model_request_parameters, run_context
                        ) as live,
                    ):
                        seen = True
                        self._progress.recorded = False
                        overheard(live, conversation.saying())
                        yield live
                        response = live.get()
                except Exception as error:
                    if not order.done():
                        order.set_exception(error)
                    if seen:
                        await turn
                        raise
                    continue
                order.set_result(response)
                await turn
                unit(executed=True)
                return
        finally:
            if not turn.done():
                turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)

    def _asked(
        self,
        conversation: Conversation,
        messages: Sequence[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> Asked:
        hosted = hosted_in(parameters.native_tools)
        refuse_hosted(hosted, self._wrapping)
        output: list[Any] = [
            parameters.output_mode,
            parameters.allow_text_output,
            sorted(_form(tool) for tool in parameters.output_tools),
        ]
        tools = [Offered(t.name, t.description, t.parameters_json_schema) for t in parameters.function_tools]
        return Asked(
            model=self.wrapped.model_id,
            messages=[_said(message) for message in messages] if conversation.first else None,
            settings=cast("Mapping[str, Any]", _plain(settings or {})),
            tools=tools,
            output=output,
            instructions=_instructions(messages, parameters) if conversation.first else None,
            prompt_tokens=lambda: tokens_in([_said(m) for m in messages]) + tokens_in(tools),
            uncovered=hosted,
        )


def _shown(parameters: ModelRequestParameters, offering: Offering | None) -> ModelRequestParameters:
    """What the model is told, with the tools as they are shown to it."""
    if offering is None:
        return parameters
    tools = [
        replace(t, parameters_json_schema=offering.form(t.name, t.parameters_json_schema))
        for t in parameters.function_tools
        if offering.offers(t.name)
    ]
    return replace(parameters, function_tools=tools)


def _told(messages: list[ModelMessage], offering: Offering | None) -> list[ModelMessage]:
    """What the model is told, with what is asked of its answer."""
    if offering is None or not offering.instruction or not isinstance(messages[-1], ModelRequest):
        return messages
    last = messages[-1]
    return [*messages[:-1], replace(last, parts=[*last.parts, SystemPromptPart(offering.instruction)])]


def _taken(response: ModelResponse, offering: Offering | None) -> ModelResponse:
    if offering is None:
        return response
    response = _without_said(response, offering)
    parts = [
        replace(part, args=offering.taken(part.tool_name, part.args))
        if isinstance(part, ToolCallPart)
        else part
        for part in response.parts
    ]
    return replace(response, parts=parts)


def _without_said(response: ModelResponse, offering: Offering) -> ModelResponse:
    """A final answer in text without what the model says of itself."""
    texts = [part for part in response.parts if isinstance(part, TextPart)]
    if not texts or any(isinstance(part, ToolCallPart) for part in response.parts):
        return response
    last = replace(texts[-1], content=offering.answered(texts[-1].content))
    return replace(response, parts=[last if part is texts[-1] else part for part in response.parts])


async def _next(
    orders: asyncio.Queue[asyncio.Future[ModelResponse]], turn: asyncio.Future[ModelResponse]
) -> asyncio.Future[ModelResponse] | None:
    """The next order of the step; None: it is over, and was recorded or has failed."""
    order = asyncio.ensure_future(orders.get())
    try:
        await asyncio.wait({order, turn}, return_when=asyncio.FIRST_COMPLETED)
        return order.result() if order.done() else None
    finally:
        order.cancel()


@asynccontextmanager
async def _stopped_with(turn: asyncio.Future[ModelResponse]) -> AsyncGenerator[None]:
    """Whoever reads the stream stops where the step is over first: the run was cancelled, or has halted."""
    reader = asyncio.current_task()
    assert reader is not None
    stopped = False

    def stop(_: object) -> None:
        nonlocal stopped
        stopped = True
        reader.cancel()

    turn.add_done_callback(stop)
    try:
        yield
    except asyncio.CancelledError:
        if not stopped:
            raise
        reader.uncancel()
        await turn  # raises why
        raise
    finally:
        turn.remove_done_callback(stop)


def hosted_in(tools: Sequence[Any]) -> list[str]:
    """Names of the tools that the provider runs; not of its search in the definitions that this request sends it."""
    return [t.unique_id for t in tools if isinstance(t, AbstractNativeTool) and t.kind != "tool_search"]


def refuse_hosted(names: Sequence[str], wrapping: Wrapping) -> None:
    """Raise `ConfigError` for tools that the provider runs, but for those that the owner allows by name."""
    refused = [name for name in names if name not in wrapping.table.allowed]
    if refused:
        allow = ", ".join(f'"{name}"' for name in refused)
        raise ConfigError(
            f"agent `{wrapping.name}` has the hosted tool `{refused[0]}`: the provider runs it, so Perdure can neither "
            f"record nor stop what it does. Use a tool of your own, or let it through: `app.effects.allow({allow})`; "
            "each turn then says that it was offered"
        )


# what is asked, and what comes back --------------------------------------------------------------------------


def _form(tool: ToolDefinition) -> tuple[str, str]:
    return tool.name, pydantic_core.to_json(structure(tool.parameters_json_schema)).decode()


def _said(message: ModelMessage) -> list[Any]:
    """A message by what it means: no ids, no times."""
    return [
        message.kind,
        *(
            [part.part_kind, getattr(part, "tool_name", None), _plain(_content(part))]
            for part in message.parts
        ),
    ]


def _content(part: Any) -> Any:
    return part.args_as_dict() if isinstance(part, ToolCallPart) else getattr(part, "content", None)


def _instructions(messages: Sequence[ModelMessage], parameters: ModelRequestParameters) -> list[Any]:
    """What the agent is told for every task."""
    told: list[Any] = [part.content for part in parameters.instruction_parts or ()]
    told += [p.content for m in messages for p in m.parts if p.part_kind == "system-prompt"]
    return [_plain(content) for content in told]


def _plain(value: Any) -> Any:
    """As JSON says it; what JSON cannot say, by its type."""
    return pydantic_core.from_json(pydantic_core.to_json(value, fallback=lambda v: type(v).__qualname__))


def _see(response: ModelResponse) -> Seen:
    return Seen(
        usage=usage_of(response),
        model=response.model_name,
        finish_reason=response.finish_reason,
        calls=[part.tool_name for part in response.parts if isinstance(part, ToolCallPart)],
        text="".join(part.content for part in response.parts if isinstance(part, TextPart)) or None,
        reasoning=reasoning_of(response),
    )
