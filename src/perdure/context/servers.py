"""One MCP server of one worker, as one user of it: what it has, and what it answers."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.credentials import Credential
from ..core.errors import ConfigError, NotDone
from ..core.mcp_settings import McpSettings
from .answer import McpResult, kept
from .connection import Connection
from .definition import Definition, apart
from .told import definition_of, text_of, uncertain, words

if TYPE_CHECKING:
    from mcp import Client

    from .bearing import Errand

__all__ = ["McpServer"]

_MOST_TOOLS = 1000
_MOST_PAGES = 100
_MOST_DEFINITIONS = 5_000_000
"""characters of all tools of a server"""


class McpServer:
    """A server; with `auth = "user"` as one user has it, whose `credential` goes with each request."""

    def __init__(
        self, name: str, settings: McpSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.settings = settings
        self.connection = Connection(name, settings, monotonic=monotonic)
        self.busy = 0
        """requests under way"""

    async def definitions(self, *, credential: Credential | None = None) -> dict[str, Definition]:
        """All its tools as they are now, by name.

        Raises `NotDone` where it cannot be reached, `CredentialRejected` where it does not take the credential,
        `ConfigError` where two tools could be taken for one another.
        """
        return apart(self.name, await self._asked(credential))

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, key: str, credential: Credential | None = None
    ) -> McpResult:
        """Call a tool. What the server answers is a result, also where it says that the call failed.

        `key` is the same over all attempts at one effect; it travels in `_meta` as `perdure/effect-key`. Raises
        `NotDone` where nothing was sent, `CredentialRejected` where the server did not take the credential, and
        `ConnectionError` where it was lost before it answered: then nobody knows what it has done.
        """
        from mcp import MCPError

        client = await self.connection.client(credential)
        with self._errand(credential) as mine:
            try:
                answer = await client.call_tool(name, dict(arguments), meta={"perdure/effect-key": key})
            except MCPError as error:
                if mine is not None:
                    mine.check(self.name)
                if uncertain(error):
                    self.connection.lose(client)
                    raise ConnectionError(
                        f"MCP server `{self.name}` gave no answer to `{name}`: {error.message[:300]}"
                    ) from error
                return self._kept([error.message], None, failed=True)
            except RuntimeError as error:  # it has answered, with what its own schema does not allow
                return self._kept([f"the server's answer is not usable: {error}"], None, failed=True)
        self.connection.answered()
        texts = [text_of(block) for block in answer.content]
        return self._kept(texts, answer.structured_content, failed=bool(answer.is_error))

    async def close(self) -> None:
        """End the connection, and the program where one was started."""
        await self.connection.close()

    @contextmanager
    def _errand(self, credential: Credential | None) -> Generator[Errand | None]:
        self.busy += 1
        try:
            if self.settings.auth is None:
                yield None
                return
            from .bearing import errand

            with errand(credential) as mine:
                yield mine
        finally:
            self.busy -= 1

    async def _asked(self, credential: Credential | None) -> list[Definition]:
        while True:
            fresh = not self.connection.is_open
            client = await self.connection.client(credential)
            with self._errand(credential) as mine:
                try:
                    async with asyncio.timeout(self.settings.start_timeout.total_seconds()):
                        return await self._listed(client)
                except ConfigError:
                    raise
                except Exception as error:
                    if mine is not None:
                        mine.check(self.name)
                    self.connection.lose(client)
                    if (
                        fresh
                    ):  # it cannot even say what it has; one that was lost meanwhile gets another start
                        raise NotDone(
                            f"MCP server `{self.name}` does not list its tools: {words(error)}"
                        ) from error

    async def _listed(self, client: Client) -> list[Definition]:
        found: list[Definition] = []
        cursor: str | None = None
        size = 0
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            for told in page.tools:
                definition = definition_of(told)
                size += len(definition.model_dump_json())
                found.append(definition)
            if len(found) > _MOST_TOOLS or size > _MOST_DEFINITIONS:
                break
            cursor = page.next_cursor
            if cursor is None:
                return found
        raise ConfigError(
            f"MCP server `{self.name}` lists more than {_MOST_TOOLS:,} tools, or more of them than can be read: let it "
            "offer fewer"
        )

    def _kept(self, texts: list[str], structured: Any, *, failed: bool) -> McpResult:
        given = {**self.settings.env, **self.settings.headers}
        secrets = {name: os.environ.get(where.partition(":")[2], "") for name, where in given.items()}
        if self.connection.account is not None and (credential := self.connection.account.credential):
            secrets["token"] = credential.reveal()
        # A short one would be found in every other word.
        secrets = {name: value for name, value in secrets.items() if len(value) >= 6}
        return kept(texts, structured, failed=failed, most=self.settings.most_output, secrets=secrets)
