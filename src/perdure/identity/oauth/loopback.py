"""Where a user's browser comes back to: an address of this machine, for one user and one time (RFC 8252, 7.3)."""

from __future__ import annotations

import asyncio
import hmac
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

from ...core.errors import ConfigError

__all__ = ["Loopback"]

MOST_BYTES = 16_384
SECONDS = 10.0
"""For one request: who holds a connection open holds up nobody."""

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Perdure</title>
<body><p>{}</p></body></html>
"""
_DONE = "That is all here: look at the terminal, and close this window."
_OTHER = "This is not what was waited for: begin anew at the terminal."


class Loopback:
    """Listens on 127.0.0.1 between `async with` and its end."""

    def __init__(self, *, port: int = 0, path: str = "/callback") -> None:
        self._port = port
        self._path = path
        self._server: asyncio.Server | None = None
        self._state = ""
        self._came: asyncio.Future[str]

    @property
    def redirect_uri(self) -> str:
        """The exact address, to be sent with the request."""
        return f"http://127.0.0.1:{self._port}{self._path}"

    async def __aenter__(self) -> Self:
        self._came = asyncio.get_running_loop().create_future()
        try:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port, limit=MOST_BYTES)
        except OSError as error:
            raise ConfigError(
                f"`{self.redirect_uri}` cannot be listened on: {error.strerror or error}; choose another "
                "`redirect_port`, or 0 for any"
            ) from error
        self._port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def came_back(self, state: str) -> str:
        """The address at which the user came back who was sent with this `state`. Others are turned away."""
        self._state = state
        return await self._came

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                status, text = self._answer(head)
                page = _PAGE.format(text).encode()
                writer.write(
                    (
                        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n"
                        f"Content-Length: {len(page)}\r\nContent-Security-Policy: default-src 'none'\r\n"
                        "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"
                    ).encode()
                    + page
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # whoever that was is gone, or never spoke HTTP
        finally:
            writer.close()

    def _answer(self, head: str) -> tuple[str, str]:
        line, *headers = head.split("\r\n")
        method, _, rest = line.partition(" ")
        target = rest.partition(" ")[0]
        hosts = [h.partition(":")[2].strip() for h in headers if h.lower().startswith("host:")]
        parts = urlsplit(target)
        # By another name than the one that was sent, a page of somebody else's may have asked (DNS rebinding).
        if method != "GET" or parts.path != self._path or hosts != [f"127.0.0.1:{self._port}"]:
            return "404 Not Found", _OTHER
        state = parse_qs(parts.query).get("state", [""])[0]
        if not self._state or not hmac.compare_digest(state.encode(), self._state.encode()):
            return "400 Bad Request", _OTHER
        if not self._came.done():
            self._came.set_result(f"http://127.0.0.1:{self._port}{target}")
        return "200 OK", _DONE
