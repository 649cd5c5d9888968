"""Two versions side by side: each run goes on only with the code that it began with, also where its worker dies."""

from __future__ import annotations

import signal

from perdure import App, Run
from perdure.journal import Kind
from tests.faults.processes import Site, until
from tests.faults.programs import fleet

OLD = [f"old-{n}" for n in range(4)]
NEW = [f"new-{n}" for n in range(4)]


async def test_runs_of_two_versions_go_on_only_where_they_can(site: Site) -> None:
    fleet.register(site.app, "1")
    first = await site.worker("fleet", VERSIONS=["1"])
    for run in OLD:
        assert (await (await site.app.start("parcel", run_id=run)).record()).version == "1"
    for run in OLD:
        await site.waits_for(run, "signal")

    second = await site.worker("fleet", VERSIONS=["2"])
    fleet.register(site.app, "2")
    for run in NEW:
        assert (await (await site.app.start("parcel", run_id=run)).record()).version == "2", "the newest"
    for run in NEW:
        await site.waits_for(run, "signal")
    epochs = {run: (await site.record(run)).epoch for run in OLD}
    first.send(signal.SIGKILL)
    await first.death()
    for run in [*OLD, *NEW]:
        await site.app.signal(run, "address", "here")
    for run in NEW:
        assert (await site.ended(run)).status == "succeeded"
    await until(lambda: recovered(site), "the dead worker's session is cleared away")
    assert {run: (await site.record(run)).epoch for run in OLD} == epochs, "claimed by what cannot run it"
    assert not second.dead

    await site.worker("fleet", VERSIONS=["1", "2"])  # a deploy that brings both
    for run in OLD:
        record = await site.ended(run)
        assert (record.status, record.version) == ("succeeded", "1")
    done = {
        f"{run} {what} by {v}"
        for v, runs in (("1", OLD), ("2", NEW))
        for run in runs
        for what in ("packed", "sent")
    }
    assert sorted(site.notes()) == sorted(done), "each step once, by the version that the run began with"


async def recovered(site: Site) -> bool:
    return all([(await site.record(run)).session is None for run in OLD])


async def test_a_deploy_is_checked_and_a_run_that_it_breaks_goes_on_in_place(site: Site) -> None:
    fleet.register(site.app, "1")
    worker = await site.worker("fleet", VERSIONS=["1"])
    await site.app.start("parcel", run_id="r")
    await site.waits_for("r", "signal")
    worker.send(signal.SIGTERM)
    await worker.death()

    deployed = App(site.url)

    @deployed.agent("parcel")
    async def parcel(run: Run) -> str:
        await run.step("weigh", str, 1)
        await run.receive("address")
        return "weighed"

    report = await deployed.check()
    assert [(b.ref.id, b.rehearsal.requested) for b in report.broken] == [
        ("r", {"step": "weigh", "what": "a new step"})
    ]
    async with deployed:
        await site.app.signal("r", "address", "here")
        await site.waits_for("r", "nondeterministic")
        accepted = await deployed.accept("r", by="ann")
        assert accepted.steps == ("pack", "address")
        assert await (await deployed.handle("r")).result() == "weighed"
    aside = [e for e in await site.entries("r") if e.kind == Kind.ACCEPTED]
    assert [e.actor for e in aside] == ["ann"]
    assert site.notes() == ["r packed by 1"]
