"""An end for what has none: once the server is to stop, streams of events end, and their readers come back elsewhere.

A server that waits for its last answer would wait for ever for a stream. So a stream is cut where it stands, with the
end that HTTP asks for; whoever reads it reconnects with the last event that it heard, to another process or to the next
one here. All other requests are answered.
"""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Draining"]

_ENDLESS = b"text/event-stream"


class Draining:
    """Knows the streams of an application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._streams: set[anyio.CancelScope] = set()
        self._stopping = False

    def stop(self) -> None:
        """End the streams that there are, and each that is begun from now on. In the loop's thread."""
        self._stopping = True
        for stream in list(self._streams):
            stream.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        ended = False

        async def watched(message: Message) -> None:
            nonlocal ended
            await send(message)
            if message["type"] == "http.response.start":
                kind = dict(message["headers"]).get(b"content-type", b"")
                if kind.startswith(_ENDLESS):
                    self._streams.add(cut)
                    if self._stopping:
                        cut.cancel()
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)

        with anyio.CancelScope() as cut:
            try:
                await self._app(scope, receive, watched)
            finally:
                self._streams.discard(cut)
        if cut.cancelled_caught and not ended:
            await send({"type": "http.response.body", "body": b""})
