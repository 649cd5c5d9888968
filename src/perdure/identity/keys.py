"""The keys of agents: ES256, one ring for each agent version, rotated with an overlap.

rotate ──► published ──► signs ──► still published, signs no more ──► gone
           (verifiers    (tokens)  (tokens made before live on)
            fetch it)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, cast

from joserfc.jwk import ECKey

from ..core.clock import Clock
from .names import AgentId

__all__ = ["AgentKey", "KeyOwner", "KeyStore", "Keyring", "jwks"]

CURVE = "P-256"
LEAD_SECONDS = 600
"""A new key is published so long before it signs: longer than verifiers keep a key set."""
TAIL_SECONDS = 360
"""An old key stays published so long after it signed last: the longest token's life, and clocks that differ."""


class KeyOwner(NamedTuple):
    """Whose keys: a version of an agent."""

    agent: AgentId
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """One key. Times are microseconds since the Unix epoch."""

    kid: str
    """its RFC 7638 thumbprint"""
    key: ECKey = field(repr=False, compare=False)
    created_at: int
    signs_from: int
    revoked_at: int | None = None

    def public(self) -> dict[str, Any]:
        """As it stands in a key set."""
        return {
            **cast("dict[str, Any]", self.key.as_dict(private=False)),
            "kid": self.kid,
            "use": "sig",
            "alg": "ES256",
        }

    @classmethod
    def new(cls, *, at: int, signs_from: int) -> AgentKey:
        """Make a key."""
        key = ECKey.generate_key(CURVE)
        return cls(kid=key.thumbprint(), key=key, created_at=at, signs_from=signs_from)


class KeyStore(Protocol):
    """Where private keys live: files, or a key service. Agent code never sees one."""

    def keys(self, owner: KeyOwner) -> Sequence[AgentKey]:
        """The keys of an owner, the oldest first; none, if it has none yet."""
        ...

    def change(
        self, owner: KeyOwner, change: Callable[[Sequence[AgentKey]], Sequence[AgentKey]]
    ) -> Sequence[AgentKey]:
        """Replace an owner's keys by `change` of them, while nobody else does. What is there now."""
        ...

    def owners(self) -> Sequence[KeyOwner]:
        """All that have keys."""
        ...


class Keyring:
    """The keys of one agent version."""

    def __init__(self, store: KeyStore, owner: KeyOwner, clock: Clock) -> None:
        self._store = store
        self._owner = owner
        self._clock = clock
        self._kept: Sequence[AgentKey] = ()
        self._look_at = 0

    @property
    def owner(self) -> KeyOwner:
        """Whose they are."""
        return self._owner

    def signing(self) -> AgentKey:
        """The key that signs now; the first is made when it is first needed. Others' rotations show within a second."""
        now = self._clock.micros()
        if now >= self._look_at or not self._kept:
            self._kept, self._look_at = self._store.keys(self._owner), now + 1_000_000
        found = _signing(self._kept, now)
        if found is None:
            # By the time under the lock: a key that another process made meanwhile is of a moment after `now`.
            self._kept = self._store.change(self._owner, lambda keys: _with_first(keys, self._clock.micros()))
            found = _signing(self._kept, self._clock.micros())
        assert found is not None
        return found

    def published(self) -> list[AgentKey]:
        """The keys that verifiers may meet, now or soon."""
        return _published(self._store.keys(self._owner), self._clock.micros())

    def rotate(self, *, lead: float = LEAD_SECONDS) -> AgentKey:
        """Add a key that signs after `lead` seconds. 0 only where the old key must not sign any more."""
        now = self._clock.micros()
        made = AgentKey.new(at=now, signs_from=now + round(lead * 1e6))
        self._changed(lambda keys: [*_published(keys, now), made])
        return made

    def revoke(self, kid: str) -> bool:
        """Take a key out of the key set at once; a new one signs from now on. False where there is no such key."""
        now = self._clock.micros()
        found = False

        def change(keys: Sequence[AgentKey]) -> Sequence[AgentKey]:
            nonlocal found
            found = any(key.kid == kid and key.revoked_at is None for key in keys)
            if not found:
                return keys
            kept = [replace(key, revoked_at=now) if key.kid == kid else key for key in keys]
            return _with_first(kept, now)

        self._changed(change)
        return found

    def _changed(self, change: Callable[[Sequence[AgentKey]], Sequence[AgentKey]]) -> None:
        self._kept = self._store.change(self._owner, change)
        self._look_at = 0


def jwks(rings: Iterable[Keyring]) -> dict[str, Any]:
    """The key set of these agents: RFC 7517, public halves only."""
    return {"keys": [key.public() for ring in rings for key in ring.published()]}


def _with_first(keys: Sequence[AgentKey], now: int) -> Sequence[AgentKey]:
    """With a key that signs now."""
    return keys if _signing(keys, now) is not None else [*keys, AgentKey.new(at=now, signs_from=now)]


def _signing(keys: Sequence[AgentKey], now: int) -> AgentKey | None:
    ready = [key for key in keys if key.revoked_at is None and key.signs_from <= now]
    return max(ready, key=lambda key: key.signs_from, default=None)


def _published(keys: Sequence[AgentKey], now: int) -> list[AgentKey]:
    good = sorted((key for key in keys if key.revoked_at is None), key=lambda key: key.signs_from)
    last = [later.signs_from + TAIL_SECONDS * 1_000_000 for later in good[1:]]
    return [key for key, until in zip(good, [*last, now + 1], strict=True) if now < until] if good else []
