"""How grants are sealed.

    master key ──wraps──► data key of a user ──seals──► each of their grants
                          user key|TENANT|USER          TENANT|USER|PROVIDER|VERSION

What stands below an arrow is what the sealed bytes are bound to: moved to another user, tenant or provider, or put back
after a newer version, they do not open. Without a user's data key nothing of theirs opens again, whoever asks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import NamedTuple

from ..identity.sealing import CannotUnseal, MasterKeys

__all__ = ["DataKey", "Master", "Place", "user_context"]

_KEY_BYTES = 32


class Place(NamedTuple):
    """Whose grant, with whom."""

    tenant: str
    subject: str
    provider: str

    def context(self, version: int) -> str:
        """What a grant is bound to. Only the user's name may hold a `|`, so no two places read alike."""
        return f"{self.tenant}|{self.subject}|{self.provider}|{version}"


class Master:
    """The master keys, read again where they may have changed: a worker that goes on for months sees a new one."""

    def __init__(self, read: Callable[[], MasterKeys]) -> None:
        self._read = read
        self._keys: MasterKeys | None = None

    def wrap(self, key: bytes, tenant: str, subject: str) -> bytes:
        """Seal a user's data key under what is the current master key now."""
        self._keys = self._read()
        return self._keys.seal(key, context=user_context(tenant, subject))

    def unwrap(self, sealed: bytes, tenant: str, subject: str) -> DataKey:
        """A user's data key. Raises `CannotUnseal`, and `ConfigError` where there is no master key."""
        keys, fresh = self._keys, False
        if keys is None:
            keys, fresh = self._read(), True
        try:
            raw = keys.unseal(sealed, context=user_context(tenant, subject))
        except CannotUnseal:
            if fresh:
                raise
            keys = self._read()
            raw = keys.unseal(sealed, context=user_context(tenant, subject))
        self._keys = keys
        return DataKey(raw)

    def read(self) -> MasterKeys:
        """The keys as they are now."""
        self._keys = self._read()
        return self._keys


class DataKey:
    """The key of one user's grants."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._keys = MasterKeys([raw])

    def __repr__(self) -> str:
        return "DataKey(...)"

    @classmethod
    def new(cls) -> DataKey:
        """A random one."""
        return cls(secrets.token_bytes(_KEY_BYTES))

    def seal(self, data: bytes, place: Place, version: int) -> bytes:
        """Seal a version of a grant."""
        return self._keys.seal(data, context=place.context(version))

    def sealed(self, data: bytes) -> bool:
        """Whether it was this key that sealed, and not one that was destroyed since."""
        return self._keys.is_current(data)

    def unseal(self, data: bytes, place: Place, version: int) -> bytes:
        """Open a version of a grant. Raises `CannotUnseal`."""
        try:
            return self._keys.unseal(data, context=place.context(version))
        except CannotUnseal:
            raise CannotUnseal(
                f"the grant of `{place.subject}` with `{place.provider}` (tenant `{place.tenant}`, version {version}) "
                "does not open: it was changed, or moved here from elsewhere; `perdure connections revoke` removes it"
            ) from None


def user_context(tenant: str, subject: str) -> str:
    """What a user's data key is bound to."""
    return f"user key|{tenant}|{subject}"
