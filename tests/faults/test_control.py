"""Steering a run from outside, and programs that changed under a run: also where the worker dies meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Handle, Run, RunCancelled, RunFailed
from perdure.journal import Kind
from perdure.testing import Boundary, kill_at, survives, until_waiting
from tests.faults.processes import kinds, until


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url, lease=timedelta(seconds=2)) as made:
        yield made


async def status_of(run: Handle) -> tuple[str, str]:
    """How it ended, and why."""
    with pytest.raises(RunFailed) as caught:
        await run.result()
    return caught.value.status, str(caught.value)


class Steps:
    """Steps that are seen, and one that can be held."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.inside = asyncio.Event()
        self.go = asyncio.Event()

    async def do(self, what: str) -> str:
        self.seen.append(what)
        return what

    async def hold(self) -> str:
        self.seen.append("hold")
        self.inside.set()
        await self.go.wait()
        return "held"


# cancelling ----------------------------------------------------------------------------------------------------


async def test_a_cancelled_run_ends_at_its_next_step_and_cleans_up_under_a_shield(app: App) -> None:
    steps = Steps()

    @app.agent("long")
    async def long(run: Run) -> str:
        try:
            await run.step("hold", steps.hold)
            await run.step("more", steps.do, "more")
        except RunCancelled as error:
            assert run.cancelled
            with run.shield():
                await run.step("clean", steps.do, "clean")
                await run.sleep(0.01)
            raise error from None
        return "done"

    run = await app.start(long)
    await steps.inside.wait()
    await app.cancel(run.id, reason="changed my mind", by="ann")
    await until(lambda: kinds_of(run, "message"), "the cancellation is heard")
    steps.go.set()

    assert await status_of(run) == (
        "cancelled",
        f"run `{run.id}` ended `cancelled`: RunCancelled: cancelled by ann: changed my mind",
    )
    assert steps.seen == ["hold", "clean"]


async def test_a_waiting_run_is_woken_by_its_cancellation(app: App) -> None:
    @app.agent("waiter")
    async def waiter(run: Run) -> str:
        return await run.receive("word", str)

    run = await app.start(waiter)
    await until_waiting(app, run, "signal")
    await run.cancel(reason="enough")
    assert (await status_of(run))[0] == "cancelled"


async def test_a_retry_loop_does_not_swallow_a_cancellation(app: App) -> None:
    @app.agent("stubborn")
    async def stubborn(run: Run) -> str:
        for _ in range(1000):
            try:
                return await run.receive("word", str)
            except Exception:
                continue
        return "never"

    run = await app.start(stubborn)
    await until_waiting(app, run, "signal")
    await run.cancel()
    assert (await status_of(run))[0] == "cancelled"


async def test_a_run_that_handles_its_cancellation_may_succeed(app: App) -> None:
    @app.agent("graceful")
    async def graceful(run: Run) -> str:
        try:
            return await run.receive("word", str)
        except RunCancelled:
            return "stopped early"

    run = await app.start(graceful)
    await until_waiting(app, run, "signal")
    await run.cancel()
    assert await run.result() == "stopped early"


async def test_termination_needs_no_code(app: App) -> None:
    steps = Steps()

    @app.agent("deaf")
    async def deaf(run: Run) -> str:
        while True:
            try:
                await run.step("hold", steps.hold)
            except BaseException:
                await run.step("again", steps.do, "again")

    run = await app.start(deaf)
    await steps.inside.wait()
    await run.cancel(reason="now", terminate=True)
    status, text = await status_of(run)
    assert (status, steps.seen) == ("cancelled", ["hold"])
    assert "terminated by operator: now" in text
    steps.go.set()
    await asyncio.sleep(0.05)
    assert kinds(await run.entries())[-1] == "ended"


async def test_cancelling_survives_a_kill_at_every_boundary() -> None:
    app = App("memory://")

    @app.tool(effect="write")
    async def undo() -> str:
        return "undone"

    @app.agent("waiter")
    async def waiter(run: Run) -> str:
        try:
            return await run.receive("word", str)
        except RunCancelled:
            with run.shield():
                await run.call(undo)
                await run.sleep(timedelta(hours=1))
            raise

    async def cancel(world: App, run: Handle) -> None:
        await until_waiting(world, run, "signal")
        await world.cancel(run.id, reason="enough")

    trials = await survives(app, waiter, outside=cancel)

    assert len(trials) > 15
    assert {(t.status, t.error) for t in trials} == {
        ("cancelled", "RunCancelled: cancelled by operator: enough")
    }


# pausing, deadlines --------------------------------------------------------------------------------------------


async def test_a_paused_run_holds_at_its_next_step_until_it_is_resumed(app: App) -> None:
    steps = Steps()

    @app.agent("worker")
    async def worker(run: Run) -> str:
        await run.step("hold", steps.hold)
        return await run.step("after", steps.do, "after")

    run = await app.start(worker)
    await steps.inside.wait()
    await app.pause(run.id)
    await until(lambda: kinds_of(run, "message"), "the pause is heard")
    steps.go.set()
    await until_waiting(app, run, "paused")
    assert steps.seen == ["hold"]

    await app.resume(run.id)
    assert await run.result() == "after"
    assert steps.seen == ["hold", "after"]


