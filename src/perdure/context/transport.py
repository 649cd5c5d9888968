"""The ways to MCP servers, with bounds: a program's lines, and answers over HTTP, are read as far as they may be long.

The SDK reads a line, or an answer, to its end before it looks at it, however long that is. A server that writes without
end would take the worker's memory, and with it all runs there; here it loses its connection.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, cast

import anyio
import httpx2

if TYPE_CHECKING:
    from anyio.abc import Process
    from mcp.client.stdio import StdioServerParameters

__all__ = ["Bounded", "program"]

_GRACE = 2.0
"""Seconds that a program has to end by itself once its input is closed, and then once it was told to."""


@asynccontextmanager
async def program(
    parameters: StdioServerParameters,
    *,
    most: int,
    heard: Callable[[bytes], None],
    broken: Callable[[str], None],
) -> AsyncGenerator[Any]:
    """A program over its standard input and output, like the SDK, but with lines of at most `most` bytes.

    `heard` gets what it writes to its standard error, `broken` why it is listened to no more.
    """
    import mcp_types as types
    from mcp.client.stdio import get_default_environment
    from mcp.shared.message import SessionMessage

    process = await anyio.open_process(
        [parameters.command, *parameters.args],
        env={**get_default_environment(), **(parameters.env or {})},
        start_new_session=sys.platform != "win32",
    )
    arriving, arrived = anyio.create_memory_object_stream[Any](0)
    leaving, left = anyio.create_memory_object_stream[Any](0)

    async def listen() -> None:
        assert process.stdout is not None
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
            async with arriving:
                line = bytearray()
                async for chunk in process.stdout:
                    *lines, rest = (chunk if not line else bytes(line) + chunk).split(b"\n")
                    line = bytearray(rest)
                    if max(map(len, [*lines, rest])) > most:
                        broken(f"a message of it is longer than {most:,} bytes (`most_message`)")
                        return
                    for one in lines:
                        try:
                            message = types.jsonrpc_message_adapter.validate_json(one, by_name=False)
                        except ValueError as error:
                            await arriving.send(error)
                        else:
                            await arriving.send(SessionMessage(message))

    async def tell() -> None:
        assert process.stdin is not None
        try:
            async with left:
                async for sent in left:
                    written = sent.message.model_dump_json(by_alias=True, exclude_unset=True)
                    await process.stdin.send(f"{written}\n".encode())
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            await arriving.aclose()  # the session sees that it is over, and waits for nothing

    async def overhear() -> None:
        assert process.stderr is not None
        with suppress(anyio.ClosedResourceError, anyio.BrokenResourceError, ConnectionError):
            async for chunk in process.stderr:
                heard(chunk)

    async with anyio.create_task_group() as group:
        for task in (listen, tell, overhear):
            group.start_soon(task)
        try:
            yield arrived, leaving
        finally:
            with anyio.CancelScope(shield=True):
                arrived.close()
                leaving.close()
                await _end(process)
            group.cancel_scope.cancel()


async def _end(process: Process) -> None:
    assert process.stdin is not None
    with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    with anyio.move_on_after(_GRACE):
        await process.wait()
    if process.returncode is None:
        if sys.platform == "win32":
            process.kill()
        else:
            from mcp.os.posix.utilities import terminate_posix_process_tree

            await terminate_posix_process_tree(process, _GRACE)
    await process.aclose()


class Bounded(httpx2.AsyncHTTPTransport):
    """HTTP whose answers, and whose events in a stream of them, have at most so many bytes."""

    def __init__(self, most: int, broken: Callable[[str], None]) -> None:
        super().__init__()
        self._most, self._broken = most, broken

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it, uncompressed: what little becomes much of is not asked for, and not taken."""
        request.headers["Accept-Encoding"] = "identity"
        response = await super().handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            self._broken("it compresses its answers, though it is asked not to")
            raise httpx2.RemoteProtocolError("a compressed answer, which was not asked for", request=request)
        events = response.headers.get("content-type", "").startswith("text/event-stream")
        stream = cast("httpx2.AsyncByteStream", response.stream)
        response.stream = _Counted(stream, self._most, self._broken, events=events)
        return response


class _Counted(httpx2.AsyncByteStream):
    def __init__(
        self, stream: httpx2.AsyncByteStream, most: int, broken: Callable[[str], None], *, events: bool
    ) -> None:
        self._stream, self._most, self._broken, self._events = stream, most, broken, events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in self._stream:
            end = max(chunk.rfind(b"\n\n"), chunk.rfind(b"\n\r\n")) if self._events else -1
            size = len(chunk) - end if end >= 0 else size + len(chunk)
            if size > self._most:
                self._broken(f"a message of it is longer than {self._most:,} bytes (`most_message`)")
                raise httpx2.ReadError("the answer is longer than it may be")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()
