"""What an app's agents are called outside, the tokens that their tools' requests carry, and who vouches for users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from ..core.principal import Principal
from .base import AppBase

if TYPE_CHECKING:
    from ..identity.oidc import Users
    from ..runtime.outbound.minting import Minting

__all__ = ["Identities"]


class Identities(AppBase):
    """The part of `App` that knows who its agents are."""

    identity_settings: IdentitySettings
    """under which name the agents are known, where their keys are, and who vouches for users. Set it before the first
    use"""
    _minting: Minting | None = None
    _users: Users | None = None

    def minting(self) -> Callable[[], Minting] | None:
        """What makes tokens, once one is needed; None: the agents have no identity."""
        return None if self.identity_settings.trust_domain is None else self._opened_minting

    def _opened_minting(self) -> Minting:
        if self._minting is None:
            try:
                from ..identity.broker import Broker
                from ..runtime.outbound.minting import Minting
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in ("joserfc", "cryptography"):
                    raise
                raise ConfigError('identities need their extra: `pip install "perdure[identity]"`') from None
            self._minting = Minting(Broker.open(self.identity_settings, clock=self.clock), self.clock)
        return self._minting

    async def verify(self, token: str) -> Principal:
        """For whom a user's token speaks, checked against its issuer. Raises `PrincipalRefused` and `ConfigError`."""
        return await asyncio.to_thread(self.users.verify, token)  # it may fetch keys

    @property
    def users(self) -> Users:
        """Who vouches for users: the tables `[identity.issuers.NAME]`. Raises `ConfigError` where there is none."""
        if self._users is None:
            if not self.identity_settings.issuers:
                raise ConfigError(
                    "nobody vouches for users here: add a table [identity.issuers.NAME] with `url` and `audience` to "
                    "perdure.toml, or give `App(identity={'issuers': ...})`"
                )
            try:
                from ..identity.oidc import Users
            except ModuleNotFoundError as error:
                raise ConfigError(
                    f'users\' tokens need `{error.name}`: `pip install "perdure[identity]"`'
                ) from None
            self._users = Users.open(self.identity_settings, tenant=self.tenant, clock=self.clock)
        return self._users
