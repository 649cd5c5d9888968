"""The way to a server: a pool of connections, made at first use, and what its errors mean."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import NoScriptError, RedisError

from ...core.errors import StoreUnavailable

__all__ = ["RedisLink", "Script"]

MOST_CONNECTIONS = 64
"""Of a process. A command takes a fraction of a millisecond; who finds all taken waits."""
PATIENCE = 10.0
"""Seconds: for a connection of the pool, or an answer."""


class Script:
    """A script of the server: all of it happens, or nothing, and nothing else meanwhile."""

    def __init__(self, source: str) -> None:
        self.source = source
        # The protocol names a script by it; nothing is kept secret by that.
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisLink:
    """Connections to one server, by `redis://[USER@]HOST[:PORT][/DATABASE]` or `rediss://...`.

    Every error of the server or on the way there becomes `StoreUnavailable`: whoever wrote under a key may write again.
    """

    def __init__(self, url: str, *, password: str | None = None) -> None:
        self.url = url
        # valkey:// is how Valkey's own tools write it; the protocol is the same
        address = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        # Tried again at once where a connection had gone stale; what lasts longer is the run's to wait for.
        made: Any = BlockingConnectionPool  # its arguments are untyped
        pool = made.from_url(
            address,
            password=password,
            protocol=2,  # what every version speaks, and all that is needed
            max_connections=MOST_CONNECTIONS,
            timeout=PATIENCE,
            socket_connect_timeout=3.0,
            socket_timeout=PATIENCE,
            retry=Retry(ExponentialWithJitterBackoff(base=0.02, cap=0.2), 2),
            health_check_interval=30,
            client_name="perdure",
        )
        self._client: Any = Redis(connection_pool=pool)

    async def ask(self, *command: Any) -> Any:
        """One command. Raises `StoreUnavailable`."""
        try:
            return await self._client.execute_command(*command)
        except (RedisError, OSError) as error:
            raise self._away(error) from error

    async def ask_all(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Several commands in one go, not as one. Raises `StoreUnavailable`."""
        try:
            async with self._client.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                return await pipe.execute()
        except (RedisError, OSError) as error:
            raise self._away(error) from error

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run a script; the server keeps those that it has seen. Raises `StoreUnavailable`."""
        try:
            try:
                return await self._client.evalsha(script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._client.eval(script.source, len(keys), *keys, *arguments)
        except (RedisError, OSError) as error:
            raise self._away(error) from error

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()

    def _away(self, error: Exception) -> StoreUnavailable:
        return StoreUnavailable(
            f"the memory of sessions at `{self.url}` did not do it: {type(error).__name__}: {str(error)[:200]}"
        )
