"""Models that fail as a schedule says: at their provider, or over HTTP at a model server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import pydantic_core

from ...core.clock import Clock
from ...runtime.conversation.messages import ModelReply, ModelRequest
from ...runtime.conversation.providers import ModelProvider
from ..cassette import Cassette, is_cassette, watching
from ..cassette.matching import essence
from ..model_server import Answer, Fault, ModelServer, Request, Script
from ..model_server.reply import Recorded
from ..model_server.script import source
from .schedule import Hit

if TYPE_CHECKING:
    from ... import App
    from ..model_server import FaultKind

__all__ = ["FaultyModels", "ServedModels"]


class _Turns:
    """Counts what models are asked: each request once, however often it comes, and so a fault is of one turn.

    A turn is asked again where its worker has died before the answer was written, or stands still while another goes
    on. Counted by what arrives, those would move every fault behind them to a turn that it is not of.
    """

    def __init__(self, hits: Sequence[Hit]) -> None:
        self.waiting = {hit.nth: hit.how for hit in hits}
        self._seen: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._seen)

    def strike(self, model: str, asked: Any) -> str | None:
        """The fault of a request, given as JSON has it, where it has one and this is the first time that it comes."""
        said = pydantic_core.to_json([model, essence(asked)])
        digest = hashlib.sha256(said).digest()
        if digest in self._seen:
            return None
        self._seen.add(digest)
        return self.waiting.pop(len(self._seen), None)


class FaultyModels:
    """The models of an app as one trial has them: some turns fail at the provider."""

    def __init__(self, app: App, hits: Sequence[Hit], clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._turns = _Turns(hits)

    @property
    def waiting(self) -> dict[int, str]:
        """Faults that have not struck, by their turn."""
        return self._turns.waiting

    @property
    def turns(self) -> int:
        """Different requests so far."""
        return len(self._turns)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app.models, name)

    def provider(self, model: str) -> ModelProvider:
        """The provider of a model, with the trial between."""
        return _Faulty(self, self._app.models.provider(model))

    async def close(self) -> None:
        """Leave the providers open: they outlive the trial."""

    def strike(self, model: str, request: ModelRequest) -> None:
        """Count a request, and raise where it is struck."""
        how = self._turns.strike(model, request.model_dump(mode="json", exclude={"timeout"}))
        if how == "transient":
            raise ConnectionResetError(f"`{model}` is away for a moment, as the schedule says")
        if how is not None:
            raise ValueError(f"`{model}` refuses, as the schedule says")


class _Faulty:
    def __init__(self, models: FaultyModels, inner: ModelProvider) -> None:
        self._models, self._inner = models, inner

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self._models.strike(model, request)
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
        self._turns = _Turns(())
        self.unanswered = ""
        """of a cassette: why it has no answer to a request of this trial"""

    @property
    def waiting(self) -> dict[int, str]:
        """Faults of this trial that have not struck, by their turn."""
        return self._turns.waiting

    @property
    def turns(self) -> int:
        """Different requests of this trial."""
        return len(self._turns)

    def begin(self, hits: Sequence[Hit]) -> None:
        """A trial begins."""
        self._source = source(self._script, ())
        self._turns = _Turns(hits)
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
        how = self._turns.strike(request.model, request.body)
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
