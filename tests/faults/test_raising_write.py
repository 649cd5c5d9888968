"""F21: a write that raises after its request was sent, and the user's own loop that tries again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import CANNOT_TELL, DID_NOT_HAPPEN, Agent, App, EffectKey, Handle, Happened, NotDone, Retry, Run
from perdure.testing import Boundary, kill_at, survives
from tests.faults.processes import kinds, until
from tests.faults.receiver import Receiver, receiving


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def desk(app: App, receiver: Receiver, *, verify: bool, effect: Any = "write") -> Agent:
    """An agent whose author wrote a retry loop, as people do."""

    def was_paid(order: str, key: EffectKey) -> object:
        receipt = receiver.find(key)
        return DID_NOT_HAPPEN if receipt is None else Happened(receipt)

    @app.tool(effect=effect, verify=was_paid if verify else None, retry=Retry.NEVER)
    def pay(order: str, key: EffectKey) -> str:
        return receiver.post(order, key)

    @app.agent("desk")
    async def desk(run: Run, order: str) -> list[str]:
        tries = []
        for _ in range(3):
            try:
                return [*tries, await run.call(pay, order)]
            except (TimeoutError, ConnectionError) as error:
                tries.append(type(error).__name__)
        return [*tries, "gave up"]

    return desk


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url)


async def in_doubt(run: Handle) -> bool:
    record = await run.record()
    return record.status == "waiting" and "in_doubt" in record.reasons


async def trail(run: Handle, step: str = "pay") -> list[str]:
    return kinds(await run.entries(), step)


async def test_a_timeout_after_the_request_was_booked_is_verified(app: App, receiver: Receiver) -> None:
    receiver.manners = ["hang"]
    async with app:
        run = await app.start(desk(app, receiver, verify=True), "book", run_id="r1")
        assert await run.result() == ["receipt 1 for book"]
        assert await trail(run) == ["intent", "unknown", "settled", "result"]
        unknown = next(json.loads(e.payload) for e in await run.entries() if kinds([e]) == ["unknown"])
    assert "TimeoutError" in unknown["why"]
    assert receiver.requests == ["r1/pay"]
    assert len(receiver.payments) == 1


async def test_a_timeout_before_it_was_booked_is_raised_and_tried_again_with_the_same_key(
    app: App, receiver: Receiver
) -> None:
    receiver.manners = ["lose", "lose"]
    async with app:
        run = await app.start(desk(app, receiver, verify=True), "book", run_id="r1")
        assert await run.result() == ["TimeoutError", "TimeoutError", "receipt 1 for book"]
        assert await trail(run) == ["intent", "unknown", "settled", "failed"]
        assert await trail(run, "pay:3") == ["intent", "result"]
    assert receiver.requests == ["r1/pay"] * 3
    assert len(receiver.payments) == 1


@pytest.mark.parametrize(("booked", "answer"), [("hang", True), ("hang", False), ("lose", False)])
async def test_without_verify_a_human_settles_and_a_second_try_has_the_same_key(
    app: App, receiver: Receiver, booked: str, answer: bool
) -> None:
    """Also where the human is wrong: the receiver knows the key."""
    receiver.manners = [booked]
    async with app:
        run = await app.start(desk(app, receiver, verify=False), "book", run_id="r1")
        await until(lambda: in_doubt(run), "it is in doubt")
        assert receiver.requests == ["r1/pay"]
        await app.settle("r1", "pay", happened=answer, result="receipt 1 for book" if answer else None)
        result = await run.result()
    assert result == (["receipt 1 for book"] if answer else ["TimeoutError", "receipt 1 for book"])
    assert receiver.requests == ["r1/pay"] * (1 if answer else 2)
    assert len(receiver.payments) == 1


async def test_a_refused_connection_proves_that_nothing_was_sent(app: App, receiver: Receiver) -> None:
    agent = desk(app, receiver, verify=False)
    receiver.address = ("127.0.0.1", 1)
    async with app:
        run = await app.start(agent, "book")
        assert await run.result() == ["ConnectionRefusedError"] * 3 + ["gave up"]
        assert await trail(run) == ["intent", "failed"]


async def test_an_idempotent_tool_raises_at_once_and_keeps_its_key(app: App, receiver: Receiver) -> None:
    receiver.manners = ["hang", "lose"]
    async with app:
        run = await app.start(desk(app, receiver, verify=False, effect="idempotent"), "book", run_id="r1")
        assert await run.result() == ["TimeoutError", "TimeoutError", "receipt 1 for book"]
        assert await trail(run) == ["intent", "failed"]
    assert receiver.requests == ["r1/pay"] * 3
    assert len(receiver.payments) == 1


async def test_a_tool_that_says_that_it_was_not_done_is_believed(app: App) -> None:
    @app.tool(effect="write")
    async def send() -> None:
        raise NotDone("the mailbox is full")

    @app.agent("sender")
    async def sender(run: Run) -> str:
        try:
            await run.call(send)
        except NotDone as error:
            return str(error)
        return "sent"

    async with app:
        run = await app.start(sender)
        assert await run.result() == "the mailbox is full"
        assert await trail(run, "send") == ["intent", "failed"]


async def test_a_write_cut_off_by_its_own_timeout_is_in_doubt(app: App) -> None:
    done: list[str] = []

    def was_sent(to: str) -> object:
        return Happened("by verify") if done else CANNOT_TELL

    @app.tool(effect="write", verify=was_sent, timeout=timedelta(seconds=0.1))
    async def send(to: str) -> str:
        done.append(to)
        await asyncio.Event().wait()
        return "never"

    @app.agent("sender")
    async def sender(run: Run) -> str:
        return await run.call(send, "ada")

    async with app:
        run = await app.start(sender)
        assert await run.result() == "by verify"
        assert await trail(run, "send") == ["intent", "unknown", "settled", "result"]
    assert done == ["ada"]


async def test_a_write_that_lost_a_race_is_settled_before_the_race_is_over(app: App) -> None:
    done: list[str] = []
    asked: list[str] = []

    def was_sent(to: str) -> object:
        asked.append(to)
        return Happened("by verify")

    @app.tool(effect="write", verify=was_sent)
    async def send(to: str) -> str:
        done.append(to)
        await asyncio.Event().wait()
        return "never"

    @app.agent("racer")
    async def racer(run: Run) -> int:
        winner = await run.first(run.call(send, "ada"), run.sleep(0.1))
        return winner.which

    async with app:
        run = await app.start(racer)
        assert await run.result() == 1
        assert await trail(run, "first.0/send") == ["intent", "unknown", "settled", "result"]
    assert (done, asked) == (["ada"], ["ada"])


async def test_the_key_is_the_same_when_a_crash_lies_between_two_tries(receiver: Receiver) -> None:
    app = App("memory://")
    agent = desk(app, receiver, verify=True)
    receiver.manners = ["lose"]

    trial = await kill_at(app, agent, "book", Boundary("before", "intent", "pay:2"))

    assert trial.result == ["TimeoutError", "receipt 1 for book"]
    assert receiver.requests == ["trial/pay", "trial/pay"]
    assert len(receiver.payments) == 1


async def test_one_payment_whatever_the_boundary_at_which_the_worker_dies(receiver: Receiver) -> None:
    app = App("memory://")
    agent = desk(app, receiver, verify=True)

    def anew() -> None:
        receiver.payments.clear()
        receiver.manners = ["hang"]

    trials = await survives(app, agent, "book", setup=anew)

    assert len(trials) > 8
    assert len(receiver.payments) == 1
    assert {tuple(t.result) for t in trials} == {("receipt 1 for book",)}
