"""For whom a run acts, who vouched for that, and what they may do.

    token ──► verified against its issuer's keys ──► Principal ──► STARTED of the run ──► its children, never with more

A name that was only said (`app.start(..., by="user:ann")`) is a principal that nobody vouched for: it is shown and
logged, and grants nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .errors import ConfigError

__all__ = ["APP_ISSUER", "OS_ISSUER", "Principal", "check_grants", "check_subject"]

APP_ISSUER = "app"
"""Vouches for schedules: the application that declares them."""
OS_ISSUER = "os"
"""Vouches for the user of this machine: its operating system."""

_SUBJECT = re.compile(r"[a-z]{1,20}:\S{1,300}")
_GRANT = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")  # RFC 6749, 3.3: what a scope may be made of


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The user or system on whose behalf a run acts. Raises `ConfigError` for what cannot mean anything."""

    subject: str
    """under which name it is known here, unique over all issuers: `user:ann`, `system:nightly`, `schedule:NAME`"""
    issuer: str | None = None
    """who vouched for it: the address of an identity provider, `os`, or what your own application calls itself; None:
    nobody did, it was only said"""
    grants: frozenset[str] = frozenset()
    """what it may do, in the issuer's words (scopes, roles); empty where nobody vouched for it"""
    tenant: str | None = None
    """it can start runs of this tenant only; None: of any"""
    known_as: str | None = None
    """the subject as the issuer writes it, where that is not the name here"""
    expires_at: int | None = None
    """until when a run may be started by it: the end of the token, microseconds since the Unix epoch; None: no end"""
    grants_until: int | None = None
    """until when the grants count in a run, microseconds; None: as long as the run lasts"""
    token: str | None = None
    """the digest of the token's id, by which the issuer's own log can be searched; never the token"""

    def __post_init__(self) -> None:
        if self.issuer is not None:
            check_subject(self.subject)
        object.__setattr__(self, "grants", check_grants(self.grants, what=f"principal `{self.subject}`"))
        if self.issuer is None and self.grants:
            raise ConfigError(
                f"principal `{self.subject}` has grants ({', '.join(sorted(self.grants))}) and no `issuer`: name who "
                "vouches for it, or leave the grants out"
            )

    @property
    def verified(self) -> bool:
        """Whether somebody vouched for it."""
        return self.issuer is not None

    def lacks(self, wanted: Iterable[str], *, now: int | None = None) -> frozenset[str]:
        """Those of the `wanted` grants that it has not; with `now` (microseconds), or that have ended by then."""
        if now is not None and self.grants_until is not None and now >= self.grants_until:
            return frozenset(wanted)
        return frozenset(wanted) - self.grants

    def narrowed(self, grants: Iterable[str]) -> Principal:
        """The same principal with only those of its grants that are named."""
        return replace(self, grants=self.grants & frozenset(grants))

    def told(self) -> dict[str, Any]:
        """As it stands in a journal: what is not known is left out."""
        said = {
            "subject": self.subject,
            "issuer": self.issuer,
            "grants": sorted(self.grants),
            "tenant": self.tenant,
            "known_as": self.known_as,
            "expires_at": self.expires_at,
            "grants_until": self.grants_until,
            "token": self.token,
        }
        return {name: value for name, value in said.items() if value is not None}

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Principal:
        """What `told` has made."""
        rest: dict[str, Any] = {**told}
        granted: list[str] = rest.pop("grants", [])
        return cls(grants=frozenset(granted), **rest)

    @classmethod
    def of(cls, started: Mapping[str, Any]) -> Principal | None:
        """From the payload of a STARTED or CONTINUED entry; None: it acts for nobody that was named."""
        if "on_behalf_of" in started:
            return cls.read(started["on_behalf_of"])
        said = started.get("by")
        return None if said is None else cls(subject=str(said))


def check_subject(name: str) -> str:
    """A principal's name. Raises `ConfigError`."""
    if not isinstance(name, str) or not _SUBJECT.fullmatch(name):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigError(
            f"principal `{str(name)[:80]}` is no name of one: write `user:ann`, `system:nightly` or the like"
        )
    return name


def check_grants(grants: Iterable[str] | str, *, what: str) -> frozenset[str]:
    """Grants as people write them: one, or several. Raises `ConfigError`."""
    made = frozenset([grants] if isinstance(grants, str) else grants)
    for grant in made:
        if not isinstance(grant, str) or not _GRANT.fullmatch(grant):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
            raise ConfigError(
                f"{what}: `{str(grant)[:80]}` is no grant: write it like `payments:write`, without spaces"
            )
    return made
