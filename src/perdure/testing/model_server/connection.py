"""HTTP/1.1, as much as a client library needs, and all the ways to get it wrong on purpose.

It is written by hand because a library for servers does not let half an answer out.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

__all__ = ["Asking", "Connection", "Gone"]

_LIMIT = 64 * 2**20
"""bytes of a request's body"""


class Gone(Exception):
    """The client is not there any more, or does not speak HTTP."""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request as HTTP has it."""

    method: str
    target: str
    headers: Mapping[str, str]
    """names in lower case"""
    raw: bytes


class Connection:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._chunked = False
        self._early = b""

    async def receive(self) -> Asking:
        """The next request. Raises `Gone`."""
        try:
            head = (self._early + await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self._early = b""
            first, *lines = head.rstrip("\r\n").split("\r\n")
            method, target, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            if headers.get("expect", "").lower() == "100-continue":
                self._writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            raw = await self._body(headers)
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
            raise Gone(str(error)) from error
        return Asking(method, target, headers, raw)

    async def _body(self, headers: Mapping[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            raw = b""
            while size := int((await self._reader.readline()).split(b";")[0], 16):
                raw += (await self._reader.readexactly(size + 2))[:-2]
                if len(raw) > _LIMIT:
                    raise ValueError("too large")
            while (await self._reader.readline()).strip():
                pass
        else:
            length = int(headers.get("content-length", "0"))
            if length > _LIMIT:
                raise ValueError("too large")
            raw = await self._reader.readexactly(length)
        return gzip.decompress(raw) if headers.get("content-encoding") == "gzip" else raw

    async def gone(self) -> None:
        """Return when the client closes the connection, and never where it does not."""
        try:
            # A client that has its answer may be faster with its next request than this is cancelled.
            self._early = await self._reader.read(1)
        except OSError:
            return
        if self._early:
            await asyncio.Event().wait()

    async def begin(
        self, status: int, headers: Mapping[str, str], *, kind: str, length: int | None = None
    ) -> None:
        """The head of an answer. A body without a length goes out in chunks."""
        await self._send(self._head(status, headers, kind=kind, length=length))

    def _head(self, status: int, headers: Mapping[str, str], *, kind: str, length: int | None) -> bytes:
        self._chunked = length is None
        framing = {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        try:
            phrase = HTTPStatus(status).phrase
        except ValueError:  # 529 and the like are no one's standard
            phrase = "Unknown"
        lines = [f"HTTP/1.1 {status} {phrase}"]
        lines += [f"{k}: {v}" for k, v in {"Content-Type": kind, **framing, **headers}.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    async def write(self, data: bytes) -> None:
        """A part of the body."""
        await self._send(b"%x\r\n%s\r\n" % (len(data), data) if self._chunked else data)

    async def end(self) -> None:
        """The end of the body; the connection stays open for the next request."""
        if self._chunked:
            await self._send(b"0\r\n\r\n")

    async def answer(
        self, status: int, body: Mapping[str, object] | str | bytes, headers: Mapping[str, str]
    ) -> None:
        """A whole answer: JSON, or a text that is HTML, or bytes that say that they are JSON."""
        if isinstance(body, str):
            data, kind = body.encode(), "text/html; charset=UTF-8"
        else:
            data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
            kind = "application/json"
        await self._send(self._head(status, headers, kind=kind, length=len(data)) + data)

    async def _send(self, data: bytes) -> None:
        try:
            self._writer.write(data)
            await self._writer.drain()
        except OSError as error:
            raise Gone(str(error)) from error

    def reset(self) -> None:
        """Let the client's side see a reset, not an orderly end."""
        if not self._writer.is_closing():
            there = self._writer.get_extra_info("socket")
            there.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """Close at once, whatever has not gone out yet."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close, after what was written has gone out."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass
