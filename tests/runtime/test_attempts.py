"""Attempts: a call that fails is tried again by its policy, then in the ways that its owner gave."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import (
    DID_NOT_HAPPEN,
    App,
    Breaker,
    Cache,
    Cached,
    EffectKey,
    Handle,
    Instead,
    NotDone,
    Retry,
    Run,
    RunCancelled,
    RunFailed,
)
from perdure.journal import Kind
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.testing import SkippingClock, survives, until_waiting
from tests.faults.processes import until

MINUTE = timedelta(minutes=1)
STEADY = Retry(attempts=4, first=MINUTE, most=MINUTE, total=None)


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    made = App(store_url, clock=SkippingClock() if store_url.startswith("sqlite") else None)
    async with made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


class Service:
    """Fails as often as it is told, then answers."""

    def __init__(self, *failures: BaseException) -> None:
        self.failures = list(failures)
        self.asked = 0
        self.keys: list[str] = []

    def __call__(self, what: str = "") -> str:
        self.asked += 1
        if self.failures:
            raise self.failures.pop(0)
        return f"answer {self.asked}"


async def told(run: Handle, kind: Kind) -> list[dict[str, Any]]:
    return [pydantic_core.from_json(e.payload) for e in await run.entries() if e.kind == kind]


async def kinds(run: Handle, step: str) -> list[str]:
    return [Kind(e.kind).name.lower() for e in await run.entries() if e.key == step]


# trying again ----------------------------------------------------------------------------------------------------


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


async def test_another_tool_stands_in_and_the_result_says_so(app: App) -> None:
    service = Service(ValueError("broken"))

    def other(what: str) -> str:
        return f"other {what}"

    @app.tool(effect="read", fallback=other)
    def look(what: str) -> str:
        return service(what)

    @app.agent("looker")
    async def looker(run: Run) -> list[Any]:
        called = await run.called(look, "x")
        return [called.value, called.source, called.by, called.because != ""]

    run = await app.start(looker)
    assert await run.result() == ["other x", "fallback", "other", True]
    (attempt,) = await told(run, Kind.ATTEMPT)
    assert attempt["then"] == {"way": 1, "name": "other"}


async def test_if_every_way_fails_the_first_failure_is_raised_where_the_others_had_nothing(
    quick: App,
) -> None:
    service = Service(ValueError("broken"))

    @quick.tool(effect="read", fallback=[Cached(MINUTE)])
    def look(what: str) -> str:
        return service(what)

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        try:
            return await run.call(look, "x")
        except ValueError as error:
            return f"caught {error}"

    run = await quick.start(looker)
    assert await run.result() == "caught broken"


async def test_a_degraded_answer_is_the_last_way(quick: App) -> None:
    service = Service(ValueError("broken"))

    @quick.tool(effect="read", fallback=[Cached(MINUTE), Instead(lambda what: f"unknown {what}")])
    def look(what: str) -> str:
        return service(what)

    @quick.agent("looker")
    async def looker(run: Run) -> list[str]:
        called = await run.called(look, "x")
        return [called.value, called.source]

    run = await quick.start(looker)
    assert await run.result() == ["unknown x", "fallback"]


async def test_fresh_results_come_from_the_cache_and_stale_ones_only_when_the_tool_fails(app: App) -> None:
    service = Service()

    @app.tool(effect="read", cache=Cache(MINUTE, stale_if_error=timedelta(hours=1)))
    def price(of: str) -> str:
        return service(of)

    @app.agent("shop")
    async def shop(run: Run, of: str) -> list[Any]:
        called = await run.called(price, of)
        return [called.value, called.source]

    assert await (await app.start(shop, "tea")).result() == ["answer 1", "live"]
    assert await (await app.start(shop, "tea")).result() == ["answer 1", "cache"]
    assert await (await app.start(shop, "ham")).result() == ["answer 2", "live"]  # other arguments
    assert await (await app.start(shop, "tea", tenant="other")).result() == ["answer 3", "live"]
    if isinstance(app.clock, SkippingClock):
        app.clock.advance(120)
        service.failures = [ValueError("down"), ValueError("down")]
        run = await app.start(shop, "tea")
        assert await run.result() == ["answer 1", "cache"]
        assert service.asked == 4
        ended = pydantic_core.from_json((await run.entries())[-1].payload)
        assert [d["source"] for d in ended["degraded"]] == ["cache"]


# crashes ---------------------------------------------------------------------------------------------------------


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


async def test_a_run_over_the_rate_waits_as_a_row_and_keeps_its_place(quick: App) -> None:
    at: list[int] = []

    @quick.tool(effect="read", rate="1/min")
    def look(n: int) -> int:
        at.append(quick.clock.micros())
        return n

    @quick.agent("looker")
    async def looker(run: Run) -> list[int]:
        return [await run.call(look, n) for n in range(3)]

    run = await quick.start(looker)
    assert await run.result() == [0, 1, 2]
    assert [round((b - a) / 6e7) for a, b in itertools.pairwise(at)] == [1, 1]
    assert [s["reasons"] for s in await told(run, Kind.SUSPENDED)] == [["rate_limit"]] * 2
    assert [v["stage"] for v in await told(run, Kind.VERDICT)] == ["rate"] * 2


async def test_an_open_breaker_turns_calls_away_until_a_probe_succeeds(quick: App) -> None:
    service = Service(*(ConnectionResetError(str(n)) for n in range(3)))
    policy = Breaker(failures=3, within=MINUTE, open_for=MINUTE)

    @quick.tool(
        effect="read", breaker=policy, retry=Retry(attempts=8, first=timedelta(milliseconds=1), total=None)
    )
    def look() -> str:
        return service()

    @quick.agent("looker")
    async def looker(run: Run) -> str:
        return await run.call(look)

    run = await quick.start(looker)
    assert await run.result() == "answer 4"
    attempts = await told(run, Kind.ATTEMPT)
    assert [a["error"]["type"].rpartition(":")[2] for a in attempts] == ["ConnectionResetError"] * 3 + [
        "CircuitOpen"
    ]
    assert attempts[-1]["wait"] > 50  # no call goes out meanwhile
    assert ["retry"] in [s["reasons"] for s in await told(run, Kind.SUSPENDED)]


async def test_while_a_breaker_is_open_the_fallback_answers(app: App) -> None:
    service = Service(*(ConnectionResetError(str(n)) for n in range(9)))

    @app.tool(
        effect="read",
        breaker=Breaker(failures=2),
        retry=Retry(attempts=2, first=timedelta()),
        fallback=Instead("none"),
    )
    def look() -> str:
        return service()

    @app.agent("looker")
    async def looker(run: Run) -> list[str]:
        return [(await run.called(look)).source for _ in range(3)]

    run = await app.start(looker)
    assert await run.result() == ["fallback"] * 3
    assert service.asked == 2


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
