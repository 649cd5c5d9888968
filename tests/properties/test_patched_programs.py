"""Random programs, deployed anew in the middle of a run with patches in random places: none of them breaks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.db.memory import MemoryStore
from perdure.journal import Claim, Kind, RunStatus
from perdure.testing import SkippingClock
from tests.properties.programs import Node, programs
from tests.properties.test_programs import REF, check, execute, kill_plans, quick, replay

NEW: Node = ("seq", ("step", 1, False), ("value",), ("put", 0))


@st.composite
def patched_programs(draw: st.DrawFn) -> tuple[Node, Node]:
    """A program, and the same with patches around some of its parts."""
    old = draw(programs)
    names = iter(range(1000))

    def patch(node: Any) -> Any:
        if not isinstance(node, tuple):
            return node
        changed = (node[0], *(patch(child) for child in node[1:]))
        # some patches share a name: whoever asks first decides for all of them
        return ("patched", f"p{next(names) % 3}", NEW, changed) if draw(st.integers(0, 3)) == 0 else changed

    return old, patch(old)


async def once(old: Node, new: Node, kills: list[tuple[int, bool]], after: int) -> None:
    clock = SkippingClock(settle=0.0)
    store = MemoryStore(clock)
    result, world = await execute(old, store, clock, kills, deployed=new, after=after)
    entries = await store.read(REF)
    record = await store.get(REF)
    assert record is not None and record.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
    check(entries, world)
    for name, said in world.answers.items():
        assert len(said) == 1, f"patch {name} changed its mind: {said}"
        marked = any(e.key == f"patched.{name}" and e.kind == Kind.VALUE for e in entries)
        assert marked == (said == {True}), (name, said)
    ran = new if len(kills) >= after else old
    key = await store.tenant_key(REF.tenant)
    recorded = entries[:-1]
    run = replace(record, head=recorded[-1].seq, head_hash=recorded[-1].hash, epoch=record.epoch + 1)
    if world.answers or ran is old:  # else the run ended before the deploy
        await replay(ran, Claim(run=run, entries=recorded, tenant_key=key), clock)
    assert result


@settings(quick, max_examples=100)
@given(both=patched_programs(), kills=kill_plans, after=st.integers(0, 4))
def test_a_patch_breaks_no_run(both: tuple[Node, Node], kills: list[tuple[int, bool]], after: int) -> None:
    asyncio.run(asyncio.wait_for(once(*both, kills, after), 60))
