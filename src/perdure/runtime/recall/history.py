"""A session as the beginning of a conversation: its messages in the form that models and frameworks take."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pydantic_core

from ...memory import Message as Kept
from ..conversation.messages import AssistantMessage, Message, UserMessage

__all__ = ["History", "history_of"]


class History(list[Message]):
    """Messages for `run.model(model, history.asking("..."))`.

    Nothing in it is an instruction of the program's: whoever reads it knows the model's own answers, and all else as
    something that was said to it. What a session calls `system` is no system prompt: who wrote it is not known here.
    """

    def asking(self, text: str) -> History:
        """The same with a question behind it."""
        return History([*self, UserMessage(text=text)])

    def dicts(self) -> list[dict[str, str]]:
        """As `{"role": ..., "content": ...}`: the input of OpenAI Agents, of LangGraph, and of most clients."""
        return [{"role": message.role, "content": message.text} for message in self]


def history_of(kept: Iterable[Kept]) -> History:
    """The messages of a session: a summary says that it is one; a role that no model knows stands before the text."""
    return History([_said(message) for message in kept])


def _said(message: Kept) -> Message:
    text = _text(message.content)
    if message.role == "assistant":
        return AssistantMessage(text=text)
    if message.role == "user":
        return UserMessage(text=text)
    if message.role == "summary":
        return UserMessage(text=f"(The conversation up to here, summed up:)\n{text}")
    return UserMessage(text=f"{message.role}: {text}")


def _text(content: Any) -> str:
    return content if isinstance(content, str) else pydantic_core.to_json(content).decode()
