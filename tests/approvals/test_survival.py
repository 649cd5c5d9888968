"""Approvals and death: a worker killed at every boundary around them, forks, other runs, many who answer at once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure import DID_NOT_HAPPEN, App, EffectKey, Handle, Happened, Retry, Run, RunEnded, UnknownStep
from perdure.core.errors import AnswerRefused
from perdure.testing import Boundary, kill_at, survives
from tests.approvals.desks import Till, approve, desk, digest, opened, shown, trail


@pytest.fixture
def till() -> Till:
    return Till()


def verified(app: App, till: Till, **terms: Any) -> Any:
    """As `desk`, and what is in doubt is found out by the key and the arguments that were really sent."""
    booked: dict[str, tuple[str, int]] = {}
    asked: list[tuple[str, int]] = []

    def was_paid(to: str, amount: int, key: EffectKey) -> Any:
        asked.append((to, amount))
        return Happened(f"paid {amount} to {to}") if key in booked else DID_NOT_HAPPEN

    @app.tool(effect="write", needs_approval=True, verify=was_paid, **terms)
    def pay(to: str, amount: int, key: EffectKey) -> str:
        booked[key] = (to, amount)
        return till.pay(to, amount, key)

    @app.agent("desk")
    async def agent(run: Run, amount: int) -> str:
        return await run.call(pay, "Ada", amount)

    def setup() -> None:
        booked.clear()
        till.paid.clear()

    return agent, asked, setup


async def test_a_worker_killed_at_any_boundary_around_an_approval(till: Till) -> None:
    app = App("memory://")
    agent = desk(app, till)

    async def outside(app: App, run: Handle) -> None:
        await approve(app, run)

    trials = await survives(app, agent, [5], setup=till.paid.clear, outside=outside)
    assert len(trials) > 8
    assert {trial.result[0] for trial in trials} == {"paid 5 to Ada"}


async def test_a_rejection_survives_too(till: Till) -> None:
    app = App("memory://")
    agent = desk(app, till)

    async def outside(app: App, run: Handle) -> None:
        asked = await opened(app, run)
        await app.answer(run.id, "pay", approved=False, by="boss", reason="no", digest=digest(asked))

    for trial in await survives(app, agent, [5], outside=outside):
        assert trial.result == ["`pay` was not called: boss said no: no"]
    assert till.paid == []


async def test_a_read_that_needs_approval_survives(till: Till) -> None:
    app = App("memory://")
    agent = desk(app, till, effect="read")

    async def outside(app: App, run: Handle) -> None:
        await approve(app, run, arguments={"to": "Ada", "amount": 4})

    for trial in await survives(app, agent, [5], setup=till.paid.clear, outside=outside):
        assert trial.result == ["paid 4 to Ada"]


async def test_edited_arguments_hold_after_a_crash_for_the_call_and_for_its_verify(till: Till) -> None:
    app = App("memory://")
    agent, asked, setup = verified(app, till)

    async def outside(app: App, run: Handle) -> None:
        await approve(app, run, arguments={"to": "Bob", "amount": 4})

    for trial in await survives(app, agent, 5, setup=setup, outside=outside):
        assert trial.result == "paid 4 to Bob"
    assert asked
    assert set(asked) == {("Bob", 4)}


async def test_a_rule_is_asked_once_and_never_on_replay(till: Till) -> None:
    app = App("memory://")
    asked: list[int] = []

    def rule(amount: int) -> bool:
        asked.append(amount)
        return amount > 100

    agent = desk(app, till, rule)
    reference = await kill_at(app, agent, [5])
    assert reference.result == ["paid 5 to Ada"]
    assert asked == [5]
    asked.clear()
    # killed right after the intent: the verdict stands before it
    nth = next(i for i, e in enumerate(reference.entries) if e.key == "pay")
    await kill_at(app, agent, [5], Boundary("after", nth=nth))
    assert asked in ([5], [5, 5])


async def test_s24_nothing_carries_over_to_a_fork_or_to_another_run(store_url: str, till: Till) -> None:
    app = App(store_url)
    async with app:
        agent = desk(app, till)
        run = await app.start(agent, [5], run_id="r")
        asked = await approve(app, run)
        await run.result()
        fork = await app.fork("r", from_step="pay", run_id="f")
        again = await opened(app, fork)
        assert digest(again) != digest(asked)
        other = await app.start(agent, [5], run_id="o")
        await opened(app, other)
        for name in ("f", "o"):
            with pytest.raises(AnswerRefused, match="what was seen is not what would be done"):
                await app.answer(name, "pay", approved=True, by="boss", digest=digest(asked))
        with pytest.raises(UnknownStep):
            await app.answer("r", "pay", approved=True, by="boss", digest=digest(asked))
        assert len(till.paid) == 1
        await approve(app, fork)
        await approve(app, other)
        await fork.result()
        await other.result()
    assert till.keys == ["r/pay", "f/pay", "o/pay"]


async def test_s24_a_fork_out_of_an_effect_in_doubt_asks_anew_before_it_is_sent_again(
    store_url: str, till: Till
) -> None:
    app = App(store_url)
    till.failures = [TimeoutError("no answer")]
    async with app:

        @app.tool(effect="write", needs_approval=True, retry=Retry(attempts=2, first=timedelta()))
        def pay(to: str, amount: int, key: EffectKey) -> str:
            return till.pay(to, amount, key)

        @app.agent("pair")
        async def pair(run: Run) -> list[Any]:
            async def later() -> str:
                await run.receive("go")
                return await run.step("after", lambda: "after")

            return await run.gather(run.call(pay, "Ada", 5), later())

        run = await app.start(pair, run_id="r")
        await approve(app, run)
        while "in_doubt" not in (await run.record()).reasons:
            await app.store.changed(app.store.changes(), within=0.1)
        await app.signal("r", "go")
        while not await trail(run, "gather.1/after"):
            await app.store.changed(app.store.changes(), within=0.1)
        fork = await app.fork("r", from_step="gather.1/after", run_id="f")
        while "in_doubt" not in (await fork.record()).reasons:
            await app.store.changed(app.store.changes(), within=0.1)
        await app.settle("f", "gather.0/pay", happened=False)
        again = await opened(app, fork)
        assert shown(again)["show"]["run"] == "f"
        assert len(till.keys) == 1
        await app.cancel("f")
        await app.cancel("r")


async def test_many_answer_at_once_and_one_counts(store_url: str, till: Till) -> None:
    app = App(store_url)
    others = [App(store_url) for _ in range(4)]
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)

        async def answer(app: App, i: int) -> bool:
            try:
                return await app.answer(
                    run.id, "pay", approved=i % 2 == 0, by=f"p{i}", reason=f"{i}", digest=digest(asked)
                )
            except (UnknownStep, RunEnded):
                return False

        said = await asyncio.gather(*(answer(other, i) for i, other in enumerate(others)))
        result = await run.result()
        for other in others:
            await other.close()
    assert said.count(True) == 1
    i = said.index(True)
    assert result == ["paid 5 to Ada" if i % 2 == 0 else f"`pay` was not called: p{i} said no: {i}"]
    assert len(till.paid) == (1 if i % 2 == 0 else 0)


async def test_the_loser_of_a_race_leaves_no_question_open(store_url: str, till: Till) -> None:
    app = App(store_url)
    async with app:

        @app.tool(effect="write", needs_approval=True)
        def pay(amount: int) -> int:
            return amount

        @app.agent("racer")
        async def racer(run: Run) -> str:
            await run.first(run.call(pay, 5), run.receive("stop"))
            return await run.receive("end")

        run = await app.start(racer)
        await opened(app, run)
        await app.signal(run.id, "stop")
        while await app.store.approvals(ref=run.ref):
            await app.store.changed(app.store.changes(), within=0.1)
        await app.signal(run.id, "end", "done")
        assert await run.result() == "done"


async def test_a_cancelled_run_leaves_no_question_open(store_url: str, till: Till) -> None:
    app = App(store_url)
    async with app:
        run = await app.start(desk(app, till), [5])
        await opened(app, run)
        await app.cancel(run.id, reason="enough")
        with pytest.raises(Exception, match="cancelled"):
            await run.result()
        assert await app.open_approvals() == []
