"""The name of an agent outside Perdure: a SPIFFE id, which clouds and gateways know how to trust.

spiffe://example.org/t/TENANT/agent/NAME
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..core.errors import ConfigError

__all__ = ["AgentId"]

# https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE-ID.md, 2.1 and 2.2
_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_SEGMENT = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,200}")
_URI = re.compile(r"spiffe://([^/]*)/t/([^/]*)/agent/([^/]*)")


class AgentId(NamedTuple):
    """Who an agent is, wherever it is asked. All its versions are one agent; each has a key of its own."""

    trust_domain: str
    tenant: str
    agent: str

    def __str__(self) -> str:
        return f"spiffe://{self.trust_domain}/t/{self.tenant}/agent/{self.agent}"

    @classmethod
    def of(cls, trust_domain: str, tenant: str, agent: str) -> AgentId:
        """The name of an agent. Raises `ConfigError` where SPIFFE knows no such name."""
        if not _DOMAIN.fullmatch(trust_domain):
            raise ConfigError(
                f"`{trust_domain[:80]}` cannot be a trust domain: use a name like `agents.example.org`, in lower case"
            )
        for what, value in (("tenant", tenant), ("agent", agent)):
            if not _SEGMENT.fullmatch(value):
                raise ConfigError(
                    f"{what} `{value[:80]}` can have no identity: a SPIFFE id takes A-Z a-z 0-9 . _ - only; rename it"
                )
        return cls(trust_domain, tenant, agent)

    @classmethod
    def parse(cls, text: str) -> AgentId:
        """Read a name back. Raises `ConfigError`."""
        found = _URI.fullmatch(text)
        if found is None:
            raise ConfigError(
                f"`{text[:200]}` names no agent; write `spiffe://TRUST-DOMAIN/t/TENANT/agent/NAME`"
            )
        return cls.of(*found.groups())
