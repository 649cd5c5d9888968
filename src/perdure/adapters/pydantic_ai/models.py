"""Models by `pydantic_ai.direct`: one request to any provider that pydantic-ai knows. Needs the extra `models`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from pydantic_ai import direct
from pydantic_ai.exceptions import ModelAPIError, UnexpectedModelBehavior, UserError
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.messages import ModelRequest as TheirRequest
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from ...core.errors import ConfigError
from ...runtime.conversation.messages import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from .releases import text_in

__all__ = ["PydanticAIModels", "message_history", "one_attempt", "reasoning_of", "usage_of"]

ANSWER_TOOL = "final_answer"
"""By calling it a model gives an answer in the form that was asked for: the way that most providers support."""

WRAPPED = "answer"
"""The one property of the object around an answer that is none."""

NATIVE = "pydantic_ai"

_WHOSE = (
    "kind",
    "model_name",
    "provider_name",
    "provider_url",
    "canonical_system",
    "provider_details",
    "provider_response_id",
)
"""What of a response says who can read the signatures in it."""


class PydanticAIModels:
    """Makes models by name, and keeps them with their connections."""

    def __init__(self) -> None:
        self._models: dict[str, Model] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def provider(self, model: str) -> PydanticAIModels:
        """This provider, once it is sure that the model can be had. Called in a loop. Raises `ConfigError`."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections belong to the loop that made them
            self._loop = loop
            self._models.clear()
        if model not in self._models:
            try:
                self._models[model] = infer_model(model)
            except (UserError, ImportError, ValueError) as error:
                raise ConfigError(
                    f"model `{model}` cannot be used: {error}. Or register a provider of your own: "
                    f'`app.models.register("{model.partition(":")[0]}", provider)`'
                ) from error
        return self

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        """One request, not streamed. Raises the errors of `pydantic_ai.exceptions`."""
        self.provider(model)
        answer_tool = _free_name(request)
        with _understood(model):
            response = await direct.model_request(
                self._models[model],
                _their_messages(request.messages),
                model_settings=_settings(self._models[model], request),
                model_request_parameters=_parameters(request, answer_tool),
                instrument=False,
            )
        if _broke_off(response):
            raise ModelAPIError(model, "the provider's answer broke off: it does not say why it ends")
        return _reply(response, request, answer_tool)

    async def request_stream(
        self, model: str, request: ModelRequest, say: Callable[[str], None]
    ) -> ModelReply:
        """The same, as a stream whose text `say` is told as it comes."""
        self.provider(model)
        answer_tool = _free_name(request)
        with _understood(model):
            async with direct.model_request_stream(
                self._models[model],
                _their_messages(request.messages),
                model_settings=_settings(self._models[model], request),
                model_request_parameters=_parameters(request, answer_tool),
                instrument=False,
            ) as stream:
                async for event in stream:
                    say(text_in(event))
                response = stream.get()
        if response.finish_reason is None:
            # It may have been cut off; a server that never says why it ends is not to fail because somebody listens.
            return await self.request(model, request)
        return _reply(response, request, answer_tool)

    async def close(self) -> None:
        """Close the connections; the models are made anew when they are needed."""
        models, self._models = self._models, {}
        for model in models.values():
            # Entered and left, a provider closes the client that it made.
            async with model:
                pass


def message_history(messages: Sequence[Message]) -> list[ModelMessage]:
    """Messages of Perdure's, as `await session.history()` has them, for an agent's `message_history=`."""
    return _their_messages(messages)


@contextmanager
def _understood(model: str) -> Generator[None]:
    """Errors of a request, by what they mean."""
    try:
        yield
    except UnexpectedModelBehavior as error:
        if _NOTHING_CAME in str(error):
            raise ModelAPIError(model, f"the provider's answer broke off: {error}") from error
        raise
    except (TypeError, LookupError, AttributeError) as error:
        # What the library stumbles over where it takes the answer for one of the provider's form.
        told = f"Invalid response from `{model}`: {type(error).__name__}: {error}"
        raise UnexpectedModelBehavior(told) from error


# what is sent ---------------------------------------------------------------------------------------------------


SLACK = 5.0
"""Seconds that the SDK waits longer than Perdure does, so that there is one answer to what a hang is."""


def _settings(model: Model, request: ModelRequest) -> ModelSettings:
    ours = {} if request.timeout is None else {"timeout": request.timeout + SLACK}
    return one_attempt(model, ours, request.settings)


def one_attempt(model: Model, *settings: Mapping[str, Any]) -> ModelSettings:
    """Settings, the later ones first. The SDKs try a request three times, of which the journal would know nothing."""
    unsupported: frozenset[str] = getattr(model, "unsupported_settings", frozenset())
    ours = {} if "max_retries" in unsupported else {"max_retries": 0}
    for given in settings[:-1]:
        ours.update({name: value for name, value in given.items() if name not in unsupported})
    return cast("ModelSettings", {**ours, **settings[-1]})


def _parameters(request: ModelRequest, answer_tool: str) -> ModelRequestParameters:
    tools = [
        ToolDefinition(name=t.name, description=t.description, parameters_json_schema=t.arguments)
        for t in request.tools
    ]
    output = request.output
    if output is None:
        return ModelRequestParameters(function_tools=tools)
    schema = _as_object(output)
    about = f"The final answer, as {output.name}." + (f" {output.description}" if output.description else "")
    # Both ways are offered and the library takes the one that suits the model.
    return ModelRequestParameters(
        function_tools=tools,
        output_mode="auto",
        output_tools=[
            ToolDefinition(name=answer_tool, description=about, parameters_json_schema=schema, kind="output")
        ],
        output_object=OutputObjectDefinition(
            json_schema=schema, name=output.name, description=output.description
        ),
    )


