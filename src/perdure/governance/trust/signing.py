"""Signing a change of trust, with a person's own key."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .records import TrustChange

if TYPE_CHECKING:
    from ...identity.approver_file import SigningKey

__all__ = ["sign_change"]


def sign_change(
    change: TrustChange, key: SigningKey, *, by: str | None = None, now: float | None = None
) -> str:
    """The signature of a key under a proposal, for `App.trust.sign(..., proof=...)`.

    `by` is the key's owner where it is not said; `now` is seconds since the Unix epoch.
    """
    iat = int(time.time() if now is None else now)
    return key.sign(change.statement(by or key.user, iat=iat, kid=key.public.kid).text())
