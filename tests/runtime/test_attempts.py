"""Attempts: a call that fails is tried again by its policy, then in the ways that its owner gave."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    DID_NOT_HAPPEN,
    App,
    EffectKey,
    NotDone,
    Retry,
    Run,
    RunCancelled,
    RunFailed,
)
from perdure.journal import Kind
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.testing import survives, until_waiting
from tests.faults.processes import until
from tests.runtime.services import STEADY, Service, app, kinds, quick, told

__all__ = ["app", "quick"]  # fixtures


async def test_a_read_that_fails_for_the_moment_is_tried_again_and_each_attempt_is_journaled(
    app: App,
) -> None:
    service = Service(ConnectionResetError("gone"), TimeoutError("no answer"))

    @app.tool(effect="read", retry=Retry(attempts=3, first=timedelta(milliseconds=1)))
    def look(what: str) -> str:
        return service(what)

    @app.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look, "x")

    run = await app.start(looker)
    assert await run.result() == "answer 3"
    assert await kinds(run, "look") == ["attempt", "attempt", "result"]
    attempts = await told(run, Kind.ATTEMPT)
    assert [(a["attempt"], a["class"], a["by"]) for a in attempts] == [
        (1, "transient", "look"),
        (2, "transient", "look"),
    ]
    assert attempts[0]["error"]["message"] == "gone"


async def test_a_wait_between_attempts_holds_no_worker(quick: App) -> None:
    service = Service(ConnectionResetError("gone"))

    @quick.tool(effect="read", retry=STEADY)
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look)

    quick.classify(lambda error: None)
    run = await quick.start(looker)
    assert await run.result() == "answer 2"
    suspended = await told(run, Kind.SUSPENDED)
    assert [s["reasons"] for s in suspended] in (
        [["retry"]],
        [],
    )  # a drawn wait below a second stays in memory
    (attempt,) = await told(run, Kind.ATTEMPT)
    if attempt["wait"] > 1:
        assert suspended[0]["until"] == attempt["due"]


async def test_the_last_error_is_raised_as_its_own_type(quick: App) -> None:
    service = Service(*(ConnectionResetError(f"{n}") for n in range(9)))

    @quick.tool(effect="read", retry=Retry(attempts=3, first=timedelta()))
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        try:
            return await run.call(look)
        except ConnectionResetError as error:
            return f"caught {error}"

    run = await quick.start(looker)
    assert await run.result() == "caught 2"
    assert service.asked == 3
    assert await kinds(run, "look") == ["attempt", "attempt", "failed"]


async def test_what_does_not_pass_by_itself_is_not_tried_again(quick: App) -> None:
    service = Service(ValueError("never"), ValueError("never"))

    @quick.tool(effect="read")
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look)

    run = await quick.start(looker)
    with pytest.raises(RunFailed, match="never"):
        await run.result()
    assert service.asked == 1


async def test_a_plain_step_is_tried_again_only_where_it_is_said(quick: App) -> None:
    once, twice = Service(TimeoutError("a")), Service(TimeoutError("b"))

    @quick.agent("stepper")
    async def stepper(run: Run) -> list[str]:
        found: list[str] = []
        try:
            await run.step("once", once)
        except TimeoutError as error:
            found.append(f"raised {error}")
        return [*found, await run.step("twice", twice, retry=Retry())]

    run = await quick.start(stepper)
    assert await run.result() == ["raised a", "answer 2"]


async def test_the_users_own_rule_goes_before_what_is_built_in(quick: App) -> None:
    service = Service(ValueError("busy"))

    @quick.classify
    def busy(error: BaseException) -> Any:
        return "transient" if str(error) == "busy" else None

    @quick.tool(effect="read")
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look)

    run = await quick.start(looker)
    assert await run.result() == "answer 2"


# writes ----------------------------------------------------------------------------------------------------------


async def test_a_write_that_was_not_sent_is_tried_again_under_the_same_key(app: App) -> None:
    keys: list[str] = []

    @app.tool(retry=Retry(first=timedelta(milliseconds=1)))
    def pay(cents: int, key: EffectKey) -> str:
        keys.append(key)
        if len(keys) == 1:
            raise ConnectionRefusedError("nobody listens")
        return "paid"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, 5)

    run = await app.start(payer)
    assert await run.result() == "paid"
    assert keys == [f"{app.tenant}/{run.id}/pay"] * 2 or len(set(keys)) == 1
    assert await kinds(run, "pay") == ["intent", "attempt", "intent", "result"]


async def test_a_write_in_doubt_is_verified_before_it_is_tried_again(app: App) -> None:
    sent: list[int] = []
    asked: list[int] = []

    def was_paid(cents: int) -> Any:
        asked.append(len(sent))
        return DID_NOT_HAPPEN

    @app.tool(verify=was_paid, retry=Retry(first=timedelta(milliseconds=1)))
    def pay(cents: int) -> str:
        if not sent:
            sent.append(0)
            raise TimeoutError("no answer")
        sent.append(cents)
        return "paid"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, 5)

    run = await app.start(payer)
    assert await run.result() == "paid"
    assert asked == [1]  # between the two
    assert await kinds(run, "pay") == ["intent", "unknown", "settled", "attempt", "intent", "result"]


async def test_a_write_is_not_tried_again_unless_somebody_says_so(quick: App) -> None:
    service = Service(NotDone("later"), ConnectionRefusedError("nobody"))

    @quick.tool
    def pay() -> str:
        return service()

    @quick.agent("payer")
    async def payer(run: Run) -> list[str]:
        said: list[str] = []
        for _ in range(3):
            try:
                said.append(await run.call(pay))
            except (NotDone, ConnectionRefusedError) as error:
                said.append(type(error).__name__)
        return said

    run = await quick.start(payer)
    assert await run.result() == ["NotDone", "ConnectionRefusedError", "answer 3"]


# ways out --------------------------------------------------------------------------------------------------------


async def test_a_worker_may_die_at_any_moment_of_the_attempts() -> None:
    look_up, payments = Service(), Service()

    def fail() -> None:
        look_up.failures = [ConnectionResetError("1"), ConnectionResetError("2")]
        payments.failures = [ConnectionRefusedError("nobody")]

    def other() -> str:
        return "other"

    app = App("memory://")

    @app.tool(effect="read", retry=Retry(attempts=5, first=timedelta(milliseconds=1)))
    def look() -> str:
        look_up()
        return "found"

    @app.tool(effect="read", retry=Retry.NEVER, fallback=other)
    def broken() -> str:
        raise ValueError("broken")

    @app.tool(effect="idempotent", retry=Retry(attempts=4, first=timedelta(milliseconds=1)))
    def pay() -> str:
        payments()
        return "paid"

    @app.agent("worker")
    async def worker(run: Run) -> list[str]:
        return [await run.call(look), await run.call(broken), await run.call(pay)]

    trials = await survives(app, worker, setup=fail)
    assert len(trials) > 15
    assert trials[0].result == ["found", "other", "paid"]


# cancellation ----------------------------------------------------------------------------------------------------


async def test_a_cancellation_reaches_the_tool_that_is_under_way(app: App) -> None:
    inside = asyncio.Event()
    seen: list[str] = []

    @app.tool(effect="read")
    async def listen() -> str:
        inside.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cut off")
            raise
        return "never"

    @app.agent("listener")
    async def listener(run: Run) -> str:
        try:
            return await run.call(listen)
        except RunCancelled:
            seen.append("told")
            raise

    run = await app.start(listener)
    await inside.wait()
    await app.cancel(run.id, reason="enough")
    with pytest.raises(RunFailed) as caught:
        await run.result()
    assert caught.value.status == "cancelled"
    assert seen == ["cut off", "told"]


async def test_a_write_under_way_is_not_cut_off(app: App) -> None:
    inside, go = asyncio.Event(), asyncio.Event()

    @app.tool
    async def pay() -> str:
        inside.set()
        await go.wait()
        return "paid"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay)

    run = await app.start(payer)
    await inside.wait()
    await app.cancel(run.id)

    async def heard() -> bool:
        return "message" in [Kind(e.kind).name.lower() for e in await run.entries()]

    await until(heard, "the cancellation is heard")
    go.set()
    assert await run.result() == "paid"


# what all workers share ------------------------------------------------------------------------------------------


async def test_what_the_users_rule_said_stays_true_on_replay(app: App) -> None:
    seen: list[str] = []

    @app.classify
    def closed(error: BaseException) -> Any:
        return "refused" if str(error) == "closed on sundays" else None

    @app.tool(effect="read")
    def look() -> str:
        raise ValueError("closed on sundays")

    @app.agent("looker")
    async def looker(run: Run) -> str:
        try:
            return await run.call(look)
        except ValueError as error:
            seen.append(diagnose(error).failure)
            await run.receive("go")
            return "done"

    run = await app.start(looker)
    await until_waiting(app, run, "signal")
    await run.signal("go")
    assert await run.result() == "done"
    assert seen == ["refused", "refused"]
