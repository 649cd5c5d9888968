"""What a run has done is undone in reverse, durably; what could not be is listed, reported, and told to somebody."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, ConfigError, EffectKey, Happened, Instead, NotDone, Retry, Run, RunStatus
from perdure.testing import SkippingClock, survives

QUICK = Retry(attempts=3, first=timedelta())


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


class World:
    """What was booked, and what refuses to be cancelled."""

    def __init__(self, app: App) -> None:
        self.log: list[str] = []
        self.refuses: list[BaseException] = []
        self.flight = app.tool(compensate=self.cancel, retry=QUICK, name="flight")(self.book)
        self.hotel = app.tool(compensate=self.cancel, name="hotel")(self.book)

    def book(self, what: str) -> str:
        self.log.append(f"+{what}")
        return f"booked {what}"

    def cancel(self, what: str) -> None:
        if what == "flight" and self.refuses:
            raise self.refuses.pop(0)
        self.log.append(f"-{what}")


def traveller(app: App, world: World, **options: Any) -> Any:
    @app.agent("traveller", **options)
    async def travel(run: Run) -> None:
        await run.call(world.flight, "flight")
        await run.call(world.hotel, "hotel")
        raise ValueError("no car left")

    return travel


async def test_a_failure_undoes_what_was_done_the_last_first(app: App) -> None:
    world = World(app)
    run = await app.start(traveller(app, world, on_failure={"permanent": "compensate"}))
    ending = await run.ending()
    assert world.log == ["+flight", "+hotel", "-hotel", "-flight"]
    assert (ending.status, ending.undone) == (
        RunStatus.FAILED,
        {"done": ["hotel", "flight"], "left": []},
    )


async def test_an_undoing_that_fails_for_the_moment_is_tried_again(app: App) -> None:
    world = World(app)
    world.refuses = [ConnectionResetError("gone"), TimeoutError("slow")]
    run = await app.start(traveller(app, world, on_failure={"permanent": "compensate"}))
    assert (await run.ending()).status is RunStatus.FAILED
    assert world.log[-1] == "-flight"


async def test_what_cannot_be_undone_is_listed_and_handed_to_somebody(app: App) -> None:
    world = World(app)
    world.refuses = [PermissionError("not refundable")]
    run = await app.start(traveller(app, world, on_failure={"permanent": "compensate"}))
    ending = await run.ending()
    assert world.log == ["+flight", "+hotel", "-hotel"]
    assert ending.status is RunStatus.ESCALATED
    assert ending.why == "ValueError: no car left; `flight` could not be undone"
    assert ending.undone == {
        "done": ["hotel"],
        "left": [
            {
                "step": "flight",
                "tool": "flight",
                "arguments": {"what": "flight"},
                "error": "PermissionError: not refundable",
            }
        ],
    }
    (o,) = await app.escalations()
    assert "flight: PermissionError: not refundable" in o.notice.body


async def test_a_cancellation_may_undo_what_was_done(app: App) -> None:
    world = World(app)
    world.refuses = [PermissionError("not refundable")]

    @app.agent("traveller")
    async def travel(run: Run) -> None:
        await run.call(world.flight, "flight")
        await run.call(world.hotel, "hotel")
        await run.receive("leave")

    run = await app.start(travel)
    while (await run.status()) is not RunStatus.WAITING:
        await app.store.changed(app.store.changes(), within=0.05)
    with pytest.raises(ConfigError, match="nothing of it can be undone"):
        await app.cancel(run.id, terminate=True, compensate=True)
    await run.cancel(reason="not any more", compensate=True)
    ending = await run.ending()
    assert ending.status is RunStatus.CANCELLED
    assert ((ending.undone or {})["done"], len((ending.undone or {})["left"])) == (["hotel"], 1)
    (o,) = await app.escalations()
    assert o.notice.run == run.id


async def test_a_cancellation_that_does_not_ask_for_it_undoes_nothing(quick: App) -> None:
    world = World(quick)

    @quick.agent("traveller")
    async def travel(run: Run) -> None:
        await run.call(world.flight, "flight")
        await run.receive("leave")

    run = await quick.start(travel)
    await run.cancel()
    ending = await run.ending()
    assert (ending.status, ending.undone) == (RunStatus.CANCELLED, None)
    assert "-flight" not in world.log


async def test_a_saga_survives_every_kill() -> None:
    app = App("memory://", clock=SkippingClock())
    booked: set[str] = set()

    def verify(what: str, key: EffectKey) -> Any:
        return Happened("booked") if key in booked else NotDone

    async def cancel(what: str) -> None:
        booked.discard(what)

    @app.tool(effect="idempotent", compensate=cancel)
    def book(what: str) -> str:
        booked.add(what)
        return "booked"

    @app.agent("traveller", on_failure={"permanent": "compensate"})
    async def travel(run: Run) -> None:
        await run.call(book, "flight")
        await run.call(book, "hotel")
        raise ValueError("no car left")

    trials = await survives(app, travel)
    assert {t.status for t in trials} == {RunStatus.FAILED}
    assert booked == set()


async def test_what_happened_is_undone_though_its_caller_was_cancelled_meanwhile(quick: App) -> None:
    log: list[str] = []
    began, may_end = asyncio.Event(), asyncio.Event()

    @quick.tool(
        verify=lambda what: Happened("booked"), compensate=lambda what: log.append(f"-{what}"), name="book"
    )
    async def book(what: str) -> str:
        log.append(f"+{what}")
        began.set()
        await may_end.wait()
        return "booked"

    @quick.agent("races")
    async def races(run: Run) -> Any:
        async def quickly() -> str:
            await run.step("wait", began.wait)
            return "quick"

        won = await run.first(run.call(book, "flight"), quickly())
        undone = await run.compensate()
        return [won.value, list(undone.done)]

    run = await quick.start(races)
    assert await run.result() == ["quick", ["first.0/book"]]
    assert log == ["+flight", "-flight"]


async def test_a_result_that_could_not_be_kept_is_undone(quick: App) -> None:
    log: list[str] = []

    @quick.tool(compensate=lambda what: log.append(f"-{what}"), name="book")
    def book(what: str) -> Any:
        return object()

    @quick.agent("traveller", on_failure={"permanent": "compensate"})
    async def travel(run: Run) -> None:
        await run.call(book, "flight")

    assert (await (await quick.start(travel)).ending()).status is RunStatus.FAILED
    assert log == ["-flight"]


async def test_what_a_fallback_did_is_undone_by_the_fallback(quick: App) -> None:
    log: list[str] = []

    def fails(what: str) -> str:
        raise NotDone("full")

    @quick.tool(compensate=lambda what: log.append(f"-train {what}"), name="train")
    def train(what: str) -> str:
        return f"train {what}"

    flight = quick.tool(compensate=lambda what: log.append("-flight"), fallback=train, name="flight")(fails)
    shown = quick.tool(compensate=lambda what: log.append("-shown"), fallback=Instead("none"), name="shown")(
        fails
    )

    @quick.agent("traveller")
    async def travel(run: Run) -> Any:
        got = [await run.call(flight, "north"), await run.call(shown, "south")]
        return [*got, bool(await run.compensate())]

    assert await (await quick.start(travel)).result() == ["train north", "none", True]
    assert log == ["-train north"]
