"""Changes of trust, as they are kept: one record after the other, each with the hash of the one before.

    trust         AGENT/ACTION            {"seq": 3, "hash": "…"}         the head: which record is the last
    trust_record  AGENT/ACTION/000003     {"ring": "draft", "prev": "…", …}

A record says which ring holds from it on. What narrows needs no signature; what widens carries that of a person, over
everything that decides: the rings, the evidence, and the hash of the record before, so that it is good in one place.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pydantic_core

from ...core.rings import Ring
from ...core.statements import Statement, digest_of
from ...journal import CellKey

__all__ = ["GENESIS", "HEAD", "RECORD", "TrustChange", "TrustRecord", "head_key", "record_key"]

HEAD = "trust"
RECORD = "trust_record"
"""Kinds of cells."""

GENESIS = "0" * 64
"""The hash before the first record."""


def _place(agent: str, action: str) -> str:
    """Names as they stand in a key: no name can be taken for two."""
    return f"{quote(agent, safe='')}/{quote(action, safe='')}"


def head_key(tenant: str, agent: str, action: str) -> CellKey:
    """Where the head of a chain stands."""
    return CellKey(tenant, HEAD, _place(agent, action))


def record_key(tenant: str, agent: str, action: str, seq: int | None = None) -> CellKey:
    """Where a record stands; without `seq` what the keys of all of them begin with."""
    number = "" if seq is None else f"{seq:06}"
    return CellKey(tenant, RECORD, f"{_place(agent, action)}/{number}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustChange:
    """A change as it is proposed: all that a signature is over."""

    tenant: str
    agent: str
    action: str
    seq: int
    """its place in the chain"""
    prev: str
    """hash of the record before"""
    before: Ring
    """which holds when it is proposed"""
    ring: Ring
    """which is to hold"""
    evidence: Mapping[str, Any]
    """what it rests on; see `evidence.Evidence`"""
    proposed_by: str
    reason: str = ""

    def told(self) -> dict[str, Any]:
        """As it is shown, signed and kept."""
        return {
            "tenant": self.tenant,
            "agent": self.agent,
            "action": self.action,
            "seq": self.seq,
            "prev": self.prev,
            "before": str(self.before),
            "ring": str(self.ring),
            "evidence": dict(self.evidence),
            "proposed_by": self.proposed_by,
            "reason": self.reason,
        }

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> TrustChange:
        """From what was kept."""
        known: dict[str, Any] = {**told, "before": Ring(told["before"]), "ring": Ring(told["ring"])}
        return cls(**known)

    @property
    def digest(self) -> str:
        """Of all that is shown."""
        return digest_of(self.told())

    def statement(self, sub: str, *, iat: int = 0, kid: str | None = None) -> Statement:
        """What its signer says. Nobody can take it for an answer to a run: no run has such a name."""
        return Statement(
            tenant=self.tenant,
            run=f"trust in {self.agent}",
            step=self.action,
            digest=self.digest,
            decision="approve",
            reason=self.reason or None,
            nonce=self.prev,
            sub=sub,
            iat=iat,
            kid=kid,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRecord:
    """One change that was made."""

    tenant: str
    agent: str
    action: str
    seq: int
    prev: str
    before: Ring
    """which held, as far as whoever wrote it knew"""
    ring: Ring
    """which holds from now on"""
    by: str
    """who narrowed it, or who signed"""
    reason: str
    at: int
    """microseconds, the store's clock"""
    evidence: Mapping[str, Any] | None = None
    """of a widening: what was signed"""
    proposed_by: str | None = None
    proof: str | None = None
    """of a widening: the signature"""
    cause: str | None = None
    """what made something narrow it (`RUN/STEP`), so that it is done once"""
    hash: str = ""
    """over all of it"""

    def told(self) -> dict[str, Any]:
        """As it is kept, without its hash."""
        told: dict[str, Any] = {
            "tenant": self.tenant,
            "agent": self.agent,
            "action": self.action,
            "seq": self.seq,
            "prev": self.prev,
            "before": str(self.before),
            "ring": str(self.ring),
            "by": self.by,
            "reason": self.reason,
            "at": self.at,
        }
        for name in ("evidence", "proposed_by", "proof", "cause"):
            if (value := getattr(self, name)) is not None:
                told[name] = value
        return told

    def hashed(self) -> str:
        """What its hash must be: SHA-256 of its canonical JSON."""
        text = json.dumps(self.told(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def data(self) -> bytes:
        """For its cell."""
        return pydantic_core.to_json({**self.told(), "hash": self.hash})

    @classmethod
    def read(cls, data: bytes) -> TrustRecord:
        """From its cell. Raises `ValueError`, `KeyError` or `TypeError` for what is none."""
        told: dict[str, Any] = pydantic_core.from_json(data)
        known: dict[str, Any] = {**told, "before": Ring(told["before"]), "ring": Ring(told["ring"])}
        return cls(**known)

    @property
    def widens(self) -> bool:
        """Whether it lets more happen than what held before, as it says itself."""
        return self.proof is not None or self.ring.wider_than(self.before)

    def change(self) -> TrustChange:
        """What must have been signed."""
        return TrustChange(
            tenant=self.tenant,
            agent=self.agent,
            action=self.action,
            seq=self.seq,
            prev=self.prev,
            before=self.before,
            ring=self.ring,
            evidence=self.evidence or {},
            proposed_by=self.proposed_by or "",
            reason=self.reason,
        )
