"""Checks a call at its receiver: the token, whom it is for, that the sender holds its key, and what was sent.

Everything that a token is refused for is one error with one reason, and all of them answer 401. This is the only place
that reads a token: to decode one is not to know that it has not expired, or whom it is meant for.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import pydantic_core
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, import_key

from ..core.errors import PerdureError
from .digests import arguments_digest, content_digest, request_digest
from .proofs import PROOF_TYPE, target
from .signatures import ALGORITHM, SignedText
from .tokens import CALL, LONGEST_SECONDS, TOKEN_TYPE

__all__ = ["Caller", "KeySource", "NotAuthorised", "SeenProofs", "StaticKeys", "Verifier"]

log = logging.getLogger("perdure.identity")

MOST_BYTES = 16_384
"""Of a token, or of a proof."""
PROOF_SECONDS = 60
"""How old a proof may be, and how far the clocks of both sides may differ."""
_UNSET: Any = object()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who calls, for whom, and what for: authorise by `subject` and `agent`."""

    subject: str
    agent: str
    """the SPIFFE id of the agent that acts"""
    chain: Sequence[str]
    """the agents that handed the task on; for the audit only"""
    tenant: str
    run: str
    step: str
    """with `run` the same over all attempts: an idempotency key"""
    tool: str
    scope: frozenset[str]
    version: str | None
    claims: Mapping[str, Any] = field(repr=False)


class KeySource(Protocol):
    """Where the issuers' public keys come from."""

    def find(self, issuer: str, kid: str) -> Any | None:
        """The key of an issuer, or None if it has none of that id."""
        ...


class StaticKeys:
    """Key sets that are known beforehand, by issuer."""

    def __init__(self, sets: Mapping[str, Mapping[str, Any]]) -> None:
        self._keys: dict[tuple[str, str], Any] = {}
        for issuer, found in sets.items():
            for told in found["keys"]:
                key = _imported(told)
                if key is not None and key.kid is not None:
                    self._keys[issuer, key.kid] = key

    def find(self, issuer: str, kid: str) -> Any | None:
        """The key of an issuer, or None."""
        return self._keys.get((issuer, kid))


def _imported(told: Any) -> Any | None:
    """A key of a set; None where it cannot be used here: the others are none the worse for it (RFC 7517, 5)."""
    if not isinstance(told, dict):
        return None
    try:
        return import_key(cast("dict[str, Any]", told))
    except (JoseError, ValueError, TypeError, KeyError) as error:
        log.warning("a key of a key set cannot be used: %s", error)
        return None


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


