"""The raw clients of OpenAI and Anthropic: `client = run.wrap(AsyncOpenAI())`; each request to a model is a turn.

    client.responses.create(...) ─► send ─► Conversation.turn ─► the HTTP client's own send
                                      └─ the answer: status, type and bytes, as recorded

Only the model is covered: the tools of a loop that you wrote yourself are called by `run.call`. A client that is not
async is for loops in a thread (`await asyncio.to_thread(loop, client)`).
"""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, cast

from ...core.errors import ConfigError, OutsideRun, PerdureError
from ...core.failures import FailureClass
from ...runtime.boundary.functions import in_thread
from ...runtime.frameworks.crossing import conversation
from ...runtime.frameworks.survey import Had
from ...runtime.frameworks.wrapping import Wrapping
from ..guard import watch_requests
from .requests import ANSWER, Answer, asked_of, hosted_in, is_model_path, seen_in

__all__ = ["ADAPTER", "ORIGIN"]

ORIGIN = "perdure-answer"
"""A header of each response: `live`; `again`, where an earlier worker may have shown a part of it; or `recorded`."""


class ProviderClients:
    """The adapter."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> Any:
        """A client like the given one, on the same connections, whose requests to models are turns of the run.

        Its own retries are off: how often is tried is the run's to say. Raises `ConfigError` for what is no client.
        """
        http = getattr(agent, "_client", None)
        if http is None or not hasattr(http, "send") or not hasattr(agent, "with_options"):
            raise ConfigError(
                f"`{type(agent).__qualname__}` is no client that can be wrapped: give `run.wrap` an `AsyncOpenAI`, "
                "`OpenAI`, `AsyncAnthropic` or `Anthropic`"
            )
        watch_requests()
        provider = type(agent).__module__.partition(".")[0]
        name = provider if wrapping.name == "agent" else wrapping.name
        made: Any = agent.with_options(max_retries=0)
        kind = cast("type[Any]", type(made))
        if not hasattr(kind, "_perdure_wrapped"):
            made.__class__ = _wrapped(kind)
        made._client = _recorded(http, _Turns(replace(wrapping, name=name), provider, agent))
        return made

    def had(self, value: Any) -> Had | None:
        """Nothing: what a loop by hand calls stands in its code, and is no tool of the client."""
        return Had() if hasattr(value, "with_options") and hasattr(value, "_client") else None


ADAPTER = ProviderClients()


@functools.cache
def _wrapped(kind: type[Any]) -> type[Any]:
    """Errors of ours come out of it as they are: Anthropic's client calls what it does not know a broken connection."""

    class Wrapped(kind):
        _perdure_wrapped = True

        def request(self, *args: Any, **options: Any) -> Any:
            try:
                found = kind.request(self, *args, **options)
            except Exception as error:
                raise _ours(error) from error.__cause__
            return _awaited(found) if inspect.iscoroutine(found) else found

    Wrapped.__name__ = Wrapped.__qualname__ = kind.__name__
    return Wrapped


async def _awaited(request: Awaitable[Any]) -> Any:
    try:
        return await request
    except Exception as error:
        raise _ours(error) from error.__cause__


def _ours(error: Exception) -> Exception:
    return error.__cause__ if isinstance(error.__cause__, PerdureError) else error


@functools.cache
def _recording(kind: type[Any]) -> type[Any]:
    asynchronous = inspect.iscoroutinefunction(kind.send)

    class Recorded(kind):
        _perdure: _Turns

        def send(self, request: Any, *, stream: bool = False, **options: Any) -> Any:
            send: Any = functools.partial(kind.send, self)
            if asynchronous:
                return self._perdure.answer(request, send, stream=stream, options=options)
            return self._perdure.answer_in_thread(request, send, stream=stream, options=options)

        def __del__(self) -> None:
            """The connections belong to the client that was wrapped."""

    Recorded.__name__ = Recorded.__qualname__ = kind.__name__
    return Recorded


