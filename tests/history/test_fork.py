"""New runs out of old ones: what is taken over is not done again, what follows is."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    CANNOT_TELL,
    App,
    EffectKey,
    Handle,
    Happened,
    NotDone,
    Run,
    RunCancelled,
    RunConflict,
    RunEnded,
    RunFailed,
    RunRecord,
    RunStatus,
    UnknownStep,
    verify_chain,
)
from perdure.journal import Kind, WaitReason
from perdure.testing import until_waiting


class World:
    """What was done, in order, and under which keys; what shall fail."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.keys: list[str] = []
        self.failing: set[str] = set()

    def do(self, what: str) -> str:
        self.done.append(what)
        if what in self.failing:
            raise NotDone(f"not {what}")
        return what


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(f"sqlite:///{tmp_path}/perdure.db", lease=timedelta(seconds=2)) as made:
        yield made


@pytest.fixture
def world() -> World:
    return World()


async def sound(run: Handle) -> list[Any]:
    """Its journal, verified from the first entry."""
    entries = await run.entries()
    verify_chain(run.ref, entries)
    return entries


async def until(app: App, run: Handle, so: Callable[[RunRecord], bool]) -> None:
    while True:
        seen = app.store.changes()
        if so(await run.record()):
            return
        await app.store.changed(seen, within=1.0)


async def failed(run: Handle) -> str:
    with pytest.raises(RunFailed) as caught:
        await run.result()
    return str(caught.value)


def desk(app: App, world: World) -> Any:
    @app.tool(effect="write")
    def pay(what: str, key: EffectKey) -> str:
        world.keys.append(key)
        return world.do(f"pay {what}")

    @app.agent("desk")
    async def agent(run: Run, what: str) -> list[str]:
        found = await run.step("find", world.do, f"find {what}")
        answer = await run.ask("Pay?")
        paid = await run.call(pay, what)
        sent = await run.step("send", world.do, f"send {what}")
        return [found, str(answer.by), paid, sent]

    return agent


