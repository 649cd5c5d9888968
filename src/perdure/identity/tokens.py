"""Access tokens, one for each call: who acts, for whom, on what, and with which arguments.

The claims are those of RFC 9068 (access tokens), 8693 (`act`: delegation), 9396 (`authorization_details`: the call) and
9449 (`cnf.jkt`: useless without the key that made the proof).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core
from joserfc import jws

from ..core.clock import Clock
from .keys import Keyring
from .signatures import ALGORITHM

__all__ = ["CALL", "LONGEST_SECONDS", "TOKEN_TYPE", "Call", "Delegation", "Issuer"]

LONGEST_SECONDS = 300
TOKEN_TYPE = "at+jwt"
CALL = "perdure_call"
"""The type of the entry of `authorization_details`."""


@dataclass(frozen=True, slots=True)
class Delegation:
    """On whose behalf an agent acts."""

    subject: str
    """the user or system that the run is for, as its issuer names it"""
    chain: Sequence[str] = ()
    """the agents that handed the task on, the nearest first; for the audit, never to authorise by"""
    subject_issuer: str | None = None
    """who vouched for the subject, where another issuer did"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What one token is good for."""

    tenant: str
    run: str
    step: str
    """the same over all attempts at one effect"""
    tool: str
    arguments: str
    """`arguments_digest` of what the boundary admitted"""
    content: str | None = None
    """`request_digest` of what is sent, where the sender knows it"""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Makes the tokens of one agent version. Only the broker holds one."""

    url: str
    """the issuer's name, under which its key set is found"""
    ring: Keyring
    clock: Clock = field(repr=False)

    def mint(
        self,
        call: Call,
        delegation: Delegation,
        *,
        audience: str,
        proof_key: str,
        scope: Sequence[str] = (),
        seconds: float = LONGEST_SECONDS,
    ) -> str:
        """A token for one call to one `audience`, bound to the thumbprint of the sender's `proof_key`."""
        key = self.ring.signing()
        now = self.clock.micros() // 1_000_000
        act: dict[str, Any] | None = None
        for agent in (*reversed(delegation.chain), str(self.ring.owner.agent)):
            act = {"sub": agent} if act is None else {"sub": agent, "act": act}
        details: dict[str, Any] = {"type": CALL, "tool": call.tool, "args_sha256": call.arguments}
        if call.content is not None:
            details["content_sha256"] = call.content
        claims: dict[str, Any] = {
            "iss": self.url,
            "sub": delegation.subject,
            "act": act,
            "aud": audience,
            "iat": now,
            "exp": now + int(min(max(seconds, 1), LONGEST_SECONDS)),
            "jti": f"{call.tenant}:{call.run}:{call.step}",
            "client_id": str(self.ring.owner.agent),
            "agent_version": self.ring.owner.version,
            "cnf": {"jkt": proof_key},
            "authorization_details": [details],
        }
        if scope:
            claims["scope"] = " ".join(scope)
        if delegation.subject_issuer is not None:
            claims["sub_iss"] = delegation.subject_issuer
        header = {"alg": ALGORITHM, "typ": TOKEN_TYPE, "kid": key.kid}
        return jws.serialize_compact(header, pydantic_core.to_json(claims), key.key, algorithms=[ALGORITHM])
