"""Models that fail as a schedule says: at their provider, or over HTTP at a model server."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from ...core.clock import Clock
from ...runtime.conversation.messages import ModelReply, ModelRequest
from ...runtime.conversation.providers import ModelProvider
from ..cassette import Cassette, is_cassette, watching
from ..model_server import Answer, Fault, ModelServer, Request, Script
from ..model_server.reply import Recorded
from ..model_server.script import source
from .schedule import Hit

if TYPE_CHECKING:
    from ... import App
    from ..model_server import FaultKind

__all__ = ["FaultyModels", "ServedModels"]


class FaultyModels:
    """The models of an app as one trial has them: some turns fail at the provider."""

    def __init__(self, app: App, hits: Sequence[Hit], clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self.waiting = {hit.nth: hit.how for hit in hits}
        self.turns = 0
        """requests so far"""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.models, name)

    def provider(self, model: str) -> ModelProvider:
        """The provider of a model, with the trial between."""
        return _Faulty(self, self._app.models.provider(model))

    async def close(self) -> None:
        """Leave the providers open: they outlive the trial."""

    def strike(self, model: str) -> None:
        """Count a request, and raise where it is struck."""
        self.turns += 1
        how = self.waiting.pop(self.turns, None)
        if how == "transient":
            raise ConnectionResetError(f"`{model}` is away for a moment, as the schedule says")
        if how is not None:
            raise ValueError(f"`{model}` refuses, as the schedule says")


class _Faulty:
    def __init__(self, models: FaultyModels, inner: ModelProvider) -> None:
        self._models, self._inner = models, inner

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self._models.strike(model)
        return await self._inner.request(model, request)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class ServedModels:
    """A model server for all trials: each begins its script anew, with faults of its own.

    Of a cassette the tools are played too, from its beginning in each trial.
    """

    def __init__(self, script: Script) -> None:
        if isinstance(script, str | Path) and is_cassette(Path(script).expanduser()):
            script = Cassette(script)
        self._script = script
        self._source = source(script, ())
        self._tools = script.tools_player() if isinstance(script, Cassette) else None
        self.server = ModelServer(self)
        self._leads = False
        self.waiting: dict[int, str] = {}
        self.turns = 0
        self.unanswered = ""
        """of a cassette: why it has no answer to a request of this trial"""

    def begin(self, hits: Sequence[Hit]) -> None:
        """A trial begins."""
        self._source = source(self._script, ())
        self.waiting = {hit.nth: hit.how for hit in hits}
        self.turns = 0
        self.unanswered = ""
        if self._tools is not None:
            self._tools.rewind()

    def player(self) -> Self:
        """It is what its server answers from."""
        return self

    def other(self, method: str, target: str, body: Any) -> Recorded | None:
        """The answer to a request that is none to a model."""
        return self._source.other(method, target, body)

    async def __call__(self, request: Request) -> Answer:
        """The answer to a request, or the fault that strikes it."""
        self.turns += 1
        how = self.waiting.pop(self.turns, None)
        if how is not None:
            kind = {"transient": "unavailable", "permanent": "bad_request"}.get(how, how)
            return Fault(cast("FaultKind", kind))
        struck = self._source.fault(request)
        if struck is not None:
            return struck
        answer = await self._source.answer(request)
        if self._tools is not None and isinstance(answer, Fault):
            self.unanswered = answer.message or ""
        return answer

    @contextmanager
    def leading(self) -> Generator[None]:
        """The server is up, and the client libraries of this process find it; within itself it changes nothing.

        Whoever imports the agent enters it before: a client that is made at the top of a module looks for its address
        there and then, and would ask, and pay, its real provider.
        """
        if self._leads:
            yield
            return
        with self.server:
            before = {name: os.environ.get(name) for name in self.server.environ()}
            os.environ.update(self.server.environ())
            self._leads = True
            try:
                yield
            finally:
                self._leads = False
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value

    @asynccontextmanager
    async def here(self, app: App) -> AsyncGenerator[None]:
        """The server is up, the client libraries of this process find it, and tools are played that are recorded."""
        with self.leading(), nullcontext() if self._tools is None else watching(app, self._tools.watch):
            await app.models.close()  # what is made anew looks for its address again
            try:
                yield
            finally:
                await app.models.close()