async def settled(app: App, agent: Any, what: str) -> Handle:
    run = await app.start(agent, what, run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    await app.answer("r", "ask", approved=True, by="ada")
    return run


async def test_a_fork_goes_on_from_its_step_and_repeats_nothing_before_it(app: App, world: World) -> None:
    run = await settled(app, desk(app, world), "tea")
    result = await run.result()
    world.done.clear()
    fork = await app.fork("r", from_step="send", run_id="f", by="ada")
    assert await fork.result() == result
    assert world.done == ["send tea"]
    entries = await sound(fork)
    origin = json.loads(entries[0].payload)["origin"]
    source = (await run.entries())[origin["entry"] - 1]
    assert (origin["run"], origin["kind"], origin["hash"]) == ("r", "fork", source.hash.hex())
    assert (entries[0].actor, entries[1].actor, entries[1].epoch) == ("ada", "fork of r", 0)
    assert await run.result() == result


async def test_a_fork_under_the_same_id_is_the_same_fork(app: App, world: World) -> None:
    await (await settled(app, desk(app, world), "tea")).result()
    first = await app.fork("r", from_step="send", run_id="f")
    await first.result()
    world.done.clear()
    again = await app.fork("r", from_step="send", run_id="f")
    assert await again.result() == await first.result()
    assert world.done == []
    with pytest.raises(RunConflict, match="not this fork"):
        await app.fork("r", from_step="pay", run_id="f")


async def test_an_open_question_is_asked_anew(app: App, world: World) -> None:
    run = await app.start(desk(app, world), "tea", run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    await app.signal("r", "unheard")
    fork = await app.fork("r", from_step="ask", run_id="f")  # while the source still waits
    await until_waiting(app, fork, WaitReason.APPROVAL)
    await app.answer("f", "ask", approved=True, by="bob")
    assert await fork.result() == ["find tea", "bob", "pay tea", "send tea"]
    assert world.done == ["find tea", "pay tea", "send tea"]
    assert (await run.status()) is RunStatus.WAITING


async def test_other_input_keeps_what_was_recorded_and_says_where_it_differs(app: App, world: World) -> None:
    await (await settled(app, desk(app, world), "tea")).result()
    fork = await app.fork("r", from_step="send", input="soap", run_id="f")
    assert await fork.result() == ["find tea", "ada", "pay tea", "send soap"]
    drifts = [e.key for e in await sound(fork) if e.kind == Kind.DRIFT]
    assert drifts == ["find", "pay"]


async def test_other_arguments_without_other_input_are_still_a_mismatch(app: App, world: World) -> None:
    await (await settled(app, desk(app, world), "tea")).result()

    @app.agent("desk", version="2")
    async def changed(run: Run, what: str) -> None:
        await run.step("find", world.do, f"look for {what}")

    fork = await app.fork("r", from_step="ask", version="2", run_id="f")
    await until_waiting(app, fork, WaitReason.NONDETERMINISTIC)


async def test_a_fork_of_another_version_replays_on_it(app: App, world: World) -> None:
    await (await settled(app, desk(app, world), "tea")).result()

    @app.agent("desk", version="2")
    async def changed(run: Run, what: str) -> str:
        return await run.step("find", world.do, f"find {what}") + ", and no more"

    fork = await app.fork("r", from_step="ask", version="2", run_id="f")
    assert await fork.result() == "find tea, and no more"
    assert (await fork.record()).version == "2"


async def test_an_unknown_step_is_answered_with_those_that_are_like_it(app: App, world: World) -> None:
    await (await settled(app, desk(app, world), "tea")).result()
    with pytest.raises(UnknownStep, match="no step `sent`; it has `send`"):
        await app.fork("r", from_step="sent")


async def test_an_effect_in_doubt_is_settled_in_the_fork_under_its_old_key(app: App, world: World) -> None:
    asked: list[str] = []
    under_way = asyncio.Event()

    async def pay(key: EffectKey) -> str:
        world.keys.append(key)
        under_way.set()
        raise TimeoutError("no answer")

    def verify(key: EffectKey) -> Any:
        asked.append(key)
        return Happened("found") if len(asked) > 1 else CANNOT_TELL

    async def beside(run: Run) -> str:
        await run.step("see", under_way.wait)  # so that the intent comes before what the fork begins at
        return await run.receive("go", str)

    @app.agent("payer")
    async def payer(run: Run) -> list[str]:
        paid = await run.gather(run.step("pay", pay, effect="write", verify=verify), beside(run))
        return [*paid, await run.step("after", world.do, "after")]

    run = await app.start(payer, run_id="r")
    await until_waiting(app, run, WaitReason.IN_DOUBT)
    fork = await app.fork("r", from_step="gather.1/go", run_id="f")
    await app.signal("f", "go", "went")
    assert await fork.result() == ["found", "went", "after"]
    assert world.keys == ["r/gather.0/pay"]
    assert asked == ["r/gather.0/pay", "r/gather.0/pay"]


async def test_an_effect_under_way_at_the_cut_comes_with_its_end(app: App, world: World) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def last() -> str:
        await began.wait()  # or the cut could come before the intent of the other
        ended.set()
        return world.do("last")

    async def other(run: Run) -> str:
        await run.step("other", world.do, "other")
        return await run.step("last", last)

    async def slow(key: EffectKey) -> str:
        began.set()
        await ended.wait()
        return world.do("paid")

    @app.agent("both")
    async def both(run: Run) -> list[str]:
        return await run.gather(run.step("pay", slow, effect="write"), other(run))

    run = await app.start(both, run_id="r")
    assert await run.result() == ["paid", "last"]
    world.done.clear()
    fork = await app.fork("r", from_step="gather.1/last", run_id="f")
    assert await fork.result() == ["paid", "last"]
    assert world.done == ["last"]


async def test_a_doubt_that_was_settled_after_the_cut_is_settled_in_the_fork(app: App, world: World) -> None:
    async def pay() -> dict[str, int]:
        world.do("pay")
        raise TimeoutError("no answer")

    @app.agent("payer")
    async def payer(run: Run) -> list[Any]:
        async def beside() -> str:
            await run.receive("go")
            return await run.step("then", world.do, "then")

        return await run.gather(run.step("pay", pay, effect="write"), beside())

    run = await app.start(payer, run_id="r")
    await until_waiting(app, run, WaitReason.IN_DOUBT)
    await app.signal("r", "go", 1)
    await until(app, run, lambda record: record.reasons == (WaitReason.IN_DOUBT,))
    await app.settle("r", "gather.0/pay", happened=True, result={"from": 99})
    assert await run.result() == [{"from": 99}, "then"]
    fork = await app.fork("r", from_step="gather.1/then", run_id="f")
    assert await fork.result() == [{"from": 99}, "then"]
    assert world.done == ["pay", "then", "then"]


async def test_a_wait_that_stood_open_is_begun_anew(app: App, world: World) -> None:
    @app.agent("asks")
    async def asks(run: Run) -> list[Any]:
        async def beside() -> str:
            await run.step("one", world.do, "one")
            return await run.step("two", world.do, "two")

        answer, done = await run.gather(run.ask("Well?"), beside())
        return [answer.by, done]

    run = await app.start(asks, run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    fork = await app.fork("r", from_step="gather.1/two", run_id="f")
    await until_waiting(app, fork, WaitReason.APPROVAL)
    assert [a.step for a in await app.store.approvals(ref=fork.ref)] == ["gather.0/ask"]
    await app.answer("f", "gather.0/ask", approved=True, by="bob")
    assert await fork.result() == ["bob", "two"]
    assert world.done == ["one", "two", "two"]


# retries -------------------------------------------------------------------------------------------------------


async def test_a_retry_tries_the_failed_step_again_and_nothing_else(app: App, world: World) -> None:
    world.failing = {"send tea"}
    run = await settled(app, desk(app, world), "tea")
    assert "not send tea" in await failed(run)
    world.failing.clear()
    world.done.clear()
    retry = await app.retry("r")
    assert await retry.result() == ["find tea", "ada", "pay tea", "send tea"]
    assert world.done == ["send tea"]
    await sound(retry)
    assert (await app.retry("r")).ref == retry.ref  # the default id follows from the run


async def test_a_failed_effect_is_tried_again_under_its_old_key(app: App, world: World) -> None:
    world.failing = {"pay tea"}
    run = await settled(app, desk(app, world), "tea")
    await failed(run)
    world.failing.clear()
    assert await (await app.retry("r", run_id="again")).result() == ["find tea", "ada", "pay tea", "send tea"]
    assert world.keys == ["r/pay", "r/pay"]


async def test_an_effect_that_happened_without_a_result_stays_in_doubt(app: App, world: World) -> None:
    @app.agent("odd")
    async def odd(run: Run) -> object:
        return await run.step("pay", lambda: (world.do("pay"), object())[1], effect="write")

    await failed(await app.start(odd, run_id="r"))
    retry = await app.retry("r")
    await until_waiting(app, retry, WaitReason.IN_DOUBT)
    assert world.done == ["pay"]


async def test_branches_keep_what_they_did_while_another_failed(app: App, world: World) -> None:
    world.failing = {"b", "c"}

    @app.tool(effect="write")
    def write(what: str) -> str:
        return world.do(what)

    @app.agent("three")
    async def three(run: Run) -> list[str]:
        return await run.gather(*(run.call(write, what) for what in "abc"))

    await failed(await app.start(three, run_id="r"))
    assert sorted(world.done) == ["a", "b", "c"]
    world.failing.clear()
    world.done.clear()
    assert await (await app.retry("r")).result() == ["a", "b", "c"]
    assert sorted(world.done) == ["b", "c"]


async def test_a_cancelled_run_is_retried_without_its_cancellation(app: App, world: World) -> None:
    run = await app.start(desk(app, world), "tea", run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    await run.cancel(reason="a mistake")
    assert "cancelled" in await failed(run)
    retry = await app.retry("r")
    await until_waiting(app, retry, WaitReason.APPROVAL)
    await app.answer(retry.id, "ask", approved=True, by="ada")
    assert (await retry.result())[0] == "find tea"
    assert world.done.count("find tea") == 1


async def test_effects_after_the_failure_are_for_a_human_to_judge(app: App, world: World) -> None:
    @app.tool(effect="idempotent")
    def refund() -> None:
        world.do("refund")

    @app.agent("saga")
    async def saga(run: Run) -> None:
        try:
            await run.step("ship", world.do, "ship")
        except NotDone:
            await run.call(refund)
            raise

    world.failing = {"ship"}
    await failed(await app.start(saga, run_id="r"))
    with pytest.raises(RunConflict, match=r"after `ship` had failed: step `refund`.*runs fork r --from"):
        await app.retry("r")


async def test_steps_without_effects_after_the_failure_are_dropped(app: App, world: World) -> None:
    @app.agent("careful")
    async def careful(run: Run) -> str:
        try:
            return await run.step("ship", world.do, "ship")
        except NotDone:
            await run.step("note", world.do, "note")
            raise

    world.failing = {"ship"}
    await failed(await app.start(careful, run_id="r"))
    world.failing.clear()
    assert await (await app.retry("r")).result() == "ship"
    assert world.done == ["ship", "note", "ship"]


async def test_code_that_raised_is_asked_again_with_all_that_was_recorded(app: App, world: World) -> None:
    faults = [ValueError("a bug")]

    @app.agent("buggy")
    async def buggy(run: Run) -> str:
        done = await run.step("do", world.do, "it")
        if faults:
            raise faults[0]
        return done

    await failed(await app.start(buggy, run_id="r"))
    faults.clear()
    assert await (await app.retry("r")).result() == "it"
    assert world.done == ["it"]


async def test_what_is_not_to_be_retried_is_refused(app: App, world: World) -> None:
    run = await app.start(desk(app, world), "tea", run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    with pytest.raises(RunConflict, match="has not ended"):
        await app.retry("r")
    await app.answer("r", "ask", approved=True, by="ada")
    result = await run.result()
    with pytest.raises(RunEnded, match="succeeded"):
        await app.retry("r")
    assert await (await app.retry("r", force=True)).result() == result
    assert world.done.count("pay tea") == 1


async def test_a_cancellation_that_had_shown_before_the_fork_is_still_true_in_it(
    app: App, world: World
) -> None:
    @app.agent("cleaner")
    async def cleaner(run: Run) -> None:
        try:
            await run.receive("never")
        except RunCancelled:
            with run.shield():
                await run.step("clean", world.do, f"clean {run.cancelled}")
            raise

    run = await app.start(cleaner, run_id="r")
    await until_waiting(app, run, WaitReason.SIGNAL)
    await run.cancel()
    assert "cancelled" in await failed(run)
    fork = await app.fork("r", from_step="clean", run_id="f")
    assert "cancelled" in await failed(fork)
    assert world.done == ["clean True", "clean True"]
