"""The server: a thread with a loop of its own, so that it answers whatever the client's thread is doing."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from . import anthropic, gemini, openai_chat, openai_responses
from .connection import Asking, Connection, Gone
from .delivery import deliver
from .faults import Fault, breaks
from .past import Past
from .reply import Reply
from .request import ProtocolName, Request
from .script import FaultRule, Script, source
from .wire import Wire

__all__ = ["ModelServer"]

_WIRES: dict[ProtocolName, Wire] = {
    "openai-chat": openai_chat,
    "openai-responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
}

_PATHS: dict[str, ProtocolName] = {
    "/v1/chat/completions": "openai-chat",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic",
}


class ModelServer:
    """A model provider on loopback, by `with` or `async with`: it answers from a script and keeps what was asked.

    `script` is what `Script` says: a list of answers, `Turns`, `Rules`, the path of a file, or a function. A request
    that it has no answer for gets status 400 and is told why. `faults` strike whatever the script answers. Raises
    `ConfigError` where a file cannot be used, and `OSError` where the port is taken.
    """

    def __init__(
        self,
        script: Script,
        *,
        faults: Sequence[FaultRule] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.requests: list[Request] = []
        """what was asked, in the order in which it came"""
        self.outcomes: Counter[str] = Counter()
        """how many requests were to be `answered`, or struck by each fault; and how many of them all were `abandoned`
        by a client that did not wait"""
        self._source = source(script, faults)
        self._host, self._port = host, port
        self._changed = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._listener: socket.socket | None = None
        self._past = Past()
        self._serving: set[asyncio.Task[None]] = set()
        self._released = asyncio.Event()
        self._thread: threading.Thread | None = None

    # where it is ------------------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Without a path: for Anthropic and Gemini."""
        return f"http://{self._host}:{self._port}"

    @property
    def openai_url(self) -> str:
        """For `OPENAI_BASE_URL` and `OpenAI(base_url=...)`."""
        return f"{self.url}/v1"

    @property
    def anthropic_url(self) -> str:
        """For `ANTHROPIC_BASE_URL` and `Anthropic(base_url=...)`."""
        return self.url

    @property
    def gemini_url(self) -> str:
        """For `GOOGLE_GEMINI_BASE_URL` and `HttpOptions(base_url=...)`."""
        return self.url

    def environ(self) -> dict[str, str]:
        """Environment variables by which unchanged programs come here: addresses, keys that are none, no proxy."""
        around = ",".join(filter(None, (os.environ.get("NO_PROXY"), self._host)))
        return {
            "OPENAI_BASE_URL": self.openai_url,
            "OPENAI_API_KEY": "scripted",
            "ANTHROPIC_BASE_URL": self.anthropic_url,
            "ANTHROPIC_API_KEY": "scripted",
            "GOOGLE_GEMINI_BASE_URL": self.gemini_url,
            "GOOGLE_API_KEY": "scripted",
            "GOOGLE_GENAI_USE_VERTEXAI": "false",
            "NO_PROXY": around,
            "no_proxy": around,
        }

    # what was asked ---------------------------------------------------------------------------------------------

    def wait(self, n: int, *, timeout: float = 10) -> list[Request]:
        """Block until `n` requests have come, and give the first `n`. Raises `TimeoutError`."""
        if not self._wait(lambda: len(self.requests) >= n, timeout):
            raise TimeoutError(
                f"{len(self.requests)} of {n} requests came to the model server in {timeout:g} s"
            )
        return self.requests[:n]

    def wait_until(self, condition: Callable[[Self], bool], *, timeout: float = 10) -> None:
        """Block until a condition on requests and outcomes holds. Raises `TimeoutError`."""
        if not self._wait(lambda: condition(self), timeout):
            raise TimeoutError(f"it did not hold within {timeout:g} s; outcomes: {dict(self.outcomes)}")

    def _wait(self, condition: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(condition, timeout)

    async def wait_for(self, n: int, *, timeout: float = 10) -> list[Request]:
        """`wait`, for a loop that goes on meanwhile. Raises `TimeoutError`."""
        return await asyncio.to_thread(self.wait, n, timeout=timeout)

    def count(self, **wanted: object) -> int:
        """How many requests have these values: `count(protocol="anthropic", model="claude-opus-4-8", turn=2)`."""
        return sum(all(getattr(r, k) == v for k, v in wanted.items()) for r in list(self.requests))

    # what it does on demand -------------------------------------------------------------------------------------

    def release(self) -> None:
        """Let all requests go on that hang (`hang`, `stalled`); those that come later hang again."""
        self._call(self._release())

    def down(self) -> None:
        """Refuse connections and close the open ones, as a machine whose service is gone. `up` ends it."""
        self._call(self._stop_listening())

    def up(self) -> None:
        """Listen again, on the same port."""
        self._call(self._listen())

    def start(self) -> Self:
        """Listen; what `with` does. Raises `OSError`."""
        self._thread = threading.Thread(target=self._loop.run_forever, name="model server", daemon=True)
        self._thread.start()
        try:
            self._call(self._listen())
        except BaseException:
            self._end()
            raise
        return self

    def stop(self) -> None:
        """Close all connections and end the thread; what the end of `with` does."""
        self._call(self._stop_listening())
        self._end()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    # in the server's thread -------------------------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _release(self) -> None:
        released, self._released = self._released, asyncio.Event()
        released.set()

    async def _listen(self) -> None:
        """Accepts by itself: asyncio's server leaves a connection open for ever that it accepts while it is closed."""
        self._listener = socket.create_server((self._host, self._port), backlog=1024)
        self._listener.setblocking(False)
        self._port = self._listener.getsockname()[1]
        self._loop.add_reader(self._listener, self._accept, self._listener)

    def _accept(self, listener: socket.socket) -> None:
        try:
            there, _ = listener.accept()
        except OSError:  # the client is gone again
            return
        there.setblocking(False)
        task = self._loop.create_task(self._connected(there))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        task.add_done_callback(lambda _: there.close())  # also where it was cancelled before it began

    async def _stop_listening(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        serving = list(self._serving)
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)

    async def _connected(self, there: socket.socket) -> None:
        connection = Connection(*await asyncio.open_connection(sock=there, limit=2**20))
        try:
            while await self._serve(connection, await connection.receive()):
                pass
        except Gone:
            pass
        except asyncio.CancelledError:
            connection.abort()  # the server goes down
        finally:
            await connection.close()

    async def _serve(self, connection: Connection, asking: Asking) -> bool:
        """Answer one request. False: the connection is not to be used again."""
        path = urlsplit(asking.target).path
        protocol: ProtocolName | None = "gemini" if gemini.PATH.search(path) else _PATHS.get(path)
        if protocol is None or asking.method != "POST":
            words = f"the model server does not know {asking.method} {path}"
            await connection.answer(404, {"error": {"message": words, "type": "scripted"}}, {})
            return True
        wire = _WIRES[protocol]
        try:
            body = json.loads(asking.raw)
            asked = self._past.joined(wire.read(body, path), body)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            words = f"the body is not one of {protocol}: {type(error).__name__}: {error}"
            await connection.answer(400, {"error": {"message": words, "type": "scripted"}}, {})
            return True
        with self._changed:
            request = Request(
                **vars(asked),
                number=len(self.requests) + 1,
                protocol=protocol,
                path=asking.target,
                headers=asking.headers,
                body=body,
                raw=asking.raw,
            )
            self.requests.append(request)
            self._changed.notify_all()
        reply, fault = await self._decide(request)
        self._note(fault.kind if fault else "answered")
        if protocol == "openai-responses":
            self._past.keep(request, reply)
        delivered = deliver(connection, wire, request, reply=reply, fault=fault, released=self._released)
        return await self._unless_gone(connection, delivered)

    def _note(self, outcome: str) -> None:
        with self._changed:
            self.outcomes[outcome] += 1
            self._changed.notify_all()

    async def _decide(self, request: Request) -> tuple[Reply, Fault | None]:
        struck = self._source.fault(request)
        try:
            answer = await self._source.answer(request)
        except Exception as error:  # of a function that is the script: the client is told, the server lives
            answer = breaks(500, f"the script failed: {type(error).__name__}: {error}")
        if isinstance(answer, Fault):
            return Reply(text="This answer does not arrive whole."), struck or answer
        return answer, struck

    async def _unless_gone(self, connection: Connection, delivered: Coroutine[Any, Any, bool]) -> bool:
        work, gone = asyncio.ensure_future(delivered), asyncio.ensure_future(connection.gone())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                return work.result()
            self._note("abandoned")
            return False
        except Gone:
            self._note("abandoned")
            return False
        finally:
            for task in (work, gone):
                task.cancel()
            await asyncio.gather(work, gone, return_exceptions=True)
