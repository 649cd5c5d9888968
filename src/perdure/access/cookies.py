"""The one cookie: which session a browser has.

Not readable by scripts, sent by no page of another site, to this host alone. Behind https its name says so, too: a
browser takes `__Host-` only with `Secure`, for `/`, and without a domain, so that no neighbour under the same domain
can put one there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection
    from starlette.responses import Response

__all__ = ["clear_session", "session_of", "set_session"]

_PLAIN, _SECURE = "perdure_session", "__Host-perdure_session"


def session_of(request: HTTPConnection) -> str | None:
    """What the browser holds; None: no session. Several servers on one machine have the same cookies: see `named`."""
    return request.cookies.get(named(request))


def set_session(response: Response, request: HTTPConnection, text: str) -> None:
    """Hand a session to the browser. It ends with the browser's own, if not before."""
    response.set_cookie(
        named(request), text, path="/", httponly=True, samesite="strict", secure=is_https(request)
    )


def clear_session(response: Response, request: HTTPConnection) -> None:
    """Take it back."""
    response.delete_cookie(
        named(request), path="/", httponly=True, samesite="strict", secure=is_https(request)
    )


def is_https(request: HTTPConnection) -> bool:
    """Whether the browser came by https. Behind a proxy uvicorn says so, where it trusts that one."""
    return request.url.scheme in ("https", "wss")


def named(request: HTTPConnection) -> str:
    """The cookie's name. Cookies know no ports: on loopback it has one, or two servers would sign each other out."""
    if is_https(request):
        return _SECURE
    port = request.url.port
    return _PLAIN if port is None else f"{_PLAIN}_{port}"
