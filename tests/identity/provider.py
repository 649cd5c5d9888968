"""An identity provider on the loopback: a discovery document, a key set, and tokens as it pleases."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from joserfc import jws
from joserfc.jwk import ECKey, KeySet, OKPKey, RSAKey

AUDIENCE = "perdure"
KINDS = {
    "ES256": ("EC", "P-256"),
    "RS256": ("RSA", 2048),
    "PS256": ("RSA", 2048),
    "Ed25519": ("OKP", "Ed25519"),
}


def new_key(algorithm: str = "ES256", kid: str = "k1", **said: Any) -> Any:
    kind, size = KINDS[algorithm]
    made = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}[kind]
    told = {"kid": kid, "use": "sig", "alg": algorithm, **said}
    return made.generate_key(size, {name: value for name, value in told.items() if value is not None})  # type: ignore[attr-defined]


class Provider:
    """Its keys may be changed at any time; `asked` lists what was fetched."""

    def __init__(self) -> None:
        self.keys: list[Any] = [new_key()]
        self.says: dict[str, Any] = {}
        """in place of what its discovery document would say"""
        self.away = False
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                told: Any = None
                if self.path == "/.well-known/openid-configuration":
                    told = {"issuer": provider.url, "jwks_uri": f"{provider.url}/keys", **provider.says}
                elif self.path == "/keys":
                    told = KeySet(provider.keys).as_dict(private=False)
                self.send_response(200 if told is not None and not provider.away else 503)
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, format: str, *args: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Of a good token; None takes a claim out."""
        now = int(time.time())
        made = {
            "iss": self.url,
            "sub": "ann",
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 600,
            "jti": "j-17",
            **changed,
        }
        return {name: value for name, value in made.items() if value is not None}

    def token(self, *, key: Any = None, header: dict[str, Any] | None = None, **changed: Any) -> str:
        key = key or self.keys[0]
        algorithm = key.get("alg")
        head = {"alg": algorithm, "typ": "JWT", "kid": key.kid, **(header or {})}
        head = {name: value for name, value in head.items() if value is not None}
        return jws.serialize_compact(
            head, json.dumps(self.claims(**changed)).encode(), key, algorithms=[head["alg"]]
        )
