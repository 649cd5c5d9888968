"""What the audit log adds to an entry, and how fast a store is verified; beside the hashes that both must make."""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import time

from perdure import open_store
from perdure.audit import Signer, verify_store
from perdure.core.ids import RunRef
from perdure.engines.sequencer import Sequencer
from perdure.journal import Kind, NewRun, Serves, Session, Store
from perdure.testing.journals import JournalBuilder

from .workload import ANSWER, Measured

__all__ = ["appended", "hashes", "verified"]

RUNS = 64
"""That append at once."""
PAYLOAD = ANSWER.encode()
LOG = Signer.new("example.com/audit")
WINDOW_SECONDS = 0.8
"""Long enough for two looks of the sequencer."""


def hashes(*, seconds: float) -> Measured:
    """The two hashes of an entry of 1 KB, by `hashlib` alone."""
    salt, header = os.urandom(16), os.urandom(120)
    count, began = 0, time.process_time()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        for _ in range(1000):
            hashlib.sha256(header + hashlib.sha256(salt + PAYLOAD).digest()).digest()
        count += 1000
    return {"verified": (count / (time.process_time() - began), "entries/s")}


async def _begun(store: Store, runs: int) -> list[JournalBuilder]:
    """So many runs, each claimed."""
    await store.register(Session(id="bench", lease=3_600_000_000))
    builders: list[JournalBuilder] = []
    for n in range(runs):
        ref = RunRef("default", f"r{n}")
        first = JournalBuilder(ref).entry(Kind.STARTED, payload=b"{}")
        await store.create(NewRun(ref=ref, agent="bench", version="1", entries=[first]))
        (claim,) = await store.claim("bench", [Serves("bench", "1")], limit=1, only=ref)
        builders.append(JournalBuilder.of(claim.run))
    return builders


async def _window(
    store: Store, builders: list[JournalBuilder], sequencer: Sequencer | None
) -> tuple[float, float]:
    """CPU and time of one entry, in microseconds, while all runs append one after the other."""
    count, until = 0, time.perf_counter() + WINDOW_SECONDS

    async def write(builder: JournalBuilder) -> None:
        nonlocal count
        while time.perf_counter() < until:
            await store.append(builder.append(PAYLOAD))
            count += 1

    cpu, began = time.process_time(), time.perf_counter()
    beside = None if sequencer is None else asyncio.create_task(sequencer.run())
    await asyncio.gather(*(write(builder) for builder in builders))
    if beside is not None and sequencer is not None:
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
        await sequencer.catch_up()  # what it owes is in the figure
    return (time.process_time() - cpu) / count * 1e6, (time.perf_counter() - began) / count * 1e6


async def appended(url: str, *, seconds: float) -> Measured:
    """Entries of 64 runs at once, with and without a sequencer beside them, in windows that take turns."""
    store = open_store(url)
    await store.open()
    builders, sequencer = await _begun(store, RUNS), Sequencer(store, LOG)
    await _window(store, builders, sequencer)  # warm
    bare: list[tuple[float, float]] = []
    logged: list[tuple[float, float]] = []
    until = time.perf_counter() + seconds
    while not logged or time.perf_counter() < until:
        bare.append(await _window(store, builders, None))
        await sequencer.catch_up()
        logged.append(await _window(store, builders, sequencer))
    await store.close()
    cpu = [statistics.median(one[0] for one in windows) for windows in (bare, logged)]
    wall = [statistics.median(one[1] for one in windows) for windows in (bare, logged)]
    return {
        "CPU of an entry": (cpu[0], "us"),
        "CPU of an entry, sequenced": (cpu[1], "us"),
        "added": (max(0.0, cpu[1] - cpu[0]), "us"),
        "time added": (max(0.0, wall[1] - wall[0]), "us"),
    }


async def verified(url: str, *, runs: int, entries: int) -> Measured:
    """A whole store, chains, log and checkpoints."""
    store = open_store(url)
    await store.open()
    builders, sequencer = await _begun(store, runs), Sequencer(store, LOG)
    for _ in range(entries // 20):
        await asyncio.gather(*(store.append(b.append(*[PAYLOAD] * 20)) for b in builders))
        await sequencer.catch_up()
    cpu, began = time.process_time(), time.perf_counter()
    report = await verify_store(store, [LOG.verifier])
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    if report.faults or report.entries < runs * entries:
        raise RuntimeError(f"the store of the bench is not sound: {report.faults}")
    return {
        "verified": (report.entries / took, "entries/s"),
        "CPU of an entry": (cpu / report.entries * 1e6, "us"),
    }
