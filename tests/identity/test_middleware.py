"""`perdure.verify` before real servers: ASGI under uvicorn, WSGI under wsgiref; keys fetched from a real issuer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import httpx
import pytest
import uvicorn

from perdure import ConfigError, verify
from perdure.core.clock import SystemClock
from perdure.identity.digests import arguments_digest, request_digest
from perdure.identity.fetching import FetchedKeys
from perdure.identity.keys import Keyring, jwks
from perdure.identity.keystore import FileKeyStore
from perdure.identity.proofs import ProofKey
from perdure.identity.tokens import Call, Delegation, Issuer
from tests.identity.conftest import OWNER

BODY = b'{"to": "Ada"}'


class IssuerServer:
    """The issuer's documents, over HTTP; it counts who asks."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {}
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                found = outer.documents.get(self.path)
                self.send_response(404 if found is None else 200)
                self.end_headers()
                self.wfile.write(json.dumps(found).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def publish(self, *rings: Keyring) -> None:
        self.documents = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/jwks"},
            "/jwks": jwks(rings),
        }


@pytest.fixture
def issuing() -> Iterator[IssuerServer]:
    made = IssuerServer()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    body = (await receive())["body"]
    caller = scope.get("perdure.caller")
    text = f"{caller.agent if caller else None} {body.decode()}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    caller = environ.get("perdure.caller")
    start_response("200 OK", [])
    return [f"{caller.agent if caller else None} {body.decode()}".encode()]


@contextmanager
def asgi(**options: Any) -> Iterator[str]:
    app: Any = verify.ASGI(asgi_app, **options)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    ready = threading.Event()
    startup = server.startup

    async def started(*args: Any, **kwargs: Any) -> None:
        await startup(*args, **kwargs)
        ready.set()

    server.startup = started  # type: ignore[method-assign]
    thread = threading.Thread(target=server.run)
    thread.start()
    ready.wait(30)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None: ...


@contextmanager
def wsgi(**options: Any) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, verify.WSGI(wsgi_app, **options), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("served", [asgi, wsgi])
def test_a_server_lets_in_the_call_that_was_admitted_and_nothing_else(
    served: Callable[..., Any], issuing: IssuerServer, keystore: FileKeyStore
) -> None:
    ring = Keyring(keystore, OWNER, SystemClock())
    issuer = Issuer(issuing.url, ring, SystemClock())
    key = ProofKey(SystemClock())
    issuer.ring.signing()
    issuing.publish(ring)
    call = Call(
        tenant="acme",
        run="r1",
        step="pay",
        tool="pay",
        arguments=arguments_digest({"to": "Ada"}),
        content=request_digest("", BODY),
    )
    options: dict[str, Any] = {
        "audience": "https://bank.example.com",
        "issuers": [issuing.url],
        "public": ["/health"],
        "most_bytes": 1000,
    }
    with served(**options) as url, httpx.Client(base_url=url) as client:
        token = issuer.mint(
            call, Delegation("user:ada"), audience="https://bank.example.com", proof_key=key.thumbprint
        )

        def post(content: bytes) -> httpx.Response:
            proof = key.prove(token, method="POST", url=f"{url}/pay")
            return client.post(
                "/pay", content=content, headers={"Authorization": f"DPoP {token}", "DPoP": proof}
            )

        assert post(BODY).text == f'{OWNER.agent} {{"to": "Ada"}}'
        swapped = post(BODY.replace(b"Ada", b"Eve"))
        assert swapped.status_code == 401
        assert swapped.json()["detail"] == "the arguments are not those that the token was made for"
        assert swapped.headers["www-authenticate"].startswith('DPoP error="invalid_token"')
        assert client.post("/pay", content=BODY).status_code == 401
        assert post(b"x" * 1001).status_code == 413
        assert client.get("/health").text == "None "

        ring.rotate(lead=0)  # a key that the server has not seen: fetched when it is met
        issuing.publish(ring)
        token = issuer.mint(
            call, Delegation("user:ada"), audience="https://bank.example.com", proof_key=key.thumbprint
        )
    assert issuing.asked == ["/.well-known/openid-configuration", "/jwks"]


def test_a_key_that_is_not_known_is_fetched_and_not_with_each_call(
    issuing: IssuerServer, keystore: FileKeyStore
) -> None:
    at = 0.0
    ring = Keyring(keystore, OWNER, SystemClock())
    first = ring.signing().kid
    issuing.publish(ring)
    keys = FetchedKeys([issuing.url], now=lambda: at)
    assert keys.find(issuing.url, first) is not None
    second = ring.rotate(lead=0).kid
    issuing.publish(ring)

    assert keys.find(issuing.url, second) is None, "it was asked a moment ago"
    assert keys.find("https://evil.example", first) is None
    assert len(issuing.asked) == 2
    at = 5.1
    assert keys.find(issuing.url, second) is not None
    issuing.documents = {}
    at = 1000.0
    assert keys.find(issuing.url, second) is not None, "an issuer that is away does not stop the calls"


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {"issuer": "https://evil.example", "jwks_uri": "x"},
        {"issuer": "URL", "jwks_uri": "http://10.0.0.1/"},
    ],
)
def test_a_discovery_document_that_cannot_be_trusted_gives_no_keys(
    issuing: IssuerServer, document: Any
) -> None:
    if isinstance(document, dict) and document["issuer"] == "URL":
        document = {**document, "issuer": issuing.url}
    issuing.documents = {"/.well-known/openid-configuration": document}
    assert FetchedKeys([issuing.url]).find(issuing.url, "k") is None


def test_keys_come_by_https() -> None:
    with pytest.raises(ConfigError, match="by https only"):
        FetchedKeys(["http://agents.example.org"])
