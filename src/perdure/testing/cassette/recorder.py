"""The recorder: a proxy on loopback before each provider. What passes is kept, and written without its secrets.

client ─► http://127.0.0.1:PORT/openai/chat/completions ─► https://api.openai.com/v1/chat/completions
                               │
                               └─► Exchange ─► the file, at the end
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from ..model_server.connection import Asking, Connection, Gone
from ..model_server.listener import Listener
from ..model_server.request import ProtocolName
from .addresses import UPSTREAMS, addresses
from .bodies import events_of, json_of, told_by
from .exchange import Exchange, ProviderName, ToolCalled, protocol_of
from .folding import folded
from .redaction import Redaction
from .tape import dump, save
from .tools import RECORDER, noted, watching
from .upstream import Answering, Unreachable, passed_on

if TYPE_CHECKING:
    from ... import App

__all__ = ["Recorder"]

_HEADERS = ("retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id")
"""Those of an answer that are kept: clients act on them, or show them. Of the others some are secret."""


_TOOLS = "/tools"
"""Where `perdure` commands that run under a recorder tell of calls of tools."""

_SETTLE = 5.0
"""Seconds that an answer may take which is still on its way at the end."""


class _BrokenOff(Exception):
    """The client has a part of an answer, and will not get the rest."""


class Recorder(Listener):
    """Records what this process says to providers and what they answer, by `with` or `async with`.

    Clients must be made within: they look for their address (`OPENAI_BASE_URL`, `ANTHROPIC_BASE_URL`,
    `GOOGLE_GEMINI_BASE_URL`) then. At the end the file is written, unless nothing was recorded. `upstreams` are the
    addresses of providers, where they are neither the providers' own nor what those variables say. `redact` are regular
    expressions of what has to be removed beside keys, tokens and passwords, and of what is another in each run, as
    today's date: what was removed matches anything when the cassette is played. `app`: calls of its tools are kept too.

    Raises `ConfigError` for an unknown provider, an address or an expression that is none.
    """

    thread_name = "perdure record"

    def __init__(
        self,
        path: str | Path,
        *,
        upstreams: Mapping[str, str] | None = None,
        redact: Iterable[str] = (),
        app: App | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host=host, port=port)
        self.path = Path(path).expanduser()
        self.skipped: list[str] = []
        """requests that passed and are not in the cassette, each with the reason"""
        self._upstreams = addresses(upstreams or {}, os.environ)
        self._redaction = Redaction(redact)
        self._redaction.know_environ(os.environ)
        self._lock = threading.Lock()
        self._exchanges: dict[int, Exchange] = {}
        self._asked = 0
        self._tools: list[ToolCalled] = []
        self._passing: set[asyncio.Future[None]] = set()
        self._app, self._watching = app, ExitStack()
        self._before: dict[str, str | None] = {}

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """What was recorded so far, in the order in which requests came, without secrets."""
        with self._lock:
            found = [self._exchanges[n] for n in sorted(self._exchanges)]
        return tuple(self._clean(one, n) for n, one in enumerate(found, 1))

    @property
    def tools(self) -> tuple[ToolCalled, ...]:
        """Calls of tools so far, without secrets."""
        with self._lock:
            return tuple(self._clean_tool(call) for call in self._tools)

    def environ(self) -> dict[str, str]:
        """The variables by which client libraries come here; keys stay as they are."""
        around = ",".join(filter(None, (os.environ.get("NO_PROXY"), self._host)))
        found = {"NO_PROXY": around, "no_proxy": around, RECORDER: self.url + _TOOLS}
        for provider, (_, (name, *others), _) in UPSTREAMS.items():
            if provider in self._upstreams:
                found |= {
                    n: f"{self.url}/{provider}" for n in (name, *(o for o in others if o in os.environ))
                }
        return found

    def tool(self, call: ToolCalled) -> None:
        """Keep a call of a tool."""
        with self._lock:
            self._tools.append(call)

    def start(self) -> Self:
        """Listen, and lead the client libraries of this process here. Raises `OSError`."""
        super().start()
        there = self.environ()
        self._before = {name: os.environ.get(name) for name in there}
        os.environ.update(there)
        if self._app is not None:
            self._watching.enter_context(watching(self._app, noted(self.tool)))
        return self

    def stop(self) -> None:
        """End it, as the end of `with` does, and write the file. Raises `OSError`."""
        self._watching.close()
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._call(self._settled())
        super().stop()
        self._save()

    async def _settled(self) -> None:
        """A client that is content may be gone before the last bytes of its answer have come here."""
        if self._passing:
            await asyncio.wait(set(self._passing), timeout=_SETTLE)

    def _save(self) -> None:
        exchanges, tools = self.exchanges, self.tools
        if exchanges or tools:
            save(self.path, dump(exchanges, tools, recorded=_today()))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # in the listener's thread -----------------------------------------------------------------------------------

    async def _serve(self, connection: Connection, asking: Asking) -> bool:
        done = self._loop.create_future()
        self._passing.add(done)
        try:
            return await self._pass(connection, asking)
        finally:
            self._passing.discard(done)
            done.set_result(None)

    async def _pass(self, connection: Connection, asking: Asking) -> bool:
        if asking.target == _TOOLS:
            self.tool(ToolCalled(**json.loads(asking.raw)))
            await connection.answer(200, {}, {})
            return True
        provider, rest = self._provider(asking.target)
        if provider is None:
            words = f"the recorder has no provider for `{asking.target}`: its addresses begin with one's name"
            await connection.answer(404, {"error": {"message": words, "type": "recorder"}}, {})
            return True
        self._redaction.know_headers(asking.headers)
        self._redaction.know_query(asking.target)
        with self._lock:
            self._asked += 1
            number = self._asked
        path = UPSTREAMS[provider][0] + rest
        url = self._upstreams[provider] + rest
        try:
            async with passed_on(asking.method, url, asking.headers, asking.raw) as answer:
                self._redaction.know_headers(answer.headers)
                body = await self._passed_back(
                    connection, answer, protocol_of(asking.method, path.partition("?")[0])
                )
        except Unreachable as error:
            self._skip(asking.method, path, str(error))
            words = f"the recorder could not reach `{self._upstreams[provider]}`: {error}"
            await connection.answer(502, {"error": {"message": words, "type": "recorder"}}, {})
            return True
        except _BrokenOff as error:
            self._skip(asking.method, path, f"the provider's answer broke off: {error}")
            connection.abort()
            return False
        except Gone:
            self._skip(asking.method, path, "the client did not wait for the whole answer")
            raise
        self._keep(number, provider, asking, path, answer, body)
        await connection.end()
        return True

    def _provider(self, target: str) -> tuple[ProviderName | None, str]:
        name, slash, rest = target.removeprefix("/").partition("/")
        known = name in self._upstreams and slash
        return (cast("ProviderName", name), f"/{rest}") if known else (None, target)

    async def _passed_back(
        self, connection: Connection, answer: Answering, protocol: ProtocolName | None
    ) -> bytes:
        """Give the client the answer, piece by piece as it comes, and return it.

        A client may leave when it has seen the event that ends a stream. One that leaves before is not answered to the
        end: the provider shall notice, and stop.
        """
        others = dict(answer.headers)
        kind = others.pop("content-type", "application/json")
        await connection.begin(answer.status, others, kind=kind)
        told, there = bytearray(), True
        try:
            async for piece in answer.pieces:
                told += piece
                if piece and there:
                    try:
                        await connection.write(piece)
                    except Gone:
                        if _streams(answer) and (
                            protocol is None or folded(protocol, events_of(told)) is None
                        ):
                            raise
                        there = False
        except Unreachable as error:
            raise _BrokenOff(str(error)) from error
        return bytes(told)

    def _keep(
        self, number: int, provider: ProviderName, asking: Asking, path: str, answer: Answering, body: bytes
    ) -> None:
        try:
            if not answer.readable:
                raise ValueError("the answer is compressed in a way that is not known here")
            asked = json_of(asking.raw, "the request")
            streamed = _streams(answer)
            stream = events_of(body) if streamed else None
            told = None if streamed else told_by(body, ok=answer.status < 400)
        except ValueError as error:
            self._skip(asking.method, path, str(error))
            return
        headers = {name: answer.headers[name] for name in _HEADERS if name in answer.headers}
        exchange = Exchange(
            number=number, provider=provider, method=asking.method, path=path, request=asked, status=answer.status,
            headers=headers, answer=told, stream=stream,
        )  # fmt: skip
        with self._lock:
            self._exchanges[number] = exchange

    def _skip(self, method: str, path: str, why: str) -> None:
        with self._lock:
            self.skipped.append(f"{method} {self._redaction.target(path)}: {why}")

    # without secrets --------------------------------------------------------------------------------------------

    def _clean(self, one: Exchange, number: int) -> Exchange:
        """With all that is known by now: a key may be met before it is seen in a header."""
        clean = self._redaction
        return Exchange(
            number=number,
            provider=one.provider,
            method=one.method,
            path=clean.target(one.path),
            request=clean.value(one.request),
            status=one.status,
            headers={name: clean.text(value) for name, value in one.headers.items()},
            answer=clean.value(one.answer),
            stream=None if one.stream is None else tuple(clean.stream(one.stream)),
        )

    def _clean_tool(self, call: ToolCalled) -> ToolCalled:
        clean = self._redaction
        return ToolCalled(
            tool=call.tool,
            arguments=clean.value(dict(call.arguments)),
            result=clean.value(call.result),
            error=None if call.error is None else clean.text(call.error),
        )


def _streams(answer: Answering) -> bool:
    return "text/event-stream" in answer.headers.get("content-type", "")


def _today() -> date:
    return datetime.now(UTC).date()
