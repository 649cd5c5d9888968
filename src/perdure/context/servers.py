"""One MCP server of one worker, as one user of it: what it has, and what it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..core.credentials import Credential
from ..core.errors import ConfigError, NotDone
from ..core.mcp_settings import McpSettings
from .answer import McpResult, Open
from .answering import Answering, UnknownTask, typed
from .connection import Connection
from .definition import Definition, apart
from .told import definition_of, uncertain, words

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
        self._answer = Answering(self.connection)
        self.busy = 0
        """requests under way"""

    async def definitions(self, *, credential: Credential | None = None) -> dict[str, Definition]:
        """All its tools as they are now, by name.

        Raises `NotDone` where it cannot be reached, `CredentialRejected` where it does not take the credential,
        `ConfigError` where two tools could be taken for one another.
        """
        return apart(self.name, await self._asked(credential))

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        key: str,
        credential: Credential | None = None,
        after: Open | None = None,
        answers: Mapping[str, Any] | None = None,
    ) -> McpResult:
        """Call a tool. What the server answers is a result, also where it says that the call failed.

        `key` is the same over all attempts at one effect; it travels in `_meta` as `perdure/effect-key`. A result that
        is `open` goes on with a call `after` it, with the `answers` to what it asks. Raises `NotDone` where nothing was
        sent, `CredentialRejected` where the server did not take the credential, and `ConnectionError` where it was lost
        before it answered: then nobody knows what it has done.
        """
        from mcp import MCPError
        from mcp_types import URL_ELICITATION_REQUIRED

        client = await self.connection.client(credential)
        with self._errand(credential) as mine, self.connection.hearing() as unanswered:
            try:
                answer = await client.session.call_tool(
                    name,
                    dict(arguments),
                    meta={"perdure/effect-key": key},
                    input_responses=None if answers is None else typed(answers),
                    request_state=None if after is None else after.state,
                    allow_input_required=True,
                    allow_claimed=True,
                )
            except MCPError as error:
                if mine is not None:
                    mine.check(self.name)
                if (
                    error.code == URL_ELICITATION_REQUIRED
                ):  # of servers before 2026-07-28: it is called anew then
                    return self._answer.asking_of_error(error, key)
                if uncertain(error):
                    self.connection.lose(client)
                    raise ConnectionError(
                        f"MCP server `{self.name}` gave no answer to `{name}`: {error.message[:300]}"
                    ) from error
                return self._answer.kept([error.message], None, failed=True)
            except RuntimeError as error:  # it has answered, with what its own schema does not allow
                return self._answer.kept([f"the server's answer is not usable: {error}"], None, failed=True)
        self.connection.answered()
        return self._answer.of(answer, key, unanswered)

    async def task(
        self, open_: Open, *, credential: Credential | None = None, answers: Mapping[str, Any] | None = None
    ) -> McpResult:
        """How a task stands that a call has become; with `answers`, these are given first.

        Of one that cannot be asked at present the same is known as before. Raises `UnknownTask` where the server knows
        of no such task any more.
        """
        from mcp import MCPError
        from mcp_types import EmptyResult

        from .tasks import TaskTold, get_task, update_task

        assert open_.task is not None
        try:
            client = await self.connection.client(credential)
        except NotDone as error:
            return McpResult(open=open_.model_copy(update={"asks": {}, "said": str(error)[:300]}))
        with self._errand(credential) as mine:
            try:
                async with asyncio.timeout(self.settings.timeout.total_seconds()):
                    if answers is not None:
                        await client.session.send_request(update_task(open_.task, dict(answers)), EmptyResult)
                    told = await client.session.send_request(get_task(open_.task), TaskTold)
            except (MCPError, OSError, TimeoutError) as error:
                if mine is not None:
                    mine.check(self.name)
                if isinstance(error, MCPError) and not uncertain(error):
                    raise UnknownTask(
                        f"MCP server `{self.name}` knows of no task `{open_.task}` any more: {error.message[:300]}"
                    ) from error
                self.connection.lose(client)
                return McpResult(open=open_.model_copy(update={"asks": {}, "said": words(error)}))
        self.connection.answered()
        return self._answer.of_task(told, open_)

    async def cancel_task(self, open_: Open, *, credential: Credential | None = None) -> None:
        """Say that nobody wants a task any more. Raises what keeps it from being said."""
        from mcp_types import EmptyResult

        from .tasks import cancel_task

        assert open_.task is not None
        client = await self.connection.client(credential)
        with self._errand(credential):
            await client.session.send_request(cancel_task(open_.task), EmptyResult)

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
