"""Claims are checked before a run counts as succeeded, and what became of it is attached, also later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pydantic_core
import pytest

from perdure import (
    App,
    Budget,
    Check,
    ConfigError,
    Run,
    RunFailed,
    RunNotEnded,
    RunPruned,
    RunStatus,
    UnknownRun,
)
from perdure.journal import Kind
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage
from perdure.runtime.replay.rehearsal import Verdict, rehearse
from perdure.testing import SkippingClock, survives


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


def even(run: Run, result: int) -> Check:
    return Check(result % 2 == 0, f"{result} is odd", {"looked at": result})


async def test_a_result_that_passes_counts(app: App) -> None:
    @app.agent("counter", check=even)
    async def counter(run: Run) -> int:
        return 4

    run = await app.start(counter)
    assert await run.result() == 4
    assert (await run.ending()).check == {
        "passed": True,
        "why": "4 is odd",
        "evidence": {"looked at": 4},
        "repaired": False,
    }


@pytest.mark.parametrize(("on_failed", "status"), [("partial", "partial"), ("escalate", "escalated")])
async def test_a_result_that_does_not_pass_is_no_success(app: App, on_failed: Any, status: str) -> None:
    @app.agent("counter", check=even, on_failed_check=on_failed)
    async def counter(run: Run) -> int:
        return 3

    run = await app.start(counter)
    with pytest.raises(RunFailed, match="the check did not pass: 3 is odd") as raised:
        await run.result()
    assert (raised.value.status, raised.value.value) == (status, 3)


async def test_it_is_repaired_once_and_checked_again(quick: App) -> None:
    told: list[str] = []

    def repair(run: Run, result: int, why: str) -> int:
        told.append(why)
        return result + 1

    @quick.agent("counter", check=even, repair=repair)
    async def counter(run: Run) -> int:
        return 3

    run = await quick.start(counter)
    assert await run.result() == 4
    assert told == ["3 is odd"]
    assert ((await run.ending()).check or {})["repaired"]


async def test_a_repair_that_does_not_help_is_not_tried_twice(quick: App) -> None:
    @quick.agent("counter", check=even, repair=lambda run, result, why: result + 2)
    async def counter(run: Run) -> int:
        return 3

    run = await quick.start(counter)
    ending = await run.ending()
    assert (ending.status, ending.value, ending.why) == (
        RunStatus.ESCALATED,
        5,
        "the check did not pass: 5 is odd",
    )


async def test_check_and_repair_take_steps_and_survive_every_kill() -> None:
    app = App("memory://", clock=SkippingClock())

    async def check(run: Run, result: list[int]) -> bool:
        return await run.step("count", len, result) == 2

    async def repair(run: Run, result: list[int], why: str) -> list[int]:
        return [*result, await run.step("more", lambda: 2)]

    @app.agent("collector", check=check, repair=repair)
    async def collector(run: Run) -> list[int]:
        return [await run.step("one", lambda: 1)]

    trials = await survives(app, collector)
    assert {(t.status, str(t.result)) for t in trials} == {(RunStatus.SUCCEEDED, "[1, 2]")}
    async with app:
        run = await app.start(collector)
        await run.result()
        keys = [e.key for e in await run.entries() if e.key]
    assert keys == [
        "one",
        "check/count",
        "check/verdict",
        "repair/more",
        "check:2/count",
        "check:2/verdict",
    ]


class Second:
    """A second model, which looks at what the first has done."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text="no" if model == "second:judge" else "done", usage=Usage(input_tokens=1000))


async def test_what_a_second_model_costs_is_charged_and_told_apart() -> None:
    prices = {"models": {"second:*": {"input": 2, "output": 10}}}

    async def check(run: Run, result: str) -> Check:
        said = await run.model("second:judge", "Is it right?", settings={"max_tokens": 10})
        return Check(said == "yes", "the judge says no")

    async def repair(run: Run, result: str, why: str) -> str:
        return await run.model("second:worker", why, settings={"max_tokens": 10})

    def make(store: Any) -> App:
        app = App(store, clock=SkippingClock(), prices=prices)
        app.models.register("second", Second())

        @app.agent("worker", check=check, repair=repair, budget=Budget(money=1))
        async def worker(run: Run) -> str:
            return await run.model("second:worker", "do it", settings={"max_tokens": 10})

        return app

    async with (app := make("memory://")):
        run = await app.start("worker")
        ending = await run.ending()
        entries = await run.entries()
    charged = [pydantic_core.from_json(e.payload) for e in entries if e.kind == Kind.CHARGED]
    assert [(c["name"], c.get("part")) for c in charged] == [
        ("second:worker", None),
        ("second:judge", "check"),
        ("second:worker", "repair"),
        ("second:judge", "check"),
    ]
    assert ending.check is not None
    assert ending.check["spent"]["check"]["money"] == Decimal("0.004")
    assert ending.check["spent"]["repair"]["money"] == Decimal("0.002")
    assert ending.spent["money"] == Decimal("0.008")

    # a worker that dies in the check: what was set aside for it is the check's, too
    lost: set[str | None] = set()
    for trial in await survives(make("memory://"), "worker"):
        told = [pydantic_core.from_json(e.payload) for e in trial.entries if e.kind == Kind.CHARGED]
        lost |= {c.get("part") for c in told if c.get("estimated")}
    assert lost == {None, "check", "repair"}


