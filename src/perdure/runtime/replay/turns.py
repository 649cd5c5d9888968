"""The order in which branches go on: who is handed what when, and when nothing goes on by itself.

Each branch of the program is, at any moment, in user code or in an effect (*active*), or blocked here: waiting for
its turn to be handed a result, for leave to go live, or parked in a wait.

- Results are handed out in the order of their entries, one at a time, and the loop settles between two, live as on
  replay: code that runs between two results sees the same world both times.
- A live step begins only when every recorded result has been handed out.
- When no branch is active, nothing more happens by itself: then a recorded result that nobody asked for is a
  mismatch, or, where only waits are left, the run is ready to be suspended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ...core.futures import Steady
from ...journal import Entry
from .control import Finish, Halt, Unwind
from .history import History
from .scope import Scope

__all__ = ["Turns", "Wait"]

SETTLE_TURNS = 32
"""Turns of the loop between two hand-outs where other runs keep it busy; fewer where it falls idle."""


@dataclass(slots=True, eq=False)
class Wait:
    """A parked branch."""

    key: str
    reason: str
    name: str
    """of the signal, the child, or the step itself"""
    due: int | None
    future: asyncio.Future[Entry | None]
    """the MESSAGE that came, or None: the time is over"""
    shielded: bool


class Turns:
    """Who is active, who waits, and who is next. The base of `Recorder`, which knows the journal."""

    def __init__(self, history: History) -> None:
        self.loop = asyncio.get_running_loop()
        self.order = history.order
        """`seq` of the recorded results, in the order in which they are handed out"""
        self.cursor: int = 0
        self.active = 1
        self.branches = 1
        self.halted: Halt | None = None
        self.paused = history.paused
        self.cancel: Entry | None = history.cancel
        self.unconsumed: int = len(history.steps)
        """recorded steps that replay has not asked for yet"""
        self.releasing = False
        self.draining = False
        """the worker stops: no new step begins"""
        self.finishing = False
        """the run has said how it ends: no new step begins that is not shielded"""
        self.calm = False
        """nothing recorded is left, and nothing stands against a live step: the hot path looks only here"""
        self.poke = asyncio.Event()
        """set whenever the segment's driver has something to look at"""
        self.waits: dict[str, Wait] = {}
        self.held: list[asyncio.Future[None]] = []
        """branches of a paused run"""
        self.gate: list[asyncio.Future[None]] = []
        """branches that may go live once every recorded result has been handed out"""
        self.leaving: list[asyncio.Future[None]] = []
        """branches that stop because the worker does"""
        self.renewing: list[asyncio.Future[None]] = []
        """the root, where it has asked to begin again as a new generation"""
        self.owed: list[int] = []
        """`seq` of live results that are written and not yet handed out, ascending"""
        self.losers: set[Scope] = set()
        """branches that have lost a race, and whose end is waited for"""
        self.turns: dict[int, Steady[None]] = {}
        """who waits for which recorded or live result, by `seq`"""
        self.marks = 0
        """how often the program has recorded progress, replayed or live"""
        self.watches: dict[str, Callable[[], None]] = {}
        """by step: what is told that it lives"""
        self.beaten: dict[str, float] = {}
        """by step: when its next sign of life may be written"""
        self._pumping = False
        self._hops = 0

    def stuck(self, seq: int) -> None:
        """No branch is active, and none has asked for the recorded result `seq`."""
        raise NotImplementedError

    def give_back(self, message: Entry) -> None:
        """Whoever took the message was cancelled before it could record so."""
        raise NotImplementedError

    def began(self, branches: int) -> None:
        """So many more branches run."""
        self.active += branches
        self.branches += branches

    def ended(self) -> None:
        """A branch has ended."""
        self.active -= 1
        self.branches -= 1
        self.kick()

    async def turn(self, seq: int) -> None:
        """Return when it is the turn of the result `seq`."""
        if self.halted is not None:
            raise Unwind
        future: Steady[None] = Steady(loop=self.loop)
        self.turns[seq] = future
        self.active -= 1
        self.kick()
        await future

    async def owe(self, seq: int, written: Awaitable[None] | None) -> None:
        """Return when it is the turn of the live result `seq`, and what it waits for, `written`, has come.

        Who is cancelled while it is on its way to the disk leaves in its turn too: so does a replay, which finds it.
        """
        cancelled: asyncio.CancelledError | None = None
        self.owed.append(seq)
        try:
            if written is not None:
                await written
        except asyncio.CancelledError as error:
            cancelled = error
        except BaseException:
            self.owed.remove(seq)
            self.kick()
            raise
        await self.turn(seq)
        if cancelled is not None:
            raise cancelled

    def cut(self, scopes: list[Scope]) -> None:
        """These branches have lost a race: from now on no step begins in them, or below them.

        Live they are cancelled when they can be, which is later where a thread runs; on replay at once. What they
        had begun before is the same both times, and that is what was recorded.
        """
        self.losers.update(scopes)
        self.reckon()

    def uncut(self, scopes: list[Scope]) -> None:
        """They have ended."""
        self.losers.difference_update(scopes)
        self.reckon()

    def is_cut(self, scope: Scope) -> bool:
        """Whether the scope has lost a race, or stands below one that has."""
        above: Scope | None = scope if self.losers else None
        while above is not None and above not in self.losers:
            above = above.parent
        return above is not None

    def check_cut(self, scope: Scope) -> None:
        """Raise `CancelledError` where `is_cut`."""
        if self.is_cut(scope):
            raise asyncio.CancelledError

    async def blocked(self, queue: list[asyncio.Future[None]]) -> None:
        """Wait in `queue` until it is opened."""
        if self.halted is not None:
            raise Unwind
        future: asyncio.Future[None] = self.loop.create_future()
        queue.append(future)
        self.active -= 1
        self.kick()
        try:
            await future
        except asyncio.CancelledError:
            if future in queue:
                queue.remove(future)
            self._taken_back(future)
            raise
        if self.halted is not None:
            raise Unwind

    async def park(self, wait: Wait) -> Entry | None:
        """Wait for a message or the time; the segment may end meanwhile (`Unwind`)."""
        if self.halted is not None:  # by an append of this very wait, which saw that one before it had failed
            raise Unwind
        self.waits[wait.key] = wait
        self.active -= 1
        self.kick()
        self.poke.set()
        try:
            return await wait.future
        except asyncio.CancelledError:
            self.waits.pop(wait.key, None)
            self._taken_back(wait.future)
            if not wait.future.cancelled() and (message := wait.future.result()) is not None:
                self.give_back(message)
            raise

    def resolve(self, wait: Wait, message: Entry | None) -> None:
        """Wake a parked branch with the message that it waits for, or with None: its time is over."""
        self.waits.pop(wait.key, None)
        if not wait.future.done():
            self.active += 1
            wait.future.set_result(message)

    def finish(self) -> None:
        """The run has said how it ends: waits that are not shielded are left, held branches go on to be told so."""
        if self.finishing:
            return
        self.finishing = True
        for wait in [w for w in self.waits.values() if not w.shielded]:
            self.waits.pop(wait.key)
            if not wait.future.done():
                self.active += 1
                wait.future.set_exception(Finish())
        self.open_queue(self.held)
        self.reckon()

    def _taken_back(self, future: asyncio.Future[Any]) -> None:
        # Whoever sets a result counts the branch as active; where the cancellation came first, nobody has.
        if future.cancelled():
            self.active += 1

    def kick(self) -> None:
        """Look, once the loop has settled, whether something is to be handed out."""
        if not self._pumping:
            self._pumping = True
            self._hops = SETTLE_TURNS
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        if self.halted is None and self._hops > 0 and not _idle(self.loop):
            self._hops -= 1
            self.loop.call_soon(self._pump)
            return
        self._pumping = False
        if self.halted is not None:
            return
        if self.cursor < len(self.order):
            self._hand_out_recorded()
        elif self.owed and self.owed[0] in self.turns:
            self._hand_out(self.turns.pop(self.owed.pop(0)))
            if self.turns or self.gate:
                self.kick()
        else:
            self.open_queue(self.gate)  # it may hold only branches that were cancelled a moment ago
            if self.active == 0:
                self.poke.set()

    def _hand_out_recorded(self) -> None:
        seq = self.order[self.cursor]
        future = self.turns.pop(seq, None)
        if future is not None:
            self.cursor += 1
            self._hand_out(future)
            if self.cursor == len(self.order):
                self.reckon()
            if self.turns or self.gate:
                self.kick()
        elif self.active == 0:
            self.stuck(seq)

    def _hand_out(self, future: Steady[None]) -> None:
        self.active += 1
        future.set_result(None)

    def open_queue(self, queue: list[asyncio.Future[None]]) -> None:
        """Let everybody in `queue` go on."""
        waiting = [future for future in queue if not future.done()]
        queue.clear()
        self.active += len(waiting)
        for future in waiting:
            future.set_result(None)

    def quiescent(self) -> bool:
        """Nothing goes on by itself: every branch is parked or held."""
        return (
            self.active == 0
            and not self.turns
            and not self.gate
            and self.cursor == len(self.order)
            and bool(self.waits or self.held)
        )

    def halt(self, why: Halt) -> None:
        """End the segment: every blocked branch is left by `Unwind`, every later step too."""
        if self.halted is not None:
            return
        self.halted = why
        self.calm = False
        blocked: list[asyncio.Future[Any]] = [*self.turns.values(), *self.gate, *self.leaving, *self.held]
        blocked += self.renewing
        blocked += [wait.future for wait in self.waits.values()]
        for future in blocked:
            if not future.done():
                future.set_exception(Unwind())
        self.turns.clear()
        self.gate.clear()
        self.leaving.clear()
        self.held.clear()
        self.renewing.clear()
        self.waits.clear()
        self.poke.set()

    def next_due(self) -> int | None:
        """When the first parked wait is over."""
        return min((w.due for w in self.waits.values() if w.due is not None), default=None)

    def fire(self, now: int) -> None:
        """Wake the waits whose time is over."""
        for wait in sorted(self.waits.values(), key=lambda w: w.due or 0):
            if wait.due is not None and wait.due <= now:
                self.resolve(wait, None)

    def reasons(self) -> list[str]:
        """Why the run waits: the typed reasons of its parked branches."""
        found = {w.reason for w in self.waits.values()}
        if self.held:
            found.add("paused")
        return sorted(found)

    def reckon(self) -> None:
        """Work out `calm` again, after anything that it depends on has changed."""
        self.calm = (
            self.halted is None
            and not self.unconsumed
            and self.cursor == len(self.order)
            and self.cancel is None
            and not self.paused
            and not self.releasing
            and not self.draining
            and not self.losers
            and not self.finishing
        )


def _idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether nothing else is ready to run. Loops that do not tell count as busy."""
    ready: Any = getattr(loop, "_ready", None)
    return ready is not None and not ready
