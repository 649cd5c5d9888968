"""What lives as long as the server: the app, those who look on, and, where it is wanted, a worker.

    async with Life(app): ...        opens the app; at the end stops the worker in good order, then closes the app

A host application that mounts the server enters it in its own lifespan: ASGI runs no lifespan of what is mounted.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from ..access.sweeping import Sweeping
from ..access.viewings import Viewings
from ..app import App
from ..engines import Worker, WorkerOptions
from ..engines.worker import Beside
from ..telemetry import Projector
from ..views.hearing import Hearing
from ..views.watching import Watch
from .webhooks import Webhooks

__all__ = ["Life"]

log = logging.getLogger("perdure.server")

AGAIN_SECONDS = 1.0
"""Before something that failed in the background is begun again."""


class Life:
    """The life of a server in one process. Used once."""

    def __init__(
        self,
        app: App,
        *,
        worker: bool = False,
        options: WorkerOptions | None = None,
        beside: Sequence[Beside] = (),
    ) -> None:
        self.app = app
        self.watch = Watch(app.store)
        self.hearing = Hearing(app.store)
        self.worker: Worker | None = None
        """drives runs in this process; None: other processes do"""
        self.stopping = False
        """whether it was asked to stop: what ends from then on was given up by nobody"""
        self._wants_worker = worker
        self._options = options
        self._beside = (Viewings(app), Sweeping(app), Projector(app.store), Webhooks(app), *beside)
        self._tasks: list[asyncio.Task[None]] = []
        self._driving: asyncio.Task[None] | None = None

    def also(self, beside: Beside) -> None:
        """Let something more go on beside the server. Before it begins."""
        self._beside = (*self._beside, beside)

    async def __aenter__(self) -> Self:
        await self.app.open()
        if self._wants_worker:
            self.worker = self.app.new_worker(self._options)
            ready = asyncio.Event()
            self._driving = asyncio.create_task(self.worker.run(ready), name="perdure worker")
            self.app.endings.worker = self._driving
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait({waiting, self._driving}, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self._driving.done():
                await self.app.close()
                self._driving.result()
        self._tasks = [asyncio.create_task(_kept_going(b), name=f"perdure {b}") for b in self._beside]
        return self

    def stop(self) -> None:
        """Begin to stop: the worker claims no more. Safe to call twice, and from a signal's handler of the loop."""
        self.stopping = True
        if self.worker is not None:
            self.worker.stop()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if self._driving is not None:
                await self._driving
        finally:
            self.app.endings.worker = None
            await self.app.close()


async def _kept_going(beside: Beside) -> None:
    """Let it go on for as long as the server lives: what fails once is begun again."""
    while True:
        try:
            await beside.run()
            return
        except Exception:
            log.exception("%s failed, and is begun again", beside)
            await asyncio.sleep(AGAIN_SECONDS)
