"""For the servers of tools: is this call from an agent that we know, for whom, and is it the call that was admitted?

    app = verify.ASGI(app, audience="https://bank.example.com", issuers=["https://agents.example.org"])
    app = verify.WSGI(app, ...)                           # the same
    caller = verify.call(request.headers, ...)            # one call, anywhere else

The caller stands in `scope["perdure.caller"]` or `environ["perdure.caller"]`. Needs `pip install "perdure[identity]"`,
and nothing else of Perdure: no store, no worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from io import BytesIO
from typing import Any

import pydantic_core

from .identity.fetching import FetchedKeys
from .identity.verification import Caller, KeySource, NotAuthorised, SeenProofs, StaticKeys, Verifier

__all__ = [
    "ASGI",
    "WSGI",
    "Caller",
    "FetchedKeys",
    "KeySource",
    "NotAuthorised",
    "SeenProofs",
    "StaticKeys",
    "Verifier",
    "call",
]

MOST_BYTES = 10 << 20
"""Of a body: it is held in memory, to be compared."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def call(verifier: Verifier, headers: Mapping[str, str], *, method: str, url: str, **what: Any) -> Caller:
    """The caller of one request, by its headers (names in any case). Raises `NotAuthorised`.

    `what` is `content` (the body's bytes), `arguments` and `tool`, as of `Verifier.verify`.
    """
    found = {name.lower(): value for name, value in headers.items()}
    return verifier.verify(found.get("authorization"), found.get("dpop"), method=method, url=url, **what)


class _Middleware:
    def __init__(
        self,
        *,
        audience: str | Sequence[str],
        issuers: Sequence[str] | Mapping[str, str] = (),
        keys: KeySource | None = None,
        base_url: str | None = None,
        public: Iterable[str] = (),
        most_bytes: int = MOST_BYTES,
    ) -> None:
        """Refuse what does not verify.

        `issuers` are fetched from by their discovery documents; or give `keys`. `base_url` is how callers reach this
        server, where a proxy stands before it (`https://bank.example.com`). `public` are paths that need no caller.
        """
        self._verifier = Verifier(audience, keys or FetchedKeys(issuers))
        self._base = None if base_url is None else base_url.rstrip("/")
        self._public = frozenset(public)
        self._most = most_bytes

    def _url(self, scheme: str, host: str, path: str, query: str) -> str:
        return f"{self._base or f'{scheme}://{host}'}{path}" + (f"?{query}" if query else "")


class ASGI(_Middleware):
    """Around an ASGI application: each HTTP request needs a caller. A websocket has no body to compare: refused."""

    def __init__(self, app: Application, **options: Any) -> None:
        super().__init__(**options)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] == "lifespan" or scope.get("path") in self._public:
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008, "reason": "calls come by HTTP"})
            return
        body = await self._body(receive)
        if body is None:
            await _answer(send, 413, {}, {"title": "Content Too Large", "status": 413})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        try:
            scope["perdure.caller"] = await asyncio.to_thread(  # it may have to fetch a key
                call,
                self._verifier,
                headers,
                method=scope["method"],
                url=self._url(
                    scope["scheme"],
                    headers.get("host", ""),
                    path,
                    scope.get("query_string", b"").decode("latin-1"),
                ),
                content=body,
            )
        except NotAuthorised as error:
            told = {"title": "Unauthorized", "status": 401, "detail": error.reason}
            await _answer(send, 401, {"www-authenticate": error.challenge}, told)
            return
        given = False

        async def again() -> MutableMapping[str, Any]:
            nonlocal given
            if given:
                return await receive()  # that the caller has left
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, again, send)

    async def _body(self, receive: Receive) -> bytes | None:
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > self._most:
                return None
            if not message.get("more_body"):
                return b"".join(pieces)


class WSGI(_Middleware):
    """Around a WSGI application: each request needs a caller."""

    def __init__(self, app: Callable[..., Iterable[bytes]], **options: Any) -> None:
        super().__init__(**options)
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """One request."""
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        if path in self._public:
            return self._app(environ, start_response)
        length = str(environ.get("CONTENT_LENGTH") or 0)
        if not length.isdecimal() or int(length) > self._most:
            return _said(
                start_response, "413 Content Too Large", [], {"title": "Content Too Large", "status": 413}
            )
        body = environ["wsgi.input"].read(int(length))
        environ["wsgi.input"] = BytesIO(body)
        headers = {"authorization": environ.get("HTTP_AUTHORIZATION"), "dpop": environ.get("HTTP_DPOP")}
        try:
            environ["perdure.caller"] = call(
                self._verifier,
                {name: value for name, value in headers.items() if value is not None},
                method=environ["REQUEST_METHOD"],
                url=self._url(
                    environ["wsgi.url_scheme"],
                    environ.get("HTTP_HOST", ""),
                    path,
                    environ.get("QUERY_STRING", ""),
                ),
                content=body,
            )
        except NotAuthorised as error:
            told = {"title": "Unauthorized", "status": 401, "detail": error.reason}
            return _said(start_response, "401 Unauthorized", [("WWW-Authenticate", error.challenge)], told)
        return self._app(environ, start_response)


async def _answer(send: Send, status: int, headers: Mapping[str, str], problem: Mapping[str, Any]) -> None:
    body = pydantic_core.to_json(problem)
    fields = {"content-type": "application/problem+json", "content-length": str(len(body)), **headers}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _said(
    start_response: Callable[..., Any],
    status: str,
    headers: list[tuple[str, str]],
    problem: Mapping[str, Any],
) -> Iterable[bytes]:
    body = pydantic_core.to_json(problem)
    fields = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body))), *headers]
    start_response(status, fields)
    return [body]
