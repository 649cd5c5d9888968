"""Server-sent events (the HTML standard, section 9.2), as an answer of the API.

    id: 17                        where to go on after a reconnect; provisional events have none
    event: entry
    data: {...}                   one line of JSON

An idle stream says `:` every 15 seconds, so that nobody on the way takes it for dead.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.responses import StreamingResponse

__all__ = ["IDLE_SECONDS", "EventStream", "event"]

IDLE_SECONDS = 15.0

IDLE = b":\n\n"


class EventStream(StreamingResponse):
    """A stream of events, each as `event` makes it."""

    media_type = "text/event-stream"

    def __init__(self, events: AsyncIterator[bytes], status_code: int = 200) -> None:
        # Nobody between may keep it, or hold it back until there is more.
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        super().__init__(events, status_code=status_code, headers=headers)


def event(name: str, data: str, *, id: str | None = None) -> bytes:
    """One event. `data` is JSON in one line."""
    where = "" if id is None else f"id: {id}\n"
    return f"{where}event: {name}\ndata: {data}\n\n".encode()
