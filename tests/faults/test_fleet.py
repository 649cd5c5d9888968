"""F14 and F16: a deploy that leaves runs without a worker, and a tenant that floods the fleet."""

from __future__ import annotations

import asyncio
import signal

import pytest

from perdure.journal import RunRecord
from tests.faults.processes import Site, until
from tests.faults.programs import fleet

ALARM = "runs wait in vain: no worker has agent"


@pytest.mark.soak_on("postgres")
async def test_runs_of_a_version_that_nobody_has_wait_and_say_so(site: Site) -> None:
    fleet.register(site.app, "1")
    old = await site.worker("fleet", VERSIONS=["1"])
    await site.app.start("parcel", run_id="begun")
    await site.waits_for("begun", "signal")
    old.send(signal.SIGTERM)
    assert await old.death() == 0
    await site.app.start("letter", run_id="new")
    await site.app.signal("begun", "address", "here")
    epochs = {run: (await site.record(run)).epoch for run in ("begun", "new")}

    deployed = [await site.worker("fleet", VERSIONS=["2"]) for _ in range(2)]

    async def stranded() -> list[RunRecord]:
        records = [await site.record(run) for run in ("begun", "new")]
        return records if all("no_worker_for_version" in r.reasons for r in records) else []

    begun, new = await until(stranded, "both runs say that nobody has their version")
    assert (begun.status, new.status) == ("waiting", "pending")
    assert {run.ref.id: run.epoch for run in (begun, new)} == epochs, "somebody claimed what it cannot run"
    assert "agent `parcel` in version `1`" in begun.reasons[1]
    for worker in deployed:
        await worker.says(f"{ALARM} `parcel` in version `1`; deploy one")
        await worker.says(f"{ALARM} `letter` in version `1`; deploy one")
    # What they can run they do run, beside what they cannot.
    fleet.register(site.app, "2")
    await site.app.start("letter", run_id="newer")
    assert (await site.ended("newer")).version == "2"

    await site.worker("fleet", VERSIONS=["1"])

    for run in ("begun", "new"):
        record = await site.ended(run)
        assert (record.status, record.version, record.unclean) == ("succeeded", "1", 0)
        assert "no_worker_for_version" not in record.reasons
    assert sorted(site.notes()) == ["begun packed by 1", "begun sent by 1", "new", "newer"]
    assert all(worker.said.count(ALARM) == 2 for worker in deployed), "an alarm is told once"


@pytest.mark.soak_on("postgres")
async def test_a_flood_of_one_tenant_holds_up_nobody(site: Site) -> None:
    fleet.register(site.app, "1")
    for first in range(0, 10_000, 500):
        numbers = range(first, first + 500)
        await asyncio.gather(
            *(site.app.start("letter", run_id=f"flood-{n}", tenant="a-flood", priority=1000) for n in numbers)
        )
    for _ in range(2):
        await site.worker("fleet", CONCURRENCY=4)
    await until(lambda: len(site.notes()) > 40, "the flood is being worked on")

    await site.app.start("letter", run_id="quiet")
    before = len(site.notes())
    await site.ended("quiet")

    turn = site.notes().index("quiet")
    # What was under way, and a few claims of the eight places: far from the ten thousand that came before it.
    assert turn - before < 100, f"{turn - before} runs of the flood went before the one of the other tenant"
