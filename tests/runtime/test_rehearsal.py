"""Rehearsals: what a deploy would do to a run, told without touching anything; and the same is what it then does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, EffectKey, Handle, Happened, ModelReply, ModelRequest, Run
from perdure.core.ids import RunRef
from perdure.journal import Entry, Kind
from perdure.runtime.replay.rehearsal import Rehearsal, Verdict, rehearse
from perdure.testing import MemoryStore, SkippingClock, until_waiting
from tests.faults.processes import until

REF = RunRef("default", "r")


@dataclass
class World:
    """What the program under test may do, and whether it may."""

    open: bool = True
    done: list[str] = field(default_factory=list[str])

    def did(self, what: str) -> str:
        assert self.open, f"`{what}` during a rehearsal"
        self.done.append(what)
        return what

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text=self.did("model"))


Program = Callable[[Run], Awaitable[Any]]
world = World()


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    world.open = True
    world.done.clear()


def equipped(program: Program, store: MemoryStore | None = None, clock: Any = None) -> App:
    app = App(store or "memory://", clock=clock)
    app.models.register("fake", world)
    app.agent("changing")(program)
    app.agent("helper")(helper)
    return app


async def helper(run: Run) -> str:
    return await run.step("help", world.did, "help")


async def recorded(program: Program, reason: str) -> tuple[MemoryStore, list[Entry]]:
    """The journal of a run of `program` that waits for `reason`."""
    store = MemoryStore(SkippingClock())
    app = equipped(program, store)
    async with app:
        run = await app.start("changing", run_id="r")
        await until_waiting(app, run, reason)
        entries = await run.entries()
    await store.open()
    return store, entries


async def verdict(
    program: Program, store: MemoryStore, entries: Sequence[Entry], *, limit: float = 10
) -> Rehearsal:
    app = equipped(program)
    record = await store.get(REF)
    assert record is not None
    world.open = False
    try:
        return await rehearse(
            app.find_agent("changing"),
            record,
            entries,
            key=await store.tenant_key("default"),
            now=store.now(),
            agents=app.find_agent,
            limit=limit,
        )
    finally:
        world.open = True


# what may be changed, and what not ------------------------------------------------------------------------------


def pay(amount: int, key: EffectKey) -> str:
    return world.did(f"pay {amount}")


def paid(amount: int, key: EffectKey) -> Any:
    return Happened(world.did("verify"))


def tools(app: App) -> Any:
    return app.tool(effect="write", verify=paid)(pay)


payment = tools(App("memory://"))


async def original(run: Run) -> list[Any]:
    first = await run.step("look", world.did, "look")
    run.now()
    told = await run.model("fake:one", "Say something.")
    receipt = await run.call(payment, 5)
    pair = await run.gather(_branch(run, "a"), _branch(run, "b"))
    return [first, told, receipt, pair, await run.receive("word", str)]


async def _branch(run: Run, name: str) -> str:
    await run.step(f"{name}1", world.did, f"{name}1")
    return await run.step(f"{name}2", world.did, f"{name}2")


def changed(
    *,
    before: Program | None = None,
    look: str = "look",
    argument: str = "look",
    moment: bool = True,
    model: bool = True,
    amount: int = 5,
    pays: bool = True,
    branches: Sequence[str] = ("a", "b"),
    in_branch: Callable[[Run, str], Awaitable[Any]] = _branch,
    waits: str = "word",
    late: Program | None = None,
    typed: type[Any] = str,
) -> Program:
    """`original`, with one thing or another changed."""

    async def program(run: Run) -> list[Any]:
        if before is not None:
            await before(run)

        def look_at(what: str) -> Any:
            return world.did(what)

        look_at.__annotations__["return"] = typed
        found: list[Any] = [await run.step(look, look_at, argument)]
        if moment:
            run.now()
        if model:
            found.append(await run.model("fake:one", "Say something else."))
        if pays:
            found.append(await run.call(payment, amount))
        found.append(await run.gather(*(in_branch(run, name) for name in branches)))
        if waits:
            found.append(await run.receive(waits, str))
        if late is not None:
            found.append(await late(run))
        return found

    return program


async def a_step(run: Run) -> Any:
    return await run.step("new", world.did, "new")


async def a_child(run: Run) -> Any:
    return await run.child("helper")


async def a_patched_step(run: Run) -> Any:
    return await a_step(run) if run.patched("p") else None


async def a_fault(run: Run) -> Any:
    raise TypeError("a deploy on a Friday")


async def longer(run: Run, name: str) -> Any:
    return [await _branch(run, name), await run.step("more", world.did, "more")]


async def shorter(run: Run, name: str) -> Any:
    return await run.step(f"{name}1", world.did, f"{name}1")


async def reordered(run: Run, name: str) -> Any:
    await run.step(f"{name}2", world.did, f"{name}2")
    return await run.step(f"{name}1", world.did, f"{name}1")


SAME: dict[str, Program] = {
    "the same": original,
    "a prompt": changed(),
    "a step after": changed(late=a_step),
    "a child after": changed(late=a_child),
    "a payment after": changed(late=lambda run: run.call(payment, 7)),
    "a patched step before": changed(before=a_patched_step),
    "a fault after": changed(late=a_fault),
}

OTHER: dict[str, tuple[Program, str | None, str | None]] = {
    "a step before": (changed(before=a_step), "look", "new"),
    "a child before": (changed(before=a_child), "look", "helper"),
    "renamed": (changed(look="glance"), "look", "glance"),
    "other arguments": (changed(argument="peep"), "look", "look"),
    "another result type": (changed(typed=int), "look", "look"),
    "a moment removed": (changed(moment=False), "now", "word"),
    "the model removed": (changed(model=False), "model/turn", "pay"),
    "another payment": (changed(amount=6), "pay", "pay"),
    "the payment removed": (changed(pays=False), "pay", "gather.0/a1"),
    "a branch less": (changed(branches=("a",)), "gather.1/b1", "gather.0/a2"),
    "a branch more": (changed(branches=("a", "b", "c")), "word", None),
    "branches swapped": (changed(branches=("b", "a")), "gather.0/a1", "gather.0/b1"),
    "a longer branch": (changed(in_branch=longer), "word", None),
    "a shorter branch": (changed(in_branch=shorter), "gather.0/a2", None),
    "a branch in another order": (changed(in_branch=reordered), "gather.0/a1", "gather.0/a2"),
    "the wait removed": (changed(waits=""), "word", None),
    "another signal": (changed(waits="letter"), "word", "letter"),
    "a fault before": (changed(before=a_fault), "look", None),
}


@pytest.mark.parametrize("program", SAME.values(), ids=SAME)
async def test_a_change_that_no_run_minds(program: Program) -> None:
    store, entries = await recorded(original, "signal")
    world.done.clear()
    found = await verdict(program, store, entries)
    assert found.verdict is Verdict.REPLAYS, found
    assert world.done == [] and await store.read(REF) == entries


@pytest.mark.parametrize(("program", "recorded_step", "requested_step"), OTHER.values(), ids=OTHER)
async def test_a_change_that_breaks_the_run(
    program: Program, recorded_step: str, requested_step: str | None
) -> None:
    store, entries = await recorded(original, "signal")
    world.done.clear()
    found = await verdict(program, store, entries)
    assert found.verdict is Verdict.BREAKS, found
    assert found.recorded is not None and found.requested is not None
    assert (found.recorded["step"], found.requested["step"]) == (recorded_step, requested_step)
    assert isinstance(found.recorded["entry"], int)
    assert world.done == [] and await store.read(REF) == entries


NOT_SEEN_BY_A_WORKER = {"a branch more", "a longer branch"}
"""It would do the new steps beside the wait, and mind nothing; with another program it would mind too late."""


@pytest.mark.parametrize("name", OTHER)
async def test_a_worker_says_the_same_of_it(name: str) -> None:
    program, step, _ = OTHER[name]
    store, _ = await recorded(original, "signal")
    world.done.clear()
    async with equipped(program, store) as app:
        run = await app.handle("r")
        await run.signal("word", "go")
        if name in NOT_SEEN_BY_A_WORKER:
            await run.result()
            return
        await until_waiting(app, run, "nondeterministic")
        told = (await run.entries())[-1]
    assert told.kind == Kind.MISMATCH and f'"step":"{step}"' in told.payload.decode()
    assert world.done == [], "something went live on a program that does not replay"


async def test_a_fault_in_a_deploy_ends_no_run() -> None:
    """The old code brings it back: had the fault ended it, it were lost."""
    store, _ = await recorded(original, "signal")
    async with equipped(changed(before=a_fault), store) as app:
        run = await app.handle("r")
        await run.signal("word", "go")
        await until_waiting(app, run, "nondeterministic")
        assert b"raised TypeError: a deploy on a Friday" in (await run.entries())[-1].payload
    await store.open()
    async with equipped(original, store) as app:
        await app.resume("r")
        assert (await (await app.handle("r")).result())[-1] == "go"


# where it stops ----------------------------------------------------------------------------------------------------


def alone(step: Program) -> Program:
    async def program(run: Run) -> Any:
        return await step(run)

    return program


async def test_every_kind_of_new_step_stops_it() -> None:
    async def program(run: Run) -> Any:
        await run.receive("word", str)

    async def then(run: Run) -> Any:
        await run.receive("word", str)
        await a_step(run)

    everything: list[Program] = [
        a_step,
        a_child,
        lambda run: run.call(payment, 1),
        lambda run: run.model("fake:one", "Hello"),
        lambda run: run.model("unheard-of:model", "Hello"),
        lambda run: run.sleep(timedelta(days=1)),
        lambda run: run.sleep(0.001),
        lambda run: run.ask("May I?"),
        lambda run: run.receive("more"),
        lambda run: run.gather(a_step(run), a_child(run)),
        lambda run: run.first(a_step(run), run.call(payment, 1)),
    ]
    store, entries = await recorded(program, "signal")
    for step in everything:
        found = await verdict(alone(step), store, entries[:1])
        assert found.verdict is Verdict.REPLAYS and found.ends is None, found
    found = await verdict(then, store, entries)
    assert found.verdict is Verdict.REPLAYS


async def test_a_write_in_doubt_is_not_looked_into() -> None:
    async def program(run: Run) -> Any:
        return await run.call(payment, 5)

    store, entries = await recorded(original, "signal")
    intent = next(i for i, e in enumerate(entries) if e.kind == Kind.INTENT)
    found = await verdict(original, store, entries[: intent + 1])
    assert found.verdict is Verdict.REPLAYS and found.entries == intent + 1


@pytest.mark.parametrize("how", ["pause", "cancel"])
async def test_a_run_that_is_held_or_was_cancelled_stops_there_too(how: str) -> None:
    async def cleans_up(run: Run) -> Any:
        try:
            return await original(run)
        finally:
            with run.shield():
                await run.step("clean", world.did, "clean")

    store, _ = await recorded(cleans_up, "signal")
    async with equipped(cleans_up, store) as app:
        run = await app.handle("r")
        await (app.pause("r") if how == "pause" else app.cancel("r"))
        await until(lambda: heard(run), "the message is journaled")
    await store.open()
    entries = await store.read(REF)
    heard_at = next(i for i, e in enumerate(entries) if e.kind == Kind.MESSAGE)
    world.done.clear()
    found = await verdict(cleans_up, store, entries[: heard_at + 1])
    assert found.verdict is Verdict.REPLAYS and found.ends is None
    assert world.done == []


async def heard(run: Handle) -> bool:
    return Kind.MESSAGE in [e.kind for e in await run.entries()]


async def test_what_it_would_end_with_is_told() -> None:
    async def program(run: Run) -> Any:
        await run.receive("word", str)

    async def at_once(run: Run) -> Any:
        return run.patched("new")

    async def fails(run: Run) -> Any:
        raise ValueError("no")

    store, entries = await recorded(program, "signal")
    found = await verdict(at_once, store, entries[:1])
    assert (found.verdict, found.ends, found.patches) == (Verdict.REPLAYS, "succeeded", {"new": True})
    found = await verdict(fails, store, entries[:1])
    assert (found.verdict, found.ends) == (Verdict.REPLAYS, "failed")


async def test_code_that_waits_for_what_is_no_step_is_left_behind() -> None:
    async def hangs(run: Run) -> Any:
        await run.step("look", world.did, "look")
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    store, entries = await recorded(original, "signal")
    found = await verdict(hangs, store, entries, limit=0.05)
    assert found.verdict is Verdict.STUCK and "within 0.05 s" in found.why


async def test_a_journal_that_cannot_be_trusted_is_not_replayed() -> None:
    store, entries = await recorded(original, "signal")
    found = await verdict(original, store, [entries[0], entries[1]._replace(payload=b"{}"), *entries[2:]])
    assert found.verdict is Verdict.STUCK and "entry 2" in found.why


async def test_input_that_the_new_code_does_not_take() -> None:
    async def wants_more(run: Run, amount: int) -> None: ...

    store, entries = await recorded(original, "signal")
    found = await verdict(wants_more, store, entries)  # type: ignore[arg-type]
    assert found.verdict is Verdict.BREAKS
    assert found.recorded == {"step": "input", "entry": 1}
