"""F10: a run that kills whatever process drives it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from perdure import App
from perdure.journal import RunStatus
from tests.faults.processes import ROOT, Site, kinds, until
from tests.faults.programs import poison

SCRIPT = Path(poison.__file__)
NEIGHBOURS = [f"good{n}" for n in range(6)]


class Crew:
    """Worker processes that a supervisor starts again when they die, as systemd would."""

    def __init__(self, site: Site, **environ: str) -> None:
        self.site = site
        self.environ = {
            **os.environ,
            **site.environ(**environ),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        self.deaths = 0
        self.log = site.folder / "crew.log"
        self._over = False
        self._task: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Crew:
        self._task = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over = True
        assert self._task is not None
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        await self._task

    async def _supervise(self) -> None:
        with self.log.open("ab") as log:
            while not self._over:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    str(SCRIPT),
                    env=self.environ,
                    stderr=log,
                    stdout=log,
                    cwd=self.site.folder,
                )
                if await self._process.wait() != 0:
                    self.deaths += 1

    @property
    def said(self) -> str:
        return self.log.read_text()


@pytest.fixture
async def own_site(tmp_path: Path, store_url: str) -> Site:
    """Without a nursery: these processes are started as scripts."""
    return Site(tmp_path, url=store_url)


async def start(site: Site, *names: str) -> None:
    app = App(site.url)
    app.agents = poison.app.agents
    for name in names:
        await app.start("taker", name, run_id=name)
    await app.close()


@pytest.mark.soak_on("postgres")
async def test_a_poisoned_run_is_isolated_then_quarantined_and_its_neighbours_live(own_site: Site) -> None:
    async with own_site as site:
        await start(site, "poison", *NEIGHBOURS)
        async with Crew(site, NEIGHBOURS=" ".join(NEIGHBOURS)) as crew:
            record = await site.ended("poison", within=90)
            for name in NEIGHBOURS:
                assert (await site.ended(name)).status == RunStatus.SUCCEEDED

        assert record.status == RunStatus.QUARANTINED
        assert "died 3 times alone in a process of its own" in record.reasons[0]
        assert "perdure runs resume poison --reset" in record.reasons[0]
        # Twice it took its worker along; three times it died alone, and the worker lived.
        assert crew.deaths == 2
        taken = [n for n in site.notes() if n.startswith("take poison")]
        assert len(taken) == len(set(taken)) == 5
        entries = await site.entries("poison")
        # A claim is on disk with what follows it, so of a process that dies at once there may be no word.
        assert kinds(entries) in [["started", *["claimed"] * n, "ended"] for n in range(1, 6)]
        for name in NEIGHBOURS:
            neighbour = await site.record(name)
            assert neighbour.alone_deaths == 0
            steps = json.loads((await site.entries(name))[-1].payload)["result"]
            assert steps == [f"{name}{n}" for n in range(poison.STEPS)]
        assert "goes alone" in crew.said and "is quarantined" in crew.said


@pytest.mark.soak
@pytest.mark.soak_on("postgres")
async def test_a_run_in_quarantine_is_released_by_an_operator(own_site: Site) -> None:
    async with own_site as site:
        await start(site, "poison")
        async with Crew(site):
            assert (await site.ended("poison", within=90)).status == RunStatus.QUARANTINED

        async with Crew(site, POISON="nothing"):  # the bug is fixed
            await site.app.resume("poison", reset=True)
            await until(lambda: succeeded(site), "the run goes on where it stood")

        assert kinds(await site.entries("poison"))[-2:] == ["result", "ended"]


async def succeeded(site: Site) -> bool:
    return (await site.record("poison")).status == RunStatus.SUCCEEDED


@pytest.mark.soak_on("postgres")
async def test_a_neighbour_that_makes_progress_is_never_isolated(own_site: Site) -> None:
    """It is claimed each time the worker dies, and each time it has a new result."""
    async with own_site as site:
        await start(site, *NEIGHBOURS, "poison")
        async with Crew(site, NEIGHBOURS=" ".join(NEIGHBOURS)) as crew:
            await site.ended("poison", within=90)
            for name in NEIGHBOURS:
                await site.ended(name)
        for name in NEIGHBOURS:
            assert f"run {name} goes alone" not in crew.said
            assert f"run {name} is quarantined" not in crew.said
