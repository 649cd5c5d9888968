"""The tables `[openapi.NAME]` of `perdure.toml`: HTTP interfaces whose operations agents may call.

[openapi.crm]
document = "crm.yaml"                            # beside this file, or an address
base_url = "https://crm.example/api"
auth = "user"                                    # the user's account with [providers.crm], from the vault
only = ["getCustomer", "GET /orders/*"]

[openapi.mail]
document = "https://mail.example/openapi.json"
base_url = "https://mail.example"
headers = { Authorization = "env:MAIL_AUTHORIZATION" }   # where the secret is, never the secret itself
idempotent = ["sendMail"]                        # it recognises a repeated call by its key, which is sent as
key_header = "Idempotency-Key"
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .mcp_settings import McpName, Variable
from .provider_settings import Address, ProviderName, is_secure
from .table import read_table

__all__ = ["OpenApiSettings", "read_documents"]


def _base(url: str) -> str:
    if urlsplit(url).query:
        raise ValueError("must be an address without a query: parameters are those of the operations")
    return url.rstrip("/")


def _document(text: str) -> str:
    if "://" in text and not is_secure(text):
        raise ValueError(
            "must be a file, or an `https` address (`http` only to this machine itself): whoever can change it on "
            "its way chooses what agents are told"
        )
    return text


Base: TypeAlias = Annotated[Address, AfterValidator(_base)]
Patterns: TypeAlias = tuple[Annotated[str, Field(min_length=1)], ...]
"""Operations: an `operationId`, or a method and path (`GET /orders/{id}`), with `*` for any characters."""


class OpenApiSettings(BaseModel):
    """One interface, and what of it agents may use."""

    # Whoever misspells a setting may have written a secret beside it: no message shows what was given.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    document: Annotated[str, Field(min_length=1), AfterValidator(_document)]
    """an OpenAPI 3.0 or 3.1 document, JSON or YAML: a file or an address"""
    base_url: Base | None = None
    """what the paths of the operations are added to; without it the first of the document's `servers`"""
    only: Patterns = ()
    """operations that there are for agents; without it all"""
    without: Patterns = ()
    """operations that are left out"""
    idempotent: Patterns = ()
    """operations that recognise a repeated call; else whatever is not GET or HEAD is a `write`"""
    writes: Patterns = ()
    """operations that change something though they are GET or HEAD"""
    key_header: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")
    """the header that takes the effect's key, with each call that is no `read`: `Idempotency-Key`"""
    auth: Literal["user"] | None = None
    """`user`: each call goes with the token of the user for whom the run acts, from the vault, and with no other; None:
    with `headers` alone"""
    provider: ProviderName | None = None
    """with whom users connect that account, in `[providers.NAME]`; without it as the table is called"""
    scopes: tuple[str, ...] = ()
    """what it must at least allow, in the provider's words"""
    headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")], Variable] = {}
    """what each request carries beside"""
    allow_private: tuple[str, ...] = ()
    """networks (CIDR) that may be reached though they are not public"""
    trusted: bool = False
    """whether what it answers counts as written by somebody who is vouched for"""
    labels: tuple[str, ...] = ()
    """what else its answers are labelled with, for policies: `personal`"""
    timeout: timedelta = Field(default=timedelta(seconds=30), gt=timedelta(), le=timedelta(hours=1))
    """of a call"""
    most_output: int = Field(default=100_000, ge=100, le=10_000_000)
    """characters of an answer that are kept; the rest is cut off, and the answer says so"""
    look_again: timedelta = Field(default=timedelta(minutes=5), ge=timedelta(), le=timedelta(days=1))
    """how old a worker's copy of a document at an address may be when a tool is called"""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.auth is None and (self.provider is not None or self.scopes):
            raise ValueError('`provider` and `scopes` are for `auth = "user"`')
        if self.auth is not None and any(name.lower() == "authorization" for name in self.headers):
            raise ValueError(
                '`headers.Authorization` and `auth = "user"` both say whose token goes along: leave one out'
            )
        if self.base_url is None and (self.auth is not None or self.headers):
            raise ValueError(
                "say `base_url`: where a secret is sent is not for the document to say, which somebody else has written"
            )
        if self.idempotent and self.key_header is None:
            raise ValueError(
                "`idempotent` operations recognise a repeated call by its key: say in which `key_header` they take it"
            )
        return self


class _Documents(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    openapi: dict[McpName, OpenApiSettings]


def read_documents(
    values: Mapping[str, OpenApiSettings | Mapping[str, Any]], *, where: str
) -> Mapping[str, OpenApiSettings]:
    """From the tables `[openapi.NAME]`, by name. Raises `ConfigError` that names the setting."""
    return read_table(_Documents, {"openapi": dict(values)}, where=where).openapi
