"""The table `[access]` of `perdure.toml`: where the server is, who may sign in there, and what they may do."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from .identity_settings import IdentitySettings, TrustedIssuer
from .provider_settings import ProviderName, Reference, is_secure
from .roles import Role

__all__ = ["AccessSettings", "RoleRules", "SignInSettings"]


def _one_or_several(given: Any) -> Any:
    return (given,) if isinstance(given, str) else given


def _role(given: Any) -> Any:
    return Role(given) if isinstance(given, str) else given  # `policy-editor` is one, too


RoleRules = dict[
    Annotated[Role, BeforeValidator(_role)], Annotated[tuple[str, ...], BeforeValidator(_one_or_several)]
]
"""Who has which role: by role the grants (groups, scopes) of which one is enough; `*` is everybody of that issuer."""


class SignInSettings(TrustedIssuer):
    """A table `[access.sign_in.NAME]`: an OpenID Connect provider at which people sign in with a browser."""

    audience: tuple[str, ...] = ()
    """`client_id` where it is not said"""
    client_id: str = Field(min_length=1)
    """what the server is called there; its tokens are for that"""
    client_secret: Reference | None = None
    """where the secret is: `env:NAME`; without one PKCE alone proves who comes back"""
    scopes: tuple[str, ...] = ("openid", "profile")
    grants: tuple[str, ...] = ("groups",)
    """claims of the ID token that list groups"""
    label: str = ""
    """on the button; the name of the table where it is not said"""

    @model_validator(mode="before")
    @classmethod
    def _for_its_client(cls, given: Any) -> Any:
        match given:
            case {"client_id": str(name)} if not given.get("audience"):
                return {**given, "audience": (name,)}
            case _:
                return given

    @field_validator("scopes")
    @classmethod
    def _openid(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        return given if "openid" in given else ("openid", *given)


class AccessSettings(BaseModel):
    """Who may ask the server for what. Without any of it: one person, by a link, from this machine."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str | None = None
    """how people reach it: `https://perdure.example.org`; None: `http://127.0.0.1:PORT`, from this machine alone"""
    hosts: tuple[str, ...] = ()
    """more names under which it is asked, as `perdure:8000` inside of a network"""
    proxies: tuple[str, ...] = ()
    """addresses of reverse proxies, whose `X-Forwarded-For` is believed"""
    idle: timedelta = Field(default=timedelta(hours=12), gt=timedelta())
    """after this without a request a session ends"""
    longest: timedelta = Field(default=timedelta(days=7), gt=timedelta())
    """a session ends after this, whatever happens"""
    keys_last: timedelta = Field(default=timedelta(days=90), gt=timedelta())
    """for how long an API key is good, where `perdure keys create` says nothing"""
    rate: str = "50/s"
    """requests of one caller; as many as that at once after a quiet time"""
    sign_ins: str = "10/min"
    """attempts to sign in, from one address"""
    roles: dict[str, RoleRules] = {}
    """by the name of an issuer, of `[access.sign_in]` or `[identity.issuers]`: who of its users has which role"""
    sign_in: dict[ProviderName, SignInSettings] = {}
    """where people sign in, by a name of your own"""
    proof: tuple[str, ...] = ()
    """issuers of `[identity.issuers]` whose tokens count with a proof of possession only (DPoP, RFC 9449)"""

    @field_validator("hosts", "proxies", "proof", mode="before")
    @classmethod
    def _several(cls, given: Any) -> Any:
        return _one_or_several(given)

    @field_validator("url")
    @classmethod
    def _is_an_origin(cls, given: str | None) -> str | None:
        if given is None:
            return None
        parts = urlsplit(given)
        if not is_secure(given) or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError(
                f"`{given}` is not an `https` address without a path (`http` only to this machine itself)"
            )
        return given.rstrip("/")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.longest < self.idle:
            raise ValueError(f"`idle` ({self.idle}) is longer than `longest` ({self.longest})")
        if self.sign_in:
            IdentitySettings(issuers=dict(self.sign_in))  # whether they can stand beside each other
        return self

    def stand_beside(self, identity: IdentitySettings) -> None:
        """Raise `ValueError` for roles of nobody, or where two providers would give different people one name."""
        known = {**identity.issuers, **self.sign_in}
        for name in (*self.roles, *self.proof):
            if name not in known:
                there = ", ".join(f"`{one}`" for one in known) or "none"
                raise ValueError(f"`{name}` is no issuer of [identity.issuers] or [access.sign_in]: {there}")
        for name, mine in self.sign_in.items():
            if mine.kind != "user":
                raise ValueError(f"access.sign_in.{name} vouches for systems, and those have no browser")
            for other, theirs in identity.issuers.items():
                if (mine.kind, mine.prefix) == (theirs.kind, theirs.prefix) and mine.url != theirs.url:
                    raise ValueError(
                        f"access.sign_in.{name} and identity.issuers.{other} would give different people the same "
                        "name: give one a `prefix`"
                    )
                if (mine.url, mine.name) == (theirs.url, theirs.name) and set(mine.audience) & set(
                    theirs.audience
                ):
                    raise ValueError(
                        f"access.sign_in.{name} and identity.issuers.{other} take tokens for the same audience: "
                        "register the server as an application of its own"
                    )

    def roles_for(self, issuer: str, grants: frozenset[str]) -> frozenset[Role]:
        """The roles of a user of that issuer (its name here) who has those grants."""
        rules = self.roles.get(issuer, {})
        return frozenset(role for role, any_of in rules.items() if "*" in any_of or grants & set(any_of))
