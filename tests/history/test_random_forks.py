"""Random programs, forked at a random step: nothing that was taken over is done again, and the end is the same."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import App, RunFailed
from perdure.core.ids import RunRef
from perdure.db.memory import MemoryStore
from perdure.journal import Entry, Kind, verify_chain
from perdure.testing import SkippingClock
from tests.properties.programs import Node, build, programs, receives
from tests.properties.test_programs import REF, execute, kill_plans

_FINAL = (Kind.RESULT, Kind.FAILED, Kind.VALUE, Kind.DECISION, Kind.PROGRESS)


def names(node: Any) -> set[str]:
    if not isinstance(node, tuple):
        return set()
    return {str(node[0])}.union(*(names(child) for child in node[1:]))  # pyright: ignore


async def once(program: Node, kills: list[tuple[int, bool]], choose: Any) -> None:
    clock = SkippingClock(settle=0.0)
    store = MemoryStore(clock)
    result, world = await execute(program, store, clock, kills)
    entries = await store.read(REF)
    step = choose(list(dict.fromkeys(e.key for e in entries if e.key)))
    world.alive = {0}
    app = App(store, clock=clock)
    build(app, world, 0, program)
    fork = await app.fork(REF.id, from_step=step, run_id="fork")
    taken = await fork.entries()
    news = [json.loads(e.payload)["id"] for e in taken if e.kind == Kind.MESSAGE]
    for n in range(receives(program)):
        if f"m{n}" not in news:
            await app.signal("fork", "news", n, message_id=f"m{n}")
    async with app:
        try:
            async with asyncio.timeout(20):
                outcome = ("result", await fork.result())
        except RunFailed as error:
            outcome = ("failed", str(error.failure.message))  # pyright: ignore
        finally:
            journal = await fork.entries()
    check(fork.ref, journal, len(taken))
    assert all(count == 1 for count in world.applied.values()), world.applied
    if not names(program) & {"value", "first", "timeout", "branch", "gather"}:  # else it may go another way
        assert outcome == result


def check(ref: RunRef, journal: list[Entry], taken: int) -> None:
    verify_chain(ref, journal)
    finals: set[str] = set()
    for e in journal:
        assert e.kind != Kind.MISMATCH, e.payload
        if e.kind in (*_FINAL, Kind.INTENT):
            assert e.key not in finals, (
                f"step `{e.key}` was done again at entry {e.seq}; {taken} were taken over"
            )
        if e.kind in _FINAL:
            finals.add(e.key)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(program=programs, kills=kill_plans, data=st.data())
def test_a_fork_at_any_step(program: Node, kills: list[tuple[int, bool]], data: st.DataObject) -> None:
    asyncio.run(
        asyncio.wait_for(once(program, kills, lambda keys: data.draw(st.sampled_from(keys), "step")), 60)
    )
