"""Kills: where a worker dies, and a store that sees to it.

Between two entries of a journal nothing is known of a worker but what it did to the world. So the places where dying
can make a difference are countable: before each entry is written, and after. They are all there is to try:

    INTENT pay ── pay() ── RESULT pay
             ▲               ▲       ▲
             │               │       └ after its result: it must not run again
             │               └ before its result: it has happened, and nobody knows
             └ after its intent: it has not happened, and nobody knows that either
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, NoReturn

from ..core.errors import ConfigError, Superseded
from ..core.futures import Steady
from ..journal import Append, Kind, NewRun, RunRecord, Session, Store
from ..runtime.replay.control import Unwind

__all__ = ["Boundary", "Killed", "KillingStore", "sigkill"]


class Killed(Superseded):
    """What a worker hears from its store once a test has killed it."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place in a journal: `before` or `after` the `nth` append of such an entry is on disk.

    `entry` is a kind of entry in lower case (`result`, `intent`, `suspended`, ...), `step` the key of a step; None
    stands for any. Entries that are written together are one place. Raises `ConfigError` for a kind that is none.
    """

    when: Literal["before", "after"]
    entry: str | None = None
    step: str | None = None
    nth: int = 1
    """counted from 1 in the life of one worker"""
    kind: Kind | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.when not in ("before", "after"):
            raise ConfigError(f"`{self.when}` is not one of before, after")
        kind = None if self.entry is None else Kind.__members__.get(self.entry.upper())
        if kind is None and self.entry is not None:
            known = ", ".join(k.name.lower() for k in Kind)
            raise ConfigError(f"`{self.entry}` is not a kind of entry: {known}")
        object.__setattr__(self, "kind", kind)

    def matches(self, entries: Iterable[tuple[int, str]]) -> bool:
        """Whether entries of these `(kind, key)` are of the kind that is meant."""
        if self.kind is None and self.step is None:
            return True
        return any(
            (self.kind is None or kind == self.kind) and (self.step is None or key == self.step)
            for kind, key in entries
        )

    def __str__(self) -> str:
        which = f" number {self.nth}" if self.nth > 1 or self.entry is None else ""
        of = "" if self.step is None else f" of `{self.step}`"
        return f"{self.when} {self.entry or 'entry'}{which}{of}"


def sigkill() -> None:
    """Die as by `kill -9`, at once."""
    os.kill(os.getpid(), signal.SIGKILL)


class KillingStore:
    """A store as one worker sees it, until it dies at `at`.

    With `die` (say, `sigkill`) that is called at the boundary; where it returns, the worker goes on as if nothing had
    been. Without it the worker dies in appearance only: it can neither read nor write any more (`Killed`), `killed` is
    set, and whoever made it stops it. What it had begun it may end, and nobody hears of it.
    """

    def __init__(
        self, inner: Store, at: Boundary | None = None, *, die: Callable[[], None] | None = None
    ) -> None:
        self.inner = inner
        self.at = at
        self.killed = asyncio.Event()
        self.reached = False
        """whether the run came to the boundary"""
        self.registered: list[str] = []
        """ids of the sessions that the worker began"""
        self._die = die
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        if self.killed.is_set() and name not in ("url", "now", "changes"):
            _refuse()
        return getattr(self.inner, name)

    async def close(self) -> None:
        """Leave the inner store open: it outlives its workers."""

    async def register(self, session: Session) -> None:
        """Begin a session of the worker."""
        if self.killed.is_set():
            _refuse()
        self.registered.append(session.id)
        await self.inner.register(session)

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run; a place to die as an append of its first entry is."""
        here = self._here([(Kind.STARTED, "")])
        if (here == "before" and self._kill()) or self.killed.is_set():
            _refuse()
        made = await self.inner.create(new)
        if here == "after" and self._kill():
            _refuse()
        return made

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Append, or die."""
        here = self._here([(e.kind, e.key) for e in append.entries])
        if (here == "before" and self._kill()) or self.killed.is_set():
            return _refused(append)
        future = self.inner.append(append)
        if here != "after":
            return future
        told: Steady[bool] = Steady()
        future.add_done_callback(partial(self._committed, told))
        return told

    def _committed(self, told: Steady[bool], future: asyncio.Future[bool]) -> None:
        error = future.exception()
        if error is None and self._kill():
            error = _killed()
        if error is None:
            told.set_result(future.result())
        else:
            told.set_exception(error)
            told.exception()

    def _here(self, entries: list[tuple[int, str]]) -> str | None:
        """Count what passes; `before` or `after` where this is the boundary."""
        if self.at is None or self.reached or not self.at.matches(entries):
            return None
        self._count += 1
        if self._count != self.at.nth:
            return None
        self.reached = True
        return self.at.when

    def _kill(self) -> bool:
        """Whether the worker is dead from now on."""
        if self._die is not None:
            self._die()
            return False
        self.killed.set()
        return True


def _killed() -> Killed:
    return Killed("a test has killed this worker; it can neither read nor write any more")


def _refuse() -> NoReturn:
    raise _killed()


def _refused(append: Append) -> asyncio.Future[bool]:
    """Stop whoever appends, as far as that goes: code of the agent at once, as where a segment has ended."""
    kinds = {e.kind for e in append.entries}
    if Kind.CLAIMED in kinds:
        _refuse()
    if not kinds <= _BY_THE_RUNTIME:
        raise Unwind
    refused: Steady[bool] = Steady()
    refused.set_exception(_killed())
    refused.exception()  # marked as seen: it may be that nobody waits for it
    return refused


_BY_THE_RUNTIME = {Kind.MESSAGE, Kind.SUSPENDED, Kind.MISMATCH, Kind.ENDED}
"""What is not written in the middle of an agent's function."""
