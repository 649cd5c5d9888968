"""After a store was put back from an earlier moment: what was in flight is held until a person has looked at it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..core.errors import RunEnded
from ..journal import ENDINGS, Post, RunQuery, RunRecord, RunStatus

if TYPE_CHECKING:
    from .base import AppBase

__all__ = ["HELD_BY", "Held", "hold", "in_flight"]

HELD_BY = "restore"
"""Who paused a run, in its journal."""

PAGE = 500
_OPEN = frozenset(RunStatus) - ENDINGS


@dataclass(frozen=True, slots=True)
class Held:
    """What was held, of all tenants."""

    runs: int
    schedules: int


async def in_flight(app: AppBase) -> AsyncIterator[RunRecord]:
    """Every run that has not ended, of all tenants, the newest first. What begins meanwhile is not among them."""
    before: int | None = None
    while page := await app.store.find(RunQuery(statuses=_OPEN, limit=PAGE, before=before)):
        for run in page:
            yield run
        before = page[-1].rid


async def hold(app: AppBase, *, id: str, seen: Callable[[], None] = lambda: None) -> Held:
    """Pause every run in flight and every schedule, of all tenants, before any worker goes on.

    A run does nothing before it has heard that, and is let go by `resume` like any other that was paused. `id` names
    this restore: to hold twice under one id is to hold once. What a run did between the moment of the backup and the
    loss is in no journal any more; for what went out then, receivers that honour the key are the only memory left.
    """
    await app.open()
    runs = schedules = 0
    async for run in in_flight(app):
        post = Post(ref=run.ref, kind="pause", name="", id=f"restored-{id}", sender=HELD_BY, body=b"null")
        try:
            await app.store.post(post)
        except RunEnded:
            continue
        runs += 1
        seen()
    for row in await app.store.schedules():
        while not row.paused:
            if await app.store.write_schedule(replace(row, paused=True)):
                schedules += 1
                break
            rows = await app.store.schedules(tenant=row.tenant)
            row = next((r for r in rows if r.name == row.name), replace(row, paused=True))
    return Held(runs, schedules)
