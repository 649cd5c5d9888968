"""F2: a worker that is stopped for longer than its lease, and wakes when another has its run."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from perdure.journal import Kind, RunRecord
from tests.faults.processes import Nursery, Process, Site, kinds, until
from tests.faults.programs import frozen
from tests.faults.trials import RUN, Story, begin, check, remember, tend
from tests.places import Place

LANES = 12


async def trial(nursery: Nursery, place: Place, folder: Path, when: str, nth: int) -> Story | None:
    """Stop the worker there until another has taken the run over; None where the run ended before it came so far."""
    async with Site(folder, nursery, url=place.url(folder)) as site:
        story = Story(site)
        await begin(site)
        boundary = {"when": when, "nth": nth}
        zombie = await site.worker("everything", AT=boundary, DIE="stop")
        if not await stopped_or_ended(story, zombie):
            return None
        before = await remember(story)
        was = await site.record(RUN)
        successor = await site.worker("everything")
        taken = await taken_over(site, was) if was.status == "running" else was
        zombie.send(signal.SIGCONT)
        await zombie.says("going on")
        if was.status == "running":
            await zombie.says("stands down")
        if "in_doubt" in taken.reasons and "mail ada" in site.notes():
            # It had sent it, and tells: nobody else needs to settle it.
            await until_settled(site, "late")
        assert await tend(story, successor)
        entries = await check(story)
        woken = [e for e in entries if e.epoch == before[-1].epoch and e.seq > before[-1].seq]
        assert not woken or was.status != "running", "the zombie wrote after it was superseded"
        return story


async def stopped_or_ended(story: Story, zombie: Process) -> bool:
    """Play the world until the worker has stopped; False: the run ended first."""
    play = asyncio.ensure_future(tend(story, zombie))
    stop = asyncio.ensure_future(zombie.says("stopping"))
    await asyncio.wait({play, stop}, return_when=asyncio.FIRST_COMPLETED)
    ended = play.done()
    for task in (play, stop):
        task.cancel()
    await asyncio.gather(play, stop, return_exceptions=True)
    return not ended


async def taken_over(site: Site, was: RunRecord) -> RunRecord:
    """Another worker has claimed the run, and gone as far as it comes: which may be a doubt."""

    async def come_to_rest() -> RunRecord | None:
        record = await site.record(RUN)
        rests = record.status == "succeeded" or {"in_doubt", "signal"} & set(record.reasons)
        return record if record.epoch > was.epoch and rests else None

    record = await until(come_to_rest, "another worker takes the run over")
    assert record is not None
    return record


async def until_settled(site: Site, by: str) -> None:
    async def settled() -> bool:
        entries = await site.entries(RUN)
        return any(e.kind == Kind.SETTLED and f"({by})".encode() in e.payload for e in entries)

    await until(settled, f"the doubt is settled by a `{by}` message")


@pytest.mark.timeout(600)  # at every boundary it takes 15 seconds where nothing else runs
@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.soak_on("postgres")
async def test_a_worker_stopped_at_any_boundary(
    place: Place, nursery: Nursery, tmp_path: Path, step: int
) -> None:
    free = asyncio.Semaphore(LANES)
    reached: list[tuple[str, int]] = []
    problems: list[str] = []
    over = asyncio.Event()

    async def one(when: str, nth: int) -> None:
        async with free:
            if over.is_set():
                return
            try:
                async with asyncio.timeout(200):
                    story = await trial(nursery, place, tmp_path / f"{when}{nth}", when, nth)
            except Exception as error:
                problems.append(f"stopped {when} append {nth}: {error!r}")
                return
            if story is None:
                over.set()
            else:
                reached.append((when, nth))

    async with asyncio.timeout(500):
        await asyncio.gather(*(one(when, nth) for nth in range(1, 60, step) for when in ("before", "after")))

    assert not problems, "\n".join(problems)
    assert len(reached) > 40 // step, reached


async def frozen_in_its_effect(site: Site) -> tuple[Process, Process]:
    """A worker that froze between the check of its lease and the effect, and one that has its run: in doubt."""
    await site.app.start(frozen.register(site.app), run_id=RUN)
    zombie = await site.worker("frozen", FREEZE="effect", NAME="zombie")
    await zombie.says("stopping")
    successor = await site.worker("frozen", NAME="successor")
    await site.waits_for(RUN, "in_doubt")
    assert kinds(await site.entries(RUN), "send") == ["intent", "unknown", "waiting"]
    return zombie, successor


async def test_an_append_of_a_zombie_is_refused_while_its_successor_is_at_work(
    site: Site, tmp_path: Path
) -> None:
    """It was on its way to the store when the worker froze: no check of its own can hold it back."""
    await site.app.start(frozen.register(site.app), run_id=RUN)
    result = {"when": "before", "entry": "result", "step": "think"}
    zombie = await site.worker("frozen", AT=result, DIE="stop", NAME="zombie")
    await zombie.says("stopping")
    go = tmp_path / "go"
    await site.worker("frozen", FREEZE="hang", GO=str(go), NAME="successor")
    await until(lambda: "hang" in site.notes(), "the successor is in the same step")

    zombie.send(signal.SIGCONT)
    await zombie.says("stands down")

    assert kinds(await site.entries(RUN)) == ["started", "claimed", "claimed"]
    go.touch()
    await site.app.signal(RUN, "word", "go")
    await site.ended(RUN)
    ending = json.loads((await site.entries(RUN))[-1].payload)
    assert ending["result"] == ["thought by successor", "sent ada", "go"]
    assert [e.epoch for e in await site.entries(RUN)][:4] == [0, 1, 2, 2]


async def test_an_effect_that_a_zombie_still_sent_settles_the_doubt(site: Site) -> None:
    zombie, _ = await frozen_in_its_effect(site)

    zombie.send(signal.SIGCONT)

    await site.waits_for(RUN, "signal")
    await zombie.says("stands down")
    assert kinds(await site.entries(RUN), "send") == ["intent", "unknown", "waiting", "settled", "result"]
    assert site.notes() == ["think", "send ada by zombie"]
    await site.app.signal(RUN, "word", "go")
    await site.ended(RUN)
    ending = json.loads((await site.entries(RUN))[-1].payload)
    assert ending["result"] == ["thought by zombie", "sent ada", "go"]


async def test_an_effect_that_a_zombie_sent_too_late_is_journaled(site: Site) -> None:
    """It was settled as not done, and done again: only a receiver that honours the key prevents this. It shows."""
    zombie, _ = await frozen_in_its_effect(site)
    await site.app.settle(RUN, "send", happened=False)
    await site.waits_for(RUN, "signal")

    zombie.send(signal.SIGCONT)
    await zombie.says("stands down")
    await site.app.signal(RUN, "word", "go")
    await site.ended(RUN)

    entries = await site.entries(RUN)
    late = [json.loads(e.payload) for e in entries if e.kind == Kind.MESSAGE and b'"late"' in e.payload]
    assert [(m["kind"], m["name"], m["body"]) for m in late] == [
        ("late", "send", {"happened": True, "result": "sent ada"})
    ]
    assert site.notes() == ["think", "send ada by successor", "send ada by zombie"]
    assert json.loads(entries[-1].payload)["undelivered"] == [
        next(e.seq for e in entries if e.kind == Kind.MESSAGE and b'"late"' in e.payload)
    ]


async def test_an_effect_that_shows_after_the_end_is_logged(site: Site) -> None:
    zombie, _ = await frozen_in_its_effect(site)
    await site.app.settle(RUN, "send", happened=False)
    await site.app.signal(RUN, "word", "go")
    await site.ended(RUN)

    zombie.send(signal.SIGCONT)

    await zombie.says("step `send` happened after the run was taken over, and its journal is closed")


@pytest.mark.parametrize("freeze", ["step", "effect"])
async def test_a_worker_that_was_stopped_and_has_no_successor_goes_on(site: Site, freeze: str) -> None:
    """Nobody took its run: it must not be left behind by a worker that thinks that it has lost it."""
    await site.app.start(frozen.register(site.app), run_id=RUN)
    lone = await site.worker("frozen", FREEZE=freeze, NAME="lone")
    await lone.says("stopping")
    expired = site.store.now() + int(2 * site.lease * 1e6)
    await until(lambda: site.store.now() > expired, "the lease is over")

    lone.send(signal.SIGCONT)

    await until(lambda: lone.said.count("stopping") == 2 or "send ada by lone" in site.notes(), "it goes on")
    lone.send(signal.SIGCONT)
    reason = await site.waits_for(RUN, "signal", "in_doubt")
    if reason == "in_doubt":
        await site.app.settle(RUN, "send", happened=True, result="sent ada")
    await site.app.signal(RUN, "word", "go")
    assert (await site.ended(RUN)).status == "succeeded"
    assert site.notes().count("send ada by lone") == 1


async def test_a_worker_stopped_inside_a_transaction_holds_up_the_others_only_for_a_while(
    site: Site, place: Place
) -> None:
    """On SQLite takeover happens once the file's lock is free; PostgreSQL ends a transaction that stands still."""
    await site.app.start(frozen.register(site.app), run_id=RUN)
    zombie = await site.worker("frozen", FREEZE="lock", NAME="zombie")
    await zombie.says("stopping")
    successor = await site.worker("frozen", NAME="successor")
    if place.kind == "sqlite":
        expired = site.store.now() + int(3 * site.lease * 1e6)
        await until(lambda: site.store.now() > expired, "the lease is over")
        assert not successor.dead
        assert (await site.record(RUN)).epoch == 1
        zombie.send(signal.SIGCONT)
        await site.waits_for(RUN, "signal")
    else:
        await site.waits_for(RUN, "signal")
        zombie.send(signal.SIGCONT)
        await zombie.says("stands down")
    await site.app.signal(RUN, "word", "go")
    assert (await site.ended(RUN)).status == "succeeded"
    assert not zombie.dead and not successor.dead
    assert len([n for n in site.notes() if n.startswith("send ada")]) == 1
