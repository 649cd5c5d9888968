"""The server: HTTP on loopback, the user behind it, and what can go wrong with it."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from ...core.clock import Clock, SystemClock
from ...core.provider_settings import ProviderSettings
from .protocol import Protocol, Records
from .records import Asked, Client

__all__ = ["OAuthServer"]


class OAuthServer:
    """An authorization server and one API behind it (`/me`), between `with` and its end.

        with OAuthServer(scopes=["read"]) as server:
            server.settings()                        # for `[providers.NAME]`
            server.api                               # takes the tokens, answers who the user is

    It demands PKCE by S256 and exact addresses to come back to, hands out a new refresh token with each renewal, and
    ends a family of tokens when an old one comes again. Its user agrees at once, unless told otherwise.
    """

    def __init__(
        self,
        *,
        client_id: str = "perdure",
        client_secret: str | None = "a-clients-secret",
        auth_method: str = "client_secret_basic",
        scopes: tuple[str, ...] = ("read", "write"),
        redirect_uris: tuple[str, ...] = ("http://127.0.0.1/callback",),
        user: str = "ann",
        lifetime: float = 3600,
        rotate: bool = True,
        interval: int = 5,
        port: int = 0,
        clock: Clock | None = None,
        registers: bool = False,
    ) -> None:
        """`registers`: clients may register themselves (RFC 7591).

        `lifetime` of an access token and `interval` of a device's questions are seconds.

        `rotate`: each renewal brings a new refresh token. `client_secret=None` with `auth_method="none"` is a public
        client.
        """
        self._clock = clock or SystemClock()
        client = Client(
            client_id=client_id,
            secret=client_secret,
            auth_method=auth_method,
            scopes=scopes,
            redirect_uris=redirect_uris,
        )
        self._records = _Records(client, self._clock)
        self._records.user, self._records.lifetime = user, lifetime
        self._records.rotate, self._records.interval = rotate, interval
        self._protocol: Any = Protocol(self._records)
        self._lock = threading.RLock()
        self._faults: list[tuple[int, dict[str, str]]] = []
        self._agrees = True
        self._port = port
        self._registers = registers
        self._http: ThreadingHTTPServer
        self._thread: threading.Thread
        self.open = threading.Event()
        """cleared, the token endpoint takes requests and answers none until it is set again"""
        self.open.set()
        self.asked: list[Asked] = []
        """what came in, in order, once it was answered"""
        self.arrived = 0
        """requests at the token endpoint, those that are not answered yet counted"""
        self.says_issuer: str | None = None
        """what stands in `iss` when the user comes back; None: the truth"""

    # running -----------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its address, which is the issuer's name too."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def api(self) -> str:
        """The address that takes the tokens."""
        return f"{self.url}/me"

    def start(self) -> Self:
        """Listen; what `with` does."""
        self._http = ThreadingHTTPServer(("127.0.0.1", self._port), _handler_of(self))
        self._http.daemon_threads = True
        self._port = self._http.server_address[1]
        self._records.verification_uri = f"{self.url}/device"
        self._thread = threading.Thread(
            target=self._http.serve_forever, args=(0.02,), name="oauth server", daemon=True
        )
        self._thread.start()
        return self

    def stop(self) -> None:
        """Listen no more. `start` listens on the same port again, with all that is remembered."""
        self.open.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def settings(self, **more: Any) -> ProviderSettings:
        """For `[providers.NAME]`. `more`: what shall be else, as `client_secret="env:NAME"`."""
        told: dict[str, Any] = {"issuer": self.url, "client_id": self._records.client.client_id}
        return ProviderSettings.model_validate({**told, "scopes": self._records.client.scopes, **more})

    # the user, and what goes wrong -------------------------------------------------------------------------------

    def disagree(self) -> None:
        """From now on the user says no."""
        self._agrees = False

    def type_in(self, user_code: str, *, agree: bool = True) -> None:
        """What the user of a device does. Raises `KeyError` where no such code was handed out."""
        with self._lock:
            found = {device.user_code: device for device in self._records.devices}[user_code]
            found.agreed = agree

    def rotate(self, rotate: bool) -> None:
        """Whether each renewal from now on brings a new refresh token."""
        self._records.rotate = rotate

    def take_back(self) -> None:
        """The user takes back all that they granted, here and not at the client's."""
        with self._lock:
            for given in self._records.given:
                given.revoked = True

    def fail(
        self,
        status: int,
        *,
        times: int = 1,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer the next requests at the token endpoint with `status`; 0: close the connection instead."""
        wait = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self._faults.extend([(status, {**wait, **(headers or {})})] * times)

    def count(self, endpoint: str, **form: str) -> int:
        """How many requests were answered at an endpoint, with this in their forms: `count("token", code="...")`."""
        return sum(a.endpoint == endpoint and form.items() <= a.form.items() for a in self.asked)

    def secrets(self) -> list[str]:
        """All tokens that were handed out: what must be found nowhere else."""
        with self._lock:
            return [
                token for given in self._records.given for token in (given.access, given.refresh) if token
            ]

    # answering ---------------------------------------------------------------------------------------------------

    def answer(
        self, method: str, path: str, headers: Any, body: str
    ) -> tuple[int, Any, dict[str, str]] | None:
        """One request; None: the connection is closed without an answer."""
        parts = urlsplit(path)
        sent = "" if body.startswith("{") else body
        form = dict(parse_qsl(parts.query)) | dict(parse_qsl(sent))
        endpoint = _ENDPOINTS.get(parts.path, "")
        if endpoint == "token":
            self.arrived += 1
            self.open.wait()
        with self._lock:
            answer = self._fault() if endpoint == "token" else None
            if answer is None:
                answer = self._answer(endpoint, method, (method, f"{self.url}{path}", headers, body))
            self.asked.append(Asked(endpoint, form, answer[0]))
        return answer if answer[0] else None

    def _fault(self) -> tuple[int, Any, dict[str, str]] | None:
        if not self._faults:
            return None
        status, headers = self._faults.pop(0)
        return status, {}, headers

    def _answer(self, endpoint: str, method: str, request: Any) -> tuple[int, Any, dict[str, str]]:
        match endpoint, method:
            case "token", "POST":
                return self._protocol.create_token_response(request)
            case "device", "POST":
                return self._protocol.create_endpoint_response("device_authorization", request)
            case "revoke", "POST":
                return self._protocol.create_endpoint_response("revocation", request)
            case "authorize", "GET":
                return self._authorize(request)
            case "register", "POST" if self._registers:
                return self._register(json.loads(request[3]))
            case "metadata", "GET":
                return 200, self._metadata(), {}
            case "me", _:
                return self._me(request[2])
            case _:
                return 404, {"error": "not_found"}, {}

    def _authorize(self, request: Any) -> tuple[int, Any, dict[str, str]]:
        from authlib.oauth2 import OAuth2Error

        try:
            grant: Any = self._protocol.get_consent_grant(request, end_user=self._records.user)
        except OAuth2Error as error:
            return self._protocol.handle_error_response(None, error)
        user = self._records.user if self._agrees else None
        status, body, headers = self._protocol.create_authorization_response(grant.request, user, grant)
        if "Location" in headers:
            joint = "&" if "?" in headers["Location"] else "?"
            headers["Location"] += joint + urlencode({"iss": self.says_issuer or self.url})  # RFC 9207
        return status, body, headers

    def _register(self, told: dict[str, Any]) -> tuple[int, Any, dict[str, str]]:
        client = Client(
            client_id=f"client-{len(self._records.registered) + 1}",
            auth_method="none",
            scopes=self._records.client.scopes,
            redirect_uris=tuple(told["redirect_uris"]),
        )
        self._records.registered[client.client_id] = client
        return 201, {**told, "client_id": client.client_id}, {}

    def _me(self, headers: Any) -> tuple[int, Any, dict[str, str]]:
        token = str(headers.get("Authorization", "")).removeprefix("Bearer ")
        now = self._records.now()
        for given in self._records.given:
            if given.access == token and not given.revoked and now < given.ends:
                return 200, {"sub": given.user, "scope": given.scope}, {}
        return 401, {"error": "invalid_token"}, {"WWW-Authenticate": 'Bearer error="invalid_token"'}

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "device_authorization_endpoint": f"{self.url}/device",
            "revocation_endpoint": f"{self.url}/revoke",
            **({"registration_endpoint": f"{self.url}/register"} if self._registers else {}),
            "scopes_supported": list(self._records.client.scopes),
            "response_types_supported": ["code"],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
        }


_ENDPOINTS = {
    "/authorize": "authorize",
    "/token": "token",
    "/device": "device",
    "/revoke": "revoke",
    "/me": "me",
    "/register": "register",
    "/.well-known/oauth-authorization-server": "metadata",
}


class _Records(Records):
    def __init__(self, client: Client, clock: Clock) -> None:
        super().__init__(client)
        self._clock = clock

    def now(self) -> float:
        return self._clock.micros() / 1e6


def _handler_of(server: OAuthServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def handle_one(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size).decode() if size else ""
            answer = server.answer(self.command, self.path, self.headers, body)
            self.close_connection = True
            if answer is None:
                return
            status, told, headers = answer
            data = json.dumps(told).encode() if told else b""
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = handle_one

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
