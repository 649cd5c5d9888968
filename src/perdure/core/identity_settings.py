"""The table `[identity]` of `perdure.toml`: under which name the agents are known, and where their keys are."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

__all__ = ["IdentitySettings"]


class IdentitySettings(BaseModel):
    """Who vouches for the agents. Without a trust domain they have no identity outside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trust_domain: str | None = None
    """of all agents' names: `spiffe://TRUST-DOMAIN/t/TENANT/agent/NAME`"""
    issuer: str | None = None
    """the address under which the key set is published, and which stands in each token; `https://TRUST-DOMAIN` where it
    is not said"""
    keys: Path = Path(".perdure/keys")
    """the folder of the agents' keys, sealed"""
    master_key: Path = Path(".perdure/master.key")
    """the file of the key that seals; `PERDURE_MASTER_KEY` goes before it"""

    def issuer_url(self) -> str | None:
        """The address under which the key set is published."""
        return self.issuer or (None if self.trust_domain is None else f"https://{self.trust_domain}")
