"""A user's credential, as a tool gets it for one call, and the port of whatever keeps them.

    tool call ──► CredentialSource.credential(Wanted) ──► Credential        handed to the call, and to nothing else
                              └─ no grant ──► NeedsConnection                the run waits until the user has connected

A credential never reaches journal, trace, log or model: it shows nothing of itself, and cannot be written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

from .errors import NotDone

__all__ = ["Credential", "CredentialRejected", "CredentialSource", "Wanted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whose credential a call needs, with whom, and for which call."""

    tenant: str
    subject: str
    """the user on whose behalf the run acts (`user:ann`): never another, and never a shared account"""
    provider: str
    """as `perdure.toml` calls it: `github`, `bank`"""
    scopes: Sequence[str] = ()
    """what the credential must at least allow, in the provider's own words"""
    agent: str
    run: str
    step: str
    rejected: int | str | None = None
    """the version that the other side did not take: hand out a newer one, renewed, or raise `NeedsConnection`"""


class Credential:
    """A secret that a tool may use within one call.

    `str` and `repr` hide it, pickle and JSON refuse it; `reveal()` is the one way to it.
    """

    __slots__ = ("_secret", "expires_at", "provider", "scheme", "subject", "version")

    perdure_handed = "credential"
    """What marks a parameter that the runtime fills in, and no caller or model."""

    def __init__(
        self,
        secret: str,
        *,
        provider: str,
        subject: str,
        scheme: str = "Bearer",
        expires_at: int | None = None,
        version: int | str | None = None,
    ) -> None:
        self._secret = secret
        self.provider = provider
        self.subject = subject
        self.scheme = scheme
        """of the header `Authorization`"""
        self.expires_at = expires_at
        """microseconds since the Unix epoch; None: nobody said"""
        self.version = version
        """of the grant that it comes from: all that the journal says of it; None: its source counts none"""

    def reveal(self) -> str:
        """The secret itself. Give it to the other side, and to nothing that writes it down."""
        return self._secret

    def header(self) -> tuple[str, str]:
        """Name and value of the header that carries it."""
        return "Authorization", f"{self.scheme} {self._secret}"

    def __repr__(self) -> str:
        return f"Credential({self.provider} of {self.subject})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a credential is never written down: use it within the call that it was handed to")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """Refused in every journaled value: an argument or a result that holds one cannot be kept."""
        from pydantic_core import core_schema

        def refuse(_: Any) -> NoReturn:
            raise ValueError(
                "a credential is never written down: use it within the call that it was handed to"
            )

        return core_schema.no_info_plain_validator_function(
            refuse, serialization=core_schema.plain_serializer_function_ser_schema(refuse)
        )


class CredentialRejected(NotDone):
    """Raised by a tool whose credential the other side did not take (401), or that allows too little (403).

    The call is tried again, whatever its retries say: once with a renewed credential, and once for each set of `scopes`
    that the other side asks for, when the user has granted them.
    """

    version: int | str | None = None
    """of the credential that was handed in"""
    scopes: tuple[str, ...] = ()
    """what the other side asks for beside what was granted; empty: the credential itself is no good"""


class CredentialSource(Protocol):
    """Whatever keeps credentials: the vault, or a company's own."""

    async def credential(self, wanted: Wanted) -> Credential:
        """A credential that is good now; refreshed where it was about to end.

        Raises `NeedsConnection` where that user has granted nothing (or too little, or has taken it back).
        """
        ...
