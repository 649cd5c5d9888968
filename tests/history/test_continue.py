"""Runs that begin again: the same run to everybody outside, a short journal inside."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    App,
    ConcurrentScope,
    EffectKey,
    Handle,
    InvalidInput,
    Run,
    RunFailed,
    RunStatus,
    verify_chain,
)
from perdure.journal import Kind, Post, RunRecord, Session, WaitReason
from perdure.testing import survives, until_waiting
from tests.history.test_fork import until


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(f"sqlite:///{tmp_path}/perdure.db", lease=timedelta(seconds=2)) as made:
        yield made


def counter(app: App, keys: list[str]) -> Any:
    @app.tool(effect="write")
    def count(n: int, key: EffectKey) -> int:
        keys.append(key)
        return n + 1

    @app.agent("counter")
    async def agent(run: Run, n: int) -> int:
        n = await run.call(count, n)  # pyright: ignore
        if n < 3:
            await run.continue_as_new(n)
        return n

    return agent


async def generation(app: App, run: Handle, number: int) -> RunRecord:
    await until(app, run, lambda r: r.generation == number and r.status is RunStatus.WAITING)
    return await run.record()


async def test_it_begins_again_as_the_same_run_with_keys_of_its_own(app: App) -> None:
    keys: list[str] = []
    run = await app.start(counter(app, keys), 0, run_id="r", labels={"for": "ada"})
    assert await run.result() == 3
    assert keys == ["r/count", "r#2/count", "r#3/count"]
    record = await run.record()
    assert (record.generation, record.labels, record.results) == (3, {"for": "ada"}, 3)
    entries = await run.entries()
    verify_chain(run.ref, entries)
    again = [e for e in entries if e.kind == Kind.CONTINUED]
    told = [json.loads(e.payload) for e in again]
    assert [(t["generation"], t["input"]) for t in told] == [(2, 1), (3, 2)]
    assert (record.base, record.base_hash) == (again[-1].seq, entries[again[-1].seq - 2].hash)
    assert told[1]["ended"]["entries"] == again[1].seq - again[0].seq
    assert (await app.start("counter", 0, run_id="r")).id == "r"  # still the run that was started with 0


async def test_a_replay_reads_from_the_last_beginning_only(app: App) -> None:
    @app.agent("waiter")
    async def waiter(run: Run, n: int) -> int:
        await run.step("do", lambda: n)
        await run.receive("go")
        if n < 2:
            await run.continue_as_new(n + 1)
        return n

    run = await app.start(waiter, 0, run_id="r")
    for n in range(2):
        await generation(app, run, n + 1)
        await app.signal("r", "go")
    record = await generation(app, run, 3)
    await app.store.register(session := Session(id="s", lease=10**7))
    (claim,) = await app.store.claim(session.id, [("waiter", "1")], limit=1, only=run.ref)
    assert [e.seq for e in claim.entries] == list(range(record.base, record.head + 1))
    await app.store.deregister("s")
    await app.signal("r", "go")
    assert await run.result() == 2


async def test_signals_that_nobody_received_come_along_in_their_order(app: App) -> None:
    @app.agent("mailbox")
    async def mailbox(run: Run, got: list[int]) -> list[int]:
        await run.receive("begin")
        got = [*got, await run.receive("item", int)]
        if len(got) < 4:
            await run.continue_as_new(got)
        return got

    run = await app.start(mailbox, [], run_id="r")
    await until_waiting(app, run, WaitReason.SIGNAL)
    for n in range(4):
        await app.signal("r", "item", n)
    for _ in range(4):
        await app.signal("r", "begin")
    assert await run.result() == [0, 1, 2, 3]


async def test_a_question_is_asked_anew_and_an_old_answer_is_not_its_answer(app: App) -> None:
    @app.agent("asks")
    async def asks(run: Run, n: int) -> str | None:
        answered = run.ask("Well?") if n else run.first(run.ask("Well?"), run.receive("skip"))
        answer: Any = await answered
        if n == 0:
            await run.continue_as_new(1)
        return answer.by

    run = await app.start(asks, 0, run_id="r")
    await until_waiting(app, run, WaitReason.APPROVAL)
    (old,) = await app.store.approvals(ref=run.ref)
    await app.signal("r", "skip")
    await generation(app, run, 2)
    (new,) = await app.store.approvals(ref=run.ref)
    assert (old.step, new.step) == ("first.0/ask", "ask")
    late = Post(
        ref=run.ref, kind="answer", name="ask", id="answer-ask", sender="eve", body=b'{"approved":true}'
    )
    await app.store.post(late)
    await until(app, run, lambda r: r.drained_seq == r.inbox_seq and r.status is RunStatus.WAITING)
    await app.answer("r", "ask", approved=True, by="ada")
    assert await run.result() == "ada"


async def test_the_same_question_is_answered_in_each_generation(app: App) -> None:
    @app.agent("asks")
    async def asks(run: Run, by: list[str]) -> list[str]:
        by = [*by, str((await run.ask("Well?")).by)]
        if len(by) < 3:
            await run.continue_as_new(by)
        return by

    run = await app.start(asks, [], run_id="r")
    for n, name in enumerate(["ada", "bob", "cem"]):
        await generation(app, run, n + 1)
        assert await app.answer("r", "ask", approved=True, by=name)
    assert await run.result() == ["ada", "bob", "cem"]


async def test_children_of_each_generation_are_runs_of_their_own(app: App) -> None:
    @app.agent("child")
    async def child(run: Run, n: int) -> int:
        return n * 10

    @app.agent("parent")
    async def parent(run: Run, got: list[int]) -> list[int]:
        got = [*got, await run.child(child, len(got))]
        if len(got) < 3:
            await run.continue_as_new(got)
        return got

    assert await (await app.start(parent, [])).result() == [0, 10, 20]


async def test_a_late_result_of_an_earlier_generation_settles_no_later_doubt(app: App) -> None:
    @app.agent("payer")
    async def payer(run: Run, n: int) -> str:
        if n == 0:
            await run.continue_as_new(1)

        def pay() -> str:
            raise TimeoutError("no answer")

        return await run.step("pay", pay, effect="write")

    run = await app.start(payer, 0, run_id="r")
    await until_waiting(app, run, WaitReason.IN_DOUBT)
    late = Post(
        ref=run.ref,
        kind="late",
        name="pay",
        id="late-1-pay",
        sender="w",
        body=b'{"happened":true,"result":"old"}',
    )
    await app.store.post(late)
    await until(app, run, lambda r: r.drained_seq == r.inbox_seq and r.status is RunStatus.WAITING)
    await app.settle("r", "pay", happened=True, result="new")
    assert await run.result() == "new"


async def test_a_cancelled_run_does_not_begin_again(app: App) -> None:
    @app.agent("stubborn")
    async def stubborn(run: Run, n: int) -> None:
        with run.shield():
            await run.receive("go")
            await run.continue_as_new(n + 1)

    run = await app.start(stubborn, 0, run_id="r")
    await until_waiting(app, run, WaitReason.SIGNAL)
    await run.cancel(reason="enough")
    await app.signal("r", "go")
    with pytest.raises(RunFailed, match="enough"):
        await run.result()
    record = await run.record()
    assert (record.status, record.generation) == (RunStatus.CANCELLED, 1)


async def test_a_paused_run_begins_again_when_it_is_resumed(app: App) -> None:
    @app.agent("agent")
    async def agent(run: Run, n: int) -> int:
        if n == 0:
            await run.receive("go")
            await run.continue_as_new(1)
        return n

    run = await app.start(agent, 0, run_id="r")
    await until_waiting(app, run, WaitReason.SIGNAL)
    await app.pause("r")
    await app.signal("r", "go")
    await until_waiting(app, run, WaitReason.PAUSED)
    assert (await run.record()).generation == 1
    await app.resume("r")
    assert await run.result() == 1


async def test_what_comes_at_the_last_moment_counts(app: App) -> None:
    @app.agent("agent")
    async def agent(run: Run, n: int) -> int:
        if n == 0:
            await app.pause("r")  # no worker has taken it when the run asks to begin again
            await run.continue_as_new(1)
        return n

    run = await app.start(agent, 0, run_id="r")
    await until_waiting(app, run, WaitReason.PAUSED)
    assert (await run.record()).generation == 1
    await run.cancel(reason="enough")
    await app.resume("r")
    with pytest.raises(RunFailed, match="enough"):
        await run.result()


async def test_open_branches_and_unfit_input_are_refused(app: App) -> None:
    said: list[str] = []

    @app.agent("agent")
    async def agent(run: Run, n: int) -> int:
        branch = run.branch("beside", run.receive("go"))
        for value, error in ((1, ConcurrentScope), ("x", InvalidInput)):
            with pytest.raises(error) as caught:
                await run.continue_as_new(value)
            said.append(str(caught.value))
        with pytest.raises(ConcurrentScope):
            await run.gather(run.continue_as_new(1))
        await branch
        return n

    run = await app.start(agent, 0, run_id="r")
    await app.signal("r", "go")
    assert await run.result() == 0
    assert "while branches are open" in said[0]


async def test_a_fork_of_a_later_generation_has_that_generation_s_past(app: App) -> None:
    keys: list[str] = []
    run = await app.start(counter(app, keys), 0, run_id="r")
    await run.result()
    fork = await app.fork("r", from_step="count", run_id="f")
    assert await fork.result() == 3
    assert keys[3:] == ["f/count"]
    assert (await fork.record()).generation == 1


async def test_killed_at_every_boundary_it_comes_to_the_same_end() -> None:
    app = App("memory://")
    keys: list[str] = []
    trials = await survives(app, counter(app, keys), 0)
    assert len(trials) > 10
    for trial in trials:
        assert sum(e.kind == Kind.CONTINUED for e in trial.entries) == 2, trial.boundary


async def test_killed_at_every_boundary_no_signal_is_lost_or_doubled() -> None:
    app = App("memory://")

    @app.agent("sum")
    async def total(run: Run, state: list[int]) -> int:
        n, so_far = state
        so_far += await run.receive("n", int)
        if n < 3:
            await run.continue_as_new([n + 1, so_far])
        return so_far

    async def outside(app: App, run: Handle) -> None:
        for n in range(4):
            await app.signal(run.id, "n", 10**n, message_id=f"m{n}")

    trials = await survives(app, total, [0, 0], outside=outside)
    assert {trial.result for trial in trials} == {1111}
