"""What a model says while it says it, for whoever listens: provisional text in a cell, never in the journal.

    somebody listens ─► cell `listening` of the run, renewed while they do
    an adapter hears a piece ─► Saying ─► is there such a cell? (looked for at most twice a second)
                                              └─ yes: cell `said` of the run and step, at most four times a second
    the turn is over ─► the cell is deleted: the journal has what counts

Where nobody listens a turn that streams reads one cell twice a second, and one that does not stream reads none. A
replay knows nothing of it. Of a person's run the cell is sealed as its payloads are. Of a run whose tools were handed
secrets nothing is shown: one could come in two pieces, each of which looks like nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pydantic_core

from ...core.errors import StoreError, SubjectErased
from ...core.ids import RunRef
from ...journal import Amendment, Cell, CellKey, Store

if TYPE_CHECKING:
    from ..replay.recorder import Recorder

__all__ = ["LISTENING", "SAID", "Ears", "Said", "Saying", "listen"]

LISTENING = "listening"
"""Kind of the cells that say that somebody listens to a run. Their `due` is when they end."""

SAID = "said"
"""Kind of the cells with what a model has said so far."""

LOOK_SECONDS = 0.5
SHOW_SECONDS = 0.25

LISTENS = 10_000_000
"""Microseconds for which somebody listens, unless they say it again."""

KEPT = 10_000_000
"""Microseconds for which a text stands that nothing is added to: its worker may be dead."""

MOST = 4000
"""Characters of a message that stand in its cell, the last ones."""

log = logging.getLogger("perdure.run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """The last part of what a model has said so far in one turn."""

    step: str
    attempt: int
    """the epoch of the worker that hears it"""
    begun: int
    """which message of this worker's: a turn that is tried again within it begins anew"""
    at: int
    """where `text` stands in the message, in characters"""
    text: str

    def cell(self, due: int) -> Cell:
        """As it is stored."""
        told = [self.step, self.attempt, self.begun, self.at, self.text]
        return Cell(pydantic_core.to_json(told), due)

    @classmethod
    def of(cls, cell: Cell) -> Self:
        """What stands in a cell."""
        step, attempt, begun, at, text = pydantic_core.from_json(cell.data)
        return cls(step=step, attempt=attempt, begun=begun, at=at, text=text)


async def listen(store: Store, refs: Sequence[RunRef]) -> None:
    """Say that somebody listens to these runs, for ten seconds from now."""
    keys = [CellKey(ref.tenant, LISTENING, ref.id) for ref in refs]
    await store.amend(Amendment(keys, lambda _, now: (dict.fromkeys(keys, Cell(b"{}", now + LISTENS)), None)))


class Ears:
    """Whether somebody listens to a run, as far as this worker knows."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._next = 0.0
        self._found = False
        self._messages = 0

    async def there(self) -> bool:
        """Whether somebody does; looked for at most twice a second. Where the store cannot be asked, nobody does."""
        recorder = self._recorder
        now = recorder.loop.time()
        if now >= self._next:
            self._next = now + LOOK_SECONDS
            ref = recorder.ref
            try:  # of all names that begin with this one, it is the first
                cells = await recorder.store.cells(LISTENING, tenant=ref.tenant, prefix=ref.id, limit=1)
            except StoreError:
                cells = []
            self._found = any(
                key.name == ref.id and cell.due is not None and cell.due > recorder.store.now()
                for key, cell in cells
            )
        return self._found

    def saying(self, step: str) -> Saying:
        """A message begins."""
        self._messages += 1
        return Saying(self._recorder, self, step, self._messages)


class Saying:
    """One attempt at one message, as it comes. Called with each piece of its text; cheap, and never raises."""

    def __init__(self, recorder: Recorder, ears: Ears, step: str, begun: int) -> None:
        self._recorder = recorder
        self._ears = ears
        self._step = step
        self._begun = begun
        name = f"{recorder.ref.id}/{hashlib.sha256(step.encode()).hexdigest()[:32]}"
        self._key = CellKey(recorder.ref.tenant, SAID, name)
        self._at = 0
        self._text = ""
        self._unshown = False
        self._over = asyncio.Event()
        self._showing = False

    def __call__(self, piece: str) -> None:
        """A piece has come."""
        if self._over.is_set() or not piece:
            return
        self._text += piece
        self._unshown = True
        if len(self._text) > 2 * MOST:
            self._at += len(self._text) - MOST
            self._text = self._text[-MOST:]
        if not self._showing:
            self._showing = True
            task = self._recorder.loop.create_task(self._show())
            beside = self._recorder.boundary.beside
            beside.add(task)
            task.add_done_callback(beside.discard)

    def end(self) -> None:
        """The message is complete, or given up: what was shown of it goes."""
        self._over.set()

    async def _show(self) -> None:
        """Show what has come since the last time, until it is over."""
        store, shown = self._recorder.store, False
        try:
            while not self._over.is_set():
                if self._unshown and self._recorder.secrets is None and await self._ears.there():
                    self._unshown, shown = False, True
                    await store.amend(self._put())
                with suppress(TimeoutError):
                    async with asyncio.timeout(SHOW_SECONDS):
                        await self._over.wait()
            if shown:
                await store.amend(self._gone())
        except (StoreError, SubjectErased) as error:  # it was for the eyes only, and ends by itself
            log.debug(
                "run %s: what is said in step `%s` cannot be shown: %s", self._recorder.ref, self._step, error
            )

    def _put(self) -> Amendment:
        more = max(0, len(self._text) - MOST)
        said = Said(
            step=self._step,
            attempt=self._recorder.epoch,
            begun=self._begun,
            at=self._at + more,
            text=self._text[more:],
        )
        key = self._key
        # An earlier worker that still hears its model does not write over what the present one shows.
        return Amendment(
            [key],
            lambda cells, now: (
                ({}, None) if _newer(cells.get(key), said) else ({key: said.cell(now + KEPT)}, None)
            ),
            subject=self._recorder.subject,
        )

    def _gone(self) -> Amendment:
        key, mine = self._key, (self._recorder.epoch, self._begun)
        return Amendment(
            [key],
            lambda cells, now: (
                ({key: None}, None)
                if (cell := cells.get(key)) is not None and _of(cell) <= mine
                else ({}, None)
            ),
            subject=self._recorder.subject,
        )


def _of(cell: Cell) -> tuple[int, int]:
    said = Said.of(cell)
    return said.attempt, said.begun


def _newer(cell: Cell | None, said: Said) -> bool:
    return cell is not None and _of(cell) > (said.attempt, said.begun)
