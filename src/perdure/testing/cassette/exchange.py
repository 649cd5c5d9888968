"""One exchange with a provider: what was asked and what came back, without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..model_server.gemini import PATH
from ..model_server.request import ProtocolName

__all__ = ["PROVIDERS", "Exchange", "ProviderName", "ToolCalled", "protocol_of"]

ProviderName = Literal["openai", "anthropic", "gemini", "vertex"]
"""Whose traffic can be recorded. `openai` is also whoever speaks as it does; `vertex` is Google's other door."""

PROVIDERS: tuple[ProviderName, ...] = get_args(ProviderName)
"""All of them."""

_ENDS: tuple[tuple[str, ProtocolName], ...] = (
    ("/chat/completions", "openai-chat"),
    ("/responses", "openai-responses"),
    ("/v1/messages", "anthropic"),
)


def protocol_of(method: str, path: str) -> ProtocolName | None:
    """The protocol of a request to a model, by its path without the query; None for what is no such request."""
    if method != "POST":
        return None
    if PATH.search(path):
        return "gemini"
    return next((protocol for end, protocol in _ENDS if path.endswith(end)), None)


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A request and its answer."""

    number: int
    """1 is the first"""
    provider: ProviderName
    method: str = "POST"
    path: str
    """with its query"""
    request: Any = None
    """JSON of the body; None where there was none"""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """of the answer: those that a client library acts on"""
    answer: Any = None
    """JSON of the body, or a text; None where it was a stream"""
    stream: tuple[tuple[str | None, Any], ...] | None = None
    """name and JSON (or text) of each server-sent event"""

    @property
    def protocol(self) -> ProtocolName | None:
        """Of a request to a model."""
        return protocol_of(self.method, self.path.partition("?")[0])


@dataclass(frozen=True, kw_only=True)
class ToolCalled:
    """A call of a tool at Perdure's boundary, and what came of it."""

    tool: str
    arguments: Mapping[str, Any]
    result: Any = None
    error: str | None = None
    """type and message of what it raised, instead of a result"""
