"""What an app does with users' accounts: there is a vault where providers are configured."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.credentials import CredentialSource
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from ..core.provider_settings import ProviderSettings
from .base import AppBase

if TYPE_CHECKING:
    from ..vault import Vault

__all__ = ["Connections"]


class Connections(AppBase):
    """The part of `App` that keeps users' credentials."""

    providers: Mapping[str, ProviderSettings]
    """with whom users connect their accounts; the tables `[providers.NAME]`. Set it before the first use"""
    credentials: CredentialSource | None
    """whatever keeps users' credentials; None: the vault. Set it before a worker is made"""
    identity_settings: IdentitySettings
    _vault: Vault | None = None

    @property
    def vault(self) -> Vault:
        """The grants of users, sealed in this app's store. Raises `ConfigError` where the extra is not installed."""
        if self._vault is None or self._vault.keeping.store is not self.store:
            try:
                from ..vault import Vault
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in (
                    "authlib",
                    "cryptography",
                    "httpx2",
                    "joserfc",
                ):
                    raise
                raise ConfigError('the vault needs its extra: `pip install "perdure[vault]"`') from None
            self._vault = Vault.open(self.store, self.providers, self.identity_settings, clock=self.clock)
        return self._vault

    @property
    def credential_source(self) -> CredentialSource | None:
        """What the boundary asks for credentials: as given, else the vault, where there are providers."""
        if self.credentials is not None:
            return self.credentials
        return self.vault if self.providers else None

    def sweeps(self) -> Sequence[Callable[[], Awaitable[object]]]:
        """What a worker is to look after now and then."""
        return [self.vault.sweep] if self.credentials is None and self.providers else []

    async def close_vault(self) -> None:
        """Keep what providers are just handing out."""
        if self._vault is not None:
            await self._vault.close()
