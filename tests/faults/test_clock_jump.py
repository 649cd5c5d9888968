"""F11: the time of day of one machine jumps by an hour, forwards or back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run
from perdure.core.clock import SystemClock
from perdure.db.postgres import PostgresStore
from tests.faults.processes import Nursery, Site, kinds, until
from tests.faults.programs import clocked
from tests.places import Place

HOUR = 3600
BOTH_WAYS = pytest.mark.parametrize("jump", [HOUR, -HOUR], ids=["forwards", "back"])


@BOTH_WAYS
async def test_a_worker_whose_clock_is_wrong_steals_no_claim(site: Site, place: Place, jump: int) -> None:
    """On SQLite the clock is the process's: it may steal one, and nothing is written twice."""
    holder = clocked.register(site.app)
    await site.app.start(holder, run_id="r1")
    owner = await site.worker("clocked", NAME="owner", SECONDS=str(site.lease * 3))
    await until(site.notes, "the run is under way")

    other = await site.worker("clocked", NAME="other", JUMP=jump, WHEN="birth")
    await other.says("ready")
    if place.kind == "sqlite" and await site.waits_or_ends("r1", "in_doubt"):
        await site.app.settle("r1", "hold", happened=True, result="held")
    assert (await site.ended("r1")).status == "succeeded"

    entries = await site.entries("r1")
    assert len(site.notes()) == kinds(entries).count("result") == 1
    epochs = [e.epoch for e in entries]
    assert epochs == sorted(epochs)
    if place.kind == "postgres":
        assert kinds(entries) == ["started", "claimed", "intent", "result", "ended"]
        assert "lease was lost" not in owner.said


@BOTH_WAYS
async def test_no_timer_is_early_or_an_hour_late(
    tmp_path: Path, postgres_url: str, nursery: Nursery, jump: int
) -> None:
    """On PostgreSQL: SQLite has no clock but the process's."""
    async with Site(tmp_path, nursery, url=postgres_url) as site:
        clocked.register(site.app)
        await site.app.start("sleeper", run_id="r1")
        await site.worker("clocked", NAME="jumper", JUMP=jump, WHEN="step")
        assert (await site.ended("r1")).status == "succeeded"

    times = {what: float(at) for what, _, at in (note.rpartition(" ") for note in site.notes())}
    for seconds in (clocked.NAP, clocked.DOZE):
        assert times[f"rise {seconds}"] - times[f"lie {seconds}"] >= seconds


class Ahead(SystemClock):
    """A machine's clock that is an hour fast."""

    def micros(self) -> int:
        return super().micros() + HOUR * 1_000_000


class Counting:
    """A store that counts how often a worker looks for work."""

    def __init__(self, inner: PostgresStore) -> None:
        self.inner = inner
        self.looks = 0

    def __getattr__(self, name: str) -> Any:
        if name == "next_due":
            self.looks += 1
        return getattr(self.inner, name)


async def test_a_worker_whose_clock_is_fast_waits_as_patiently(postgres_url: str) -> None:
    store = Counting(PostgresStore(postgres_url))
    app = App(store, clock=Ahead())  # type: ignore[arg-type]  # a proxy

    @app.agent("sleeper")
    async def sleeper(run: Run) -> str:
        await run.sleep(clocked.NAP)
        return "slept"

    async with app:
        assert await (await app.start(sleeper)).result() == "slept"
    assert store.looks < 50, "it looked at the store again and again"
