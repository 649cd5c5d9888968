"""The broker: holds the agents' keys, and makes their tokens. The only place that both do meet.

Its public half is two documents, under which anybody can check a token without asking:

    ISSUER/.well-known/openid-configuration ──► ISSUER/.well-known/jwks.json
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..core.clock import Clock, SystemClock
from ..core.errors import ConfigError
from ..core.identity_settings import IdentitySettings
from .keys import KeyOwner, Keyring, KeyStore, jwks
from .keystore import FileKeyStore
from .names import AgentId
from .sealing import MasterKeys
from .signatures import ALGORITHM
from .tokens import Issuer

__all__ = ["DISCOVERY", "JWKS", "Broker"]

DISCOVERY = ".well-known/openid-configuration"
"""Below the issuer's address: OpenID Connect Discovery, which clouds' workload federation reads."""
JWKS = ".well-known/jwks.json"
"""Below the issuer's address: the public keys."""


class Broker:
    """The identities of one trust domain."""

    def __init__(
        self, store: KeyStore, *, trust_domain: str, issuer: str, clock: Clock | None = None
    ) -> None:
        self._store = store
        self._domain = trust_domain
        self.issuer_url = issuer.rstrip("/")
        """as it stands in each token"""
        self._clock = clock or SystemClock()
        self._rings: dict[KeyOwner, Keyring] = {}

    @classmethod
    def open(cls, settings: IdentitySettings, *, clock: Clock | None = None) -> Broker:
        """As `perdure.toml` says. Raises `ConfigError` where it does not say who vouches."""
        issuer = settings.issuer_url()
        if settings.trust_domain is None or issuer is None:
            raise ConfigError(
                "agents have no identity here: set `trust_domain` in the table [identity] of perdure.toml; "
                "`perdure identity init` makes the master key"
            )
        store = FileKeyStore(settings.keys, MasterKeys.open(settings.master_key))
        return cls(store, trust_domain=settings.trust_domain, issuer=issuer, clock=clock)

    def owner(self, tenant: str, agent: str, version: str) -> KeyOwner:
        """The name of a version of an agent. Raises `ConfigError` where SPIFFE knows no such name."""
        return KeyOwner(AgentId.of(self._domain, tenant, agent), version)

    def ring(self, owner: KeyOwner) -> Keyring:
        """The keys of an agent version; the first is made when it signs."""
        found = self._rings.get(owner)
        if found is None:
            found = self._rings[owner] = Keyring(self._store, owner, self._clock)
        return found

    def rings(self) -> Sequence[Keyring]:
        """All that have keys."""
        return [self.ring(owner) for owner in self._store.owners()]

    def issuer(self, owner: KeyOwner) -> Issuer:
        """Makes the tokens of an agent version."""
        return Issuer(self.issuer_url, self.ring(owner), self._clock)

    def documents(self) -> dict[str, Any]:
        """What is published, by its path below the issuer's address."""
        return {
            DISCOVERY: {
                "issuer": self.issuer_url,
                "jwks_uri": f"{self.issuer_url}/{JWKS}",
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "dpop_signing_alg_values_supported": [ALGORITHM],
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "grant_types_supported": ["urn:ietf:params:oauth:grant-type:token-exchange"],
            },
            JWKS: jwks(self.rings()),
        }
