"""F13: the disk is full, and then it is not."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from perdure import StoreUnavailable
from perdure.journal import Kind
from tests.faults.processes import Nursery, Site, until
from tests.faults.programs import filler
from tests.places import Place, PostgresPlace

MEGABYTES = {"sqlite": 4, "postgres": 24}
"""An empty database of PostgreSQL takes eight."""


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """A file system of a few megabytes."""
    with tempfile.TemporaryDirectory(prefix="perdure-small-") as made:
        yield from mounted(Path(made), MEGABYTES[place.kind])


def mounted(folder: Path, megabytes: int) -> Iterator[Path]:
    if sys.platform != "linux":
        pytest.skip("a small tmpfs needs Linux")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "perdure-test", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"a small tmpfs cannot be mounted here, which takes root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
async def crowded(place: Place, small_disk: Path, tmp_path: Path, nursery: Nursery) -> AsyncIterator[Site]:
    """A site whose store is on the small disk, and its ledger and logs are not."""
    if isinstance(place, PostgresPlace):
        # Its tables; where the server cannot write its log it stops altogether, which is another fault (F6).
        place.server.own(small_disk)
        place.server.sql(f"create tablespace small location '{small_disk}'")
        url = place.url(small_disk, tablespace="small")
    else:
        url = place.url(small_disk)
    async with Site(tmp_path / "site", nursery, url=url) as made:
        yield made
    place.close()
    if isinstance(place, PostgresPlace):
        place.server.sql("drop tablespace small")


def fill(folder: Path, *, leave: int) -> Path:
    """Take all room but `leave` bytes."""
    filler_file = folder / "filler"
    with filler_file.open("wb", buffering=0) as file:
        block = b"\0" * 4096
        try:
            while True:
                file.write(block)
        except OSError:
            file.truncate(max(0, file.tell() - leave))
    return filler_file


async def test_a_run_stops_when_the_disk_is_full_and_goes_on_when_it_is_not(
    crowded: Site, small_disk: Path
) -> None:
    await crowded.app.start(filler.register(crowded.app), run_id="r1")
    await crowded.app.close()
    taken = fill(small_disk, leave=500_000)

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


async def test_a_start_on_a_full_disk_is_refused_and_leaves_nothing(crowded: Site, small_disk: Path) -> None:
    agent = filler.register(crowded.app)
    await crowded.app.start(agent, run_id="before")
    taken = fill(small_disk, leave=0)

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
