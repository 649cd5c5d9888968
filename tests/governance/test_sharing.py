"""Eight real processes on one store: one probe among them all, and one queue."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

import pytest

from perdure import Diagnosis, FailureClass, open_store
from perdure.core.clock import SystemClock
from perdure.governance import Admitted, Breakers
from tests.governance.sharing import POLICY, RATE

PROCESSES = 8


def all_at_once(url: str, what: str, count: int) -> list[Any]:
    """What each process got, when all have begun together."""
    command = [sys.executable, "-m", "tests.governance.sharing", url]
    processes = [
        subprocess.Popen(
            [*command, f"p{n}", what, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(PROCESSES)
    ]
    assert [p.stdout.readline() for p in processes if p.stdout] == ["ready\n"] * PROCESSES
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [process.communicate(timeout=120)[0] for process in processes]
    assert [p.returncode for p in processes] == [0] * PROCESSES
    return [json.loads(each) for each in told]


@pytest.mark.soak_on("postgres")
async def test_half_open_exactly_one_process_probes(store_url: str) -> None:
    store = open_store(store_url)
    await store.open()
    breakers = Breakers(store, SystemClock())
    admitted = await breakers.admit("t", "model:m", POLICY, by="who opens it")
    assert isinstance(admitted, Admitted)
    await breakers.failed(admitted, Diagnosis(FailureClass.OVERLOADED))

    probes = all_at_once(store_url, "probes", 25)

    (record,) = await breakers.ls()
    await store.close()
    assert [by for each in probes for by in each] == [record.state.probe_by]


@pytest.mark.soak_on("postgres")
def test_no_two_of_them_get_the_same_place(store_url: str) -> None:
    places = [place for each in all_at_once(store_url, "places", 50) for place in each]

    later = sorted(place for place in places if place is not None)
    assert len(places) == PROCESSES * 50
    assert len(later) == len(places) - 1, "one went at once, and the queue was never empty after it"
    gaps = {second - first for first, second in itertools.pairwise(later)}
    assert gaps == {RATE.interval // 1000}, "never more than the rate, and nothing lost"
