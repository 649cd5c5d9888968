"""Checks a call at its receiver: the token, whom it is for, that the sender holds its key, and what was sent.

Everything that a token is refused for is one error with one reason, and all of them answer 401. This is the only place
that reads a token: to decode one is not to know that it has not expired, or whom it is meant for.
"""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import pydantic_core
from joserfc.errors import JoseError
from joserfc.jwk import import_key

from .digests import arguments_digest, request_digest
from .possession import PROOF_SECONDS, NotAuthorised, Possession, SeenProofs, opened
from .tokens import CALL, LONGEST_SECONDS, TOKEN_TYPE

__all__ = ["Caller", "KeySource", "NotAuthorised", "SeenProofs", "StaticKeys", "Verifier"]

log = logging.getLogger("perdure.identity")

_UNSET: Any = object()


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
        self._possession = Possession(seen=seen, now=now)
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
        bound: Any = claims.get("cnf")
        key: Any = cast("dict[str, Any]", bound).get("jkt") if isinstance(bound, dict) else None
        self._possession.check(token, proof, method=method, url=url, key=key)
        call = _call(claims)
        if tool is not None and call.get("tool") != tool:
            raise NotAuthorised("the token is for another tool")
        if not _sent(call, urlsplit(url).query, content, arguments):
            raise NotAuthorised("the arguments are not those that the token was made for")
        return _caller(claims, call)

    def _claims(self, token: str) -> dict[str, Any]:
        _, claims = opened(token, TOKEN_TYPE, self._key_of, what="token")
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