class Verifier:
    """Checks the calls to one receiver."""

    def __init__(
        self,
        audience: str | Sequence[str],
        keys: KeySource,
        *,
        seen: SeenProofs | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._audience = {audience} if isinstance(audience, str) else set(audience)
        self._keys = keys
        self._seen = seen or SeenProofs()
        self._now = now

    def verify(
        self,
        authorization: str | None,
        proof: str | None,
        *,
        method: str,
        url: str,
        content: bytes | None = None,
        arguments: Any = _UNSET,
        tool: str | None = None,
    ) -> Caller:
        """The caller of one request. Raises `NotAuthorised`.

        `authorization` and `proof` are the headers `Authorization` and `DPoP`. Give `content`, the body as it came, or
        `arguments`, what the tool is called with (or both), and what was admitted is compared with what is here; and
        the `tool`'s name, where the receiver has several.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "dpop" or not token:
            raise NotAuthorised(
                "an access token with a proof of possession is needed", error="invalid_request"
            )
        if proof is None:
            raise NotAuthorised("the proof of possession is missing", error="invalid_dpop_proof")
        claims = self._claims(token)
        self._prove(token, proof, claims, method=method, url=url)
        call = _call(claims)
        if tool is not None and call.get("tool") != tool:
            raise NotAuthorised("the token is for another tool")
        if not _sent(call, urlsplit(url).query, content, arguments):
            raise NotAuthorised("the arguments are not those that the token was made for")
        return _caller(claims, call)

    def _claims(self, token: str) -> dict[str, Any]:
        _, claims = _opened(token, TOKEN_TYPE, self._key_of, what="token")
        now = self._now()
        audience: Any = claims.get("aud")
        meant = set(cast("list[Any]", audience)) if isinstance(audience, list) else {audience}
        if not meant & self._audience:
            raise NotAuthorised("the token is for somebody else")
        expires, issued = claims.get("exp"), claims.get("iat")
        if not isinstance(expires, int) or not isinstance(issued, int):
            raise NotAuthorised("the token does not say when it ends")
        if now >= expires or expires - issued > LONGEST_SECONDS:
            raise NotAuthorised("the token has expired, or lasts too long")
        if issued > now + PROOF_SECONDS or claims.get("nbf", issued) > now + PROOF_SECONDS:
            raise NotAuthorised("the token is not valid yet")
        return claims

    def _key_of(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
        key = self._keys.find(str(claims.get("iss")), str(header.get("kid")))
        if key is None:
            raise NotAuthorised("the token's issuer or key is not known here")
        return key

    def _prove(self, token: str, proof: str, claims: Mapping[str, Any], *, method: str, url: str) -> None:
        thumbprint = ""

        def key_of(header: Mapping[str, Any], claims: Mapping[str, Any]) -> Any:
            nonlocal thumbprint
            key, thumbprint = _proof_key(pydantic_core.to_json(header.get("jwk")))
            return key

        _, said = _opened(proof, PROOF_TYPE, key_of, what="proof")
        bound: Any = claims.get("cnf")
        if not isinstance(bound, dict) or cast("dict[str, Any]", bound).get("jkt") != thumbprint:
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


def _opened(
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


def _call(claims: Mapping[str, Any]) -> Mapping[str, Any]:
    details: Any = claims.get("authorization_details")
    for entry in cast("list[Any]", details) if isinstance(details, list) else []:
        if isinstance(entry, dict) and cast("dict[str, Any]", entry).get("type") == CALL:
            return cast("dict[str, Any]", entry)
    raise NotAuthorised("the token says of no call that it is for")


def _sent(call: Mapping[str, Any], query: str, content: bytes | None, arguments: Any) -> bool:
    """Whether what is here is what was admitted. What the caller of `verify` has not got cannot be compared."""
    wanted, bytes_wanted = str(call.get("args_sha256")), call.get("content_sha256")
    if arguments is not _UNSET and not _is(arguments, wanted):
        return False
    if content is None:
        return True
    if isinstance(bytes_wanted, str):
        return hmac.compare_digest(request_digest(query, content), bytes_wanted)
    if arguments is not _UNSET:
        return True
    if query:
        return not content and _is(dict(parse_qsl(query, keep_blank_values=True)), wanted)
    try:
        return _is(pydantic_core.from_json(content or b"{}"), wanted)
    except ValueError:
        return False


def _is(arguments: Any, digest: str) -> bool:
    try:
        return hmac.compare_digest(arguments_digest(arguments), digest)
    except (ValueError, TypeError, RecursionError):
        return False


def _caller(claims: Mapping[str, Any], call: Mapping[str, Any]) -> Caller:
    actors: list[str] = []
    act: Any = claims.get("act")
    while isinstance(act, dict) and len(actors) < 100:
        told = cast("dict[str, Any]", act)
        actors.append(str(told.get("sub")))
        act = told.get("act")
    named = str(claims.get("jti")).split(":", 2)
    if not actors or len(named) != 3 or not isinstance(claims.get("sub"), str):
        raise NotAuthorised("the token does not say who acts, or for whom")
    return Caller(
        subject=claims["sub"],
        agent=actors[0],
        chain=tuple(actors[1:]),
        tenant=named[0],
        run=named[1],
        step=named[2],
        tool=str(call.get("tool")),
        scope=frozenset(str(claims.get("scope", "")).split()),
        version=claims.get("agent_version"),
        claims=claims,
    )