def _recorded(http: Any, turns: _Turns) -> Any:
    made: Any = copy.copy(http)
    kind = cast("type[Any]", type(made))
    made.__class__ = kind if hasattr(made, "_perdure") else _recording(kind)
    made._perdure = turns
    return made


@dataclass(slots=True)
class _Flow:
    """The bytes of a streamed answer on their way."""

    queue: asyncio.Queue[bytes | None]
    head: asyncio.Future[tuple[int, str]]
    """status and type of content"""
    shown: bool = False


class _Turns:
    """The requests of one wrapped client."""

    def __init__(self, wrapping: Wrapping, provider: str, client: Any) -> None:
        self._wrapping = wrapping
        self._provider = provider
        self._client = client
        self._thread = threading.get_ident()
        """of the loop"""

    async def answer(
        self, request: Any, send: Callable[..., Awaitable[Any]], *, stream: bool, options: dict[str, Any]
    ) -> Any:
        """The response to a request: recorded, or the provider's."""
        body = self._body(request)
        if stream:
            return await self._streamed(request, body, send, options)
        live = False

        async def ask() -> Answer:
            nonlocal live
            live = True
            return _checked(await send(request, stream=False, **options), self._client)

        try:
            answer = await self._turn(request, body, ask)
        except Exception as error:
            return _refusal(request, error)
        return _response(request, answer, origin=self._origin(live=live), stream=_Bytes(answer.body))

    def answer_in_thread(
        self, request: Any, send: Callable[..., Any], *, stream: bool, options: dict[str, Any]
    ) -> Any:
        """The same for a client that is not async, whose loop runs in a thread of its own."""
        recorder = self._wrapping.recorder
        if threading.get_ident() == self._thread:
            kind = type(self._client).__qualname__
            raise OutsideRun(
                f"`{kind}` would hold up every run of this worker: use `Async{kind}`, or run your loop in a thread, by "
                "`await asyncio.to_thread(loop, client)`"
            )

        async def sent(*args: Any, **given: Any) -> Any:
            return await in_thread(send, args, given)

        # A stream is given whole: a thread that reads piece by piece would hold the loop up.
        work = self.answer(request, sent, stream=False, options=options)
        return asyncio.run_coroutine_threadsafe(work, recorder.loop).result()

    async def _streamed(
        self, request: Any, body: dict[str, Any], send: Callable[..., Awaitable[Any]], options: dict[str, Any]
    ) -> Any:
        loop = asyncio.get_running_loop()
        flow = _Flow(asyncio.Queue(), loop.create_future())

        async def ask() -> Answer:
            response = await send(request, stream=True, **options)
            try:
                if response.status_code >= 400:
                    await response.aread()
                    return _checked(response, self._client)
                kind = response.headers.get("content-type", "")
                if not flow.head.done():
                    flow.head.set_result((response.status_code, kind))
                parts: list[bytes] = []
                async for part in response.aiter_bytes():
                    parts.append(part)
                    flow.shown = True
                    flow.queue.put_nowait(part)
            finally:
                await response.aclose()
            return Answer(response.status_code, kind, b"".join(parts))

        turn = asyncio.ensure_future(self._turn(request, body, ask, shown=lambda: flow.shown))
        await asyncio.wait({turn, flow.head}, return_when=asyncio.FIRST_COMPLETED)
        if not flow.head.done():
            flow.head.cancel()
            try:
                answer = await turn
            except Exception as error:
                return _refusal(request, error)
            return _response(request, answer, origin="recorded", stream=_Bytes(answer.body))
        turn.add_done_callback(lambda _: flow.queue.put_nowait(None))
        status, kind = flow.head.result()
        answer = Answer(status, kind, b"")
        return _response(request, answer, origin=self._origin(live=True), stream=_Pieces(flow.queue, turn))

    def _origin(self, *, live: bool) -> str:
        if not live:
            return "recorded"
        return "live" if self._wrapping.recorder.epoch == 1 else "again"

    def _body(self, request: Any) -> dict[str, Any]:
        path = request.url.path
        if request.method == "POST" and is_model_path(path):
            with suppress(ValueError):
                body: Any = json.loads(request.content)
                if isinstance(body, dict):
                    return cast("dict[str, Any]", body)
        raise ConfigError(
            f"`{request.method} {path}` asks no model, so a wrapped client does not send it: use the client itself "
            'in a step, `await run.step("name", client.files.create, ...)`, or in a tool that says what it does'
        )

    async def _turn(
        self,
        request: Any,
        body: dict[str, Any],
        ask: Callable[[], Awaitable[Answer]],
        *,
        shown: Callable[[], bool] = lambda: False,
    ) -> Answer:
        wrapping = self._wrapping
        hosted = hosted_in(body)
        refused = [name for name in hosted if name not in wrapping.table.allowed]
        if refused:
            raise ConfigError(
                f"the request offers the tool `{refused[0]}`, which the provider runs by itself: Perdure can neither "
                "record nor stop what it does. Let it through by its name, "
                f'`app.effects.allow("{refused[0]}")`; each turn then says that it was offered'
            )
        asked = asked_of(self._provider, request.url.path, body, hosted)
        terms = wrapping.terms_of(asked.model)
        said = terms.classify

        def classify(error: BaseException) -> Any:
            if shown():  # what the caller has seen cannot be taken back
                return FailureClass.PERMANENT
            return None if said is None else said(error)

        terms = replace(terms, classify=classify)
        async with conversation(wrapping.recorder, wrapping.name) as found:
            return await found.turn(ask, asked, shape=ANSWER, see=seen_in, terms=terms)


