"""F12: the network between one worker and the database is cut. SQLite has no network to cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.processes import Nursery, Site, kinds, until
from tests.faults.programs import cutoff
from tests.places import PostgresServer, database_of
from tests.stores.proxy import Proxy


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[Proxy]:
    made = Proxy(postgres.address)
    yield made
    made.close()


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refused"])
async def test_a_worker_that_is_cut_off_fences_itself_and_another_goes_on(
    tmp_path: Path, postgres_url: str, nursery: Nursery, proxy: Proxy, silent: bool
) -> None:
    go = tmp_path / "go"
    async with Site(tmp_path, nursery, url=postgres_url) as site:
        await site.app.start(cutoff.register(site.app), run_id="r1")
        behind = proxy.url(database_of(postgres_url))
        lonely = await site.worker("cutoff", STORE=behind, NAME="lonely", HANG="1", GO=str(go))
        await until(site.notes, "its first step is under way")

        proxy.cut(silent=silent)
        await site.worker("cutoff", NAME="other")
        await site.waits_for("r1", "signal")
        go.touch()  # and now it has a result that nobody will take, and would go on with the next step
        await until(lambda: "goes on" in site.notes(), "it goes on")
        if not silent:
            await lonely.says("stands down")
        proxy.heal()
        await lonely.says("stands down")

        await site.app.signal("r1", "word", "go")
        await site.ended("r1")
        entries = await site.entries("r1")
        assert json.loads(entries[-1].payload)["result"] == ["other", "other", "other", "go"]
        assert sorted(site.notes()) == [
            "goes on",
            "look by other",
            "send by other",
            "think by lonely",
            "think by other",
        ]
        assert kinds(entries).count("result") == 4
        assert [e.epoch for e in entries] == sorted(e.epoch for e in entries)
        # It is of use again: alone, it takes what there is to do.
        await site.app.start("cutoff", run_id="r2")
        await site.waits_for("r2", "signal")
