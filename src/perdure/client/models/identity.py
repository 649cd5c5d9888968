"""Under which names the agents are known outside."""

from __future__ import annotations

from pydantic import Field

from .base import Told

__all__ = ["AgentIdentity", "TrustDomain"]


class AgentIdentity(Told):
    """The name of a version of an agent."""

    agent: str
    version: str
    spiffe_id: str = Field(examples=["spiffe://example.com/t/default/agent/desk"])


class TrustDomain(Told):
    """Who vouches for the agents."""

    trust_domain: str = Field(examples=["example.com"])
    issuer: str
    """as it stands in each token"""
    agents: list[AgentIdentity]
