"""What a provider hands out, as it is kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from .registration import Identity

__all__ = ["Tokens", "missing_scopes", "scopes_of"]

FOREVER = 1e9
"""Seconds, some thirty years: a token that is said to last longer was said to do so by mistake."""


def scopes_of(said: str) -> tuple[str, ...]:
    """The scopes in a provider's answer: with spaces between (RFC 6749, 3.3), or commas, as GitHub has them."""
    return tuple(dict.fromkeys(part for part in re.split(r"[\s,]+", said) if part))


def missing_scopes(wanted: Sequence[str], granted: Sequence[str]) -> tuple[str, ...]:
    """Those that are wanted and not granted, compared letter by letter, as RFC 6749 has it."""
    return tuple(scope for scope in wanted if scope not in granted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """The tokens of one user with one provider, or their API key, which is an access token without an end."""

    access: str
    refresh: str | None = None
    expires_at: int | None = None
    """microseconds since the Unix epoch; None: nobody said"""
    scopes: tuple[str, ...] = ()
    """what they allow"""
    scheme: str = "Bearer"
    id_token: str | None = None
    """who signed in, as the provider says it to whoever asked now (OpenID Connect); it is not kept"""

    client: Identity | None = None
    """whose they are, where the client is one that registered itself, or of a server that was found; None: the client
    of the settings"""

    def __repr__(self) -> str:
        return f"Tokens(scopes={self.scopes!r}, expires_at={self.expires_at})"

    @classmethod
    def of_answer(
        cls, told: Mapping[str, Any], *, now: int, asked: Sequence[str], before: Tokens | None = None
    ) -> Self:
        """From the answer of a token endpoint (RFC 6749, 5.1). `before`: what was refreshed.

        Raises `ValueError` where there is no token in it, or one of a kind that cannot be used.
        """
        access, kind = told.get("access_token"), told.get("token_type", "Bearer")
        if not isinstance(access, str) or not access:
            raise ValueError("there is no `access_token` in it")
        if not isinstance(kind, str) or kind.lower() != "bearer":
            raise ValueError(f"its tokens are of type `{str(kind)[:40]}`, not `Bearer`")
        refresh, lasts, scope, who = (
            told.get(name) for name in ("refresh_token", "expires_in", "scope", "id_token")
        )
        if scope is not None and not isinstance(scope, str):
            raise ValueError("its `scope` is no text")
        ends = None if lasts is None else float(lasts)
        if ends is not None and not 0 <= ends < FOREVER:
            raise ValueError(f"its `expires_in` is `{ends:g}` seconds")
        granted = tuple(asked) if before is None else before.scopes
        return cls(
            access=access,
            # Without a new one the old one stays good (RFC 6749, 6).
            refresh=refresh if isinstance(refresh, str) and refresh else (before.refresh if before else None),
            expires_at=None if ends is None else now + int(ends * 1e6),
            scopes=granted if not scope else scopes_of(scope),
            id_token=who if isinstance(who, str) else None,
            client=None if before is None else before.client,
        )

    def to_json(self) -> dict[str, Any]:
        """As it is sealed. Nothing else may see it."""
        return {
            "access": self.access,
            "refresh": self.refresh,
            "expires_at": self.expires_at,
            "scopes": list(self.scopes),
            "scheme": self.scheme,
            **({} if self.client is None else {"client": self.client.to_json()}),
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """What `to_json` has made."""
        values: dict[str, Any] = {**told, "scopes": tuple(told["scopes"])}
        if (client := values.get("client")) is not None:
            values["client"] = Identity(**client)
        return cls(**values)
