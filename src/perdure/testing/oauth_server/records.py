"""What an OAuth server remembers: its client, codes, tokens and devices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

__all__ = ["Asked", "Client", "Code", "DeviceCode", "Given"]

GRANTS = ("authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that came in."""

    endpoint: str
    """`authorize`, `token`, `device`, `revoke`, `register`, `me`, `metadata`"""
    form: Mapping[str, str]
    """what was sent, as it was: this server is for tests"""
    status: int
    """what it was answered with; 0: nothing, as the connection was closed"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who may ask, in the words of authlib's `ClientMixin`."""

    client_id: str
    secret: str | None = field(default=None, repr=False)
    auth_method: str
    scopes: tuple[str, ...]
    redirect_uris: tuple[str, ...]

    def get_client_id(self) -> str:
        """Its id."""
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        """None: it must say where users come back to."""
        return None

    def get_allowed_scope(self, scope: str | None) -> str:
        """Those of the scopes that it may ask for."""
        return " ".join(s for s in (scope or "").split() if s in self.scopes)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        """Exactly as registered; on loopback with any port (RFC 8252, 7.3)."""
        return redirect_uri in self.redirect_uris or _without_port(redirect_uri) in self.redirect_uris

    def check_client_secret(self, client_secret: str) -> bool:
        """Whether that is its secret."""
        return self.secret is not None and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        """Whether it says who it is in that way."""
        return method == self.auth_method

    def check_response_type(self, response_type: str) -> bool:
        """Codes only: OAuth 2.1 knows nothing else."""
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        """What OAuth 2.1 knows of users."""
        return grant_type in GRANTS


def _without_port(uri: str) -> str | None:
    parts = urlsplit(uri)
    return (
        f"http://127.0.0.1{parts.path}" if parts.scheme == "http" and parts.hostname == "127.0.0.1" else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code, good once."""

    code: str
    client_id: str
    redirect_uri: str
    scope: str
    user: str
    code_challenge: str
    code_challenge_method: str

    def get_redirect_uri(self) -> str:
        """Where it was sent to."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """What the user agreed to."""
        return self.scope


@dataclass(slots=True, kw_only=True)
class Given:
    """Tokens that were handed out. Those that one consent has led to are a family."""

    access: str
    refresh: str | None
    client_id: str
    user: str
    scope: str
    family: int
    ends: float
    """seconds since the Unix epoch"""
    spent: bool = False
    """its refresh token was used"""
    revoked: bool = False

    def check_client(self, client: Client) -> bool:
        """Whether they are that client's."""
        return client.client_id == self.client_id

    def get_scope(self) -> str:
        """What they allow."""
        return self.scope


@dataclass(slots=True, kw_only=True)
class DeviceCode:
    """A user who agrees elsewhere."""

    device_code: str
    user_code: str
    client_id: str
    scope: str
    ends: float
    now: Callable[[], float] = field(repr=False)
    agreed: bool | None = None
    asked_at: float = 0.0
    used: bool = False

    def get_client_id(self) -> str:
        """Who asked."""
        return self.client_id

    def get_scope(self) -> str:
        """What for."""
        return self.scope

    def get_user_code(self) -> str:
        """What the user types in."""
        return self.user_code

    def is_expired(self) -> bool:
        """Whether it is too late."""
        return self.used or self.now() >= self.ends
