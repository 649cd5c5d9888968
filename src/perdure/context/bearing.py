"""Whose token goes with a request to an MCP server, and what the server said of it.

The SDK carries the context of whoever asks down to the HTTP request, so that a request knows its errand: the credential
that was handed to one call, and no other. What a server answers with 401 or 403 was turned down before it was done
(RFC 6750, 3.1); the SDK makes of all of it one error, so it is noted here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import httpx2

from ..core.credentials import Credential, CredentialRejected
from ..core.errors import NotDone

__all__ = ["Account", "Errand", "errand"]


@dataclass(slots=True)
class Errand:
    """One request of a call, as the HTTP below it sees it."""

    credential: Credential | None
    status: int = 0
    """401 or 403, where the server turned it down"""
    scopes: tuple[str, ...] = ()
    """what it asks for"""

    def check(self, server: str) -> None:
        """Raise `CredentialRejected` or `NotDone` where the server turned it down."""
        if not self.status:
            return
        whose = "nobody" if self.credential is None else f"`{self.credential.subject}`"
        if self.status == 403 and not self.scopes:
            raise NotDone(f"MCP server `{server}` forbids that to {whose} (status 403)")
        if self.credential is None:
            raise NotDone(
                f"MCP server `{server}` wants to know who asks (status 401): name a user who has an account there, as "
                f"`perdure mcp ls {server} --user NAME`"
            )
        wants = ", ".join(f"`{scope}`" for scope in self.scopes)
        error = CredentialRejected(
            f"MCP server `{server}` did not take the token of {whose} with `{self.credential.provider}`"
            + (f": it does not allow {wants}" if self.status == 403 else " (status 401)")
            + f". Connect the account anew: `perdure connect {self.credential.provider}`"
        )
        error.version = self.credential.version
        error.scopes = self.scopes if self.status == 403 else ()
        raise error


_errand: ContextVar[Errand | None] = ContextVar("perdure_mcp_errand", default=None)


@contextmanager
def errand(credential: Credential | None) -> Generator[Errand]:
    """Within it requests of this task go with that credential."""
    made = Errand(credential)
    token = _errand.set(made)
    try:
        yield made
    finally:
        _errand.reset(token)


class Account(httpx2.Auth):
    """The account of one user at one server: what its requests carry."""

    def __init__(self) -> None:
        self.credential: Credential | None = None
        """the newest that was handed in: for what the SDK asks by itself, as a stream of notifications"""

    async def async_auth_flow(
        self, request: httpx2.Request
    ) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Send the token along, and look what became of it."""
        from mcp.client.auth.utils import extract_field_from_www_auth

        mine = _errand.get()
        credential = (mine and mine.credential) or self.credential
        if credential is not None:
            name, value = credential.header()
            request.headers[name] = value
        if mine is not None and request.method == "POST":
            mine.status = 0  # what is under way may be carried out, whatever was said before
        response = yield request
        if mine is not None and request.method == "POST" and response.status_code in (401, 403):
            mine.status = response.status_code
            asked = (extract_field_from_www_auth(response, "scope") or "").split()
            lacks = extract_field_from_www_auth(response, "error") == "insufficient_scope"
            # As many as a request may ask for, and none that could be anything else in a log or an address.
            mine.scopes = tuple(s for s in asked[:20] if lacks and len(s) <= 200 and s.isprintable())
