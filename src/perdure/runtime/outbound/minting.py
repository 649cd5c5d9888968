"""Tokens for the requests of a tool's client: who calls, for whom, and that it is the call which was admitted.

arguments as admitted ─► digest ─┐
query and body as sent ─► digest ─┴─► token (at most five minutes, for one audience) + proof ─► `perdure.verify`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.clock import Clock
from ...core.errors import ConfigError
from ..boundary.call import Call
from ..delegation import delegation_of

if TYPE_CHECKING:
    from ...identity.broker import Broker
    from ...identity.keys import KeyOwner

__all__ = ["Minting"]


class Minting:
    """The tokens of one process: made by its broker, bound to a key that never leaves it."""

    def __init__(self, broker: Broker, clock: Clock) -> None:
        from ...identity.proofs import ProofKey

        self._broker = broker
        self._key = ProofKey(clock)

    def owner(self, tenant: str, agent: str, version: str) -> KeyOwner:
        """Under which name an agent makes its calls. Raises `ConfigError`."""
        return self._broker.owner(tenant, agent, version)

    def headers(
        self, call: Call, *, agent: str, version: str, tool: str, audience: str, scopes: Sequence[str] = ()
    ) -> Any:
        """What makes the headers of each request of one call. Raises `ConfigError` where the agent can have no name."""
        from ...identity.digests import arguments_digest, request_digest
        from ...identity.tokens import Call as Sent

        recorder, tenant = call.recorder, call.recorder.ref.tenant
        issuer = self._broker.issuer(self.owner(tenant, agent, version))
        arguments = arguments_digest(pydantic_core.from_json(call.data))
        delegation = delegation_of(recorder, trust_domain=issuer.ring.owner.agent.trust_domain)

        def of(method: str, url: str, query: bytes, body: bytes) -> Mapping[str, str]:
            sent = Sent(
                tenant=tenant,
                run=recorder.ref.id,
                step=call.key,
                tool=tool,
                arguments=arguments,
                content=request_digest(query.decode("ascii"), body),
            )
            token = issuer.mint(
                sent, delegation, audience=audience, proof_key=self._key.thumbprint, scope=scopes
            )
            recorder.knows(token, f"token for {audience}")
            return {"Authorization": f"DPoP {token}", "DPoP": self._key.prove(token, method=method, url=url)}

        return of


def without_identity(tool: str) -> ConfigError:
    """There is nobody who could make a token."""
    return ConfigError(
        f"tool `{tool}` wants a token for each request, and this app's agents have no identity: "
        "`App(identity=...)` takes the table [identity] of perdure.toml"
    )
