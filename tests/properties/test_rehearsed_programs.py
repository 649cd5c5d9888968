"""Random programs, changed at random: a rehearsal touches nothing, and says of the run what a worker then does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from perdure import App, RunConflict
from perdure.db.memory import MemoryStore
from perdure.journal import Claim, Entry, Kind, Session
from perdure.runtime import Lease, Segment, Surroundings
from perdure.runtime.replay.acceptance import accepted_entry, plan_acceptance
from perdure.runtime.replay.history import History
from perdure.runtime.replay.rehearsal import NEW_BEFORE, Verdict, rehearse
from perdure.testing import SkippingClock
from tests.properties.programs import Node, World, build, programs
from tests.properties.test_programs import REF, Paper, execute, quick


@st.composite
def changed_programs(draw: st.DrawFn) -> tuple[Node, Node]:
    """A program, and what became of it: parts gone, doubled, swapped or replaced; often nothing changed."""
    old = draw(programs)

    def change(node: Any) -> Any:
        if not isinstance(node, tuple):
            return node
        children = [change(child) for child in node[1:]]
        if node[0] in ("seq", "gather", "first") and draw(st.booleans()):
            match draw(st.sampled_from(["gone", "doubled", "swapped", "new"])):
                case "gone" if len(children) > 2:
                    del children[draw(st.integers(0, len(children) - 1))]
                case "doubled":
                    children.append(children[0])
                case "swapped":
                    children.reverse()
                case _:
                    children.insert(draw(st.integers(0, len(children))), ("step", 0, False))
        return (node[0], *children)

    return old, change(old)


async def driven(program: Node, claim: Claim, clock: SkippingClock) -> tuple[bool, list[Entry]]:
    """Whether a worker finds that the program does not replay, before it writes or after; and what it wrote."""
    app = App("memory://", clock=clock)
    agent = build(app, World(alive={0}), 0, program)
    paper: Any = Paper(clock)
    lease = Lease(Session(id="real", lease=1), clock)
    lease.renewed(float("inf"))
    segment = Segment(
        claim,
        agent,
        store=paper,
        lease=lease,
        clock=clock,
        surroundings=Surroundings(agent=app.find_agent, models=None),
        durable_steps=False,
    )
    async with asyncio.timeout(5):
        await segment.drive()
    wrote = [e for e in paper.written if e.kind != Kind.CLAIMED]
    return Kind.MISMATCH in [e.kind for e in wrote], wrote


async def once(old: Node, new: Node, cut: float) -> None:
    clock = SkippingClock(settle=0.0)
    store = MemoryStore(clock)
    await execute(old, store, clock, [])
    everything = await store.read(REF)
    entries = everything[: max(1, int(len(everything) * cut))]
    if entries[-1].kind == Kind.ENDED:
        entries = entries[:-1]
    record = await store.get(REF)
    assert record is not None
    record = replace(record, head=entries[-1].seq, head_hash=entries[-1].hash, epoch=record.epoch + 1)
    key = await store.tenant_key(REF.tenant)
    app = App("memory://", clock=clock)
    agent = build(app, World(alive={0}, forbidden=True), 0, new)
    found = await rehearse(agent, record, entries, key=key, now=store.now(), agents=app.find_agent)
    assert found.verdict is not Verdict.STUCK, found
    breaks = found.verdict is Verdict.BREAKS
    event(f"{found.verdict}, {'changed' if old != new else 'the same'}")
    if old == new:
        assert not breaks, found
    mismatch, wrote = await driven(new, Claim(run=record, entries=entries, tenant_key=key), clock)
    if breaks and not mismatch:
        # A worker looks only at the scope of a new step: it did what is new before what was recorded elsewhere.
        assert found.requested == {"step": None, "what": "new steps before it"}, (found, wrote)
    elif mismatch and not breaks:
        raise AssertionError(f"the rehearsal saw nothing, and then: {wrote}")
    if breaks:
        await accepted(new, Claim(run=record, entries=entries, tenant_key=key), clock)


async def accepted(program: Node, claim: Claim, clock: SkippingClock) -> None:
    """With what is in its way set aside the program replays; what was kept is not done again."""
    app = App("memory://", clock=clock)
    agent = build(app, World(alive={0}, forbidden=True), 0, program)
    try:
        plan = await plan_acceptance(agent, claim, now=0, agents=app.find_agent, limit=5)
    except RunConflict as refused:
        assert "whatever is set aside" in str(refused)
        event("refused")
        return
    event("accepted")
    if not plan.steps:  # new steps before what was recorded: a worker does them
        return
    entry = accepted_entry(claim, plan, at=0, by="ann", even_writes=True)
    entries = [*claim.entries, entry]
    finished = {key for key, step in History(entries).steps.items() if step.final is not None}
    run = replace(claim.run, head=entry.seq, head_hash=entry.hash)
    after = replace(claim, run=run, entries=entries)
    found = await rehearse(agent, run, entries, key=claim.tenant_key, now=0, agents=app.find_agent)
    asks = (found.requested or {}).get("what")
    assert found.verdict is Verdict.REPLAYS or asks == NEW_BEFORE, (plan, found)
    mismatch, wrote = await driven(program, after, clock)
    assert not mismatch or asks == NEW_BEFORE, (plan, wrote)
    again = {e.key for e in wrote if e.kind in (Kind.RESULT, Kind.FAILED, Kind.INTENT)} & finished
    assert not again, f"done again: {again}"


@settings(quick, max_examples=150)
@given(both=changed_programs(), cut=st.sampled_from([1.0, 0.9, 0.75, 0.5, 0.25, 0.1]))
def test_a_rehearsal_agrees_with_a_worker(both: tuple[Node, Node], cut: float) -> None:
    asyncio.run(asyncio.wait_for(once(*both, cut), 60))