# responses -----------------------------------------------------------------------------------------------------------


def _checked(response: Any, client: Any) -> Answer:
    """The answer. Raises the client's own error for one that says no, with what a replay needs to say it again."""
    if response.status_code < 400:
        return Answer(response.status_code, response.headers.get("content-type", ""), response.content)
    error = client._make_status_error_from_response(response)
    error.response_text = response.text[:20_000]
    error.response_type = response.headers.get("content-type", "")
    raise error


def _refusal(request: Any, error: Exception) -> Any:
    """The provider's no, once more as a response, so that the client makes its own error of it. Raises other errors."""
    status = getattr(error, "status_code", None)
    text = getattr(error, "response_text", None)
    if not isinstance(status, int) or not isinstance(text, str):
        raise error
    body = text.encode()
    kind = str(getattr(error, "response_type", "") or "application/json")
    return _response(request, Answer(status, kind, body), origin="recorded", stream=_Bytes(body))


def _response(request: Any, answer: Answer, *, origin: str, stream: Any) -> Any:
    """A response of the library that made the request: `httpx` or `httpx2`."""
    library = _library(request)
    headers = {"content-type": answer.kind, ORIGIN: origin}
    if isinstance(stream, _Bytes):
        return library.Response(answer.status, headers=headers, content=stream.body, request=request)
    return library.Response(
        answer.status, headers=headers, stream=_stream_of(library)(stream), request=request
    )


def _library(request: Any) -> ModuleType:
    return sys.modules[type(request).__module__.partition(".")[0]]


@dataclass(frozen=True, slots=True)
class _Bytes:
    body: bytes


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Bytes as they come, then the end of the turn."""

    queue: asyncio.Queue[bytes | None]
    turn: asyncio.Future[Answer]

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self.queue.get()) is not None:
            yield part
        await self.turn

    async def close(self) -> None:
        """Whoever leaves early still has the answer recorded: a replay is to find it."""
        await asyncio.wait({self.turn})


@functools.cache
def _stream_of(library: ModuleType) -> type[Any]:
    class Stream(library.AsyncByteStream):  # pyright: ignore[reportUntypedBaseClass]
        def __init__(self, pieces: _Pieces) -> None:
            self._pieces = pieces

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._pieces.__aiter__()

        async def aclose(self) -> None:
            await self._pieces.close()

    return Stream
