"""Sessions of memory on a Redis or Valkey server (docs/memory.md)."""

from .connection import RedisLink
from .health import Durability, durability
from .sessions import RedisSessions

__all__ = ["Durability", "RedisLink", "RedisSessions", "durability"]
