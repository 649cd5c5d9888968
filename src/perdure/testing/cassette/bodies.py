"""Bodies as they came over the wire: JSON, pages, streams of events."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["events_of", "json_of", "told_by"]


def json_of(raw: bytes, what: str) -> Any:
    """A body; None of an empty one. Raises `ValueError`, which names `what` it is."""
    if not raw:
        return None
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError(f"{what} is no JSON") from None


def told_by(raw: bytes, *, ok: bool) -> Any:
    """An answer that is no stream. An error may be a page of whoever stands in between."""
    if ok:
        return json_of(raw, "the answer")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return raw.decode("utf-8", "replace")


def events_of(raw: bytes | bytearray) -> tuple[tuple[str | None, Any], ...]:
    """The server-sent events of a stream (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""
    found: list[tuple[str | None, Any]] = []
    for block in re.split(r"\r\n\r\n|\n\n|\r\r", raw.decode("utf-8", "replace")):
        name, data = None, list[str]()
        for line in re.split(r"\r\n|\n|\r", block):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
        if data:
            found.append((name, _event("\n".join(data))))
    return tuple(found)


def _event(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
