"""Streams of the OpenAI Agents SDK: events of a message that is on its way, and those that tell a recorded one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

from agents import ModelResponse
from agents.exceptions import ModelBehaviorError
from agents.usage import Usage as TheirUsage
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseOutputItemDoneEvent,
    ResponseOutputMessage,
    ResponseTextDeltaEvent,
    ResponseUsage,
)

__all__ = ["AnswerRestarted", "read", "told"]


@dataclass(frozen=True, slots=True)
class AnswerRestarted:
    """Among the raw events of a stream: what came of this message before does not count, it begins again."""

    message: str
    """key of the step"""
    attempt: int
    """1: an earlier worker may have shown a part of it"""
    type: Literal["perdure.answer_restarted"] = "perdure.answer_restarted"


async def read(stream: AsyncIterator[Any], show: Callable[[Any], None]) -> ModelResponse:
    """Show each event but the last, and give the finished message. Raises where it does not come to that."""
    items: list[Any] = []
    try:
        async for event in stream:
            if isinstance(event, ResponseCompletedEvent):
                response = event.response
                return ModelResponse(
                    output=response.output or items, usage=_their_usage(response), response_id=response.id
                )
            kind = str(getattr(event, "type", ""))
            if kind in ("response.failed", "response.incomplete", "error", "response.error"):
                raise ModelBehaviorError(f"the stream of the model ended with `{kind}`: {_why(event)}")
            if isinstance(event, ResponseOutputItemDoneEvent):
                items.append(event.item)
            show(event)
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()
    raise ModelBehaviorError("the stream of the model ended before the message was finished")


def _why(event: Any) -> str:
    response = getattr(event, "response", None)
    found = [getattr(event, "message", None), getattr(response, "error", None)]
    found.append(getattr(response, "incomplete_details", None))
    return "; ".join(str(part) for part in found if part) or "no reason given"


def _their_usage(response: Response) -> TheirUsage:
    used = response.usage
    if used is None:
        return TheirUsage(requests=1)
    return TheirUsage(
        requests=1,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.total_tokens,
        input_tokens_details=used.input_tokens_details,
        output_tokens_details=used.output_tokens_details,
    )


def told(reply: ModelResponse, *, whole: bool) -> list[Any]:
    """The end of a message as events; all of it where nobody has seen its parts."""
    events: list[Any] = []
    for place, item in enumerate(reply.output if whole else ()):
        if isinstance(item, ResponseOutputMessage):
            for index, part in enumerate(item.content):
                text = getattr(part, "text", None)
                if text:
                    events.append(
                        ResponseTextDeltaEvent(
                            type="response.output_text.delta",
                            item_id=item.id,
                            output_index=place,
                            content_index=index,
                            delta=text,
                            logprobs=[],
                            sequence_number=len(events),
                        )
                    )
    used = reply.usage
    usage = ResponseUsage.construct(
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        total_tokens=used.total_tokens,
        input_tokens_details=_details(used.input_tokens_details),
        output_tokens_details=_details(used.output_tokens_details),
    )
    response = Response.construct(
        id=reply.response_id or "",
        object="response",
        output=reply.output,
        usage=usage if used.requests else None,
        status="completed",
    )
    events.append(
        ResponseCompletedEvent.construct(
            type="response.completed", response=response, sequence_number=len(events)
        )
    )
    return events


def _details(value: Any) -> Any:
    return value.model_dump(mode="json", exclude_unset=True, warnings=False)
