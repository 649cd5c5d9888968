"""The connection to one MCP server: opened when it is needed, shared, opened again when it is lost.

A task of its own holds it from its start to its end, because what the SDK opens must be closed by the task that opened
it. A server that is lost is started again at the next call, at once the first time, later after pauses that grow; in
between calls fail as not done, and the terms of the tool say when they are tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

from ..core.credentials import Credential
from ..core.errors import ConfigError, NotDone
from ..core.mcp_settings import McpSettings
from .questions import roots
from .told import words

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client import Transport
    from mcp.client.stdio import StdioServerParameters

    from .bearing import Account

__all__ = ["Changed", "Connection"]

log = logging.getLogger("perdure.mcp")

_LONGEST_PAUSE = 60.0
_MOST_HEARD = 8000
"""Bytes of what a program has written to its standard error."""


Changed = Callable[[str, Literal["good", "lost"], str, str], None]
"""Is told how a server is: its name, how, why, and the last that it has written to its standard error."""


class Connection:
    """What there is of it."""

    def __init__(
        self,
        name: str,
        settings: McpSettings,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Changed | None = None,
        listed: Callable[[str], None] | None = None,
    ) -> None:
        self.name = name
        self._changed = changed
        self._listed = listed
        self.settings = settings
        self.account: Account | None = None
        """of the user whose it is; None: nobody's in particular"""
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._losses = 0
        """since the last call that was answered"""
        self._not_before = 0.0
        self._stderr = b""
        self.trouble = ""
        """why it was lost the last time, where that is known"""
        self._listeners: list[list[str]] = []

    @property
    def is_open(self) -> bool:
        """Whether there is one, as far as is known."""
        return self._client is not None

    @contextmanager
    def hearing(self) -> Generator[list[str]]:
        """What the server asks of a person while a call is held open, for that call: it is not answered then."""
        heard: list[str] = []
        self._listeners.append(heard)
        try:
            yield heard
        finally:
            self._listeners.remove(heard)

    def works(self) -> None:
        """It answers; what it does when it is called is another matter."""
        self._tell("good", "")

    def answered(self) -> None:
        """The server does what it is there for."""
        self._losses = 0
        self._tell("good", "")

    async def client(self, credential: Credential | None = None) -> Client:
        """The SDK's client, connected. Raises `NotDone`, `ConfigError`."""
        async with self._lock:
            if self._task is not None and self._task.get_loop() is not asyncio.get_running_loop():
                self._client = self._task = None  # it went with its loop
            if self.settings.auth is not None:
                self._bear(credential)
            if self._client is not None:
                return self._client
            left = self._not_before - self._monotonic()
            if left > 0:
                raise NotDone(
                    f"MCP server `{self.name}` was lost {self._losses} times; it is started again in {left:.1f} s"
                )
            if self.account is None:
                return await self._start()
            from .bearing import errand

            with errand(credential) as mine:
                try:
                    return await self._start()
                except NotDone:
                    if mine.status:  # it is there, and answers
                        self._losses, self._not_before = 0, 0.0
                    mine.check(self.name)
                    raise

    def _bear(self, credential: Credential | None) -> None:
        from .bearing import Account

        self.account = self.account or Account()
        self.account.credential = credential or self.account.credential

    async def _start(self) -> Client:
        self.trouble = ""
        over = self._over = asyncio.Event()
        ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(ready, over), name=f"mcp {self.name}")
        try:
            self._client = await ready
        except BaseException as error:
            over.set()
            if not isinstance(error, Exception):  # whoever waited was cancelled
                self._task.cancel()
                raise
            self._pause()
            if isinstance(error, ConfigError):
                raise
            self._tell("lost", f"it cannot be started: {words(error)}")
            raise NotDone(f"MCP server `{self.name}` cannot be started: {words(error)}") from error
        return self._client

    def lose(self, client: Client, why: str = "") -> None:
        """It is of no use any more."""
        if self._client is client:
            self._client = self._task = None
            self._over.set()
            self._pause()
            self._tell("lost", self.trouble or why or "its connection was lost")
            log.warning("MCP server %s was lost; it is started again when it is needed", self.name)

    async def close(self) -> None:
        """End it, and the program where one was started."""
        task, self._client, self._task = self._task, None, None
        self._over.set()
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])

    async def _hold(self, ready: asyncio.Future[Client], over: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.settings.start_timeout.total_seconds()):
                    client = await stack.enter_async_context(await self._open(stack))
                if not ready.done():
                    ready.set_result(client)
                watching = asyncio.create_task(self._watch(client), name=f"mcp {self.name} lists")
                try:
                    await over.wait()
                finally:
                    watching.cancel()
                    await asyncio.wait([watching])
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            else:
                log.warning("MCP server %s: its connection ended with %s", self.name, words(error))
        finally:
            if not ready.done():
                ready.cancel()

    async def _watch(self, client: Client) -> None:
        """Hear of it when the list of tools is another: of a server of 2026-07-28 that says so, by a stream."""
        tools = client.server_capabilities.tools
        if self._listed is None or self.account is not None or tools is None or not tools.list_changed:
            return
        try:
            async with client.listen(tools_list_changed=True) as changes:
                async for _ in changes:
                    pass  # the client hears of each as of any message
        except Exception as error:  # it is looked at before each call all the same
            log.debug("MCP server %s: its changes are not heard of: %s", self.name, words(error))

    async def _open(self, stack: AsyncExitStack) -> Client:
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        from .transport import Bounded, program

        if self.settings.url is None:
            most = self.settings.most_message
            told = program(self._program(), most=most, heard=self._hear, broken=self._break)
            return self._client_of(told)
        headers = _read(self.name, self.settings.headers)
        seconds = self.settings.start_timeout.total_seconds()
        timeout = httpx2.Timeout(seconds, read=None)
        transport = Bounded(self.settings.most_message, self._break)
        http = httpx2.AsyncClient(headers=headers, timeout=timeout, auth=self.account, transport=transport)
        await stack.enter_async_context(http)  # which follows no redirect: headers go to no other host
        return self._client_of(streamable_http_client(self.settings.url, http_client=http))

    def _client_of(self, transport: Transport) -> Client:
        """Whoever speaks 2026-07-28 asks back in its answers, which the run deals with; see `questions`.

        A server of an earlier version asks while it holds the call open, and a wait of days cannot hold it: it is told
        at once that nobody answers.
        """
        import mcp_types as types
        from mcp import Client

        from .tasks import Tasks

        async def elicit(context: Any, params: Any) -> types.ElicitResult:
            for heard in self._listeners:
                heard.append(str(params.message)[:1000])
            return types.ElicitResult(action="cancel")

        async def sample(context: Any, params: Any) -> types.ErrorData:
            for heard in self._listeners:
                heard.append("the words of a model")
            return types.ErrorData(code=types.INVALID_REQUEST, message="not while a call is held open")

        async def list_roots(context: Any) -> types.ListRootsResult:
            return types.ListRootsResult.model_validate(roots(self.settings.roots))

        async def hear(message: Any) -> None:
            if isinstance(message, types.ToolListChangedNotification) and self._listed is not None:
                self._listed(self.name)

        return Client(
            transport,
            message_handler=hear,
            elicitation_callback=elicit,
            sampling_callback=None if self.settings.sampling is None else sample,
            list_roots_callback=list_roots if self.settings.roots else None,
            extensions=[Tasks()],
            read_timeout_seconds=None,
        )

    def _hear(self, written: bytes) -> None:
        """Its standard error goes where the worker's goes, and the end of it is kept: for people, and no journal."""
        self._stderr = (self._stderr + written)[-_MOST_HEARD:]
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # there is none under pythonw
            sys.stderr.write(written.decode(errors="replace"))

    def _break(self, why: str) -> None:
        self.trouble = why
        log.error("MCP server %s: %s; its connection is ended", self.name, why)

    def _program(self) -> StdioServerParameters:
        from mcp.client.stdio import StdioServerParameters

        env = _read(self.name, self.settings.env)
        return StdioServerParameters(
            command=self.settings.command or "", args=list(self.settings.args), env=env
        )

    def _tell(self, state: Literal["good", "lost"], why: str) -> None:
        if self._changed is None:
            return
        said = self._stderr.decode(errors="replace")
        for where in {**self.settings.env, **self.settings.headers}.values():
            secret = os.environ.get(where.partition(":")[2], "")
            if len(secret) >= 6:
                said, why = said.replace(secret, "[secret]"), why.replace(secret, "[secret]")
        self._changed(self.name, state, why, said if state == "lost" else "")

    def _pause(self) -> None:
        pause = 0.0 if self._losses == 0 else min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._losses - 1, 20))
        self._losses += 1
        self._not_before = self._monotonic() + pause


def _read(server: str, variables: Mapping[str, str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, where in variables.items():
        variable = where.partition(":")[2]
        if variable not in os.environ:
            raise ConfigError(
                f"MCP server `{server}` is to be handed `{name}` from the environment variable `{variable}`, which is "
                "not set: set it for the worker"
            )
        found[name] = os.environ[variable]
    return found
