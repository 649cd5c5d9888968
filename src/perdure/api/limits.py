"""How much a request may bring: bytes of a body, rows of a page.

What is too much is refused before it is held in memory: a body is counted as it comes, whatever its header says.
"""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import problem, response

__all__ = ["BodyLimit", "Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one request may bring, and take."""

    body: int = 1_048_576
    """bytes of a body"""
    page: int = 200
    """rows of a page"""


class _TooLong(Exception):
    pass


class BodyLimit:
    """Refuses bodies of more bytes than are allowed: 413, at the header or at the byte that is too many."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > self._most:
            await self._refuse(scope, receive, send)
            return
        came = 0
        begun = False

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most:
                raise _TooLong
            return message

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except _TooLong:
            if not begun:
                await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = problem(413, f"a request may have {self._most:,} bytes: send less, or a reference to it")
        await response(told, Request(scope))(scope, receive, send)
