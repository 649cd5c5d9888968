"""How runs end that neither succeed nor fail: partial and escalated, by their own word or by the class of a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import (
    App,
    BudgetFinished,
    ConfigError,
    ContextExceeded,
    InvalidOutput,
    Run,
    RunCancelled,
    RunFailed,
    RunStatus,
    Stuck,
)
from perdure.journal import Kind, RunRecord
from perdure.testing import SkippingClock, survives


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


async def row(app: App, run_id: str) -> RunRecord:
    return await (await app.handle(run_id)).record()


# by their own word ------------------------------------------------------------------------------------------------


async def test_a_partial_run_keeps_what_there_is_and_says_what_is_missing(app: App) -> None:
    @app.agent("reader")
    async def reader(run: Run) -> list[str]:
        found = await run.step("look", lambda: ["a", "b"])
        await run.partial(found, missing=["c", "d"], why="the archive is closed")

    run = await app.start(reader)
    with pytest.raises(
        RunFailed, match=r"ended `partial`: the archive is closed \(missing: c, d\)"
    ) as raised:
        await run.result()
    assert (raised.value.status, raised.value.value, raised.value.missing) == (
        "partial",
        ["a", "b"],
        ("c", "d"),
    )
    ending = await run.ending()
    assert (ending.status, ending.value, ending.missing, ending.why) == (
        RunStatus.PARTIAL,
        ["a", "b"],
        ("c", "d"),
        "the archive is closed",
    )
    record = await run.record()
    assert (record.status, record.reasons) == (RunStatus.PARTIAL, ("the archive is closed",))


async def test_an_escalated_run_carries_what_was_tried(app: App) -> None:
    @app.tool(effect="write")
    def pay(amount: int) -> str:
        return f"paid {amount}"

    @app.agent("clerk", escalate_to="desk")
    async def clerk(run: Run) -> str:
        run.progress("half", done=1, total=2)
        await run.decide("who", ["a", "b"], "a", reason="nearest")
        await run.call(pay, 7)
        try:
            await run.step("look", _raises, "no such customer")
        except ValueError:
            await run.escalate("the customer is unknown", context={"customer": 12})
        return "not reached"

    run = await app.start(clerk)
    with pytest.raises(RunFailed, match="ended `escalated`: the customer is unknown"):
        await run.result()
    ending = await run.ending()
    assert (ending.status, ending.context, ending.to) == (RunStatus.ESCALATED, {"customer": 12}, "desk")
    told = ending.tried
    assert [(f["step"], f["error"]) for f in told["failed"]] == [("look", "ValueError: no such customer")]
    assert [(d["tool"], d["arguments"], d["result"]) for d in told["done"]] == [
        ("pay", '{"amount":7}', '"paid 7"')
    ]
    assert [d["reason"] for d in told["decided"]] == ["nearest"]
    assert (told["progress"]["what"], told["in_doubt"]) == ("half", [])


def _raises(text: str) -> str:
    raise ValueError(text)


async def test_a_framework_that_swallows_the_ending_meets_it_again(quick: App) -> None:
    reached: list[str] = []

    @quick.agent("framework")
    async def framework(run: Run) -> str:
        try:
            await run.partial("half", why="enough")
        except BaseException:
            reached.append("swallowed")
        try:
            await run.step("more", reached.append, "a step after the end")
        except BaseException:
            reached.append("again")
        return "a success that is none"

    run = await quick.start(framework)
    assert (await run.ending()).status is RunStatus.PARTIAL
    assert reached == ["swallowed", "again"]


async def test_an_ending_in_a_branch_lets_effects_under_way_finish_and_leaves_waits(quick: App) -> None:
    began, may_end = asyncio.Event(), asyncio.Event()

    @quick.tool(effect="write")
    async def send() -> str:
        began.set()
        await may_end.wait()
        return "sent"

    @quick.agent("several")
    async def several(run: Run) -> Any:
        async def writes() -> None:
            await run.call(send)
            await run.step("never", list)

        async def waits() -> None:
            await run.receive("nothing comes")

        async def ends() -> None:
            await began.wait()
            try:
                await run.escalate("too much")
            finally:
                may_end.set()

        return await run.gather(writes(), waits(), ends())

    run = await quick.start(several)
    ending = await run.ending()
    assert ending.status is RunStatus.ESCALATED
    assert [d["tool"] for d in ending.tried["done"]] == ["send"]
    assert [e.key for e in await run.entries() if e.key.endswith("never")] == []


async def test_what_is_shielded_still_runs_after_the_word_and_survives_every_kill() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.agent("tidy")
    async def tidy(run: Run) -> str:
        try:
            await run.step("work", list)
            await run.partial([1], missing=["2"], why="that is all")
        finally:
            with run.shield():
                await run.step("tidy up", list)
        return ""

    trials = await survives(app, tidy)
    assert {trial.status for trial in trials} == {RunStatus.PARTIAL}


async def test_a_cancelled_run_that_would_end_partial_is_cancelled(quick: App) -> None:
    @quick.agent("late")
    async def late(run: Run) -> None:
        try:
            await run.receive("go")
        except RunCancelled:
            await run.partial(why="not any more")

    run = await quick.start(late)
    await run.cancel()
    assert (await run.ending()).status is RunStatus.CANCELLED


async def test_the_parent_sees_how_its_child_ended(quick: App) -> None:
    @quick.agent("child")
    async def child(run: Run) -> None:
        await run.partial({"n": 1}, missing=["n 2"], why="half of it")

    @quick.agent("parent")
    async def parent(run: Run) -> Any:
        try:
            return await run.child(child)
        except RunFailed as error:
            return [error.status, error.value, list(error.missing)]

    assert await (await quick.start(parent)).result() == ["partial", {"n": 1}, ["n 2"]]


async def test_a_child_is_cancelled_where_its_parent_ends(quick: App) -> None:
    @quick.agent("child")
    async def child(run: Run) -> None:
        await run.receive("never")

    @quick.agent("parent")
    async def parent(run: Run) -> None:
        async def ends() -> None:
            await run.receive("end")
            await run.escalate("enough")

        await run.gather(run.child(child), ends())

    run = await quick.start(parent)
    await run.signal("end")
    assert (await run.ending()).status is RunStatus.ESCALATED
    waiting = next(e for e in await run.entries() if e.kind == Kind.WAITING and b'"child"' in e.payload)
    started = await quick.handle(pydantic_core.from_json(waiting.payload)["run"])
    assert (await started.ending()).status is RunStatus.CANCELLED


async def test_a_retry_of_a_partial_run_comes_to_the_same_question_anew(quick: App) -> None:
    there = ["a"]
    looked: list[int] = []

    @quick.agent("reader")
    async def reader(run: Run) -> list[str]:
        await run.step("once", looked.append, 1)
        if len(there) < 2:
            await run.partial(there, missing=["b"], why="it is not there yet")
        return there

    first = await quick.start(reader)
    assert (await first.ending()).status is RunStatus.PARTIAL
    there.append("b")
    again = await quick.retry(first.id)
    assert await again.result() == ["a", "b"]
    assert looked == [1]


# by the class of a failure ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidOutput("no JSON"), RunStatus.ESCALATED),
        (Stuck("the same again"), RunStatus.ESCALATED),
        (ContextExceeded("too long"), RunStatus.PARTIAL),
        (BudgetFinished("spent"), RunStatus.PARTIAL),
        (ValueError("a fault"), RunStatus.FAILED),
        (ConnectionResetError("gone"), RunStatus.FAILED),
    ],
)
async def test_an_error_that_nobody_caught_ends_the_run_by_its_class(
    quick: App, error: Exception, status: RunStatus
) -> None:
    @quick.agent("raiser")
    async def raiser(run: Run) -> None:
        raise error

    run = await quick.start(raiser)
    with pytest.raises(RunFailed, match=f"{type(error).__name__}: {error}") as raised:
        await run.result()
    assert raised.value.status == status
    assert (await run.record()).reasons == (f"{type(error).__name__}: {error}",)


async def test_the_agent_says_what_a_class_of_failure_makes_of_its_runs(quick: App) -> None:
    @quick.agent("raiser", on_failure={"transient": "escalate", "invalid_output": "fail"})  # type: ignore[dict-item]
    async def raiser(run: Run, what: str) -> None:
        raise ConnectionResetError("gone") if what == "gone" else InvalidOutput("no JSON")

    gone, odd = await quick.start(raiser, "gone"), await quick.start(raiser, "odd")
    assert (await gone.ending()).status is RunStatus.ESCALATED
    assert (await odd.ending()).status is RunStatus.FAILED


async def test_a_rule_of_the_app_decides_which_class_it_is(quick: App) -> None:
    @quick.classify
    def rule(error: BaseException) -> Any:
        return "stuck" if isinstance(error, KeyError) else None

    @quick.agent("raiser")
    async def raiser(run: Run) -> None:
        raise KeyError("a")

    assert (await (await quick.start(raiser)).ending()).status is RunStatus.ESCALATED


def test_an_answer_that_there_is_not_is_refused() -> None:
    async def work(run: Run) -> None: ...

    with pytest.raises(ConfigError, match=r"`stuck: shout`.*escalate"):
        App("memory://").agent("a", on_failure={"stuck": "shout"})(work)  # type: ignore[dict-item]


async def test_an_escalation_survives_every_kill() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.tool(effect="write", verify=lambda: None)
    def send() -> str:
        return "sent"

    @app.agent("hands-over")
    async def hands_over(run: Run) -> None:
        async def one() -> None:
            await run.sleep(timedelta(seconds=30))

        async def other() -> None:
            await run.step("look", list)
            await run.escalate("no further", context=[1])

        await run.gather(one(), other())

    trials = await survives(app, hands_over)
    assert {trial.status for trial in trials} == {RunStatus.ESCALATED}
