"""What an app's agents are called outside, and the tokens that their tools' requests carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.clock import Clock
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings

if TYPE_CHECKING:
    from ..runtime.outbound.minting import Minting

__all__ = ["Identities"]


class Identities:
    """The part of `App` that knows who its agents are."""

    if TYPE_CHECKING:
        clock: Clock

    identity_settings: IdentitySettings
    """under which name the agents are known, and where their keys are. Set it before the first use"""
    _minting: Minting | None = None

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
