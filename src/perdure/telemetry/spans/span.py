"""A span as a journal tells it, before it is given to whoever sends it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from ...core.tracing import TraceContext

__all__ = ["Event", "Span", "SpanKind", "Value"]

Value: TypeAlias = str | bool | int | float | list[str]
"""Of an attribute."""


class SpanKind(StrEnum):
    """What a span is to those around it; OpenTelemetry's words."""

    INTERNAL = "internal"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened at a time within a span."""

    name: str
    at: int
    """microseconds since the Unix epoch"""
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One that is over: nothing of it will change."""

    name: str
    kind: SpanKind
    place: TraceContext
    """its own ids"""
    parent: str | None
    """the id of the span above it; None: it is the root"""
    began: int
    """microseconds since the Unix epoch"""
    ended: int
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])
    events: tuple[Event, ...] = ()
    links: tuple[TraceContext, ...] = ()
    error: str | None = None
    """why it failed; None: it did not"""
