"""The server over streamable HTTP, behind the gate: at `/mcp`, with what tells a client where to sign in.

    request ─► Origin ─► Authorization ─► gate ─► whom a token is for ─► the SDK's transport ─► `mcp_server`
                 403          401                     401                 (its scope has the caller)

As a resource server of OAuth 2.1 (MCP 2026-07-28): RFC 9728 metadata, `WWW-Authenticate` that names it, and tokens that
name this resource as their audience (RFC 8707). No token goes further than here. A browser's cookie is no way in.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from ..access import Caller, Gate, Role
from ..access.gates import claims_of
from ..app import App
from ..core.errors import AccessRefused, Forbidden, StoreError, TooManyRequests, Unauthenticated
from ..views.watching import Watch

if TYPE_CHECKING:
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.lowlevel.server import Server

    from .sessions import Sessions

__all__ = ["CALLER", "McpDoor", "caller_of", "can_serve"]

log = logging.getLogger("perdure.mcp_server")

CALLER = "perdure.mcp.caller"
"""In the scope of a request: who the gate has let in."""
PATH = "/mcp"
METADATA = "/.well-known/oauth-protected-resource"
START_SECONDS = 10.0


def can_serve() -> bool:
    """Whether the SDK is installed (the extra `mcp`)."""
    return find_spec("mcp") is not None


class McpDoor:
    """MCP over HTTP for one app. Its `run` is to go on as long as the server lives."""

    def __init__(
        self, app: App, gate: Gate, *, watch: Watch, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        """`stopping`: whether this server ends, so that a call that breaks off was given up by nobody."""
        self._app = app
        self._stopping = stopping
        self._gate = gate
        self._watch = watch
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._manager: Sessions | None = None

    def __repr__(self) -> str:
        return "the MCP server"

    def routes(self) -> list[BaseRoute]:
        """What it answers."""
        return [
            Route(PATH, self),
            Route(METADATA + PATH, self._metadata, methods=["GET"]),
        ]

    async def run(self) -> None:
        """Serve. The SDK is imported with the first request: most servers' first is none for it."""
        await self._wanted.wait()
        from .sessions import Sessions

        manager = Sessions(await self._server(), self._app.mcp_serve)
        async with manager.run():
            self._manager = manager
            self._ready.set()
            try:
                await asyncio.Event().wait()
            finally:
                self._ready.clear()
                self._manager = None

    async def _server(self) -> Server[Any]:
        from .server import mcp_server

        return await mcp_server(self._app, who=caller_of, watch=self._watch, stopping=self._stopping)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(_without_cookies(scope), receive)
        try:
            caller = await self._let_in(request)
            manager = await self._started()
            owner = _session_owner(caller)
            if _begins_session(request):
                manager.check_room(owner)
        except (AccessRefused, StoreError) as refused:
            await self._refusal(refused, request)(scope, receive, send)
            return
        scope = {**request.scope, CALLER: caller, "user": owner}
        await manager.handle_request(scope, receive, send)

    # who comes in ----------------------------------------------------------------------------------------------

    async def _let_in(self, request: Request) -> Caller:
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower():
            raise Forbidden(f"the request comes from a page of `{origin[:100]}`, and not of this server")
        caller = await self._gate.caller_of(request)
        if caller.via.startswith("token:"):
            caller = _of_token(caller, request, self._resource(request))
        caller.require(Role.VIEWER)
        return caller

    async def _started(self) -> Sessions:
        self._wanted.set()
        try:
            async with asyncio.timeout(START_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            log.error("the MCP server is not there: is its `run` going on?")
        if self._manager is None:
            raise StoreError("the MCP server cannot start; the server's log says why")
        return self._manager

    def _refusal(self, refused: AccessRefused | StoreError, request: Request) -> Response:
        status = refused.status if isinstance(refused, AccessRefused) else 503
        headers = {"cache-control": "no-store"}
        if isinstance(refused, Unauthenticated):
            more = f'resource_metadata="{self._base(request)}{METADATA}{PATH}"'
            challenge = refused.challenge
            headers["www-authenticate"] = f"{challenge}{',' if ' ' in challenge else ''} {more}"
        if isinstance(refused, TooManyRequests):
            headers["retry-after"] = str(max(1, round(refused.retry_after)))
        said = str(refused) if isinstance(refused, AccessRefused) else "not now; the server's log says why"
        error = {"code": -32600, "message": said[:2000]}
        return JSONResponse({"jsonrpc": "2.0", "id": None, "error": error}, status, headers=headers)

    # what a client is told of signing in -------------------------------------------------------------------------

    async def _metadata(self, request: Request) -> Response:
        """RFC 9728: which resource this is, and whose tokens it takes."""
        resource = self._resource(request)
        issuers = [
            issuer.url
            for issuer in self._app.identity_settings.issuers.values()
            if resource in issuer.audience
        ]
        told: dict[str, Any] = {
            "resource": resource,
            "resource_name": "Perdure",
            "bearer_methods_supported": ["header"],
        }
        if issuers:
            told["authorization_servers"] = issuers
        return JSONResponse(told, headers={"cache-control": "no-store"})

    def _base(self, request: Request) -> str:
        return self._app.access_settings.url or f"{request.url.scheme}://{request.url.netloc}"

    def _resource(self, request: Request) -> str:
        return f"{self._base(request)}{PATH}"


def caller_of(context: Any) -> Caller:
    """Whose request it is, as the door has noted."""
    return context.request.scope[CALLER]


def _without_cookies(scope: Scope) -> Scope:
    """Whoever has a session in a browser is not let in by it: pages of others could send requests along with it."""
    return {**scope, "headers": [(name, value) for name, value in scope["headers"] if name != b"cookie"]}


def _of_token(caller: Caller, request: Request, resource: str) -> Caller:
    """Who shows a token of an issuer: it must be for this resource."""
    said: Any = claims_of(request.headers["authorization"].partition(" ")[2].strip()).get("aud")
    if said != resource and not (isinstance(said, list) and resource in said):
        raise Unauthenticated(
            f"the token is not for `{resource}`: ask for one with that resource (RFC 8707), and list it as an "
            "`audience` of its issuer in [identity.issuers]",
            challenge='Bearer error="invalid_token"',
        )
    return caller


def _begins_session(request: Request) -> bool:
    """Whether the SDK makes a session for this request: one without a session, of a protocol that has them."""
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

    version = request.headers.get("mcp-protocol-version")
    return "mcp-session-id" not in request.headers and (
        version is None or version in HANDSHAKE_PROTOCOL_VERSIONS
    )


def _session_owner(caller: Caller) -> AuthenticatedUser:
    """To whom a session of the SDK belongs: another caller's request does not find it."""
    from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
    from mcp.server.auth.provider import AccessToken

    return AuthenticatedUser(
        AccessToken(
            token="", client_id=caller.tenant, scopes=[], subject=caller.subject, claims={"iss": caller.via}
        )
    )
