"""Whether a request comes from where it says, to where we are: against pages of other sites.

A page of another site can make a browser send requests here, also to `127.0.0.1` (by a form), or under a name of its
own that it lets point here (DNS rebinding). So only names are answered that the server has, and what a browser's
session changes must come from a page of this server.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..core.errors import Forbidden

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["LOOPBACK", "Hosts", "check_origin"]

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""What this machine calls itself, with any port."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Hosts:
    """Answers requests to names that the server has, and others with 421. Around the whole application."""

    def __init__(self, app: ASGIApp, *, names: Iterable[str] = LOOPBACK) -> None:
        """`names`: with a port, or for any port without one."""
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] in ("http", "websocket"):
            given = [value for name, value in scope["headers"] if name == b"host"]
            host = given[0].decode("latin-1").lower() if len(given) == 1 else ""
            if host not in self._names and _without_port(host) not in self._names:
                from starlette.responses import PlainTextResponse

                said = (
                    f"this server is not `{host[:100]}`: name it under `hosts` in [access] if it should be\n"
                )
                await PlainTextResponse(said, status_code=421)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host


def check_origin(request: HTTPConnection, method: str) -> None:
    """Raise `Forbidden` where a browser changes something, and not from a page of this server.

    Every browser says from where it comes (`Sec-Fetch-Site`, or `Origin`); what says nothing is no browser, and has
    a key instead of a session.
    """
    if method in _SAFE:
        return
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site not in ("same-origin", "none"):
        raise Forbidden(f"the request comes from a page of another site (`{site[:20]}`)")
    if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
        raise Forbidden(f"the request comes from a page of `{origin[:100]}`, and not of this server")
    if site is None and origin is None:
        raise Forbidden(
            "a session changes something from a browser only, which says `Origin`: programs show an API key "
            "(`perdure keys create`)"
        )
