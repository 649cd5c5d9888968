"""What stands around every page: headers that let nothing act that is not ours, and tokens for what changes something.

    default-src 'none'; script-src 'self' 'nonce-…'; style-src, font-src, img-src, connect-src, form-action 'self'

A form carries a token that is made of who is signed in and of a key that only this server has: a page of another site
can make a browser send a form, but it cannot know the token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from urllib.parse import urlsplit

from starlette.middleware import Middleware
from starlette.requests import Request

from ..access.callers import Caller
from ..access.headers import Headers

__all__ = ["Tokens", "guard", "nonce_of"]

_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; font-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_HEADERS = {
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


def guard() -> Middleware:
    """Puts these headers on every answer, and a nonce into the state of every request."""
    return Middleware(Headers, policy=_POLICY, more=_HEADERS)


def nonce_of(request: Request) -> str:
    """The nonce of this answer's scripts."""
    return request.scope["state"]["nonce"]


class Tokens:
    """CSRF tokens, and the mark that tells our elements for htmx from any that text of a model might contain."""

    def __init__(self, key: bytes | None = None) -> None:
        """With the `key` of a group of servers, a form that one of them made is taken by another."""
        self._key = key or secrets.token_bytes(32)

    def token(self, caller: Caller) -> str:
        """For the forms of one caller."""
        return self._made(b"csrf", caller)

    def mark(self, caller: Caller) -> str:
        """For elements that ask the server for something."""
        return self._made(b"mark", caller)[:24]

    def fits(self, request: Request, caller: Caller, given: str) -> bool:
        """Whether a POST comes from a page of ours: its token, and where the browser says so, its origin."""
        if not hmac.compare_digest(given.encode(), self.token(caller).encode()):
            return False
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return False
        origin = request.headers.get("origin")
        return origin is None or urlsplit(origin).netloc == request.headers.get("host")

    def _made(self, what: bytes, caller: Caller) -> str:
        who = "\0".join((caller.tenant, caller.principal.subject, caller.via)).encode()
        return hmac.new(self._key, what + b"\0" + who, hashlib.sha256).hexdigest()
