"""What is set aside for one attempt at a call before it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ...governance.amounts import Amount
from ...governance.budgets import Exhausted
from ...governance.ledger import What

__all__ = ["Ask", "Asked", "Part", "Reservation"]

Part = tuple[int, str, bytes, bytes]
"""An entry to be written: kind, key, payload, fingerprint."""

Ask = Callable[[Exhausted], Awaitable[None]]
"""Waits until the owner of a budget has said something, or `until` has come."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a reservation is asked for."""

    key: str
    mark: bytes
    what: What
    name: str
    need: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """So much is set aside, once `part` is written."""

    id: str
    key: str
    mark: bytes
    what: What
    name: str
    amount: Amount
    accounts: tuple[str, ...] = ()
    last: bool = False
    """the last call, from what was held back: whoever makes it should ask for an answer, and offer no tools"""
    part: Part = (0, "", b"", b"")
    """the RESERVED entry, to be on disk before the call; of no use once it is"""
