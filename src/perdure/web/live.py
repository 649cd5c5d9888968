"""Live pages: one watcher of the store for all who look, and events that say only *look again*.

What has changed comes by an ordinary request, which is asked who it is like any other; so a stream carries nothing that
anybody could be shown by mistake, and a browser that reconnects has missed nothing but a hint.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from typing import TypeAlias

from starlette.responses import StreamingResponse

from ..core.ids import RunRef
from ..journal import Store
from ..views.hearing import Ear, Hearing

__all__ = ["Look", "Pulse", "stream"]

QUIET = 0.25
"""Seconds between two beats: a store that many workers write to changes at every moment."""

REST = 1.0
"""Seconds after an event in which there is no other: each makes every page that listens ask for what there is."""

KEEP_ALIVE = 15.0
"""Seconds after which a stream says that it lives: proxies end what is silent for a minute."""

LONGEST = 600.0
"""Seconds after which a stream ends, so that whoever looks is asked again who they are. A browser reconnects."""

Look: TypeAlias = Callable[[], Awaitable[str | None]]
"""What stands there now, as a short text that differs when it has changed; None: nothing more will come."""


class Pulse:
    """Beats when the store has changed. Its one task lives as long as anybody listens."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ears: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def ear(self) -> Generator[asyncio.Event]:
        """An event that is set by every beat; whoever waits for it clears it."""
        heard = asyncio.Event()
        self._ears.add(heard)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch(), name="perdure pulse")
        try:
            yield heard
        finally:
            self._ears.discard(heard)
            if not self._ears:
                self._rest()

    def _rest(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _watch(self) -> None:
        seen = self._store.changes()
        while True:
            await self._store.changed(seen, within=KEEP_ALIVE)
            if (now := self._store.changes()) != seen:
                seen = now
                for heard in self._ears:
                    heard.set()
            await asyncio.sleep(QUIET)


def stream(
    pulse: Pulse, look: Look, *, last: str | None, hears: tuple[Hearing, RunRef] | None = None
) -> StreamingResponse:
    """Say `changed` whenever `look` gives something else than before; `last` is what the browser saw last.

    And `said` when a model of the run that it `hears` has said more.
    """
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would keep it back
    return StreamingResponse(
        _events(pulse, look, last, hears), media_type="text/event-stream", headers=headers
    )


async def _events(
    pulse: Pulse, look: Look, last: str | None, hears: tuple[Hearing, RunRef] | None
) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    end = loop.time() + LONGEST
    async with AsyncExitStack() as stack:
        heard = stack.enter_context(pulse.ear())
        ear: Ear | None = None
        if hears is not None:
            hearing, ref = hears
            ear = await stack.enter_async_context(hearing.to(ref, heard))
        yield "retry: 2000\n\n"
        while (left := end - loop.time()) > 0:
            heard.clear()
            there = await look()
            if there is None:
                yield "event: over\ndata:\n\n"
                return
            if there != last:
                told, last = last is not None, there
                if told:
                    yield f"event: changed\nid: {there}\ndata:\n\n"
                    # Held back here: htmx's `throttle` drops what comes meanwhile, and the last change is not seen.
                    await asyncio.sleep(REST)
            if ear is not None and ear.take():
                yield "event: said\ndata:\n\n"
            try:
                async with asyncio.timeout(min(KEEP_ALIVE, left)):
                    await heard.wait()
            except TimeoutError:
                yield ": alive\n\n"
