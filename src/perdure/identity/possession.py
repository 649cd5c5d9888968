"""Whether whoever shows a token holds the key to which it is bound (DPoP, RFC 9449): a stolen one opens nothing."""

from __future__ import annotations

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import lru_cache
from threading import Lock
from typing import Any, cast

import pydantic_core
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from ..core.errors import PerdureError
from .digests import content_digest
from .proofs import PROOF_TYPE, target
from .signatures import ALGORITHM, SignedText

__all__ = ["PROOF_SECONDS", "NotAuthorised", "Possession", "SeenProofs", "opened"]

MOST_BYTES = 16_384
"""Of a token, or of a proof."""
PROOF_SECONDS = 60
"""How old a proof may be, and how far the clocks of both sides may differ."""


class NotAuthorised(PerdureError):
    """A call is refused: answer it with status 401 and `challenge`."""

    status = 401

    def __init__(self, reason: str, *, error: str = "invalid_token") -> None:
        super().__init__(reason)
        self.reason = reason
        self.error = error

    @property
    def challenge(self) -> str:
        """For `WWW-Authenticate`: RFC 9449, 7.1. It says what is wrong, and nothing of the token."""
        return f'DPoP error="{self.error}", error_description="{self.reason}", algs="{ALGORITHM}"'


class SeenProofs:
    """Proofs that were used: each is good once. In memory; several processes of one receiver need a shared one."""

    def __init__(self, *, most: int = 100_000) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()
        self._most = most
        self._lock = Lock()

    def first(self, proof: str, *, until: float, now: float) -> bool:
        """Whether this is its first use. Remembered until `until`, seconds since the epoch."""
        with self._lock:
            while self._until:
                oldest = next(iter(self._until))
                if self._until[oldest] > now:
                    break
                del self._until[oldest]
            if proof in self._until:
                return False
            if len(self._until) >= self._most:
                raise NotAuthorised("too many calls at once", error="use_dpop_nonce")
            self._until[proof] = until
            return True


class Possession:
    """Checks the proofs that come to one receiver."""

    def __init__(self, *, seen: SeenProofs | None = None, now: Callable[[], float] = time.time) -> None:
        self._seen = seen or SeenProofs()
        self._now = now

    def check(self, token: str, proof: str, *, method: str, url: str, key: Any) -> None:
        """Raise `NotAuthorised` unless `proof` is by the `key` (its thumbprint) to which `token` is bound."""
        thumbprint = ""

        def key_of(header: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
            nonlocal thumbprint
            public, thumbprint = _proof_key(pydantic_core.to_json(header.get("jwk")))
            return public

        _, said = opened(proof, PROOF_TYPE, key_of, what="proof")
        if key != thumbprint:
            raise NotAuthorised("the token is bound to another key")
        now = self._now()
        if said.get("htm") != method.upper() or target(str(said.get("htu"))) != target(url):
            raise NotAuthorised("the proof is for another request", error="invalid_dpop_proof")
        if not hmac.compare_digest(str(said.get("ath")), content_digest(token.encode())):
            raise NotAuthorised("the proof is for another token", error="invalid_dpop_proof")
        issued, unique = said.get("iat"), said.get("jti")
        if not isinstance(issued, int) or abs(now - issued) > PROOF_SECONDS:
            raise NotAuthorised("the proof is too old, or of the future", error="invalid_dpop_proof")
        if not isinstance(unique, str) or not 8 <= len(unique) <= 200:
            raise NotAuthorised("the proof has no id", error="invalid_dpop_proof")
        if not self._seen.first(f"{thumbprint}.{unique}", until=issued + 2 * PROOF_SECONDS + 1, now=now):
            raise NotAuthorised("the proof was used before", error="invalid_dpop_proof")


def opened(
    text: str, type_: str, key_of: Callable[[Mapping[str, Any], Mapping[str, Any]], Any], *, what: str
) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The header and claims of a signed text. Raises `NotAuthorised`, whatever it was that came."""
    error = "invalid_token" if what == "token" else "invalid_dpop_proof"
    if len(text) > MOST_BYTES:
        raise NotAuthorised(f"the {what} is too long", error=error)
    try:
        made = SignedText.read(text)
        header = made.header
        if header.get("alg") != ALGORITHM or str(header.get("typ", "")).lower() != type_:
            raise NotAuthorised(f"the {what} is not signed by {ALGORITHM}, or no {type_}", error=error)
        if "crit" in header or "b64" in header:
            raise NotAuthorised(f"the {what} asks for what is not understood here", error=error)
        claims = _object(made.payload, what=what)
        if not made.signed_by(key_of(header, claims)):
            raise NotAuthorised(f"the {what}'s signature is wrong", error=error)
    except (JoseError, ValueError, TypeError, KeyError) as found:
        raise NotAuthorised(f"the {what} cannot be read", error=error) from found
    return header, claims


def _object(payload: bytes, *, what: str) -> dict[str, Any]:
    try:
        found: Any = pydantic_core.from_json(payload)
    except ValueError as error:
        raise NotAuthorised(f"the {what} cannot be read") from error
    if not isinstance(found, dict):
        raise NotAuthorised(f"the {what} cannot be read")
    return cast("dict[str, Any]", found)


@lru_cache(maxsize=1024)  # a sender proves by one key for as long as it lives
def _proof_key(jwk: bytes) -> tuple[Any, str]:
    told: Any = pydantic_core.from_json(jwk)
    if not isinstance(told, dict):
        raise NotAuthorised("the proof has no key", error="invalid_dpop_proof")
    found = cast("dict[str, Any]", told)
    if found.get("kty") != "EC" or found.get("crv") != "P-256" or "d" in found:
        raise NotAuthorised("the proof's key is of no accepted kind", error="invalid_dpop_proof")
    key = ECKey.import_key(found)
    return key, key.thumbprint()
