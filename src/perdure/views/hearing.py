"""What models say as they say it, for many who listen at once: one look at the store serves all of them.

    Hearing ─► cell `listening` of each run that somebody listens to ─► its worker shows what its model says
            ◄─ cells `said`, looked at four times a second            ─► each Ear: what is new to it, as `Token`s

All of it is provisional: `at` says where in the message a text stands, so whoever shows it puts it there and drops what
stood behind; a message that begins anew comes with `at` 0. What counts is the step's RESULT in the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ..core.errors import StoreError
from ..core.ids import RunRef
from ..journal import CellKey, Store
from ..runtime.boundary.saying import SAID, Said, listen

__all__ = ["Ear", "Hearing", "Said", "Token", "being_said"]

log = logging.getLogger("perdure.server")

LOOK_SECONDS = 0.25
AGAIN_SECONDS = 4.0
"""It is said again that somebody listens: less than half of how long that holds."""

AT_ONCE = 100
"""Runs of which it is said in one amendment."""

PAGE = 1000
"""Messages under way that are read at once: there are only those of runs that somebody listens to."""

MOST_KEPT = 500
"""Pieces that wait for one who is slow to take them; of more, the oldest are dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A piece of a message that a model has not ended yet."""

    step: str
    """the key of its turn"""
    attempt: int
    """the epoch of the worker that hears it: of a message only the pieces of the highest count"""
    at: int
    """where it stands in the message, in characters: what was there before, and behind it, does not count any more"""
    text: str


class Hearing:
    """Listens to the models of one store's runs for all who want to hear them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ears: dict[RunRef, set[Ear]] = {}
        self._told: dict[RunRef, float] = {}
        """when it is to be said again that somebody listens"""
        self._listening: asyncio.Task[None] | None = None

    def to(self, ref: RunRef, moved: asyncio.Event | None = None) -> Ear:
        """Listen to a run, within `async with`; `moved` is set whenever there is something new."""
        return Ear(self, ref, moved or asyncio.Event())

    def add(self, ear: Ear) -> None:
        """An ear comes."""
        self._ears.setdefault(ear.ref, set()).add(ear)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen(), name="perdure hearing")

    def drop(self, ear: Ear) -> None:
        """It goes."""
        ears = self._ears[ear.ref]
        ears.discard(ear)
        if not ears:
            del self._ears[ear.ref]
            self._told.pop(ear.ref, None)

    async def _listen(self) -> None:
        while self._ears:
            try:
                await self._look()
            except StoreError as error:
                log.warning("the store cannot be listened to: %s", error)
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        """One look for all runs that somebody listens to."""
        store, now = self._store, asyncio.get_running_loop().time()
        due = [ref for ref in self._ears if now >= self._told.get(ref, 0.0)]
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            self._told.update(dict.fromkeys(some, now + AGAIN_SECONDS))
            await listen(store, some)
        said: dict[RunRef, list[Said]] = {}
        after: CellKey | None = None
        while found := await store.cells(SAID, after=after, limit=PAGE):
            for key, cell in found:
                ref = RunRef(key.tenant, key.name.partition("/")[0])
                if ref in self._ears and cell.due is not None and cell.due > store.now():
                    said.setdefault(ref, []).append(Said.of(cell))
            after = found[-1][0]
            if len(found) < PAGE:
                break
        for ref, ears in self._ears.items():
            for ear in ears:
                ear.hear(said.get(ref, []))


async def being_said(store: Store, ref: RunRef) -> list[Said]:
    """What the models of a run have said so far in the turns that are under way: of each the last part."""
    found = await store.cells(SAID, tenant=ref.tenant, prefix=f"{ref.id}/", limit=PAGE)
    return [Said.of(cell) for _, cell in found if cell.due is not None and cell.due > store.now()]


class Ear:
    """One who listens to a run."""

    def __init__(self, hearing: Hearing, ref: RunRef, moved: asyncio.Event) -> None:
        self.ref = ref
        self.moved = moved
        self._hearing = hearing
        self._heard: dict[str, tuple[int, int, int]] = {}
        """of each message under way: attempt, which of its attempts, up to where"""
        self._new: deque[Token] = deque(maxlen=MOST_KEPT)

    async def __aenter__(self) -> Self:
        self._hearing.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hearing.drop(self)

    def hear(self, said: list[Said]) -> None:
        """All that is being said now."""
        self._heard = {one.step: self._heard[one.step] for one in said if one.step in self._heard}
        for one in said:
            attempt, begun, upto = self._heard.get(one.step, (0, 0, 0))
            if (one.attempt, one.begun) != (attempt, begun):
                upto = 0
            start, end = max(upto, one.at), one.at + len(one.text)
            if end > start:
                self._heard[one.step] = one.attempt, one.begun, end
                text = one.text[start - one.at :]
                self._new.append(Token(step=one.step, attempt=one.attempt, at=start, text=text))
                self.moved.set()

    def take(self) -> list[Token]:
        """What is new since this was asked last."""
        new = list(self._new)
        self._new.clear()
        return new
