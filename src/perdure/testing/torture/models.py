"""Models that fail as a schedule says: at their provider, or over HTTP at a model server."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ...core.clock import Clock
from ...runtime.conversation.messages import ModelReply, ModelRequest
from ...runtime.conversation.providers import ModelProvider
from ..model_server import Answer, Fault, ModelServer, Request, Script
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
    """A model server for all trials: each begins its script anew, with faults of its own."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._source = source(script, ())
        self.server = ModelServer(self._answer)
        self.waiting: dict[int, str] = {}
        self.turns = 0

    def begin(self, hits: Sequence[Hit]) -> None:
        """A trial begins."""
        self._source = source(self._script, ())
        self.waiting = {hit.nth: hit.how for hit in hits}
        self.turns = 0

    async def _answer(self, request: Request) -> Answer:
        self.turns += 1
        how = self.waiting.pop(self.turns, None)
        if how is not None:
            kind = {"transient": "unavailable", "permanent": "bad_request"}.get(how, how)
            return Fault(cast("FaultKind", kind))
        return self._source.fault(request) or await self._source.answer(request)

    @contextmanager
    def here(self) -> Generator[None]:
        """The server is up, and the client libraries of this process find it."""
        with self.server:
            before = {name: os.environ.get(name) for name in self.server.environ()}
            os.environ.update(self.server.environ())
            try:
                yield
            finally:
                for name, value in before.items():
                    if value is None:
                        del os.environ[name]
                    else:
                        os.environ[name] = value
