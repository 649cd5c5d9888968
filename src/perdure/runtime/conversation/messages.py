"""What is said to a model and what it answers, in words of no provider: these are what the journal holds.

A conversation is a list of `Message`. Each turn of `run.model` journals the messages that it added and the reply,
never the whole list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

import pydantic_core
from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = [
    "AssistantMessage",
    "Message",
    "ModelReply",
    "ModelRequest",
    "OutputSchema",
    "SystemMessage",
    "ToolCall",
    "ToolMessage",
    "ToolSchema",
    "Usage",
    "UserMessage",
]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class ToolCall(_Value):
    """A model asks for a tool."""

    id: str
    """the provider's name for this call; only ties the result to it, and is no part of a step's key"""
    name: str
    arguments: dict[str, Any] | str
    """by name; the text as it came where that is not a JSON object"""

    @field_validator("arguments", mode="before")
    @classmethod
    def _parsed(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            parsed: object = pydantic_core.from_json(value or "{}")
        except ValueError:
            return value
        return cast("object", parsed) if isinstance(parsed, dict) else value


class SystemMessage(_Value):
    """What the model is told before all else."""

    role: Literal["system"] = "system"
    text: str


class UserMessage(_Value):
    """The prompt, or what was wrong with an answer."""

    role: Literal["user"] = "user"
    text: str


class AssistantMessage(_Value):
    """What the model answered in an earlier turn."""

    role: Literal["assistant"] = "assistant"
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    native: dict[str, Any] | None = None
    """see `ModelReply.native`"""


class ToolMessage(_Value):
    """The result of a tool call, or what was wrong with it."""

    role: Literal["tool"] = "tool"
    id: str
    """of the call"""
    name: str
    text: str
    """a `str` result as it is, any other as JSON"""
    failed: bool = False


Message = Annotated[SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")]
"""One message of a conversation."""


class Usage(_Value):
    """What a turn used, as the provider counted it. None: it did not say."""

    input_tokens: int | None = None
    """cached ones included"""
    output_tokens: int | None = None
    cached_tokens: int | None = None
    """input tokens that were read from the provider's cache"""
    cache_write_tokens: int | None = None
    """input tokens that were written to it"""
    reasoning_tokens: int | None = None
    """of the output, what was thought and not said"""
    requests: int = 1

    def counted(self) -> dict[str, int]:
        """What the provider said, by name: as `model_dump(exclude_none=True)`, at a third of its price."""
        return {name: n for name, n in self.__dict__.items() if n is not None}


class ToolSchema(_Value):
    """A tool as it is offered to a model."""

    name: str
    description: str | None = None
    arguments: dict[str, Any]
    """JSON schema of an object"""


class OutputSchema(_Value):
    """The form that the answer must have."""

    name: str
    description: str | None = None
    json_schema: dict[str, Any]
    """of any type; a provider that needs an object wraps it, and unwraps the answer"""


class ModelRequest(_Value):
    """All that a provider needs for one turn."""

    messages: tuple[Message, ...]
    tools: tuple[ToolSchema, ...] = ()
    output: OutputSchema | None = None
    """None: text"""
    settings: Mapping[str, Any] = {}
    """of the model, by the names that the provider's library gives them (`temperature`, `max_tokens`, ...)"""
    step: str = ""
    """key of the step that asks; for logs and scripts, not for the model"""
    timeout: float | None = None
    """seconds after which nobody waits for the answer any more"""


class ModelReply(_Value):
    """What a model answered in one turn."""

    text: str = ""
    """the answer, as JSON where a form was asked for; beside `tool_calls`, what the model says about them"""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    model: str | None = None
    """the name of the model that answered, as the provider gives it"""
    finish_reason: str | None = None
    """`stop`, `length`, `content_filter`, `tool_call` or `error`"""
    reasoning: str | None = None
    """the provider's summary of the reasoning, where it gives one"""
    native: dict[str, Any] | None = None
    """what the provider needs back in the next turn and nobody else can read (signatures of its reasoning)"""

    def as_message(self) -> AssistantMessage:
        """The reply as a message of the conversation that goes on."""
        return AssistantMessage(text=self.text, tool_calls=self.tool_calls, native=self.native)