@pytest.mark.parametrize(
    ("error", "why"),
    [(AssertionError("not all paid"), "not all paid"), (KeyError("x"), "it raised KeyError: 'x'")],
)
async def test_a_check_that_raises_has_not_passed(quick: App, error: Exception, why: str) -> None:
    def check(run: Run, result: None) -> bool:
        raise error

    @quick.agent("worker", check=check)
    async def worker(run: Run) -> None: ...

    ending = await (await quick.start(worker)).ending()
    assert (ending.status, ending.why) == (RunStatus.ESCALATED, f"the check did not pass: {why}")


async def test_a_check_that_returns_something_else_is_an_error_of_the_program(quick: App) -> None:
    @quick.agent("worker", check=lambda run, result: "fine")
    async def worker(run: Run) -> None: ...

    run = await quick.start(worker)
    with pytest.raises(RunFailed, match=r"returned `'fine'`; a check returns True, False or a perdure.Check"):
        await run.result()


async def test_a_retry_examines_the_result_anew(quick: App) -> None:
    right = [False]
    worked: list[int] = []

    async def check(run: Run, result: int) -> bool:
        return await run.step("ask", lambda: right[0])

    @quick.agent("worker", check=check)
    async def worker(run: Run) -> int:
        await run.step("work", worked.append, 1)
        return 1

    first = await quick.start(worker)
    assert (await first.ending()).status is RunStatus.ESCALATED
    right[0] = True
    assert await (await quick.retry(first.id)).result() == 1
    assert worked == [1]


async def test_a_rehearsal_begins_no_check(quick: App) -> None:
    asked: list[int] = []

    def check(run: Run, result: int) -> bool:
        asked.append(result)
        return True

    @quick.agent("worker", check=check)
    async def worker(run: Run) -> int:
        return await run.step("work", lambda: 1)

    run = await quick.start(worker)
    await run.result()
    entries = await run.entries()
    before = entries[: next(i for i, e in enumerate(entries) if e.key == "check/verdict")]
    key = await quick.store.tenant_key(quick.tenant)

    found = await rehearse(
        worker, await run.record(), before, key=key, now=quick.store.now(), agents=quick.find_agent
    )

    assert (found.verdict, found.ends, asked) == (Verdict.REPLAYS, None, [1])


def test_a_repair_without_a_check_is_refused() -> None:
    async def work(run: Run) -> None: ...

    with pytest.raises(ConfigError, match="no `check`"):
        App("memory://").agent("a", repair=lambda run, result, why: result)(work)


# outcomes ---------------------------------------------------------------------------------------------------------


async def test_an_outcome_is_said_by_the_run_and_later_by_others_and_the_last_counts(app: App) -> None:
    @app.agent("seller")
    async def seller(run: Run) -> None:
        run.outcome(True, by="the bank", evidence={"paid": 7})

    run = await app.start(seller)
    await run.result()
    assert await app.last_outcomes([run.ref]) == {run.ref: True}
    await app.outcome(run.id, False, by="ann", evidence="it was sent back")
    assert [(o.met, o.by, o.evidence) for o in await app.outcomes(run.id)] == [
        (True, "the bank", {"paid": 7}),
        (False, "ann", "it was sent back"),
    ]
    assert await app.last_outcomes([run.ref]) == {run.ref: False}
    assert await (await app.handle(run.id)).result() is None


async def test_an_outcome_survives_every_kill_and_is_said_once() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.agent("seller")
    async def seller(run: Run) -> None:
        await run.step("sell", list)
        run.outcome(True)
        await run.step("tell", list)

    await survives(app, seller)
    async with app:
        run = await app.start(seller)
        await run.result()
        assert [e.kind for e in await run.entries()].count(Kind.OUTCOME) == 1


async def test_an_outcome_of_what_is_not_over_or_not_there_is_refused(quick: App) -> None:
    @quick.agent("waits")
    async def waits(run: Run) -> None:
        await run.receive("go")

    run = await quick.start(waits)
    with pytest.raises(RunNotEnded):
        await quick.outcome(run.id, True, by="ann")
    with pytest.raises(UnknownRun):
        await quick.outcome("nobody", True, by="ann")
    await run.signal("go")
    await run.result()
    await quick.prune(run.id)
    with pytest.raises(RunPruned):
        await quick.outcome(run.id, True, by="ann")
