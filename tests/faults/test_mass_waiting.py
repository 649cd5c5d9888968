"""F15: thousands of runs wait, and the workers are started again."""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import Any

import pytest

from perdure.core.ids import RunRef
from perdure.journal import RunQuery, genesis, seal
from tests.faults.processes import Process, Site, until
from tests.faults.programs import mail
from tests.places import Place

RUNS = 10_000
WOKEN = 5
MORE = 8_000
"""Kilobytes that a worker may hold beyond one that has nothing waiting: less than a kilobyte a run."""


async def held(worker: Process) -> int:
    """Kilobytes of memory that the worker holds."""
    before = worker.said.count("holds")
    worker.send(signal.SIGUSR1)
    await until(lambda: worker.said.count("holds") > before, "it tells what it holds")
    return int(re.findall(r"holds (\d+) kB", worker.said)[-1])


async def park(site: Site, place: Place) -> None:
    """Runs that wait for a signal: one that really came to it, and copies of it, each sealed as its own."""
    worker = await site.worker("idle")
    await site.app.start(mail.register(site.app), 1, run_id="r0")
    await site.waits_for("r0", "signal")
    worker.send(signal.SIGTERM)
    assert await worker.death() == 0
    template = await site.entries("r0")
    [run] = place.rows(site.url, "select * from runs")
    journal = place.rows(site.url, "select * from entries order by seq")
    runs: list[dict[str, Any]] = []
    entries: list[dict[str, Any]] = []
    for n in range(1, RUNS):
        id = f"r{n}"
        last = genesis(RunRef("default", id))
        for row, e in zip(journal, template, strict=True):
            sealed = seal(
                last, e.kind, e.seq, e.epoch, e.at, e.took, e.key, e.actor, e.fingerprint, e.payload
            )
            last = sealed.hash
            entries.append({k: v for k, v in row.items() if k != "n"} | sealed._asdict() | {"rid": 1000 + n})
        runs.append(run | {"rid": 1000 + n, "id": id, "head_hash": last})
    place.insert(site.url, "runs", runs)
    place.insert(site.url, "entries", entries)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_ten_thousand_waiting_runs_cost_a_worker_nothing(site: Site, place: Place) -> None:
    empty = await site.worker("idle")
    await empty.says("ready")
    nothing = await held(empty)
    empty.send(signal.SIGKILL)
    await empty.death()
    await park(site, place)

    worker = await site.worker("idle")
    await worker.says("ready")
    for n in range(WOKEN):
        await site.app.signal(f"r{n * 1000}", "letter", "hello")
    for n in range(WOKEN):
        await site.ended(f"r{n * 1000}")

    claimed = [r for r in await site.store.find(RunQuery(limit=RUNS)) if r.epoch > 1]
    assert {r.ref.id for r in claimed} == {f"r{n * 1000}" for n in range(WOKEN)}, "a replay storm"
    assert json.loads((await site.entries("r0"))[-1].payload)["result"] == ["hello"]
    assert await held(worker) - nothing < MORE
