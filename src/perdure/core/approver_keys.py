"""The public keys of approvers, as settings name them: one text a key, that can be copied from a terminal.

    ed25519:mBqjQ_…                 43 letters: the key
    es256:k8Jx0…                    86 letters: x and y of a point on P-256

A key's id is its RFC 7638 thumbprint: whoever has the key can work it out, and no two keys share one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from .clock import to_micros

__all__ = ["ApproverKey", "jwk_of"]

_FORMS = {"ed25519": 32, "es256": 64}
"""Bytes of a key."""


class ApproverKey(BaseModel):
    """One public key of an approver; in settings also just its text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str
    """`ed25519:…` or `es256:…`, as `perdure approvers keygen` prints it"""
    revoked_at: datetime | None = None
    """from then on it signs nothing that counts; with a time zone"""
    note: str = ""
    """which one it is: `laptop`"""

    @model_validator(mode="before")
    @classmethod
    def _as_text(cls, given: Any) -> Any:
        return {"key": given} if isinstance(given, str) else given

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, given: str) -> str:
        jwk_of(given)
        return given

    @field_validator("revoked_at")
    @classmethod
    def _has_a_zone(cls, given: datetime | None) -> datetime | None:
        if given is not None and given.tzinfo is None:
            raise ValueError("say in which time zone: `2026-11-26T09:00:00Z`")
        return given

    @property
    def alg(self) -> str:
        """The one algorithm that it signs by, as a JWS names it."""
        return "Ed25519" if self.key.startswith("ed25519:") else "ES256"

    @cached_property
    def kid(self) -> str:
        """Its id: the RFC 7638 thumbprint."""
        text = json.dumps(self.jwk(), sort_keys=True, separators=(",", ":"))
        return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()

    def revoked_since(self, said: Mapping[str, Any] | None = None) -> int | None:
        """When it was revoked, microseconds: by the settings, or by `said`, what a store holds; None: it is good."""
        times = [] if self.revoked_at is None else [to_micros(self.revoked_at)]
        if said is not None:
            times.append(int(said["revoked_at"]))
        return min(times, default=None)

    def jwk(self) -> dict[str, str]:
        """As RFC 7517 has it: what its kind needs, and nothing else."""
        return jwk_of(self.key)


def jwk_of(text: str) -> dict[str, str]:
    """A key's text as a JWK. Raises `ValueError`."""
    kind, _, letters = text.partition(":")
    if kind not in _FORMS or not re.fullmatch(r"[A-Za-z0-9_-]+", letters):
        raise ValueError("a key is written `ed25519:…` or `es256:…`, as `perdure approvers keygen` prints it")
    try:
        data = base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
    except binascii.Error:
        data = b""
    if len(data) != _FORMS[kind] or _letters(data) != letters:
        raise ValueError(f"the key `{text[:24]}…` is cut, or has too much: {_FORMS[kind]} bytes are in one")
    if kind == "ed25519":
        return {"crv": "Ed25519", "kty": "OKP", "x": letters}
    return {"crv": "P-256", "kty": "EC", "x": _letters(data[:32]), "y": _letters(data[32:])}


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
