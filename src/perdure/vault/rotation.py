"""A new master key: what the old one has sealed is sealed anew, so that the old one can go.

    new key in front of the old, everywhere ─► perdure vault rotate ─► old key away

Grants stay as they are: only the keys of their users are wrapped anew, a few dozen bytes each. It may be stopped and
begun again at any time, beside workers that go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..core.identity_settings import IdentitySettings
from ..identity import FileKeyStore
from .secrets import reseal_secret, sealed_path
from .vault import Vault

__all__ = ["Rotated", "rotate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotated:
    """What was sealed anew."""

    current: str
    """the id of the master key that seals now"""
    others: tuple[str, ...]
    """of those that nothing of this is sealed under any more"""
    users: int
    agents: int
    """versions of agents whose keys were"""
    secrets: int
    """of the clients that Perdure is to providers"""


async def rotate(
    vault: Vault, identity: IdentitySettings, *, tell: Callable[[int], None] = lambda done: None
) -> Rotated:
    """Seal anew what is not sealed under the current master key. `tell` hears how many users' keys are done."""
    master = vault.master.read()
    users = 0
    # Once more than there seems to be something to do: a worker may have made a key under the old one meanwhile.
    while True:
        before = users
        async for key in vault.keeping.stale():
            users += await vault.keeping.rewrap(key)
            tell(users)
        if users == before:
            break
    agents = FileKeyStore(identity.keys, master).reseal() if identity.keys.exists() else 0
    secrets = 0
    for name, settings in vault.providers.items():
        path = sealed_path(name, settings)
        secrets += path is not None and reseal_secret(name, path, master)
    current, *others = master.ids
    return Rotated(current=current, others=tuple(others), users=users, agents=agents, secrets=secrets)
