"""What every answer of a server carries, unless it says more: no sniffing, no frames, no caches, nothing that acts.

Of the answers of the API a browser is to make nothing. The pages have a policy with what they need (`web.guard`): in it
`{nonce}` becomes one that is new for each request, and stands in its state.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["NOTHING", "Headers"]

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""The policy of what is no page."""

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",  # what a run holds stays in no cache
}
_HTTPS = {"Strict-Transport-Security": "max-age=31536000"}
"""A year; without the neighbours under the same domain, who are not ours to speak for."""


class Headers:
    """Puts them on the answers of an application."""

    def __init__(self, app: ASGIApp, *, policy: str = NOTHING, more: Mapping[str, str] | None = None) -> None:
        """`more` goes before what is always said."""
        self._app = app
        self._policy = policy
        self._more = {**_ALWAYS, **(more or {})}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        policy = self._policy
        if "{nonce}" in policy:
            nonce = secrets.token_urlsafe(16)
            scope.setdefault("state", {})["nonce"] = nonce
            policy = policy.format(nonce=nonce)
        wanted = {**self._more, "Content-Security-Policy": policy}
        if scope.get("scheme") == "https":
            wanted |= _HTTPS

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                from starlette.datastructures import MutableHeaders

                headers = MutableHeaders(scope=message)
                for name, value in wanted.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, guarded)
