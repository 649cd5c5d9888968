"""F13: the disk is full, and then it is not."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from perdure import StoreUnavailable
from perdure.journal import Kind
from tests.faults.processes import Nursery, Site, until
from tests.faults.programs import filler
from tests.places import Place, PostgresPlace, fill, small_disk

MEGABYTES = {"sqlite": 12, "postgres": 24}
"""What the run writes, and its log; an empty database of PostgreSQL takes eight."""


@pytest.fixture
def disk(place: Place) -> Iterator[Path]:
    """A file system of a few megabytes."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(small_disk(MEGABYTES[place.kind]))
        except OSError as error:
            pytest.skip(str(error))
        yield folder


@pytest.fixture
async def crowded(place: Place, disk: Path, tmp_path: Path, nursery: Nursery) -> AsyncIterator[Site]:
    """A site whose store is on the small disk, and its ledger and logs are not."""
    if isinstance(place, PostgresPlace):
        # Its tables; where the server cannot write its log it stops altogether, which is another fault (F6).
        place.server.own(disk)
        place.server.sql(f"create tablespace small location '{disk}'")
        url = place.url(disk, tablespace="small")
    else:
        url = place.url(disk)
    async with Site(tmp_path / "site", nursery, url=url) as made:
        yield made
    place.close()
    if isinstance(place, PostgresPlace):
        place.server.sql("drop tablespace small")


async def test_a_run_stops_when_the_disk_is_full_and_goes_on_when_it_is_not(
    crowded: Site, disk: Path
) -> None:
    await crowded.app.start(filler.register(crowded.app), run_id="r1")
    await crowded.app.close()
    taken = fill(disk, leave=500_000)

    worker = await crowded.worker("filler")
    await worker.says("no room left to write")
    assert f"`{crowded.url.removeprefix('sqlite:///')}`" in worker.said or "`postgresql://" in worker.said
    assert "Free some space" in worker.said
    await until(lambda: worker.said.count("no room left to write") >= 3, "it keeps trying")
    assert not worker.dead
    stopped_at = len(crowded.notes())
    assert 0 < stopped_at < filler.STEPS + 6

    taken.unlink()
    await crowded.app.open()
    await crowded.ended("r1")

    entries = await crowded.entries("r1")  # verifies: no torn journal
    assert json.loads(entries[-1].payload)["result"] == filler.STEPS * filler.SIZE
    results = [e.key for e in entries if e.kind == Kind.RESULT]
    assert len(results) == len(set(results)) == filler.STEPS + 6
    files = [n for n in crowded.notes() if n.startswith("file")]
    assert len(files) == len(set(files)), "a write was done twice"
    assert "Traceback" not in worker.said


async def test_a_start_on_a_full_disk_is_refused_and_leaves_nothing(crowded: Site, disk: Path) -> None:
    agent = filler.register(crowded.app)
    await crowded.app.start(agent, run_id="before")
    taken = fill(disk, leave=0)

    refused = 0
    for n in range(20):  # some pages may still fit into what SQLite has
        try:
            await crowded.app.start(agent, run_id=f"r{n}", labels={"much": "x" * 20_000})
        except StoreUnavailable as error:
            assert "no room left to write" in str(error)
            refused += 1
    assert refused

    taken.unlink()
    await crowded.app.start(agent, run_id="after")
    found = await crowded.entries("after")
    assert [e.kind for e in found] == [Kind.STARTED]
    await crowded.entries("before")
