"""The port of a protocol: each module beside this one that speaks a provider's protocol has these functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, cast

from .faults import Fault
from .reply import Reply
from .request import Asked, Request

__all__ = ["CREATED", "Event", "Failure", "Wire", "json_or_text", "pieces", "section", "sse", "texts"]

CREATED = 1_767_225_600
"""When all answers say that they were made: the same in each run of a test."""


class Event(NamedTuple):
    """One server-sent event."""

    data: Mapping[str, Any] | str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """An HTTP error."""

    status: int
    body: Mapping[str, Any] | str
    """a text is a page of HTML"""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Wire(Protocol):
    """What a protocol has to say for itself. A module is one."""

    def read(self, body: dict[str, Any], path: str) -> Asked:
        """What is asked. Raises `KeyError`, `TypeError` or `ValueError` where the body is not the protocol's."""
        ...

    def whole(self, reply: Reply, request: Request) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        ...

    def events(self, reply: Reply, request: Request) -> Iterator[Event]:
        """The events of a streamed answer."""
        ...

    def hollow(self, request: Request) -> dict[str, Any]:
        """An answer that has no choice, candidate or content at all."""
        ...

    def silent(self, request: Request) -> list[Event]:
        """The same, streamed."""
        ...

    def failure(self, fault: Fault, request: Request) -> Failure:
        """The HTTP error of a fault."""
        ...

    def broken(self, fault: Fault, request: Request) -> Event:
        """The event that tells of an error in the middle of a stream."""
        ...


def sse(event: Event) -> bytes:
    """The event as it goes over the wire."""
    data = event.data if isinstance(event.data, str) else json.dumps(event.data, ensure_ascii=False)
    name = f"event: {event.name}\n" if event.name else ""
    return f"{name}data: {data}\n\n".encode()


def pieces(text: str) -> list[str]:
    """The text as a stream brings it: word by word, and long ones in parts of twelve characters."""
    return re.findall(r"\S{1,12}\s*|\s+", text)


def section(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """The object that stands in the body under a name, and in that under the next; empty where there is none."""
    found: object = body
    for name in names:
        found = cast("object", found.get(name)) if isinstance(found, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def json_or_text(text: str) -> Any:
    """The value that a protocol carries as JSON and not as a text; what is no JSON stays one."""
    try:
        return json.loads(text or "{}")
    except ValueError:
        return text


def texts(content: object) -> str:
    """The text of a message: it is one, or the list of its parts; parts that are no text (images) count as empty."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        part = cast("Mapping[str, Any]", content)
        return str(part.get("text") or part.get("refusal") or "")
    return "".join(texts(part) for part in cast("list[object]", content))
