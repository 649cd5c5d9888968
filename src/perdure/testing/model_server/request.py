"""What a client asked, in words of no protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ...runtime.conversation.messages import (
    AssistantMessage,
    Message,
    ModelRequest,
    OutputSchema,
    SystemMessage,
    ToolMessage,
    ToolSchema,
    UserMessage,
)

__all__ = ["Asked", "ProtocolName", "Request"]

ProtocolName = Literal["openai-chat", "openai-responses", "anthropic", "gemini"]
"""The protocols that the server speaks."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one protocol reads out of the body and the path of a request."""

    model: str
    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    forced_tool: str | None = None
    """the one tool that the model has to call"""
    output: OutputSchema | None = None
    """the form of the answer, where it is asked for by the protocol's own means and not by a tool"""
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """all else that is in the body, under the protocol's names"""
    stream: bool = False


@dataclass(frozen=True, kw_only=True)
class Request(Asked):
    """One request as it came. Its properties are what scripts look at."""

    number: int
    """1 is the first that the server got"""
    protocol: ProtocolName
    path: str
    headers: Mapping[str, str]
    """names in lower case"""
    body: dict[str, Any]
    raw: bytes

    @property
    def system(self) -> str:
        """All system messages, a line each."""
        return "\n".join(m.text for m in self.messages if isinstance(m, SystemMessage))

    @property
    def prompt(self) -> str:
        """The first that the user said."""
        return next((m.text for m in self.messages if isinstance(m, UserMessage)), "")

    @property
    def user(self) -> str:
        """The last that the user said."""
        return next((m.text for m in reversed(self.messages) if isinstance(m, UserMessage)), "")

    @property
    def last(self) -> str:
        """The last message that is not the model's own: of the user, or a tool's result."""
        return next((m.text for m in reversed(self.messages) if not isinstance(m, AssistantMessage)), "")

    @property
    def turn(self) -> int:
        """1 for the first of a conversation: one more than the model has answered so far."""
        return 1 + sum(isinstance(m, AssistantMessage) for m in self.messages)

    @property
    def results(self) -> int:
        """How many results of tools the conversation has so far."""
        return sum(isinstance(m, ToolMessage) for m in self.messages)

    @property
    def tool_names(self) -> tuple[str, ...]:
        """The tools on offer."""
        return tuple(tool.name for tool in self.tools)

    @property
    def conversation(self) -> str:
        """The same for all requests of a conversation: a digest of the system's words and the user's first.

        Two conversations that begin with the same words are one to the server.
        """
        told = "\0".join((self.protocol, self.system, self.prompt))
        return hashlib.sha256(told.encode(errors="surrogatepass")).hexdigest()[:16]

    @property
    def idempotency_key(self) -> str | None:
        """The header `Idempotency-Key`."""
        return self.headers.get("idempotency-key")

    def as_model_request(self) -> ModelRequest:
        """The request as a provider of Perdure's would get it."""
        return ModelRequest(
            messages=self.messages, tools=self.tools, output=self.output, settings=dict(self.settings)
        )
