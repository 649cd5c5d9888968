"""The tables `[providers.NAME]` of `perdure.toml`: with whom users connect their accounts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from .table import read_table

__all__ = [
    "Address",
    "ProviderName",
    "ProviderSettings",
    "Reference",
    "is_below",
    "is_secure",
    "read_providers",
]

ProviderName: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""What a provider is called: no `/` and no `|`, which part the names of cells and what a grant is bound to."""


def is_secure(url: str) -> bool:
    """Whether secrets may be sent there: `https`, or `http` to this machine itself."""
    parts = urlsplit(url)
    local = parts.hostname in ("localhost", "127.0.0.1", "::1")
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and local))


def is_below(url: str, resource: str) -> bool:
    """Whether a token for `resource` (RFC 8707) may be shown at `url`: the same host, and its path or one below."""
    there, mine = urlsplit(url), urlsplit(resource)
    same = (there.scheme, there.netloc.lower()) == (mine.scheme, mine.netloc.lower())
    return same and f"{there.path.rstrip('/')}/".startswith(f"{mine.path.rstrip('/')}/")


def _address(url: str) -> str:
    parts = urlsplit(url)
    if not is_secure(url) or parts.fragment or parts.username:
        raise ValueError("must be an `https` address without a fragment (`http` only to this machine itself)")
    return url


def _reference(value: str) -> str:
    kind, _, place = value.partition(":")
    if kind not in ("env", "sealed") or not place:
        raise ValueError(  # never the value: somebody may have written the secret itself
            "must say where the secret is, and not be the secret: `env:NAME`, or `sealed:PATH`, a file that `perdure "
            "vault secret PROVIDER` has written"
        )
    return value


Address: TypeAlias = Annotated[str, AfterValidator(_address)]
"""Where secrets are sent."""
Reference: TypeAlias = Annotated[str, AfterValidator(_reference)]
"""Where a secret is: `env:NAME`, or `sealed:PATH`."""


class ProviderSettings(BaseModel):
    """How accounts of one provider are connected: by OAuth 2.1, or by a key that the user pastes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["oauth2", "api_key"] = "oauth2"
    issuer: Address | None = None
    """of an OAuth server that tells of itself (RFC 8414): what is said beside goes before what it tells"""
    protected_resource: Address | None = None
    """an API, as an MCP server, that says itself which OAuth server guards it (RFC 9728). Then `issuer`, `resource` and
    `scopes` need not be said; nor `client_id`, where that server takes clients that register themselves (RFC 7591)"""
    client_metadata: Address | None = None
    """where the metadata of Perdure as a client can be read: its `client_id` at servers that take such an address"""
    authorization_endpoint: Address | None = None
    token_endpoint: Address | None = None
    device_authorization_endpoint: Address | None = None
    revocation_endpoint: Address | None = None
    client_id: str | None = Field(default=None, min_length=1)
    client_secret: Reference | None = None
    auth_method: Literal["client_secret_basic", "client_secret_post", "none"] | None = None
    """how Perdure says who it is; without it by `client_secret_basic` where there is a secret"""
    scopes: tuple[str, ...] = ()
    """what users are asked for, where the command does not say it"""
    resource: Address | None = None
    """for whom the tokens shall be (RFC 8707)"""
    parameters: dict[str, str] = {}
    """more for the address at which users agree: `{ access_type = "offline" }`"""
    redirect_port: int = Field(default=0, ge=0, le=65535)
    """of the loopback address to which users come back; 0: any (RFC 8252), as providers should allow"""
    redirect_path: str = Field(default="/callback", pattern=r"^/[A-Za-z0-9/_.-]*$")
    scheme: str = Field(default="Bearer", pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
    """of the header `Authorization` that carries it"""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "api_key":
            there = sorted(self.model_fields_set - {"kind", "scheme", "scopes"})
            if there:
                raise ValueError(f"`{there[0]}` is for `oauth2`; an API key has nothing to do with it")
            return self
        if self.protected_resource is not None:
            return self._guarded()
        if self.client_metadata is not None:
            raise ValueError("`client_metadata` is for a `protected_resource`")
        if self.client_id is None:
            raise ValueError(
                "`client_id` is missing: the provider gives one when Perdure is registered there"
            )
        if self.issuer is None and self.token_endpoint is None:
            raise ValueError("say `issuer`, or `token_endpoint` and `authorization_endpoint`")
        if self.issuer is None and not (self.authorization_endpoint or self.device_authorization_endpoint):
            raise ValueError(
                "say `authorization_endpoint`, or `device_authorization_endpoint`: where users agree"
            )
        return self._known()

    def _guarded(self) -> Self:
        if self.client_secret is not None and (self.issuer is None or self.client_id is None):
            # else whatever the API names could ask for it
            raise ValueError(
                "a `client_secret` is for one OAuth server: say its `issuer`, and the `client_id`"
            )
        return self._known()

    def _known(self) -> Self:
        if self.auth_method == "none" and self.client_secret is not None:
            raise ValueError("`auth_method` is `none`, so nobody is shown the `client_secret`; leave one out")
        if self.auth_method in ("client_secret_basic", "client_secret_post") and self.client_secret is None:
            raise ValueError(f"`auth_method` is `{self.auth_method}`, which needs a `client_secret`")
        return self

    @property
    def audience(self) -> str | None:
        """For whom the tokens are, as far as that is said."""
        return self.resource or self.protected_resource

    @property
    def method(self) -> str:
        """How Perdure says who it is, at the token endpoint."""
        return self.auth_method or ("none" if self.client_secret is None else "client_secret_basic")


class _Providers(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: dict[ProviderName, ProviderSettings]


def read_providers(
    values: Mapping[str, ProviderSettings | Mapping[str, Any]], *, where: str
) -> Mapping[str, ProviderSettings]:
    """From the tables `[providers.NAME]`, by name. Raises `ConfigError` that names the setting."""
    return read_table(_Providers, {"providers": dict(values)}, where=where).providers
