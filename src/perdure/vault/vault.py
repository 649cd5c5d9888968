"""The vault: users' tokens and API keys, sealed, renewed before they end, and handed out for one call at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from shlex import quote
from typing import Self

from ..core.clock import Clock, SystemClock
from ..core.errors import ConfigError, NeedsConnection, ProviderError, ProviderUnavailable
from ..core.identity_settings import IdentitySettings
from ..core.ids import DEFAULT_TENANT, RunRef, check_id
from ..core.provider_settings import ProviderSettings
from ..identity import Credential, MasterKeys, Wanted
from ..identity.oauth import OAuthClient, Tokens, Web, missing_scopes
from ..journal import Store
from .grants import Grant, check_subject
from .keeping import Keeping, Unreadable
from .renewal import LEASE_SECONDS, Renewal
from .sealed import Master, Place
from .secrets import client_secret
from .waking import Waking

__all__ = ["Connected", "Revoked", "Vault"]

EARLY_SECONDS = 60.0
"""So long before its end a token is renewed, or when a tenth of its time is left, if that is less."""
AGAIN_SECONDS = 15.0
"""After a renewal failed, so long a token that is still good is used as it is."""


@dataclass(frozen=True, slots=True)
class Connected:
    """What came of a new grant."""

    grant: Grant
    woken: list[RunRef]
    """runs that waited for it"""


@dataclass(frozen=True, slots=True)
class Revoked:
    """What came of taking a grant back."""

    grant: Grant
    told: bool
    """whether the provider was told, and agreed"""
    why: str = ""
    """why not"""
    failed: bool = False
    """it should have been told"""


class Vault:
    """Keeps the grants of users in a store's cells. A `CredentialSource`; belongs to one loop."""

    def __init__(
        self,
        store: Store,
        providers: Mapping[str, ProviderSettings],
        master: Callable[[], MasterKeys],
        *,
        clock: Clock | None = None,
        web: Web | None = None,
        lease: float = LEASE_SECONDS,
    ) -> None:
        """`master` reads the master keys: it is called again where they may have changed.

        `lease`: for how many seconds a worker may hold a grant while it renews it.
        """
        self.providers = providers
        self._clock = clock or SystemClock()
        self._web = web or Web(self._clock)
        self.master = Master(master)
        self.keeping = Keeping(store, self.master)
        self._waking = Waking(store, self.keeping)
        self._renewal = Renewal(self.keeping, self._clock, lease=lease)
        self._clients: dict[str, OAuthClient] = {}
        self._failed: dict[Place, float] = {}

    @classmethod
    def open(
        cls,
        store: Store,
        providers: Mapping[str, ProviderSettings],
        identity: IdentitySettings,
        *,
        clock: Clock | None = None,
    ) -> Self:
        """As `perdure.toml` says. The master key is read when it is first needed."""
        return cls(store, providers, lambda: MasterKeys.open(identity.master_key), clock=clock)

    async def close(self) -> None:
        """Finish what is under way at providers."""
        await self._renewal.close()

    def provider(self, name: str) -> ProviderSettings:
        """The settings of a provider. Raises `ConfigError`."""
        found = self.providers.get(name)
        if found is None:
            known = ", ".join(f"`{p}`" for p in self.providers) or "none"
            raise ConfigError(
                f"there is no provider `{name}`; add [providers.{name}] to perdure.toml. There are: {known}"
            )
        return found

    def client(self, name: str) -> OAuthClient:
        """The client of a provider. Raises `ConfigError` for one that has no OAuth, or whose secret is not there."""
        settings = self.provider(name)
        if settings.kind != "oauth2":
            raise ConfigError(f"provider `{name}` takes API keys, and has no OAuth")
        if name not in self._clients:
            secret = client_secret(name, settings, self.master.read)
            self._clients[name] = OAuthClient(name, settings, secret=secret, web=self._web, clock=self._clock)
        return self._clients[name]

    # handing out -------------------------------------------------------------------------------------------------

    async def credential(self, wanted: Wanted) -> Credential:
        """The user's credential, good now.

        Raises `NeedsConnection` where they have granted nothing, too little, or where it has ended;
        `ProviderUnavailable` where it has to be renewed and cannot be at present; `CannotUnseal` where what is kept was
        changed, or no master key opens it.
        """
        self.provider(wanted.provider)
        place = Place(wanted.tenant, wanted.subject, wanted.provider)
        grant = await self.keeping.get(place)
        for _ in range(3):  # a grant may be connected, or taken back, while it is looked at
            if grant is None:
                raise _needed(wanted, f"`{wanted.subject}` has connected no account with `{wanted.provider}`")
            if grant.state == "dead":
                raise _needed(wanted, f"what `{wanted.subject}` granted is over ({grant.why})")
            try:
                tokens = await self.keeping.open(grant)
            except Unreadable:
                raise _needed(
                    wanted, f"what `{wanted.subject}` granted cannot be read any more: its key was destroyed"
                ) from None
            if missing := missing_scopes(wanted.scopes, tokens.scopes):
                lacking = ", ".join(f"`{scope}`" for scope in missing)
                raise _needed(wanted, f"what `{wanted.subject}` granted does not cover {lacking}")
            left = self._left(tokens)
            if grant.version == wanted.rejected:
                left = 0.0  # whatever it says of its end: the other side does not take it
            if not self._is_due(grant, left):
                return self._handed(grant, tokens)
            if tokens.refresh is None:
                if left > 0:
                    return self._handed(grant, tokens)
                raise _needed(wanted, f"what `{wanted.subject}` granted has ended, and cannot be renewed")
            try:
                grant = await self._renewal.renewed(grant, self.client(wanted.provider))
            except (ProviderError, ConfigError):
                if left <= 0:
                    raise
                self._failed[place] = self._clock.monotonic()
                return self._handed(grant, tokens)
        raise ProviderUnavailable(
            f"`{wanted.provider}` hands out tokens of `{wanted.subject}` that have ended already"
        )

    def _left(self, tokens: Tokens) -> float:
        """Seconds."""
        if tokens.expires_at is None:
            return float("inf")
        return (tokens.expires_at - self._clock.micros()) / 1e6

    def _is_due(self, grant: Grant, left: float) -> bool:
        if left <= 0 or grant.expires_at is None:
            return left <= 0
        early = min(EARLY_SECONDS, (grant.expires_at - grant.renewed_at) / 1e7)
        failed = self._failed.get(grant.place)
        rests = failed is not None and self._clock.monotonic() - failed < AGAIN_SECONDS
        return left <= early and not rests

    def _handed(self, grant: Grant, tokens: Tokens) -> Credential:
        return Credential(
            tokens.access,
            provider=grant.place.provider,
            subject=grant.place.subject,
            scheme=tokens.scheme,
            expires_at=tokens.expires_at,
            version=grant.version,
        )

    # connecting --------------------------------------------------------------------------------------------------

    async def connect(
        self, tenant: str, subject: str, provider: str, tokens: Tokens, *, by: str | None = None
    ) -> Connected:
        """Keep what a user has granted, in the place of what was there, and wake the runs that wait for it."""
        settings = self.provider(provider)
        place = Place(check_id(tenant, what="a tenant"), check_subject(subject), provider)
        grant = await self.keeping.put(place, tokens, kind=settings.kind, by=by or subject)
        assert grant is not None
        self._failed.pop(place, None)
        return Connected(grant, await self._waking.wake(grant))

    async def connect_key(
        self,
        tenant: str,
        subject: str,
        provider: str,
        key: str,
        *,
        scopes: Sequence[str] = (),
        by: str | None = None,
    ) -> Connected:
        """Keep an API key of a user. `scopes`: what it allows, as far as the user says it."""
        settings = self.provider(provider)
        if settings.kind != "api_key":
            raise ConfigError(f"provider `{provider}` has OAuth, and takes no API keys")
        key = key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise ConfigError("that is no API key: it must be one line of printable ASCII")
        tokens = Tokens(access=key, scopes=tuple(scopes) or settings.scopes, scheme=settings.scheme)
        return await self.connect(tenant, subject, provider, tokens, by=by)

    async def scopes_to_ask(
        self, tenant: str, subject: str, provider: str, given: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """What to ask a user for: as `given`; else what is set, what they have granted, and what runs wait for."""
        if given:
            return tuple(given)
        place = Place(tenant, subject, provider)
        grant = await self.keeping.get(place)
        granted = () if grant is None else grant.scopes
        waited = await self._waking.scopes(place)
        return tuple(dict.fromkeys([*self.provider(provider).scopes, *granted, *waited]))

    async def sweep(self) -> list[RunRef]:
        """Wake the runs that wait for a grant which is there. Every worker does it now and then."""
        return await self._waking.sweep()

    # looking, and taking back ------------------------------------------------------------------------------------

    async def grants(self, tenant: str | None = None, *, subject: str | None = None) -> list[Grant]:
        """What users have granted, of one tenant or of all, without what is sealed being opened."""
        found = [grant async for grant in self.keeping.each(tenant=tenant)]
        return [grant for grant in found if subject is None or grant.place.subject == subject]

    async def grant(self, tenant: str, subject: str, provider: str) -> Grant | None:
        """What a user has granted with one provider."""
        return await self.keeping.get(Place(tenant, subject, provider))

    async def waiting(self, tenant: str, subject: str, provider: str) -> list[str]:
        """The runs that wait for what a user has not granted, or not enough of it."""
        return await self._waking.waiting(Place(tenant, subject, provider))

    async def revoke(self, tenant: str, subject: str, provider: str) -> Revoked | None:
        """Take a grant away, then have the provider forget it. None: there was none.

        It is gone from here also where the provider cannot be told; then `why` says what the user must do there.
        """
        grant = await self.keeping.drop(Place(tenant, subject, provider))
        if grant is None:
            return None
        if grant.kind == "api_key":
            return Revoked(grant, told=False, why="an API key is taken back where it was made")
        try:
            told = await self.client(provider).revoke(await self.keeping.open(grant))
        except Unreadable:
            return Revoked(grant, told=False, why="its key was destroyed")
        except (ProviderError, ConfigError) as error:
            return Revoked(grant, told=False, why=str(error), failed=True)
        return Revoked(grant, told=told, why="" if told else f"`{provider}` has no `revocation_endpoint`")

    async def forget(self, tenant: str, subject: str) -> list[Grant]:
        """Destroy a user's data key: nothing that they granted opens again. Then take their grants away."""
        await self.keeping.destroy(tenant, subject)
        gone = await self.grants(tenant, subject=subject)
        for grant in gone:
            await self.keeping.drop(grant.place)
        return gone


def _needed(wanted: Wanted, why: str) -> NeedsConnection:
    user = quote(wanted.subject.removeprefix("user:"))
    more = "".join(f" --scope {quote(scope)}" for scope in wanted.scopes)
    tenant = "" if wanted.tenant == DEFAULT_TENANT else f" --tenant {quote(wanted.tenant)}"
    error = NeedsConnection(
        f"{why}; `perdure connect {wanted.provider} --user {user}{more}{tenant}` connects it"
    )
    error.provider, error.subject, error.scopes = wanted.provider, wanted.subject, tuple(wanted.scopes)
    return error
