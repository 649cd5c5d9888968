"""A rehearsal: a journal replayed against code, with no effect and not a word written. What a deploy would do to a run.

The segment is the one that a worker drives, told from the start to begin no new step, on a store that keeps nothing,
under a lease that is over: three walls between the code and the world, of which each would be enough. Code between
steps does run, as it does in every replay.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

from ...core.clock import SystemClock
from ...core.errors import StoreError
from ...core.futures import Steady
from ...journal import Append, Claim, Entry, Message, Post, RunRecord, RunStatus, Session, Store
from ..agent import Agent
from ..conversation.providers import ModelProvider, Models
from ..segment import Segment, SegmentEnd, Surroundings
from .control import Halt
from .lease import Lease

__all__ = ["LIMIT_SECONDS", "NEW_BEFORE", "Rehearsal", "Verdict", "rehearse"]

NEW_BEFORE = "new steps before it"
"""What code asks for whose branches all stand before new steps, while something recorded was not asked for."""

LIMIT_SECONDS = 10.0
"""A replay that is not over after this does not end by itself: it waits for something that is no step."""


class Verdict(enum.StrEnum):
    """What came of a rehearsal."""

    REPLAYS = "replays"
    """the code asked for all that was recorded: it goes on from there"""
    BREAKS = "breaks"
    """it asked for something else, or for less: the run would wait as `nondeterministic`"""
    STUCK = "stuck"
    """it came to no end in time, or the journal cannot be read"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What the code did with the journal."""

    verdict: Verdict
    entries: int
    """how many were replayed"""
    recorded: Mapping[str, Any] | None = None
    """where it breaks: `step`, `entry` and `kind` of what the journal holds"""
    requested: Mapping[str, Any] | None = None
    """where it breaks: `step` (None: the end, say) and `what` the code asked for"""
    why: str = ""
    """why it is stuck"""
    ends: RunStatus | None = None
    """the code came to its end with what is recorded, and this would be the run's"""
    patches: Mapping[str, bool] = field(default_factory=dict[str, bool])
    """what `run.patched` said to it"""
    aside: tuple[str, ...] = ()
    """where it breaks: keys of the steps without which it would go on from there"""


async def rehearse(
    agent: Agent,
    run: RunRecord,
    entries: Sequence[Entry],
    *,
    key: bytes,
    now: int,
    agents: Callable[[Agent | str], Agent],
    limit: float = LIMIT_SECONDS,
) -> Rehearsal:
    """Replay `entries`, all that a worker would be handed, against `agent`.

    `key` is the tenant's, `now` the store's time in microseconds, `agents` finds those that children are started of.
    What the code does without a step is done: keep effects in steps. Code that holds up the thread holds this up, too.
    """
    last = entries[-1] if entries else None
    as_read = replace(
        run,
        head=run.head if last is None else last.seq,
        head_hash=run.head_hash if last is None else last.hash,
        epoch=run.epoch + 1,
        inbox_seq=run.drained_seq,
        deadline=None,
    )
    clock = SystemClock()
    lease = Lease(Session(id="rehearsal", lease=0), clock)
    lease.end()
    nowhere: Any = _Nowhere(now)
    store: Store = nowhere
    segment = Segment(
        Claim(run=as_read, entries=entries, tenant_key=key),
        agent,
        store=store,
        lease=lease,
        clock=clock,
        surroundings=Surroundings(agent=agents, models=_Silent()),
        durable_steps=False,
        rehearsal=True,
    )
    segment.drain()
    count = len(entries)
    try:
        async with asyncio.timeout(limit):
            end = await segment.drive()
    except TimeoutError:
        why = (
            f"it came neither to the next step nor to an end within {limit:g} s: between its steps it waits for "
            "something that is no step"
        )
        return Rehearsal(verdict=Verdict.STUCK, entries=count, why=why)
    except StoreError as error:
        return Rehearsal(verdict=Verdict.STUCK, entries=count, why=str(error))
    return _judged(segment, end, count)


def _judged(segment: Segment, end: SegmentEnd, count: int) -> Rehearsal:
    recorder = segment.recorder
    assert recorder is not None
    patches = dict(recorder.patches)
    if end.halt is Halt.MISMATCH:
        diff: dict[str, Any] = end.diff or {}
        return Rehearsal(
            verdict=Verdict.BREAKS,
            entries=count,
            recorded=diff.get("recorded"),
            requested=diff.get("requested"),
            patches=patches,
            aside=tuple(recorder.aside),
        )
    if end.status is None:
        return Rehearsal(verdict=Verdict.STUCK, entries=count, why=str(end.error), patches=patches)
    left = recorder.leftover() if recorder.unconsumed else None
    if left is not None:
        # Each branch stands before a step of its own, and this was recorded before any of them.
        requested = {"step": None, "what": NEW_BEFORE}
        return Rehearsal(
            verdict=Verdict.BREAKS, entries=count, recorded=left, requested=requested, patches=patches
        )
    ends = None if end.halt in (Halt.DRAINED, Halt.CONTINUED) else end.status
    return Rehearsal(verdict=Verdict.REPLAYS, entries=count, ends=ends, patches=patches)


class _Nowhere:
    """A store that takes every append and keeps none."""

    url = "nowhere:"

    def __init__(self, now: int) -> None:
        self._now = now

    def now(self) -> int:
        return self._now

    def append(self, append: Append) -> asyncio.Future[bool]:
        future: Steady[bool] = Steady()
        future.set_result(True)
        return future

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        return []

    async def post(self, post: Post) -> bool:
        return False

    def __getattr__(self, name: str) -> NoReturn:
        raise AssertionError(f"a rehearsal asked the store for `{name}`")


class _Silent(Models):
    """Has a provider for every model, so that no key is needed here, and none of them is ever asked."""

    def provider(self, model: str) -> ModelProvider:
        return self

    async def request(self, model: str, request: Any) -> NoReturn:
        raise AssertionError(f"a rehearsal asked model `{model}`")
