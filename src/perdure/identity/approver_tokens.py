"""A fresh sign-in as a signature: an issuer vouches for who answered, over exactly this answer.

    statement ─ SHA-256 ─► `nonce` of the sign-in ─► the person signs in ─► ID token with that `nonce` ─► proof

OpenID Connect carries a `nonce` unchanged from the request into the token. So the issuer's signature over the token is
one over the statement, and the token is good for no other answer.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pydantic_core

from ..core.approval_settings import ApprovalSettings
from ..core.clock import SystemClock
from ..core.errors import BadSignature, ConfigError, PrincipalRefused
from ..core.identity_settings import TrustedIssuer
from ..core.people import person
from ..core.statements import Statement
from .approvals import SKEW_SECONDS, Signed
from .fetching import FetchedKeys
from .oidc import Users, keys_of_file
from .signatures import SignedText
from .verification import KeySource, StaticKeys

__all__ = ["ApproverTokens", "as_it_was"]


class ApproverTokens:
    """The issuers that vouch for approvers. Thread-safe; `examine` may block for a fetch of keys."""

    def __init__(self, issuers: Mapping[str, TrustedIssuer], *, keys: KeySource | None = None) -> None:
        """`keys`: theirs, in place of those that are fetched or read. Raises `ConfigError`."""
        # where their keys are is settled here: `Users` is made anew for each answer, at its time
        self._issuers = {name: i.model_copy(update={"jwks": None}) for name, i in issuers.items()}
        self._keys: KeySource = keys or _Sources(issuers)

    def examine(
        self,
        proof: Mapping[str, Any],
        expected: Statement,
        settings: ApprovalSettings,
        *,
        at: int,
        now: int,
    ) -> Signed:
        """Who signed in for this answer. Raises `BadSignature`, which says why not.

        `proof` has the `token`, and the `iat` of the statement; `at` is when the answer arrived: the token must have
        been good then.
        """
        token, iat = proof.get("token"), proof.get("iat")
        if set(proof) != {"token", "iat"} or not isinstance(token, str) or type(iat) is not int:
            raise BadSignature("the sign-in cannot be read: it is `token` and `iat`, and nothing else")
        said = replace(expected, iat=iat, kid=None)
        try:
            users = Users(self._issuers, tenant=expected.tenant, keys=self._keys, clock=_At(at))
            principal = users.verify(token)
        except (PrincipalRefused, ConfigError) as error:
            raise BadSignature(f"the sign-in does not count: {error}") from error
        text = SignedText.read(token.strip())
        claims = cast("dict[str, Any]", pydantic_core.from_json(text.payload))
        if person(principal.subject) != person(expected.sub):
            raise BadSignature(
                f"`{principal.subject}` has signed in, and `{expected.sub}` is said to have answered"
            )
        if principal.tenant != expected.tenant:
            raise BadSignature(f"`{principal.subject}` is of tenant `{principal.tenant}`, and the run is not")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not hmac.compare_digest(nonce.encode(), said.hash.encode()):
            raise BadSignature(
                "the sign-in was for another answer: its `nonce` is not the digest of this statement"
            )
        most = settings.signed_within.total_seconds()
        for name, time in (("iat", claims["iat"]), ("auth_time", claims.get("auth_time")), ("answer", iat)):
            if time is not None and not -SKEW_SECONDS <= at / 1e6 - _number(time) <= most:
                raise BadSignature(
                    f"the sign-in is not fresh: its {name} is {at / 1e6 - _number(time):.0f} s before the answer "
                    f"arrived, and {most:.0f} s are allowed (`signed_within`): sign in again"
                )
        kid = str(text.header["kid"])
        issuer = str(principal.issuer)
        return Signed(
            by=principal.subject,
            key=kid,
            public=self._public(issuer, kid),
            iat=iat,
            checked_at=now,
            issuer=issuer,
        )

    def _public(self, issuer: str, kid: str) -> str:
        """The issuer's key: issuers change theirs, and an auditor comes later."""
        key = self._keys.find(issuer, kid)
        return "" if key is None else pydantic_core.to_json(key.as_dict(private=False)).decode()


def as_it_was(issuer: str, public: str) -> KeySource:
    """The key of an issuer that a run has written down. Raises `BadSignature`."""
    try:
        return StaticKeys({issuer: {"keys": [pydantic_core.from_json(public)]}})
    except (ValueError, TypeError, KeyError) as error:
        raise BadSignature("the issuer's key that the run wrote down is none") from error


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


class _At(SystemClock):
    """A clock that stands still: a token is looked at as of the time when the answer arrived."""

    def __init__(self, at: int) -> None:
        self._at = at

    def micros(self) -> int:
        return self._at


class _Sources:
    """Keys from files, else from the issuers themselves."""

    def __init__(self, issuers: Mapping[str, TrustedIssuer]) -> None:
        self._files: dict[str, StaticKeys] = {}
        addresses: dict[str, str | None] = {}
        for issuer in issuers.values():
            if issuer.jwks is not None and "://" not in issuer.jwks:
                self._files[issuer.url] = keys_of_file(issuer.url, Path(issuer.jwks))
            else:
                addresses[issuer.url] = issuer.jwks
        self._fetched = FetchedKeys(addresses)

    def find(self, issuer: str, kid: str) -> Any | None:
        """The key of an issuer, or None."""
        return (self._files.get(issuer) or self._fetched).find(issuer, kid)
