"""On whose behalf the agent of a run acts, as its tokens say it: from what the journal recorded, to `act` in `act`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..core.delegation import Handed, chain_of
from ..core.principal import Principal

if TYPE_CHECKING:
    from ..identity.tokens import Delegation
    from .replay.recorder import Recorder

__all__ = ["delegation_in", "delegation_of"]

LONGEST_CHAIN = 16
"""Agents that a token names above its own, the nearest: it has to fit into a header."""


def delegation_of(recorder: Recorder, *, trust_domain: str) -> Delegation:
    """For the tokens of a run's agent. Needs the extra `identity`. Raises `ConfigError` for names that SPIFFE lacks."""
    return _delegation(
        recorder.on_behalf_of,
        recorder.chain,
        tenant=recorder.ref.tenant,
        agent=recorder.boundary.agent,
        trust_domain=trust_domain,
    )


def delegation_in(started: Mapping[str, Any], *, tenant: str, agent: str, trust_domain: str) -> Delegation:
    """The same from the payload of the run's STARTED (or CONTINUED) entry, for whoever reads a journal."""
    return _delegation(
        Principal.of(started), chain_of(started), tenant=tenant, agent=agent, trust_domain=trust_domain
    )


def _delegation(
    principal: Principal | None, chain: Sequence[Handed], *, tenant: str, agent: str, trust_domain: str
) -> Delegation:
    from ..identity.names import AgentId
    from ..identity.tokens import Delegation

    above = [str(AgentId.of(trust_domain, tenant, handed.agent)) for handed in chain[:LONGEST_CHAIN]]
    if principal is None or not principal.verified:
        # A name that was only said must not become a subject that receivers authorise by: the agent acts for itself.
        return Delegation(str(AgentId.of(trust_domain, tenant, agent)), above)
    return Delegation(principal.subject, above, principal.issuer)
