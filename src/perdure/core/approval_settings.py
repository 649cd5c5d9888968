"""The table `[approvals]` of `perdure.toml`: who approves what agents want to do, and how often they may be asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal, Self, cast
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from .approver_keys import ApproverKey
from .identity_settings import IdentitySettings, TrustedIssuer
from .people import is_agent, person
from .provider_settings import is_secure

__all__ = ["ApprovalSettings", "PasskeySettings", "Signatures"]

Signatures = Literal["required", "optional"]


class PasskeySettings(BaseModel):
    """The table `[approvals.passkeys]`: WebAuthn, and whose passkeys count."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = Field(pattern=r"^(localhost|[a-z0-9-]+(\.[a-z0-9-]+)+)$")
    """the name of the server, or of a domain above it, for which passkeys are made (the RP id); never changed later:
    all passkeys would be for nobody. Addresses are no names; on this machine it is `localhost`"""
    origins: tuple[str, ...] = ()
    """where approvals are shown, as a browser says it; `https://HOST` where it is not said"""
    registered: bool = True
    """whether those count which people have registered at the server; if not, those alone that stand in
    `[approvals.keys]`"""

    @field_validator("origins", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        return (given,) if isinstance(given, str) else given

    @model_validator(mode="after")
    def _origins_are_of_the_host(self) -> Self:
        for origin in self.origins:
            parts = urlsplit(origin)
            name = parts.hostname or ""
            if not is_secure(origin) or f"{parts.scheme}://{parts.netloc}" != origin:
                raise ValueError(f"origin `{origin}` is not like `https://approvals.example.org`")
            if name != self.host and not name.endswith(f".{self.host}"):
                raise ValueError(f"origin `{origin}` is not at the host `{self.host}`")
        return self

    @property
    def places(self) -> tuple[str, ...]:
        """The origins that count."""
        return self.origins or (f"https://{self.host}",)


class ApprovalSettings(BaseModel):
    """What holds for all approvals of a project. Durations are seconds, or ISO 8601 (`PT4H`)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    self_approval: bool = False
    """whether a person may approve what runs do that the same person has started: for one who works alone. An agent
    never may"""
    most_per_hour: int = Field(default=60, ge=0)
    """requests to one person, and answers of one person, within an hour; what is more is held back. 0: no limit"""
    within: timedelta = Field(default=timedelta(days=3), gt=timedelta())
    """until when an approver must have answered, where the tool says no other"""
    notify: tuple[str, ...] = ()
    """contacts that hear of approvals which are addressed to nobody in particular"""
    groups: dict[str, tuple[str, ...]] = {}
    """people, by the name of their group"""
    people: dict[str, str] = {}
    """the contact by which each person is told, by the person's name"""
    keys: dict[str, tuple[ApproverKey, ...]] = {}
    """the public keys by which people sign their answers, by the person's name"""
    issuers: dict[str, TrustedIssuer] = {}
    """OpenID Connect providers that vouch for people who answer, by a name of your own. A sign-in of theirs counts as a
    signature, where it was for that answer. Its audience is of approvals alone"""
    passkeys: PasskeySettings | None = None
    """for whom passkeys are made: an assertion of one counts as a signature, where it was for that answer"""
    signatures: Signatures | None = None
    """whether an answer to a call counts only with a signature; None: as soon as anybody has a key here, or an issuer
    or passkeys are named. With `optional` one without counts too, and the journal says so"""
    signed_settlements: bool = True
    """whether, where answers are signed, also what is said of a write in doubt is"""
    signed_within: timedelta = Field(default=timedelta(minutes=5), gt=timedelta())
    """how old a signature may be when it arrives"""

    @model_validator(mode="after")
    def _groups_have_people(self) -> Self:
        for name, members in self.groups.items():
            if not members:
                raise ValueError(f"group `{name}` has no people: nobody could answer what is asked of it")
        return self

    @field_validator("keys", mode="before")
    @classmethod
    def _one_or_several(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        several = (list, tuple)
        found: dict[str, Any] = {
            name: keys if isinstance(keys, several) else (keys,)
            for name, keys in cast("dict[str, Any]", given).items()
        }
        return found

    @model_validator(mode="after")
    def _keys_are_of_people(self) -> Self:
        owners: dict[str, str] = {}
        for name, keys in self.keys.items():
            if is_agent(name):
                raise ValueError(f"`{name}` is an agent, and agents approve nothing: it can have no key here")
            for key in keys:
                before = owners.setdefault(key.kid, name)
                if person(before) != person(name):
                    raise ValueError(
                        f"`{before}` and `{name}` have the same key {key.kid[:12]}: one has one's own"
                    )
        IdentitySettings(issuers=self.issuers)  # whether they can stand beside each other
        for name, issuer in self.issuers.items():
            if issuer.kind != "user":
                raise ValueError(f"issuer `{name}` vouches for systems, and those approve nothing")
        if self.signatures == "required" and not self.verifiable:
            raise ValueError(
                '`signatures = "required"`, and nobody has a key: name them under `[approvals.keys]`'
            )
        return self

    def stand_beside(self, identity: IdentitySettings) -> None:
        """Raise `ValueError` where a token that proves an answer could also start runs: it stays in the journal."""
        for name, issuer in self.issuers.items():
            for other in identity.issuers.values():
                if other.url == issuer.url and (both := set(other.audience) & set(issuer.audience)):
                    raise ValueError(
                        f"approvals.issuers.{name} and [identity] take tokens for the same audience `{min(both)}`: "
                        "register approvals as an application of their own"
                    )

    @property
    def verifiable(self) -> bool:
        """Whether anybody could sign: has a key or a passkey, or an issuer that vouches for them."""
        return bool(self.issuers) or any(self.keys.values()) or self.passkeys is not None

    @property
    def signing(self) -> Signatures | None:
        """Whether answers are signed; None: nobody looks for a signature."""
        return self.signatures or ("required" if self.verifiable else None)

    @property
    def settling(self) -> Signatures | None:
        """Whether what is said of a write in doubt is signed; None: nobody looks for a signature."""
        return self.signing if self.signed_settlements else None

    def key(self, kid: str) -> tuple[str, ApproverKey] | None:
        """Whose key that is, and the key; None: nobody's."""
        for name, keys in self.keys.items():
            for key in keys:
                if key.kid == kid:
                    return name, key
        return None

    def people_of(self, names: tuple[str, ...]) -> list[str]:
        """The people behind names of groups and of people, each once, in this order."""
        found: dict[str, None] = {}
        for name in names:
            found.update(dict.fromkeys(self.groups.get(name, (name,))))
        return list(found)

    def contacts_of(self, people: list[str] | None) -> list[str]:
        """How those are told; None: addressed to nobody in particular."""
        if people is None:
            return list(self.notify)
        return list(dict.fromkeys(self.people[person] for person in people if person in self.people))
