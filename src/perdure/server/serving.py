"""Serving by uvicorn: the port, and an end in good order.

SIGTERM ──► no new connections, streams end, the worker claims no more ──► requests under way are answered
            ──► the worker's steps are finished or released ──► the store is closed
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Generator, Sequence

import uvicorn

from ..core.errors import ConfigError
from .composition import Application

__all__ = ["Serving"]

GRACE_SECONDS = 10
"""How long requests under way may take once the server is to stop."""


class Serving:
    """A server on a port. Between `bind` and `run` it is known under which address."""

    def __init__(
        self,
        application: Application,
        *,
        host: str,
        port: int,
        proxies: Sequence[str] = (),
        log_level: str = "warning",
    ) -> None:
        self._application = application
        self._server = _Server(
            uvicorn.Config(
                application,
                log_level=log_level,
                access_log=False,
                lifespan="on",
                server_header=False,
                proxy_headers=bool(proxies),
                forwarded_allow_ips=list(proxies),
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._host = host
        self._port = port
        self._socket: socket.socket | None = None

    def bind(self) -> str:
        """Take the port; the address. Raises `ConfigError` where it cannot be had."""
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        # With its protocol named, asyncio turns Nagle off: else an answer in two writes waits 40 ms for an ACK.
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((self._host, self._port))
        except OSError as error:
            made.close()
            raise ConfigError(
                f"`{self._host}:{self._port}` cannot be listened on: {error.strerror or error}; choose another "
                "`--port`, or 0 for any"
            ) from error
        made.setblocking(False)
        self._socket = made
        port: int = made.getsockname()[1]
        shown = f"[{self._host}]" if family is socket.AF_INET6 else self._host
        return f"http://{shown}:{port}"

    def stop(self) -> None:
        """Begin to stop. Safe to call twice, and from a signal's handler."""
        self._application.stop()
        self._server.should_exit = True

    async def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`. `ready` is called once requests are answered. Raises what the start raised."""
        if self._socket is None:
            self.bind()
        assert self._socket is not None
        self._server.told = ready
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._socket.close()
        if not self._server.started:
            raise ConfigError("the server could not start; the lines above say why")


class _Server(uvicorn.Server):
    told: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self.told()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leave the process's signals to whoever runs it."""
        yield
