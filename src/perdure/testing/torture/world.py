"""The world of a trial: it sends answers and signals, in time, when nobody is there, or twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ...core.errors import AnswerRefused, RunEnded, UnknownStep
from ...core.ids import new_id

if TYPE_CHECKING:
    from ... import App, Handle

__all__ = ["World", "say_yes"]

Send = Callable[[], Awaitable[Any]]


class World:
    """What stands outside of the runs."""

    def __init__(self, app: App, *, late: Callable[[Send], Awaitable[Any]] | None, twice: bool) -> None:
        self._answer, self._signal = app.answer, app.signal
        self._late, self._twice = late, twice
        self.app = app
        """the app, whose `answer` and `signal` go the way that the schedule says"""
        if late is not None or twice:
            app.answer = self._answering
            app.signal = self._signalling

    async def _answering(self, *args: Any, **kwargs: Any) -> bool:
        return await self._send(partial(self._answer, *args, **kwargs))

    async def _signalling(self, *args: Any, **kwargs: Any) -> bool:
        kwargs["message_id"] = kwargs.get("message_id") or new_id()
        return await self._send(partial(self._signal, *args, **kwargs))

    async def _send(self, send: Send) -> Any:
        sent = await (send() if self._late is None else self._late(send))
        if self._twice:
            try:
                await send()
            except (
                AnswerRefused,
                RunEnded,
                UnknownStep,
            ):  # somebody was told that it is too late: as it should be
                pass
        return sent


async def say_yes(app: App, run: Handle, *, by: str = "torture") -> None:
    """Approve whatever the run and the runs below it ask."""
    store, done = app.store, set[tuple[str, str, int]]()
    while True:
        seen = store.changes()
        for asked in await app.open_approvals(run.id):
            which = (asked.ref.id, asked.step, asked.opened_at)
            if which not in done:
                done.add(which)
                shown: dict[str, Any] = json.loads(asked.show)
                choices = shown.get("choices")
                try:
                    await app.answer(
                        asked.ref.id, asked.step, approved=True, by=by,
                        value=choices[0] if choices else None, digest=shown.get("digest"),
                    )  # fmt: skip
                except (UnknownStep, RunEnded):  # a kill came between; it is asked again
                    done.discard(which)
        await store.changed(seen, within=0.2)
        await asyncio.sleep(0)
