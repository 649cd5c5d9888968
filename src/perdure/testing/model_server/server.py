"""The server: what was asked is kept, and answered by the script."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Self
from urllib.parse import urlsplit

from . import anthropic, embeddings, gemini, openai_chat, openai_responses
from .connection import Asking, Connection, Gone
from .delivery import again, deliver
from .faults import Fault, breaks
from .listener import Listener
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


class ModelServer(Listener):
    """A model provider on loopback, by `with` or `async with`: it answers from a script and keeps what was asked.

    `script` is what `Script` says: a list of answers, `Turns`, `Rules`, a `Cassette`, the path of a file, or a
    function. A request that it has no answer for gets status 400 and is told why. `faults` strike whatever the script
    answers. Raises `ConfigError` where a file cannot be used, and `OSError` where the port is taken.
    """

    thread_name = "model server"

    def __init__(
        self,
        script: Script,
        *,
        faults: Sequence[FaultRule] = (),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        super().__init__(host=host, port=port)
        self.requests: list[Request] = []
        """what was asked, in the order in which it came"""
        self.outcomes: Counter[str] = Counter()
        """how many requests were to be `answered`, or struck by each fault; and how many of them all were `abandoned`
        by a client that did not wait"""
        self.embedded: list[embeddings.EmbeddingRequest] = []
        """texts that were asked for as vectors; they are answered without a script"""
        self.embedding_errors: list[int] = []
        """HTTP status of the next such requests, before they are answered"""
        self._source = source(script, faults)
        self._changed = threading.Condition()
        self._past = Past()
        self._released = asyncio.Event()

    # where it is ------------------------------------------------------------------------------------------------

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

    # in the server's thread -------------------------------------------------------------------------------------

    async def _release(self) -> None:
        released, self._released = self._released, asyncio.Event()
        released.set()

    async def _serve(self, connection: Connection, asking: Asking) -> bool:
        """Answer one request. False: the connection is not to be used again."""
        path = urlsplit(asking.target).path
        protocol: ProtocolName | None = "gemini" if gemini.PATH.search(path) else _PATHS.get(path)
        if protocol is None or asking.method != "POST":
            if asking.method == "POST" and await self._embeds(connection, asking, path):
                return True
            await self._answer_other(connection, asking)
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

    async def _answer_other(self, connection: Connection, asking: Asking) -> None:
        """A request that is none to a model: only recordings know some."""
        try:
            body = json.loads(asking.raw) if asking.raw else None
        except ValueError:
            body = None
        recorded = self._source.other(asking.method, asking.target, body)
        if recorded is not None:
            await again(connection, recorded, recorded.headers)
            return
        words = f"the model server does not know {asking.method} {urlsplit(asking.target).path}"
        await connection.answer(404, {"error": {"message": words, "type": "scripted"}}, {})

    async def _embeds(self, connection: Connection, asking: Asking, path: str) -> bool:
        """Answer a request for vectors; False: it is none."""
        try:
            asked = embeddings.read(path, json.loads(asking.raw))
        except (KeyError, TypeError, ValueError) as error:
            words = f"the body asks for no embeddings: {type(error).__name__}: {error}"
            await connection.answer(400, {"error": {"message": words, "type": "scripted"}}, {})
            return True
        if asked is None:
            return False
        with self._changed:
            self.embedded.append(asked)
            status = self.embedding_errors.pop(0) if self.embedding_errors else 200
            self._changed.notify_all()
        failed = {"error": {"message": f"status {status}, as the test says", "type": "scripted"}}
        await connection.answer(status, embeddings.answer(asked) if status == 200 else failed, {})
        return True

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
