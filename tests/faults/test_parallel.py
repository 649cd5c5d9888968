"""F18: random delays in parallel steps, races, raw tasks, and a kill."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run
from perdure.journal import Entry, Kind
from perdure.testing import Boundary, Trial, kill_at
from tests.faults.processes import Nursery, Site
from tests.faults.programs import shuffle
from tests.faults.programs.shuffle import roll
from tests.places import Place


def results(entries: Sequence[Entry]) -> dict[str, str]:
    """The rolls in the journal, by key, in the order in which they were handed out."""
    found = {e.key: json.loads(e.payload) for e in entries if e.kind == Kind.RESULT and "roll" in e.key}
    assert len(found) == sum(e.kind == Kind.RESULT and "roll" in e.key for e in entries)
    return found


def check_shuffle(result: dict[str, Any], entries: Sequence[Entry]) -> None:
    """The program saw what the journal holds, and in its order."""
    rolls = results(entries)
    for i in range(3):
        assert result["gathered"][i] == [rolls[f"gather.{i}/roll{n}"] for n in range(3)]
    which, value = result["winner"]
    assert value == [rolls[f"first.{which}/roll{n}"] for n in range(3)]
    assert result["aside"] == [rolls[f"aside/roll{n}"] for n in range(3)]
    assert result["main"] == [rolls[f"roll{n}"] for n in range(3)]
    # A loser that was cut off may have a result that its branch never saw.
    cut = {v for k, v in rolls.items() if k.startswith(f"first.{1 - which}/")} - set(result["seen"])
    assert result["seen"] == [v for v in rolls.values() if v not in cut]


@pytest.mark.parametrize("seed", range(8))
async def test_parallel_steps_replay_as_they_went(seed: int) -> None:
    app = App("memory://")
    agent = shuffle.register(app)
    rng = random.Random(seed)
    for nth in rng.sample(range(2, 16), 5):
        trial = await kill_at(app, agent, None, Boundary(rng.choice(["before", "after"]), nth=nth))
        check_shuffle(trial.result, trial.entries)


@pytest.mark.soak_on("postgres")
async def test_parallel_steps_replay_as_they_went_after_a_real_kill(
    place: Place, nursery: Nursery, tmp_path: Path
) -> None:
    async def one(nth: int) -> None:
        folder = tmp_path / str(nth)
        async with Site(folder, nursery, url=place.url(folder)) as site:
            await site.app.start(shuffle.register(site.app), run_id="r1")
            victim = await site.worker("shuffle", AT={"when": "before", "nth": nth})
            assert await victim.death() == -signal.SIGKILL
            await site.worker("shuffle")
            await site.ended("r1")
            entries = await site.entries("r1")
            check_shuffle(json.loads(entries[-1].payload)["result"], entries)

    await asyncio.gather(*(one(nth) for nth in range(2, 16)))


async def attempts(app: App, agent: Any, boundaries: int) -> list[Trial]:
    """A trial for each boundary that it reaches. How many there are depends on chance."""
    trials: list[Trial] = []
    for nth in range(1, boundaries):
        for when in ("before", "after"):
            try:
                trials.append(await kill_at(app, agent, None, Boundary(when, nth=nth), limit=10))
            except AssertionError as error:
                assert "never came to" in str(error) or "does not replay" in str(error)
    return trials


@pytest.mark.parametrize("names", [("a", "b"), ("a", "a")], ids=["two names", "one name"])
async def test_raw_tasks_are_refused_or_replay_as_they_went(names: tuple[str, str]) -> None:
    """Tasks without a scope of their own: which comes first is chance, and a replay must not guess."""
    app = App("memory://")

    @app.agent("raw")
    async def raw(run: Run) -> list[str]:
        async def work(name: str) -> str:
            await asyncio.sleep(random.random() * 0.01)
            return await run.step(f"roll-{name}", roll, name)

        tasks = [asyncio.create_task(work(name)) for name in names]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    trials = await attempts(app, raw, 5)

    outcomes: set[str] = set()
    for trial in trials:
        outcomes.add(trial.status)
        if trial.status == "succeeded":
            assert sorted(trial.result) == sorted(results(trial.entries).values())
        else:
            assert trial.error is not None and trial.error.startswith("ConcurrentScope")
            assert "run.gather" in trial.error and "run.branch" in trial.error
    assert outcomes


async def test_overlapping_steps_are_refused_with_what_to_write_instead() -> None:
    app = App("memory://")

    @app.agent("raw")
    async def raw(run: Run) -> list[str]:
        return list(await asyncio.gather(run.step("one", roll, "a"), run.step("two", roll, "b")))

    trial = await kill_at(app, raw)

    assert trial.status == "failed"
    assert trial.error is not None
    for said in (
        "ConcurrentScope",
        "step `two` began while `one` was under way",
        "run.gather(...)",
        "run.branch(name",
    ):
        assert said in trial.error


async def test_a_race_outside_the_run_does_not_replay_and_says_so() -> None:
    """A timeout of asyncio's own around a step: the journal knows nothing of it."""
    app = App("memory://")
    lives = 0

    async def slow() -> str:
        await asyncio.sleep(0.05 if lives == 1 else 0)
        return "slow"

    @app.agent("impatient")
    async def impatient(run: Run) -> list[str]:
        nonlocal lives
        lives += 1
        try:
            async with asyncio.timeout(0.01):
                first = await run.step("slow", slow)
        except TimeoutError:
            first = await run.step("other", roll, "o")
        return [first, await run.step("then", roll, "t")]

    with pytest.raises(AssertionError, match=r'does not replay.*"step":"other".*"step":"slow"'):
        await kill_at(app, impatient, None, Boundary("after", "result", "then"))


async def test_a_race_that_chance_decided_replays_as_it_went() -> None:
    """What decides it is no step, and goes the other way when the run is replayed."""
    app = App("memory://")
    lives = 0

    @app.agent("racer")
    async def racer(run: Run) -> list[Any]:
        nonlocal lives
        lives += 1
        fast = lives % 2

        async def branch(n: int) -> int:
            await run.step("roll", roll, str(n))
            await asyncio.sleep(0 if n == fast else 0.05)
            return n

        winner = await run.first(branch(0), branch(1))
        return [winner.which, winner.value, await run.step("then", roll, "t")]

    trial = await kill_at(app, racer, None, Boundary("before", "result", "then"))

    assert lives == 2
    assert trial.result[:2] == [1, 1]
