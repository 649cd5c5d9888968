"""One MCP server of one worker, as one user of it: what it has, and what it answers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..core.credentials import Credential
from ..core.errors import ConfigError, NotDone
from ..core.mcp_settings import McpSettings
from . import reading
from .answer import McpResult, Open
from .answering import Answering, UnknownTask, typed
from .connection import Changed, Connection
from .definition import Definition, apart
from .reading import McpContent, McpPrompt, McpResource
from .told import uncertain, words

if TYPE_CHECKING:
    from mcp import Client

    from .bearing import Errand

__all__ = ["McpServer"]

T = TypeVar("T")
Progress = Callable[[str | None, float, float | None], None]
"""Is told in words how far something is, how much is done, and of how much."""


class McpServer:
    """A server; with `auth = "user"` as one user has it, whose `credential` goes with each request."""

    def __init__(
        self,
        name: str,
        settings: McpSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Changed | None = None,
        listed: Callable[[str], None] | None = None,
    ) -> None:
        """`changed` is told how it is, `listed` that its list of tools is another."""
        self.name = name
        self.settings = settings
        self.connection = Connection(name, settings, monotonic=monotonic, changed=changed, listed=listed)
        self._answer = Answering(self.connection)
        self._listing: asyncio.Task[list[Definition]] | None = None
        self._next: asyncio.Task[list[Definition]] | None = None
        """the list that is asked for once the present one is there"""
        self.busy = 0
        """requests under way"""

    async def definitions(self, *, credential: Credential | None = None) -> dict[str, Definition]:
        """All its tools as they are now, by name.

        Raises `NotDone` where it cannot be reached, `CredentialRejected` where it does not take the credential,
        `ConfigError` where two tools could be taken for one another.
        """
        if self._next is not None and self._next.get_loop() is not asyncio.get_running_loop():
            self._next = self._listing = None  # they went with their loop
        if self._next is None:
            self._next = asyncio.create_task(self._list(self._listing, credential))
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())
        return apart(self.name, await asyncio.shield(self._next))

    async def _list(
        self, before: asyncio.Task[list[Definition]] | None, credential: Credential | None
    ) -> list[Definition]:
        """One list for all who have asked since the last was begun: each gets one that is younger than its question."""
        if before is not None:
            await asyncio.wait([before])
        self._listing, self._next = self._next, None
        return await self._read("tools", credential, partial(reading.tools_of, self.name))

    async def prompts(self, *, credential: Credential | None = None) -> dict[str, Definition]:
        """All its prompts as they are now, by name. Raises as `definitions` does."""
        most = self.settings.most_output
        told = await self._read("prompts", credential, partial(reading.prompts_of, self.name, most=most))
        return apart(self.name, told)

    async def prompt(
        self, name: str, arguments: Mapping[str, str], *, credential: Credential | None = None
    ) -> McpPrompt:
        """What a prompt says. Raises as `definitions` does."""
        most = self.settings.most_output

        async def ask(client: Client) -> McpPrompt:
            return await reading.prompt_of(client, name, arguments, most=most)

        return self._answer.clean(await self._read(f"prompt `{name}`", credential, ask))

    async def resources(self, *, credential: Credential | None = None) -> list[McpResource]:
        """All its resources. Raises as `definitions` does."""
        return await self._read("resources", credential, partial(reading.resources_of, self.name))

    async def read_resource(self, uri: str, *, credential: Credential | None = None) -> McpContent:
        """What stands in a resource. Raises as `definitions` does."""
        most = self.settings.most_output

        async def ask(client: Client) -> McpContent:
            return await reading.content_of(client, uri, most=most)

        return self._answer.clean(await self._read(f"resource `{uri[:200]}`", credential, ask))

    async def call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        *,
        key: str,
        credential: Credential | None = None,
        after: Open | None = None,
        answers: Mapping[str, Any] | None = None,
        heard: Progress | None = None,
    ) -> McpResult:
        """Call a tool. What the server answers is a result, also where it says that the call failed.

        `key` is the same over all attempts at one effect; it travels in `_meta` as `perdure/effect-key`. A result that
        is `open` goes on with a call `after` it, with the `answers` to what it asks. `heard` is told how far it is, as
        often as the server says it. Raises `NotDone` where nothing was sent, `CredentialRejected` where the server did
        not take the credential, and `ConnectionError` where it was lost before it answered: then nobody knows what it
        has done.
        """
        from mcp import MCPError
        from mcp_types import URL_ELICITATION_REQUIRED

        async def tell(progress: float, total: float | None, message: str | None) -> None:
            if heard is not None:
                heard(message, progress, total)

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
                    progress_callback=None if heard is None else tell,
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
                    why = self.connection.trouble or error.message[:300]
                    raise ConnectionError(
                        f"MCP server `{self.name}` gave no answer to `{name}`: {why}"
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

    async def _read(
        self, what: str, credential: Credential | None, ask: Callable[[Client], Awaitable[T]]
    ) -> T:
        from mcp import MCPError

        while True:
            fresh = not self.connection.is_open
            client = await self.connection.client(credential)
            with self._errand(credential) as mine:
                try:
                    async with asyncio.timeout(self.settings.start_timeout.total_seconds()):
                        found = await ask(client)
                    self.connection.works()
                    return found
                except ConfigError:
                    raise
                except Exception as error:
                    if mine is not None:
                        mine.check(self.name)
                    if isinstance(error, MCPError) and not uncertain(error):
                        raise NotDone(
                            f"MCP server `{self.name}` does not give its {what}: {error.message[:300]}"
                        ) from error
                    self.connection.lose(client)
                    if (
                        fresh
                    ):  # it cannot even say what it has; one that was lost meanwhile gets another start
                        raise NotDone(
                            f"MCP server `{self.name}` does not give its {what}: {words(error)}"
                        ) from error
