"""Schedules in real processes: every firing once, although several workers live and one is killed."""

from __future__ import annotations

import asyncio
import signal
from datetime import datetime
from itertools import pairwise

import pytest

from perdure import Schedule
from perdure.core.clock import from_micros, to_micros
from perdure.journal import RunQuery
from tests.faults.processes import Site, until


async def ticking(site: Site) -> Schedule | None:
    found = await site.app.schedules.ls()
    return found[0] if found else None


async def started(site: Site, count: int) -> Schedule:
    async def enough() -> Schedule | None:
        found = await ticking(site)
        return found if found is not None and found.state.started >= count else None

    schedule = await until(enough, f"{count} firings")
    assert schedule is not None
    return schedule


@pytest.mark.soak
@pytest.mark.soak_on("postgres")
async def test_each_firing_once_while_workers_come_and_go(site: Site) -> None:
    """Two workers race for each firing; one is killed, for a while there is none, and all are made up for."""
    one, two = await asyncio.gather(*(site.worker("clockwork") for _ in range(2)))
    await started(site, 3)
    one.send(signal.SIGKILL)
    await one.death()
    await started(site, (await started(site, 0)).state.started + 2)
    two.send(signal.SIGKILL)
    await two.death()
    gone = await ticking(site)
    assert gone is not None and gone.record.next is not None
    await until(
        lambda: site.store.now() > gone.record.next + 2_000_000, "two firings that nobody is there for"
    )
    three = await site.worker("clockwork")
    final = await started(site, gone.state.started + 4)
    await site.app.schedules.pause("tick")
    final = await site.app.schedules.get("tick")
    runs = await site.store.find(RunQuery(labels={"schedule": "tick"}, limit=1000))
    for run in runs:
        await site.ended(run.ref.id)
    three.send(signal.SIGTERM)
    assert await three.death() == 0

    assert final.state.missed == final.state.skipped == 0
    assert len(runs) == final.state.started, "each firing was counted once, and started one run"
    times = sorted(run.labels["scheduled_at"] for run in runs)
    assert len(set(times)) == len(times)
    assert times[-1] == f"{from_micros(final.record.last or 0):%Y-%m-%dT%H:%M:%SZ}"
    seconds = [to_micros(at) // 1_000_000 for at in map(datetime.fromisoformat, times)]
    assert all(b - a == 1 for a, b in pairwise(seconds)), f"a firing is lacking: {times}"
    assert sorted(site.notes()) == sorted(run.ref.id for run in runs), "each run did its work once"
