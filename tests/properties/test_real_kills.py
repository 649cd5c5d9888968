"""Random programs in real worker processes, two at a time, killed at random entries; checked as those in memory are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from perdure.journal import ENDINGS, Claim, RunStatus
from perdure.testing import SkippingClock
from tests.faults.processes import PATIENCE, Nursery, Process, Site
from tests.faults.programs.randomly import counted, real
from tests.places import Place, PostgresPlace, SqlitePlace
from tests.properties.programs import Node, World, build, programs, receives
from tests.properties.test_programs import REF, check, quick, replay, without_traceback

Trial = tuple[Node, list[tuple[str, int]]]

kills = st.lists(st.tuples(st.sampled_from(["before", "after"]), st.integers(1, 14)), max_size=3)
batches = st.lists(st.tuples(programs.map(real), kills), min_size=12, max_size=12)
"""Trials that are made side by side: each mostly waits for a lease to run out."""

# The first example is always the simplest: nothing to see. What failed is shown as it is: each step of making it
# smaller would cost seconds.
real_time = settings(quick, max_examples=3, phases=[Phase.generate])


async def trial(nursery: Nursery, place: Place, folder: Path, program: Node, plan: list[Any]) -> None:
    async with Site(folder, nursery, url=place.url(folder)) as site:
        build(site.app, World(), 0, program)
        await site.app.start("program", run_id=REF.id)
        for n in range(receives(program)):
            await site.app.signal(REF.id, "news", n, message_id=f"m{n}")
        quarantined = await _play(site, program, list(plan))
        entries = await site.entries(REF.id)
        record = await site.record(REF.id)
        key = await site.store.tenant_key(REF.tenant)
    check(entries, World(applied=counted(site.ledger, "applied")))
    epochs = [e.epoch for e in entries]
    assert epochs == sorted(epochs)
    if not quarantined:
        recorded = entries[:-1]
        run = replace(record, head=recorded[-1].seq, head_hash=recorded[-1].hash, epoch=record.epoch + 1)
        clock = SkippingClock(record.updated_at, settle=0.0)
        ending = await replay(program, Claim(run=run, entries=recorded, tenant_key=key), clock)
        assert without_traceback(ending) == without_traceback(entries[-1].payload)


async def _play(site: Site, program: Node, plan: list[Any]) -> bool:
    """Two workers at work, the next in place of one that was killed, until the run has ended: was it in quarantine?"""
    quarantined = False
    alive: list[Process] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            seen = site.store.changes()
            record = await site.record(REF.id)
            if record.status is RunStatus.QUARANTINED:
                quarantined = True
                await site.app.resume(REF.id, reset=True)
            elif record.status in ENDINGS:
                break
            for dead in [p for p in alive if p.dead]:
                assert await dead.death() == -signal.SIGKILL, dead.said
                alive.remove(dead)
            while len(alive) < 2:
                at = {"AT": dict(zip(("when", "nth"), plan.pop(0), strict=True))} if plan else {}
                alive.append(await site.worker("randomly", PROGRAM=json.dumps(program), **at))
            await site.store.changed(seen, within=0.05)
    for process in alive:
        with contextlib.suppress(ProcessLookupError):  # it may have killed itself a moment ago
            process.send(signal.SIGKILL)
    assert record.status in (RunStatus.SUCCEEDED, RunStatus.FAILED), record
    return quarantined


async def together(place: Place, batch: list[Trial]) -> None:
    with tempfile.TemporaryDirectory(prefix="perdure-programs-") as folder:
        async with Nursery("tests.faults.programs.randomly") as nursery:
            outcomes = await asyncio.gather(
                *(trial(nursery, place, Path(folder, str(n)), *each) for n, each in enumerate(batch)),
                return_exceptions=True,
            )
    wrong = [f"{batch[n]}: {o!r}" for n, o in enumerate(outcomes) if isinstance(o, BaseException)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.soak
@real_time
@given(batch=batches)
def test_random_programs_in_killed_processes_on_sqlite(batch: list[Trial]) -> None:
    asyncio.run(together(SqlitePlace(), batch))


@pytest.mark.soak
@real_time
@given(batch=batches)
def test_random_programs_in_killed_processes_on_postgres(
    postgres: Any, postgres_template: str, batch: list[Trial]
) -> None:
    place = PostgresPlace(postgres, postgres_template)
    try:
        asyncio.run(together(place, batch))
    finally:
        place.close()


LOST_AT_ITS_INTENT: Node = (
    "seq",
    (
        "gather",
        ("first", ("look", 4), ("gather", ("write", 4, "plain"), ("timeout", 0.05))),
        ("step", 1, False),
    ),
    ("step", 0, False),
)
"""Mostly the race is over while the intent of the write is on its way to the disk."""


def test_losers_of_a_race_leave_in_the_order_in_which_they_do_on_replay() -> None:
    asyncio.run(together(SqlitePlace(), [(LOST_AT_ITS_INTENT, []) for _ in range(8)]))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(real_time, max_examples=200)
@given(batch=batches)
def test_many_random_programs_in_killed_processes_on_sqlite(batch: list[Trial]) -> None:
    asyncio.run(together(SqlitePlace(), batch))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(real_time, max_examples=200)
@given(batch=batches)
def test_many_random_programs_in_killed_processes_on_postgres(
    postgres: Any, postgres_template: str, batch: list[Trial]
) -> None:
    place = PostgresPlace(postgres, postgres_template)
    try:
        asyncio.run(together(place, batch))
    finally:
        place.close()
