"""One MCP server of one worker: started when it is needed, shared by all runs, started again when it is lost.

A task of its own holds the connection from its start to its end, because what the SDK opens must be closed by the task
that opened it. A server that is lost is started again at the next call, at once the first time, later after pauses that
grow; in between calls fail as not done, and the terms of the tool say when they are tried again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, cast

from ..core.errors import ConfigError, NotDone
from ..core.mcp_settings import McpSettings
from .answer import McpResult, kept
from .definition import Definition, apart

if TYPE_CHECKING:
    from mcp import Client
    from mcp.client.stdio import StdioServerParameters
    from mcp_types import Tool as Told

__all__ = ["McpServer"]

log = logging.getLogger("perdure.mcp")

_MOST_TOOLS = 1000
_MOST_PAGES = 100
_MOST_DEFINITIONS = 5_000_000
"""characters of all tools of a server"""
_LONGEST_PAUSE = 60.0


class McpServer:
    """The connection to one server, if there is one."""

    def __init__(
        self, name: str, settings: McpSettings, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.settings = settings
        self._monotonic = monotonic
        self._lock = asyncio.Lock()
        self._client: Client | None = None
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._losses = 0
        """since the last call that was answered"""
        self._not_before = 0.0

    async def definitions(self) -> dict[str, Definition]:
        """All its tools as they are now, by name.

        Raises `NotDone` where it cannot be reached, `ConfigError` where two tools could be taken for one another.
        """
        return apart(self.name, await self._asked())

    async def call(self, name: str, arguments: Mapping[str, Any], *, key: str) -> McpResult:
        """Call a tool. What the server answers is a result, also where it says that the call failed.

        `key` is the same over all attempts at one effect; it travels in `_meta` as `perdure/effect-key`. Raises
        `NotDone` where nothing was sent, and `ConnectionError` where the server was lost before it answered: then
        nobody knows what it has done.
        """
        from mcp import MCPError

        client = await self._connected()
        try:
            answer = await client.call_tool(name, dict(arguments), meta={"perdure/effect-key": key})
        except MCPError as error:
            if _uncertain(error):
                self._lose(client)
                raise ConnectionError(
                    f"MCP server `{self.name}` gave no answer to `{name}`: {error.message[:300]}"
                ) from error
            return self._kept([error.message], None, failed=True)
        except RuntimeError as error:  # it has answered, with what its own schema does not allow
            return self._kept([f"the server's answer is not usable: {error}"], None, failed=True)
        self._losses = 0
        texts = [_text(block) for block in answer.content]
        return self._kept(texts, answer.structured_content, failed=bool(answer.is_error))

    async def close(self) -> None:
        """End the connection, and the program where one was started."""
        task, self._client, self._task = self._task, None, None
        self._over.set()
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            await asyncio.wait([task])

    # the connection --------------------------------------------------------------------------------------------

    async def _asked(self) -> list[Definition]:
        while True:
            fresh = self._client is None
            client = await self._connected()
            try:
                async with asyncio.timeout(self.settings.start_timeout.total_seconds()):
                    return await self._listed(client)
            except ConfigError:
                raise
            except Exception as error:
                self._lose(client)
                if fresh:  # it cannot even say what it has; one that was lost meanwhile gets another start
                    raise NotDone(
                        f"MCP server `{self.name}` does not list its tools: {_words(error)}"
                    ) from error

    async def _listed(self, client: Client) -> list[Definition]:
        found: list[Definition] = []
        cursor: str | None = None
        size = 0
        for _ in range(_MOST_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            for told in page.tools:
                definition = _definition(told)
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

    async def _connected(self) -> Client:
        async with self._lock:
            if self._task is not None and self._task.get_loop() is not asyncio.get_running_loop():
                self._client = self._task = None  # it went with its loop
            if self._client is not None:
                return self._client
            left = self._not_before - self._monotonic()
            if left > 0:
                raise NotDone(
                    f"MCP server `{self.name}` was lost {self._losses} times; it is started again in {left:.1f} s"
                )
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
                raise NotDone(f"MCP server `{self.name}` cannot be started: {_words(error)}") from error
            return self._client

    async def _hold(self, ready: asyncio.Future[Client], over: asyncio.Event) -> None:
        try:
            async with AsyncExitStack() as stack:
                async with asyncio.timeout(self.settings.start_timeout.total_seconds()):
                    client = await stack.enter_async_context(await self._open(stack))
                if not ready.done():
                    ready.set_result(client)
                await over.wait()
        except Exception as error:
            if not ready.done():
                ready.set_exception(error)
            else:
                log.warning("MCP server %s: its connection ended with %s", self.name, _words(error))
        finally:
            if not ready.done():
                ready.cancel()

    async def _open(self, stack: AsyncExitStack) -> Client:
        import httpx2
        from mcp import Client
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamable_http_client

        if self.settings.url is None:
            # Its own errors go where the worker's go: in a journal they would be what nobody has looked at.
            return Client(stdio_client(self._program(), errlog=sys.__stderr__ or sys.stderr))
        headers = _read(self.name, self.settings.headers)
        seconds = self.settings.start_timeout.total_seconds()
        http = httpx2.AsyncClient(headers=headers, timeout=httpx2.Timeout(seconds, read=None))
        await stack.enter_async_context(http)  # which follows no redirect: headers go to no other host
        return Client(streamable_http_client(self.settings.url, http_client=http))

    def _program(self) -> StdioServerParameters:
        from mcp.client.stdio import StdioServerParameters

        env = _read(self.name, self.settings.env)
        return StdioServerParameters(
            command=self.settings.command or "", args=list(self.settings.args), env=env
        )

    def _lose(self, client: Client) -> None:
        if self._client is client:
            self._client = self._task = None
            self._over.set()
            self._pause()
            log.warning("MCP server %s was lost; it is started again when it is needed", self.name)

    def _pause(self) -> None:
        pause = 0.0 if self._losses == 0 else min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(self._losses - 1, 20))
        self._losses += 1
        self._not_before = self._monotonic() + pause

    def _kept(self, texts: list[str], structured: Any, *, failed: bool) -> McpResult:
        given = {**self.settings.env, **self.settings.headers}
        secrets = {name: os.environ.get(where.partition(":")[2], "") for name, where in given.items()}
        # A short one would be found in every other word.
        secrets = {name: value for name, value in secrets.items() if len(value) >= 6}
        return kept(texts, structured, failed=failed, most=self.settings.most_output, secrets=secrets)


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


def _definition(told: Told) -> Definition:
    annotations = told.annotations
    return Definition(
        name=told.name,
        title=told.title,
        description=told.description,
        arguments=told.input_schema,
        result=told.output_schema,
        annotations={} if annotations is None else annotations.model_dump(by_alias=True, exclude_none=True),
    )


def _uncertain(error: Any) -> bool:
    """Whether it may be the way to the server that failed, and not the server that answered.

    The SDK makes such errors itself: of a connection that is closed, a proxy's HTTP status, an answer it cannot read.
    """
    import mcp_types as types

    own = (types.INTERNAL_ERROR, types.INVALID_REQUEST, types.PARSE_ERROR, types.METHOD_NOT_FOUND)
    return error.code in (types.CONNECTION_CLOSED, types.REQUEST_TIMEOUT, *own)


def _text(block: Any) -> str:
    match block.type:
        case "text":
            return str(block.text)
        case "resource" if hasattr(block.resource, "text"):
            return str(block.resource.text)
        case "resource_link":
            return f"[resource {block.uri}]"
        case _:
            return f"[{block.type}: not shown]"


def _words(error: BaseException) -> str:
    inner: Any = error
    while isinstance(inner, BaseExceptionGroup):
        inner = cast("BaseExceptionGroup[BaseException]", inner).exceptions[0]
    return f"{type(inner).__qualname__}: {str(inner)[:300]}"
