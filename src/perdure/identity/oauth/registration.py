"""Who Perdure is to an OAuth server that nobody has registered it with: by its metadata, or registered anew (RFC 7591).

A client that was registered so belongs to the tokens that it was given: whoever renews them must be the same. It is
kept with them, sealed, and they are never shown to another server than the one that gave them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.errors import ProviderError
from .web import Web

__all__ = ["Identity", "register"]

_GRANTS = ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")
_METHODS = ("none", "client_secret_basic", "client_secret_post")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A client of one OAuth server."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    method: str = "none"
    """how it says who it is"""
    issuer: str | None = None
    """whose client it is; None: as the settings say"""
    resource: str | None = None
    """for whom its tokens are"""

    def to_json(self) -> dict[str, Any]:
        """As it is sealed with its tokens."""
        return {
            "client_id": self.client_id,
            "secret": self.secret,
            "method": self.method,
            "issuer": self.issuer,
            "resource": self.resource,
        }


async def register(
    web: Web,
    endpoint: str,
    *,
    issuer: str,
    resource: str | None,
    redirect_uri: str | None,
    scopes: Sequence[str],
) -> Identity:
    """Register a client that is nobody else's. Raises `ProviderError`, `ProviderUnavailable`."""
    asked: dict[str, Any] = {
        "client_name": "Perdure",
        "redirect_uris": [] if redirect_uri is None else [redirect_uri],
        "grant_types": [_GRANTS[2], _GRANTS[1]] if redirect_uri is None else list(_GRANTS[:2]),
        "response_types": [] if redirect_uri is None else ["code"],
        "token_endpoint_auth_method": "none",
        "application_type": "native",
    }
    if scopes:
        asked["scope"] = " ".join(scopes)
    reply = await web.post_json(endpoint, asked)
    if reply.status not in (200, 201):
        said = f"{str(reply.told.get('error') or f'status {reply.status}')[:100]}"
        raise ProviderError(
            f"`{issuer}` does not let Perdure register itself ({said}): register it there, and set `client_id`"
        )
    return _registered(reply.told, issuer, resource)


def _registered(told: Mapping[str, Any], issuer: str, resource: str | None) -> Identity:
    client_id, secret = told.get("client_id"), told.get("client_secret")
    method = told.get("token_endpoint_auth_method", "client_secret_basic" if secret else "none")
    if not isinstance(client_id, str) or not client_id or method not in _METHODS:
        raise ProviderError(
            f"`{issuer}` registered a client that cannot be used: register one, and set `client_id`"
        )
    return Identity(
        client_id=client_id,
        secret=secret if isinstance(secret, str) and method != "none" else None,
        method=str(method),
        issuer=issuer,
        resource=resource,
    )
