"""Sessions of clients that speak the protocol before 2026-07-28, each with what it may be told again.

A client whose stream broke off comes back with the last event that it heard, and is told what followed. The SDK gives
all sessions one store of events, in which a stream is called after its request: `1`, as is everybody's first. So each
session here has a store of its own: what one client was told is never told to another.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from uuid import uuid4

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, authorization_context
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage

from ..core.errors import TooManyRequests
from ..core.mcp_serve_settings import McpServeSettings

__all__ = ["Heard", "Sessions"]

MOST_EVENTS = 100
"""Of a session. What is older cannot be told again."""

MOST_BYTES = 1_048_576
"""Of a request."""

MOST_OF_ONE = 50
"""Sessions of one caller. Each ends by itself once it is idle."""

MOST_SESSIONS = 2000
"""Of all callers together, in one server."""

RETRY_MS = 1000
"""After this a client whose stream has ended comes back."""


class Heard(EventStore):
    """The last events of one session."""

    def __init__(self) -> None:
        self._events: deque[tuple[str, str, JSONRPCMessage | None]] = deque(maxlen=MOST_EVENTS)

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep one; its id."""
        event = uuid4().hex
        self._events.append((event, stream_id, message))
        return event

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Tell what followed on the same stream; None: that event is not known (any more)."""
        events = list(self._events)
        found = next((i for i, (event, _, _) in enumerate(events) if event == last_event_id), None)
        if found is None:
            return None
        stream = events[found][1]
        for event, of, message in events[found + 1 :]:
            if of == stream and message is not None:
                await send_callback(EventMessage(message, event))
        return stream


class Sessions(StreamableHTTPSessionManager):
    """The SDK's, with a store of events for each session."""

    def __init__(self, server: Server[Any], settings: McpServeSettings) -> None:
        super().__init__(
            server,
            stateless=not settings.sessions,
            session_idle_timeout=settings.idle.total_seconds() if settings.sessions else None,
            retry_interval=RETRY_MS,
            max_request_body_size=MOST_BYTES,
        )

    def check_room(self, owner: AuthenticatedUser) -> None:
        """Raise `TooManyRequests` where somebody has as many sessions as one may have, or there are too many at all."""
        for id, transport in list(self._server_instances.items()):
            if transport.is_terminated:  # which the SDK keeps for good
                self._server_instances.pop(id, None)
                self._session_owners.pop(id, None)
        mine = authorization_context(owner)
        theirs = sum(1 for one in self._session_owners.values() if one == mine)
        if theirs >= MOST_OF_ONE or len(self._session_owners) >= MOST_SESSIONS:
            raise TooManyRequests(
                f"there are {theirs} sessions of this caller: end some (DELETE), or use protocol 2026-07-28, which has "
                "none",
                retry_after=60,
            )

    @property
    def event_store(self) -> EventStore:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Asked for once by each session that begins."""
        return Heard()

    @event_store.setter
    def event_store(self, _: EventStore | None) -> None:
        pass