def _free_name(request: ModelRequest) -> str:
    name, taken = ANSWER_TOOL, {tool.name for tool in request.tools}
    while name in taken:
        name += "_"
    return name


def _is_object(output: OutputSchema) -> bool:
    return output.json_schema.get("type") == "object"


def _as_object(output: OutputSchema) -> dict[str, Any]:
    """The schema of an object, as tools need it; any other is put into one, its definitions moved to the top."""
    if _is_object(output):
        return output.json_schema
    inner = dict(output.json_schema)
    schema: dict[str, Any] = {"type": "object", "properties": {WRAPPED: inner}, "required": [WRAPPED]}
    if "$defs" in inner:
        schema["$defs"] = inner.pop("$defs")
    return schema


def _their_messages(messages: Sequence[Message]) -> list[ModelMessage]:
    theirs: list[ModelMessage] = []
    parts: list[ModelRequestPart] = []
    for message in messages:
        match message:
            case SystemMessage():
                parts.append(SystemPromptPart(message.text))
            case UserMessage():
                parts.append(UserPromptPart(message.text))
            case ToolMessage():
                outcome = "failed" if message.failed else "success"
                parts.append(ToolReturnPart(message.name, message.text, message.id, outcome=outcome))
            case AssistantMessage():
                said = _their_answer(message)
                if said is None:
                    continue  # an empty answer, which providers refuse to be shown
                if parts:
                    theirs.append(TheirRequest(parts=parts))
                    parts = []
                theirs.append(said)
    if parts:
        theirs.append(TheirRequest(parts=parts))
    return theirs


def _their_answer(message: AssistantMessage) -> ModelResponse | None:
    native = (message.native or {}).get(NATIVE)
    if native is not None:
        (response,) = ModelMessagesTypeAdapter.validate_python([native])
        assert isinstance(response, ModelResponse)
        return response
    parts: list[ModelResponsePart] = [TextPart(message.text)] if message.text.strip() else []
    parts += [ToolCallPart(call.name, call.arguments, call.id) for call in message.tool_calls]
    return ModelResponse(parts=parts) if parts else None


# what comes back ------------------------------------------------------------------------------------------------

_NOTHING_CAME = "ended without content"

_SAY_WHY = frozenset({"anthropic", "google", "google-gla", "google-cloud", "google-vertex"})
"""Providers that always say why an answer ends. Servers that only speak OpenAI's protocol may not."""


def _broke_off(response: ModelResponse) -> bool:
    """Half an answer that looks like a whole one: some are streamed by the library, whatever it is asked for."""
    silent = response.finish_reason is None
    return silent and (not response.parts or response.provider_name in _SAY_WHY)


def _reply(response: ModelResponse, request: ModelRequest, answer_tool: str) -> ModelReply:
    calls = [p for p in response.parts if isinstance(p, ToolCallPart)]
    answers = [p for p in calls if p.tool_name == answer_tool] if request.output is not None else []
    calls = [p for p in calls if p not in answers]
    text = "".join(p.content for p in response.parts if isinstance(p, TextPart))
    if not response.parts and response.finish_reason == "content_filter":
        text = str((response.provider_details or {}).get("refusal") or "")
    if request.output is not None and not calls:
        # Beside calls of tools an answer came too early, and is asked for again when their results are known.
        text = _unwrapped(_json(answers[0]) if answers else text, request.output)
    return ModelReply(
        text=text,
        tool_calls=tuple(ToolCall(id=p.tool_call_id, name=p.tool_name, arguments=_json(p)) for p in calls),
        usage=usage_of(response),
        model=response.model_name,
        finish_reason=response.finish_reason,
        reasoning=reasoning_of(response),
        native=_native(response, answers) if calls else None,
    )


def usage_of(response: ModelResponse) -> Usage:
    """What a response used, as its provider counted it."""
    used = response.usage
    counted = bool(used.input_tokens or used.output_tokens)
    return Usage(
        input_tokens=used.input_tokens if counted else None,
        output_tokens=used.output_tokens if counted else None,
        cached_tokens=used.cache_read_tokens if counted else None,
        cache_write_tokens=used.cache_write_tokens if counted else None,
        reasoning_tokens=used.details.get("reasoning_tokens") if counted else None,
    )


def reasoning_of(response: ModelResponse) -> str | None:
    """The provider's summary of the model's reasoning, where it gave one."""
    thoughts = [p.content for p in response.parts if isinstance(p, ThinkingPart) and p.content.strip()]
    return "\n".join(thoughts) or None


def _json(call: ToolCallPart) -> str:
    """The arguments as they came: what is no JSON is for the model to hear, not to be dressed up as some."""
    return call.args if isinstance(call.args, str) else call.args_as_json_str()


def _unwrapped(text: str, output: OutputSchema) -> str:
    if _is_object(output):
        return text
    try:
        value: Any = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, dict) and WRAPPED in value:
        return json.dumps(value[WRAPPED], ensure_ascii=False)
    return text


def _native(response: ModelResponse, answers: Sequence[ToolCallPart]) -> dict[str, Any] | None:
    """The whole response, where it holds what only its provider can read (signed reasoning) and wants to see again."""
    if not any(
        isinstance(p, ThinkingPart) or (isinstance(p, TextPart | ToolCallPart) and p.provider_details)
        for p in response.parts
    ):
        return None
    kept = replace(response, parts=[p for p in response.parts if p not in answers])
    (dumped,) = ModelMessagesTypeAdapter.dump_python([kept], mode="json")
    parts: list[dict[str, Any]] = dumped["parts"]
    return {
        NATIVE: {
            **{name: dumped[name] for name in _WHOSE if dumped.get(name) is not None},
            "parts": [{k: v for k, v in part.items() if v is not None} for part in parts],
        }
    }
