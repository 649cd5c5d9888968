"""The table `[identity]` of `perdure.toml`: under which name the agents are known, and where their keys are."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .errors import ConfigError
from .principal import check_grants

__all__ = ["IdentitySettings", "TrustedIssuer"]

Algorithm = Literal["ES256", "RS256", "PS256", "EdDSA", "Ed25519"]
"""What users' tokens may be signed by. Nothing that is verified with the key that signs."""


class TrustedIssuer(BaseModel):
    """A table `[identity.issuers.NAME]`: an OpenID Connect provider that vouches for users, or for systems."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    """its name, to the letter as it stands in its tokens (`iss`); its keys are found below it"""
    audience: tuple[str, ...] = Field(min_length=1)
    """what this application is called there: a token for any other (`aud`) is refused"""
    jwks: str | None = None
    """where its keys are: an address, or a file; None: where its discovery document says"""
    algorithms: tuple[Algorithm, ...] = Field(
        default=("ES256", "RS256", "PS256", "EdDSA", "Ed25519"), min_length=1
    )
    types: tuple[str, ...] = ("JWT", "at+jwt", "")
    """which `typ` its tokens may have; empty: none at all"""
    clients: tuple[str, ...] = ()
    """applications that may have asked for the token (`azp`, `client_id`); without any: every one of that issuer, as
    long as the token is for this audience only"""
    name: str = "sub"
    """the claim that names the user; one that users cannot change, and that is never given to another"""
    kind: Literal["user", "system"] = "user"
    """what it vouches for: `user:ann`, `system:nightly`"""
    prefix: str = Field(default="", pattern=r"^[a-z0-9-]{0,40}$")
    """stands before its names (`user:PREFIX:ann`): of several issuers at most one has none"""
    grants: tuple[str, ...] = ("scope",)
    """claims that list what the user may do: scopes with spaces between, or a list; `realm_access.roles` is one below
    another"""
    tenant: str | None = None
    """of its users; None: that of the application"""
    tenant_claim: str | None = None
    """the claim that says it, in place of `tenant`: a token without it is refused"""
    grants_last: timedelta | None = Field(default=None, gt=timedelta())
    """how long after a run's start the grants count in it; None: as long as the run lasts"""
    longest: timedelta = Field(default=timedelta(days=1), gt=timedelta())
    """a token that is good for longer than this is refused"""

    @field_validator("audience", "algorithms", "types", "clients", "grants", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not re.match(r"https?://[^/\s]", self.url):
            raise ValueError(f"url `{self.url}` is no address: write `https://login.example.org`")
        if self.tenant is not None and self.tenant_claim is not None:
            raise ValueError(
                "`tenant` and `tenant_claim` both say of which tenant its users are: leave one out"
            )
        return self


class IdentitySettings(BaseModel):
    """Who vouches for the agents. Without a trust domain they have no identity outside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trust_domain: str | None = None
    """of all agents' names: `spiffe://TRUST-DOMAIN/t/TENANT/agent/NAME`"""
    issuer: str | None = None
    """the address under which the key set is published, and which stands in each token; `https://TRUST-DOMAIN` where it
    is not said"""
    keys: Path = Path(".perdure/keys")
    """the folder of the agents' keys, sealed"""
    master_key: Path = Path(".perdure/master.key")
    """the file of the key that seals; `PERDURE_MASTER_KEY` goes before it"""
    issuers: dict[str, TrustedIssuer] = {}
    """who vouches for users, by a name of your own"""
    os_grants: frozenset[str] = frozenset()
    """what the user of this machine may do in runs that `perdure run` starts without a token"""

    @field_validator("os_grants")
    @classmethod
    def _os_grants(cls, given: frozenset[str]) -> frozenset[str]:
        try:
            return check_grants(given, what="os_grants")
        except ConfigError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        urls: dict[str, str] = {}
        names: dict[tuple[str, str], str] = {}
        for name, issuer in self.issuers.items():
            if (other := urls.setdefault(issuer.url, name)) != name:
                raise ValueError(f"issuers `{other}` and `{name}` have the same url `{issuer.url}`")
            if (other := names.setdefault((issuer.kind, issuer.prefix), name)) != name:
                raise ValueError(
                    f"issuers `{other}` and `{name}` would give different people the same name: give one a `prefix`"
                )
        return self

    def issuer_url(self) -> str | None:
        """The address under which the key set is published."""
        return self.issuer or (None if self.trust_domain is None else f"https://{self.trust_domain}")
