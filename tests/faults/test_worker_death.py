"""F1 and F8: SIGKILL at every boundary of a run's journal, and between its acceptance and any work on it."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from tests.faults.processes import Nursery, Site, kinds, until
from tests.faults.programs import frozen, starter
from tests.faults.trials import Story, begin, check, remember, tend
from tests.places import Place

LANES = 12
"""Trials under way at once: each mostly waits for a lease to run out."""

HOUSEKEEPING = 1.0
SLACK = 8.0
"""Seconds; the machine may be busy."""


async def trial(
    nursery: Nursery, place: Place, folder: Path, when: str, nth: int, durability: str
) -> Story | None:
    """Kill the worker there, and see that another goes on; None where the run ended before it came so far."""
    async with Site(folder, nursery, url=place.url(folder)) as site:
        story = Story(site)
        await begin(site)
        boundary = {"when": when, "nth": nth}
        victim = await site.worker("everything", AT=boundary, DURABILITY=durability)
        if await tend(story, victim):
            return None
        assert await victim.death() == -signal.SIGKILL
        before = await remember(story)
        died_at = site.store.now()
        successor = await site.worker("everything", DURABILITY=durability)
        assert await tend(story, successor)
        after = await check(story)
        claimed = next((e for e in after[len(before) :] if e.epoch > before[-1].epoch), None)
        if claimed is not None and kinds(before)[-1] != "suspended":
            assert (claimed.at - died_at) / 1e6 < site.lease + HOUSEKEEPING + SLACK
        for key in ("pay", "mail"):
            if kinds(before, key) == ["intent"]:
                assert "unknown" in kinds(after, key), f"`{key}` was in doubt, and nobody says so"
        return story


@pytest.mark.timeout(600)  # at every boundary it takes 15 seconds where nothing else runs
@pytest.mark.parametrize(
    ("durability", "step"),
    [
        ("pipelined", 3),
        pytest.param("pipelined", 1, marks=pytest.mark.soak),
        pytest.param("step", 1, marks=pytest.mark.soak),
    ],
)
async def test_a_worker_killed_at_any_boundary(
    place: Place, nursery: Nursery, tmp_path: Path, durability: str, step: int
) -> None:
    free = asyncio.Semaphore(LANES)
    reached: list[tuple[str, int]] = []
    settled: set[str] = set()
    problems: list[str] = []
    over = asyncio.Event()

    async def one(when: str, nth: int) -> None:
        async with free:
            if over.is_set():
                return
            try:
                story = await trial(nursery, place, tmp_path / f"{when}{nth}", when, nth, durability)
            except Exception as error:
                problems.append(f"killed {when} append {nth}: {error!r}")
                return
            if story is None:
                over.set()
            else:
                reached.append((when, nth))
                settled.update(story.settled)

    async with asyncio.timeout(500):
        await asyncio.gather(*(one(when, nth) for nth in range(1, 60, step) for when in ("before", "after")))

    assert not problems, "\n".join(problems)
    assert len(reached) > 30 // step, reached
    assert settled <= {"mail"}
    assert settled or step > 1


async def test_a_run_whose_starter_died_is_found(site: Site) -> None:
    """F8: its acceptance is on disk, and the process dies before it does anything else."""
    died = await site.worker("starter", AT={"when": "after", "entry": "started"})
    assert await died.death() == -signal.SIGKILL
    assert (await site.record("accepted")).status == "pending"

    await site.worker("starter", WORK="1")

    assert (await site.ended("accepted")).status == "succeeded"
    assert site.notes() == ["hello ada"]


async def test_a_start_that_died_before_it_was_on_disk_is_repeated_by_its_id(site: Site) -> None:
    died = await site.worker("starter", AT={"when": "before", "entry": "started"})
    assert await died.death() == -signal.SIGKILL
    with pytest.raises(AssertionError, match="no run `accepted`"):
        await site.record("accepted")

    for _ in range(2):
        assert await (await site.worker("starter")).death() == 0
    await site.worker("starter", WORK="1")

    assert (await site.ended("accepted")).status == "succeeded"
    assert site.notes() == ["hello ada"]


async def test_the_run_of_a_dead_worker_is_swept_up_by_one_that_was_there_all_the_time(site: Site) -> None:
    await site.app.start(starter.register(site.app), "ada", run_id="accepted")
    owner = await site.worker("starter", WORK="1", HANG="1")
    await until(site.notes, "the run hangs")
    other = await site.worker("starter", WORK="1")
    await other.says("ready")

    owner.send(signal.SIGKILL)

    assert (await site.ended("accepted")).status == "succeeded"
    assert site.notes() == ["hanging", "hello ada"]
    assert kinds(await site.entries("accepted")) == ["started", "claimed", "claimed", "result", "ended"]


async def test_an_old_answer_does_not_settle_a_new_doubt(site: Site) -> None:
    """Settled as not done, tried again, and the worker dies again: that it was not done before says nothing of now."""
    await site.app.start(frozen.register(site.app), run_id="r1")
    first = await site.worker("frozen", NAME="first", AT={"when": "after", "entry": "intent", "step": "send"})
    assert await first.death() == -signal.SIGKILL
    second = await site.worker(
        "frozen", NAME="second", AT={"when": "before", "entry": "result", "step": "send"}
    )
    await site.waits_for("r1", "in_doubt")
    for _ in range(2):  # an operator who clicks twice
        await site.app.settle("r1", "send", happened=False)
    assert await second.death() == -signal.SIGKILL
    assert "send ada by second" in site.notes()

    await site.worker("frozen", NAME="third")

    await site.waits_for("r1", "in_doubt")
    assert [n for n in site.notes() if n.startswith("send")] == ["send ada by second"]
    await site.app.settle("r1", "send", happened=True, result="sent ada")
    await site.app.signal("r1", "word", "go")
    assert (await site.ended("r1")).status == "succeeded"
    assert [n for n in site.notes() if n.startswith("send")] == ["send ada by second"]
