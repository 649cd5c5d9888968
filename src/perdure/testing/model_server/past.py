"""Conversations that OpenAI keeps for its clients (`previous_response_id`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...runtime.conversation.messages import AssistantMessage, Message, SystemMessage, ToolCall, ToolMessage
from .reply import Reply
from .request import Asked, Request

__all__ = ["Past"]


class Past:
    """What was said up to each response, by its id."""

    def __init__(self) -> None:
        self._said: dict[str, tuple[Message, ...]] = {}

    def keep(self, request: Request, reply: Reply) -> None:
        """Keep a conversation up to the answer to this request. Instructions are given anew each time."""
        n = request.number
        key = (reply.recorded.id if reply.recorded else None) or f"resp-{n}"
        calls = (
            ToolCall(id=f"call-{n}-{i}", name=name, arguments=told)
            for i, (name, told) in enumerate(reply.calls)
        )
        said = (m for m in request.messages if not isinstance(m, SystemMessage))
        self._said[key] = (*said, AssistantMessage(text=reply.text, tool_calls=tuple(calls)))

    def joined(self, asked: Asked, body: dict[str, Any]) -> Asked:
        """The request with what went before it. Raises `ValueError` where that is not known."""
        previous = body.get("previous_response_id")
        if previous is None:
            return asked
        if previous not in self._said:
            raise ValueError(f"Previous response with id '{previous}' not found.")
        before = self._said[previous]
        names = {
            call.id: call.name for m in before if isinstance(m, AssistantMessage) for call in m.tool_calls
        }
        told = [m for m in asked.messages if isinstance(m, SystemMessage)]
        new = (m for m in asked.messages if not isinstance(m, SystemMessage))
        named = (
            m.model_copy(update={"name": names.get(m.id, m.name)}) if isinstance(m, ToolMessage) else m
            for m in new
        )
        return replace(asked, messages=(*told, *before, *named))
