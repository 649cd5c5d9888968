"""Model turns of Google's ADK as steps: the model behind an agent.

The model is wrapped, and no plugin's `before_model_callback` is used: that one comes before the agent's own callbacks,
which it would cut off, and the ADK wraps what it raises into an error of another type.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, cast

import pydantic_core
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai import types
from pydantic import BaseModel, PrivateAttr

from ...core.codec import Shape, own_shape
from ...core.errors import ConfigError, PerdureError
from ...runtime.conversation.messages import Usage
from ...runtime.frameworks.calling import without
from ...runtime.frameworks.crossing import Asked, Offered, Seen, current
from ...runtime.frameworks.offering import Offering, offering_of
from ...runtime.frameworks.wrapping import Wrapping

__all__ = ["MESSAGE", "RECORDED", "RecordedLlm"]

MESSAGE = "perdure_message"
"""Key in the `custom_metadata` of a partial response: which message it is a piece of, as `Piece.message`."""

RECORDED = "perdure_recorded"
"""The same, where it tells a whole message out of the journal."""

Responses = list[LlmResponse]


# what comes back -----------------------------------------------------------------------------------------------------


def _dump(value: Any) -> bytes:
    return b"[" + b",".join(r.model_dump_json(exclude_none=True).encode() for r in value) + b"]"


def _load(data: bytes) -> Responses:
    return [
        LlmResponse.model_validate_json(pydantic_core.to_json(told)) for told in pydantic_core.from_json(data)
    ]


REPLY: Shape[Responses] = own_shape(list, _dump, _load)
"""The finished responses of one turn: one, as a rule."""


def _parts(response: LlmResponse) -> list[types.Part]:
    return [] if response.content is None else response.content.parts or []


def _text(response: LlmResponse) -> str:
    return "".join(p.text or "" for p in _parts(response) if not p.thought)


def _see(replies: Responses) -> Seen:
    parts = [p for reply in replies for p in _parts(reply)]
    last = replies[-1] if replies else LlmResponse()
    used = next((r.usage_metadata for r in reversed(replies) if r.usage_metadata is not None), None)
    usage = Usage()
    if used is not None:
        usage = Usage(
            input_tokens=used.prompt_token_count,
            output_tokens=(used.candidates_token_count or 0) + (used.thoughts_token_count or 0),
            cached_tokens=used.cached_content_token_count,
            reasoning_tokens=used.thoughts_token_count,
        )
    return Seen(
        usage=usage,
        model=last.model_version,
        finish_reason=None if last.finish_reason is None else str(last.finish_reason.value),
        calls=[p.function_call.name or "" for p in parts if p.function_call is not None],
        text="".join(map(_text, replies)) or None,
        reasoning="".join(p.text or "" for p in parts if p.thought) or None,
    )


# what is asked -------------------------------------------------------------------------------------------------------

_NOT_SETTINGS = {
    "tools",
    "system_instruction",
    "response_schema",
    "response_json_schema",
    "http_options",
    "labels",
}
_MADE_UP = ("id", "thought_signature")


def _plain(value: Any) -> Any:
    if isinstance(value, type) and issubclass(value, BaseModel):
        return value.model_json_schema()
    return pydantic_core.from_json(
        pydantic_core.to_json(value, fallback=str, bytes_mode="base64", exclude_none=True)
    )


def _full_name(llm: BaseLlm, asked: str | None) -> str:
    """`provider:name`, as prices and policies know models."""
    name = asked or llm.model
    if type(llm).__name__ in ("Claude", "AnthropicLlm"):
        return f"anthropic:{name}"
    return name.replace("/", ":", 1) if "/" in name and "projects/" not in name else f"google:{name}"


def _one_attempt(llm: BaseLlm) -> BaseLlm:
    """One that does not try again by itself: of that the journal would know nothing."""
    if getattr(llm, "retry_options", None) is None:
        return llm
    made = llm.model_copy(update={"retry_options": None})
    vars(made).pop("api_client", None)
    return made


_END = object()
"""of what is shown of a message"""


class RecordedLlm(BaseLlm):
    """A model whose every answer is a step of the run."""

    _llm: BaseLlm = PrivateAttr()
    _wrapping: Wrapping = PrivateAttr()
    _raised: list[PerdureError] = PrivateAttr()
    _uncovered: tuple[str, ...] = PrivateAttr(default=())

    @classmethod
    def of(
        cls,
        llm: BaseLlm,
        wrapping: Wrapping,
        raised: list[PerdureError],
        *,
        uncovered: tuple[str, ...] = (),
    ) -> RecordedLlm:
        """For a model of the framework. `raised`: errors of tools that are not for the model.

        `uncovered`: what its agent has beside its tools, and the owner lets through.
        """
        made = cls(model=llm.model)
        made._llm = _one_attempt(llm)
        made._wrapping = wrapping
        made._raised = raised
        made._uncovered = uncovered
        return made

    @property
    def capabilities(self) -> Any:
        """Those of the model."""
        return self._llm.capabilities

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse]:
        """Parts as they come, if `stream`, then the recorded answer."""
        if self._raised:
            raise self._raised[0]
        shown: asyncio.Queue[Any] = asyncio.Queue()
        conversation = current()
        live = False

        asked = self._asked(llm_request)
        offering = offering_of(conversation, self._wrapping, asked.tools)

        async def ask() -> Responses:
            nonlocal live
            live = True
            whole: Responses = []
            of = {MESSAGE: conversation.piece("").message}
            say = conversation.saying()
            request = _shown(_copied(llm_request), offering)
            async for response in self._llm.generate_content_async(request, stream):
                if response.partial:
                    say(_text(response))
                    response.custom_metadata = {**(response.custom_metadata or {}), **of}
                    shown.put_nowait(response)
                else:
                    whole.append(_taken(response, offering))
            return whole

        terms = self._wrapping.terms_of(asked.model)
        turn = asyncio.ensure_future(
            conversation.turn(ask, asked, shape=REPLY, see=_see, terms=terms, offering=offering)
        )
        turn.add_done_callback(lambda _: shown.put_nowait(_END))
        try:
            while (part := await shown.get()) is not _END:
                yield part
            try:
                replies = await turn
            except PerdureError as error:
                self._raised.append(error)
                raise
            for reply in replies:
                if stream and not live and _text(reply):
                    part = types.Part(text=_text(reply))
                    yield LlmResponse(
                        content=types.Content(role="model", parts=[part]),
                        partial=True,
                        custom_metadata={MESSAGE: conversation.piece("").message, RECORDED: True},
                    )
                yield reply
        finally:
            if not turn.done():
                turn.cancel()
            await asyncio.gather(turn, return_exceptions=True)

    def _asked(self, request: LlmRequest) -> Asked:
        config = request.config
        first = current().first
        offered: list[Offered] = []
        for tool in config.tools or ():
            for one in getattr(tool, "function_declarations", None) or ():
                form = one.parameters_json_schema or _plain(one.parameters)
                offered.append(Offered(one.name or "", one.description, form))
        output = config.response_json_schema or config.response_schema
        return Asked(
            model=_full_name(self._llm, request.model),
            messages=without(_plain(request.contents), *_MADE_UP) if first else None,
            settings=_plain(config.model_dump(exclude=_NOT_SETTINGS, exclude_none=True)),
            tools=offered,
            output=None if output is None else _plain(output),
            instructions=_plain(cast("Any", config).system_instruction) if first else None,
            uncovered=[*self._hosted(config), *self._uncovered],
        )

    def _hosted(self, config: types.GenerateContentConfig) -> list[str]:
        """Names of the tools that the provider runs by itself. Raises `ConfigError` for those that nobody allowed."""
        found: list[str] = []
        for tool in config.tools or ():
            if isinstance(tool, types.Tool):
                held = (name for name in type(tool).model_fields if getattr(tool, name) is not None)
                found += [name for name in held if name != "function_declarations"]
        refused = [name for name in found if name not in self._wrapping.table.allowed]
        if refused:
            allow = ", ".join(f'"{name}"' for name in refused)
            error = ConfigError(
                f"agent `{self._wrapping.name}` has the tool `{refused[0]}`, which the provider runs by itself: "
                "Perdure can neither record nor stop what it does. Use a function tool, or let it through: "
                f"`app.effects.allow({allow})`; each turn then says that it was offered"
            )
            self._raised.append(error)
            raise error
        return found


def _shown(request: LlmRequest, offering: Offering | None) -> LlmRequest:
    """A request of its own, with the tools as the model is to see them."""
    if offering is None:
        return request
    tools: list[Any] = []
    for tool in request.config.tools or ():
        declared = getattr(tool, "function_declarations", None)
        if declared:
            shown = [_declared(one, offering) for one in declared if offering.offers(one.name or "")]
            if not shown:
                continue
            tool = cast("types.Tool", tool).model_copy(update={"function_declarations": shown})
        tools.append(tool)
    request.config.tools = tools
    if offering.instruction:
        request.append_instructions([offering.instruction])
    return request


def _declared(one: types.FunctionDeclaration, offering: Offering) -> types.FunctionDeclaration:
    form: Any = one.parameters_json_schema
    if form is None and one.parameters is not None:
        form = one.parameters.json_schema.model_dump(mode="json", exclude_none=True)
    shown = offering.form(one.name or "", form)
    if shown is form:
        return one
    return one.model_copy(update={"parameters": None, "parameters_json_schema": shown})


def _taken(response: LlmResponse, offering: Offering | None) -> LlmResponse:
    if offering is None:
        return response
    made = response.model_copy(deep=True)
    for part in _parts(made):
        if part.function_call is not None:
            part.function_call.args = offering.taken(part.function_call.name or "", part.function_call.args)
    said = [part for part in _parts(made) if part.text and not part.thought]
    if said and not any(part.function_call for part in _parts(made)):
        said[-1].text = offering.answered(said[-1].text or "")
    return made


def _copied(request: LlmRequest) -> LlmRequest:
    """Models write into the request: each attempt begins with it as it was."""
    return request.model_copy(
        update={"contents": list(request.contents), "config": request.config.model_copy()}
    )
