"""`approvals approve --sign-in`: a person signs in with an OpenID Connect provider, for that one answer."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from tests.cli.conftest import Answer, Cli

pytest.importorskip("authlib", reason='no Authlib: `pip install "perdure[vault]"`')


class Provider:
    """Signs in whoever comes, as Grace."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "k1"})
        self.asked: dict[str, dict[str, str]] = {}
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.get(self)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                provider.say(self, provider.token({k: v[0] for k, v in parse_qs(body).items()}))

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def get(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        match parts.path:
            case "/.well-known/openid-configuration":
                places = {name: f"{self.url}/{name}" for name in ("authorize", "token", "jwks")}
                told = {
                    "issuer": self.url,
                    "authorization_endpoint": places["authorize"],
                    "token_endpoint": places["token"],
                    "jwks_uri": places["jwks"],
                }
                self.say(handler, told)
            case "/jwks":
                self.say(handler, {"keys": [self.key.as_dict(private=False)]})
            case "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                code = f"code{len(self.asked)}"
                self.asked[code] = query
                back = urlencode({"code": code, "state": query["state"]})
                handler.send_response(302)
                handler.send_header("Location", f"{query['redirect_uri']}?{back}")
                handler.end_headers()
            case _:
                handler.send_error(404)

    def token(self, form: dict[str, str]) -> dict[str, Any]:
        asked, now = self.asked[form["code"]], int(time.time())
        claims = {
            "iss": self.url,
            "sub": "grace",
            "aud": asked["client_id"],
            "nonce": asked["nonce"],
            "iat": now,
            "auth_time": now,
            "exp": now + 300,
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": "k1"}
        signed = jws.serialize_compact(header, json.dumps(claims), self.key, algorithms=["ES256"])
        return {"access_token": "a", "token_type": "Bearer", "id_token": signed}

    def say(self, handler: BaseHTTPRequestHandler, told: Any) -> None:
        body = json.dumps(told).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def provider() -> Iterator[Provider]:
    made = Provider()
    yield made
    made.server.shutdown()
    made.server.server_close()


def approve(cli: Cli, *options: str) -> Answer:
    """By a real process, and a browser that goes where it is sent."""
    process = cli.start("approvals", "approve", "r", "--sign-in", "work", "--json", *options)
    assert process.stderr is not None
    url = next(line.strip() for line in process.stderr if line.startswith("http"))
    with urllib.request.urlopen(url) as answer:
        assert b"look at the terminal" in answer.read()
    return cli.finish(process)


@pytest.mark.soak
def test_a_sign_in_for_one_answer(cli: Cli, provider: Provider) -> None:
    (cli.folder / "perdure.toml").write_text(
        f'[approvals.issuers.work]\nurl = "{provider.url}"\naudience = "perdure-approvals"\n'
    )
    cli.begin("refunds", "r", "--input", "5")
    cli.work()
    digest = cli("approvals", "show", "r", "--json").json["digest"]
    bare = cli("approvals", "approve", "r", "--digest", digest, "--by", "grace")
    assert "--sign-in ISSUER" in bare.stderr
    unknown = cli("approvals", "approve", "r", "--digest", digest, "--sign-in", "home")
    assert "`[approvals.issuers]` has no `home`; there are: `work`" in unknown.stderr

    assert approve(cli, "--digest", digest, "--by", "grace", "--reason", "it is due").json["signed"]
    assert all(asked["max_age"] == "0" for asked in provider.asked.values())
    cli.work()
    assert cli.record("r")["result"] == "refunded 5"
    assert "approved by user:grace, signed by key k1" in cli("runs", "show", "r").stdout
