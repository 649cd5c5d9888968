"""A request that is passed on to the provider, and its answer as it comes.

By the standard library: it is there in every environment, and it knows proxies (`HTTPS_PROXY`) and the system's
certificates. It blocks, so each request has a thread; those are daemons, for a provider that hangs must not keep
a program from ending.
"""

from __future__ import annotations

import asyncio
import http.client
import threading
import urllib.request
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Answering", "Unreachable", "passed_on"]

_PATIENCE = 600.0
"""seconds without a byte"""

_OF_A_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade", "content-length",
}  # fmt: skip

_OURS = {*_OF_A_HOP, "host", "accept-encoding", "content-encoding", "expect"}


class Unreachable(Exception):
    """The provider cannot be reached, or its answer has no end."""


class _AsItIs(urllib.request.HTTPErrorProcessor):
    """Answers are answers, errors and redirects too."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


@dataclass(slots=True)
class Answering:
    """An answer that has begun."""

    status: int
    headers: Mapping[str, str]
    """names in lower case; without those of the connection, and of a body that is compressed"""
    pieces: AsyncIterator[bytes]
    """of the body. Raises `Unreachable` where it breaks off"""
    readable: bool
    """whether the pieces are what the provider says, and not compressed in a way that is not known here"""


@asynccontextmanager
async def passed_on(
    method: str, url: str, headers: Mapping[str, str], body: bytes
) -> AsyncGenerator[Answering]:
    """Pass a request on. Raises `Unreachable`."""
    given = {name: value for name, value in headers.items() if name not in _OURS}
    request = urllib.request.Request(
        url,
        body if body or method == "POST" else None,
        {**given, "Accept-Encoding": "identity"},
        method=method,
    )
    queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[http.client.HTTPResponse] = loop.create_future()
    left = threading.Event()

    def tell(told: Any, *, of: Any) -> None:
        try:
            loop.call_soon_threadsafe(of, told)
        except RuntimeError:
            pass  # the recorder has stopped

    def begin(told: http.client.HTTPResponse | Unreachable) -> None:
        if begun.done():
            return
        begun.set_exception(told) if isinstance(told, Unreachable) else begun.set_result(told)

    def run() -> None:
        try:
            with urllib.request.build_opener(_AsItIs).open(request, timeout=_PATIENCE) as response:
                tell(response, of=begin)
                while not left.is_set() and (piece := response.read1(65536)):
                    tell(piece, of=queue.put_nowait)
                unread = getattr(response, "length", None)
                tell(Unreachable(f"{unread} bytes are missing") if unread else None, of=queue.put_nowait)
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            unreachable = Unreachable(str(reason) or type(reason).__name__)
            tell(unreachable, of=begin)
            tell(unreachable, of=queue.put_nowait)

    threading.Thread(target=run, name="perdure record", daemon=True).start()
    try:
        response = await begun
        coding = response.headers.get("Content-Encoding", "identity").lower()
        known = coding in ("identity", "gzip", "deflate")
        kept = {
            name.lower(): value
            for name, value in response.headers.items()
            if name.lower() not in _OF_A_HOP and not (known and name.lower() == "content-encoding")
        }
        yield Answering(
            response.status, kept, _pieces(queue, compressed=known and coding != "identity"), known
        )
    finally:
        left.set()
        begun.cancel()


async def _pieces(
    queue: asyncio.Queue[bytes | BaseException | None], *, compressed: bool
) -> AsyncIterator[bytes]:
    # some send gzip whatever is asked for
    decompress = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress if compressed else bytes
    while (piece := await queue.get()) is not None:
        if isinstance(piece, BaseException):
            raise piece
        yield decompress(piece)
