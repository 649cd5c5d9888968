"""Proofs of possession (DPoP, RFC 9449): each request is signed with a key that never leaves the sender's memory."""

from __future__ import annotations

import secrets
from typing import Any, cast
from urllib.parse import urlsplit

import pydantic_core
from joserfc import jws
from joserfc.jwk import ECKey

from ..core.clock import Clock
from .digests import content_digest
from .keys import CURVE
from .signatures import ALGORITHM

__all__ = ["PROOF_TYPE", "ProofKey", "target"]

PROOF_TYPE = "dpop+jwt"


class ProofKey:
    """A key of this process, and its proofs. A token that is bound to it dies with the process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = ECKey.generate_key(CURVE)
        self.thumbprint = self._key.thumbprint()
        self._header: dict[str, Any] = {
            "alg": ALGORITHM,
            "typ": PROOF_TYPE,
            "jwk": cast("dict[str, Any]", self._key.as_dict(private=False)),
        }

    def prove(self, token: str, *, method: str, url: str) -> str:
        """A proof for one request with this token."""
        claims = {
            "jti": secrets.token_urlsafe(12),
            "htm": method.upper(),
            "htu": target(url),
            "iat": self._clock.micros() // 1_000_000,
            "ath": content_digest(token.encode()),
        }
        return jws.serialize_compact(
            dict(self._header), pydantic_core.to_json(claims), self._key, algorithms=[ALGORITHM]
        )


def target(url: str) -> str:
    """A URL as a proof names it: scheme and host in lower case, no default port, no query, no fragment."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{scheme}://{host}{port}{parts.path or '/'}"