async def kinds_of(run: Handle, kind: str) -> bool:
    return kind in kinds(await run.entries())


async def test_a_pause_outlives_the_worker() -> None:
    app = App("memory://")
    seen: list[str] = []

    async def step(what: str) -> str:
        seen.append(what)
        return what

    @app.agent("worker")
    async def worker(run: Run) -> str:
        await run.receive("word", str)
        return await run.step("after", step, "after")

    async def steer(world: App, run: Handle) -> None:
        await world.pause(run.id)
        await world.signal(run.id, "word", "go", message_id="m1")
        await until_waiting(world, run, "paused")
        assert seen == []
        await world.resume(run.id)

    trial = await kill_at(app, worker, None, Boundary("after", "message"), outside=steer)
    assert trial.result == "after"


async def test_a_run_is_cancelled_at_its_deadline(app: App) -> None:
    @app.agent("waiter")
    async def waiter(run: Run) -> str:
        return await run.receive("word", str)

    run = await app.start(waiter, deadline=timedelta(seconds=0.2))
    status, text = await status_of(run)
    assert status == "cancelled"
    assert "cancelled by deadline: the run's deadline has passed" in text


async def test_a_deadline_passes_while_a_step_is_under_way(app: App) -> None:
    steps = Steps()

    @app.agent("busy")
    async def busy(run: Run) -> str:
        await run.step("hold", steps.hold)
        return await run.step("after", steps.do, "after")

    run = await app.start(busy, deadline=timedelta(seconds=0.2))
    await steps.inside.wait()
    await until(lambda: kinds_of(run, "message"), "the deadline is heard")
    steps.go.set()
    assert (await status_of(run))[0] == "cancelled"
    assert steps.seen == ["hold"]


# programs that changed -----------------------------------------------------------------------------------------


async def greeting() -> str:
    return "hello"


async def old(run: Run) -> list[Any]:
    first = await run.step("greet", greeting)
    return [first, await run.receive("word", str), await run.step("bye", greeting)]


async def renamed(run: Run) -> list[Any]:
    first = await run.step("salute", greeting)
    return [first, await run.receive("word", str)]


async def without(run: Run) -> list[Any]:
    return [await run.receive("word", str)]


async def inserted(run: Run) -> list[Any]:
    await run.step("new", greeting)
    return await old(run)


async def other_arguments(run: Run) -> list[Any]:
    first = await run.step("greet", lambda _: "hello", 1)
    return [first, await run.receive("word", str)]


async def shorter(run: Run) -> list[Any]:
    return []


@pytest.mark.parametrize(
    ("changed", "recorded", "requested"),
    [
        (renamed, "greet", "salute"),
        (without, "greet", "word"),
        (inserted, "greet", "new"),
        (other_arguments, "greet", "greet"),
        (shorter, "greet", None),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
async def test_a_changed_program_waits_and_goes_on_with_the_old_code(
    store_url: str, changed: Any, recorded: str, requested: str | None
) -> None:

    def deployed(function: Any) -> App:
        app = App(store_url)
        app.agent("changing")(function)
        return app

    async with deployed(old) as app:
        run = await app.start("changing", run_id="r1")
        await until_waiting(app, run, "signal")

    async with deployed(changed) as app:
        run = await app.handle("r1")
        await run.signal("word", "go")
        await until_waiting(app, run, "nondeterministic")
        entries = await run.entries()
        mismatch = json.loads(entries[-1].payload)
        assert entries[-1].kind == Kind.MISMATCH
        assert mismatch["recorded"]["step"] == recorded
        assert mismatch["recorded"]["entry"] == 3
        assert mismatch["requested"]["step"] == requested
        assert "result" not in kinds(entries[4:]), "something went live on a program that does not replay"
        await app.resume("r1")
        await until(lambda: claims(run, 3), "it was tried again")
        await until_waiting(app, run, "nondeterministic")
        assert kinds(await run.entries()).count("mismatch") == 1, "the same is said once"

    async with deployed(old) as app:
        await app.resume("r1")
        assert await (await app.handle("r1")).result() == ["hello", "go", "hello"]


async def claims(run: Handle, count: int) -> bool:
    return kinds(await run.entries()).count("claimed") >= count


async def test_another_version_waits_for_its_own_worker(store_url: str) -> None:
    first, second = App(store_url), App(store_url)
    first.agent("changing", version="1")(old)
    second.agent("changing", version="2")(renamed)
    async with first:
        run = await first.start("changing", run_id="r1")
        await until_waiting(first, run, "signal")
    async with second:
        await second.signal("r1", "word", "go")
        fresh = await second.start("changing", run_id="r2")
        await until_waiting(second, fresh, "signal")
        assert (await (await second.handle("r1")).record()).epoch == 1
    async with first:
        assert await (await first.handle("r1")).result() == ["hello", "go", "hello"]
