"""How safely a server keeps what it was told: asked of the server itself, for nobody else knows.

A Redis answers a write before or after it is on disk, as it is configured. With the append-only file and `appendfsync
always` an answer means that it is on disk; with `everysec` up to about a second of writes is lost with the machine (not
with the process); without the file all since the last snapshot. And replicas follow later: who takes over may not have
the last writes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from ...core.errors import StoreUnavailable
from .connection import RedisLink

__all__ = ["Durability", "durability"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Durability:
    """What a server says of itself."""

    server: str
    """its name and version"""
    fsync: Literal["always", "everysec", "no", "off", "unknown"]
    """`off`: no append-only file; `unknown`: the server does not say"""
    evicts: str | None
    """the policy by which it throws things away when its memory is full; None: it throws nothing away"""
    replica: bool
    """it takes no writes"""

    @property
    def words(self) -> str:
        """What an answered write is worth."""
        return {
            "always": "a write that was answered is on disk",
            "everysec": "about a second of writes can be lost with the machine",
            "no": "what the system has not yet written can be lost with the machine",
            "off": "all since its last snapshot can be lost, for it writes no append-only file",
            "unknown": "it does not say when writes are on disk",
        }[self.fsync]


async def durability(link: RedisLink) -> Durability:
    """Ask a server. Raises `StoreUnavailable`."""
    told = _fields(await link.ask("INFO"))
    fsync: Literal["always", "everysec", "no", "off", "unknown"] = "unknown"
    if told.get("aof_enabled") == "0":
        fsync = "off"
    elif (said := await _configured(link, "appendfsync")) in ("always", "everysec", "no"):
        fsync = said  # type: ignore[assignment]
    policy = told.get("maxmemory_policy", "noeviction")
    limited = told.get("maxmemory", "0") != "0"
    name = "valkey" if "valkey_version" in told else "redis"
    return Durability(
        server=f"{name} {told.get('valkey_version') or told.get('redis_version', '?')}",
        fsync=fsync,
        evicts=policy if policy != "noeviction" and limited else None,
        replica=told.get("role") == "slave",
    )


async def _configured(link: RedisLink, name: str) -> str:
    """One setting; empty where the server, as many that are rented, does not tell it."""
    try:
        told = await link.ask("CONFIG GET", name)
    except StoreUnavailable:
        return ""
    return _fields(told).get(name, "")


def _fields(told: Any) -> dict[str, str]:
    """What the client has made of the answer."""
    return {_text(name): _text(value) for name, value in told.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
