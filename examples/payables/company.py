"""The company around the agent: how its people sign in, and what the demo writes down for all of them."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import ECKey

HERE = Path(__file__).resolve().parent
LOGIN = "https://login.harrow.example"

SETTINGS = """\
app = "{here}/payables.py:app"
store = "sqlite:///perdure.db"
policies = "{here}/policies"
lease = 2       # seconds, so that a killed worker's runs are taken over while you watch

[identity]
trust_domain = "agents.harrow.example"
issuer = "{issuer}"

[identity.issuers.company]      # who vouches for the clerks
url = "{login}"
audience = "payables"
jwks = "{jwks}"

[providers.ledger]              # where clerks have accounts of their own
issuer = "{ledger}"
client_id = "perdure"
client_secret = "env:LEDGER_SECRET"
scopes = ["write"]

[approvals.groups]
managers = ["user:bob"]

[approvals.keys]
"user:bob" = ["{bob}"]
"user:eve" = ["{eve}"]
"""


class Login:
    """The company's identity provider: it signs what its people show."""

    def __init__(self, folder: Path) -> None:
        self._key = ECKey.generate_key("P-256", {"kid": "login-1", "use": "sig"})
        self.jwks = folder / "login.jwks.json"
        self.jwks.write_text(json.dumps({"keys": [self._key.as_dict(private=False)]}), encoding="utf-8")

    def token(self, name: str, scope: str) -> str:
        """What a person gets who signs in."""
        now = int(time.time())
        claims = {
            "iss": LOGIN,
            "sub": name,
            "aud": "payables",
            "iat": now,
            "exp": now + 600,
            "scope": scope,
            "jti": f"{name}-{now}",
        }
        header = {"alg": "ES256", "typ": "JWT", "kid": "login-1"}
        return jwt.encode(header, claims, self._key, algorithms=["ES256"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return found.getsockname()[1]
