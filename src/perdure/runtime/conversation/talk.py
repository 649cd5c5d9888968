"""A conversation with a model as values: what its caller says about it, and what the journal keeps of a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from ...core.errors import ConfigError
from ..boundary.retry import Retry
from .candidates import Alternative
from .messages import Message, ModelReply
from .stuck import StuckRules

__all__ = ["Talk", "Turn"]


class Turn(BaseModel):
    """The payload of a turn's RESULT."""

    model_config = ConfigDict(frozen=True)

    reply: ModelReply
    messages: list[Message]
    """what this turn added before the reply"""
    asked: dict[str, str]
    """what may change without a mismatch: the model's name, and keyed digests of the rest"""
    by: str = ""
    """the model that answered, by the name under which it was asked; empty in journals of earlier releases"""
    problem: str | None = None
    """what was wrong with an answer that the provider's library could not read, in words for the model"""
    marks: int = 0
    """how often the run had recorded progress"""
    warned: str | None = None
    """what the agent does over and over, where it was told so in this turn"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What a caller says about a conversation, beside what it is about."""

    models: Sequence[Alternative]
    """the one that is asked, then its fallbacks"""
    larger: Sequence[str] = ()
    """for a conversation that does not fit"""
    retry: Retry | None = None
    timeout: timedelta | None = None
    """of an attempt at a turn; None: it may take for ever"""
    max_turns: int = 10
    max_context: int | None = None
    """tokens, estimated, above which the conversation is compacted before it is sent; None: when it does not fit"""
    summary: str | None = None
    """the model that sums up the turns that are dropped; None: a note says that they were"""
    stuck: StuckRules = field(default_factory=StuckRules)
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Raise `ConfigError` where that makes no sense."""
        if self.max_turns < 1:
            raise ConfigError(f"max_turns `{self.max_turns}` leaves no turn to answer in: give 1 or more")
        if self.timeout is not None and self.timeout <= timedelta():
            raise ConfigError(f"timeout `{self.timeout}` leaves a model no time to answer")
        if self.max_context is not None and self.max_context < 1:
            raise ConfigError(
                f"max_context `{self.max_context}` is no number of tokens: give 1 or more, or None"
            )

    @property
    def seconds(self) -> float | None:
        """The timeout in seconds."""
        return None if self.timeout is None else self.timeout.total_seconds()

    @property
    def most_output(self) -> int | None:
        """Tokens that an answer may have, as far as the settings say."""
        most = self.settings.get("max_tokens")
        return most if isinstance(most, int) else None
