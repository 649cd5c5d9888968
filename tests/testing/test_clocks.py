"""The clocks of tests are tested: a wait must neither hang nor end early."""

import asyncio

import pytest

from perdure.testing import ManualClock, SkippingClock

SECOND = 1_000_000
DAY = 86_400 * SECOND


def waiting(
    clock: ManualClock | SkippingClock, *, until: int | None
) -> tuple[asyncio.Event, asyncio.Task[None]]:
    event = asyncio.Event()
    return event, asyncio.create_task(asyncio.wait_for(clock.wait(event, until=until), 10))


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_manual_clock_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(5)
    assert (clock.micros(), clock.monotonic()) == (5, 0.0)

    clock.advance(1.5)

    assert (clock.micros(), clock.monotonic()) == (5 + 3 * SECOND // 2, 1.5)
    with pytest.raises(ValueError, match="`-1` seconds"):
        clock.advance(-1)


async def test_a_manual_clock_ends_the_waits_whose_time_has_come() -> None:
    clock = ManualClock()
    _, soon = waiting(clock, until=clock.micros() + SECOND)
    _, late = waiting(clock, until=clock.micros() + 3 * SECOND)
    event, ever = waiting(clock, until=None)
    await turns()
    assert not soon.done()

    clock.advance(1)
    await soon
    await turns()
    assert not late.done()
    clock.advance(2)
    await late
    assert not ever.done()
    event.set()
    await ever


async def test_a_manual_clock_ends_a_wait_on_its_event() -> None:
    clock = ManualClock()
    event, task = waiting(clock, until=clock.micros() + SECOND)
    await turns()
    event.set()
    await task
    async with asyncio.timeout(10):
        await clock.wait(event, until=clock.micros() + SECOND)
        await clock.wait(asyncio.Event(), until=clock.micros())
    assert clock.monotonic() == 0


async def test_a_skipping_clock_jumps_to_the_time_waited_for() -> None:
    clock = SkippingClock()
    start = clock.micros()

    async with asyncio.timeout(30):
        await clock.wait(asyncio.Event(), until=start + 3 * DAY)

    assert clock.micros() == start + 3 * DAY
    assert clock.monotonic() == 3 * 86_400
    clock.advance(2)
    assert clock.micros() == start + 3 * DAY + 2 * SECOND
    await clock.wait(asyncio.Event(), until=start)
    assert clock.micros() == start + 3 * DAY + 2 * SECOND


async def test_a_skipping_clock_ends_the_earliest_wait_first() -> None:
    clock = SkippingClock()
    ended: list[tuple[int, int]] = []
    start = clock.micros()

    async def wait(days: int) -> None:
        await clock.wait(asyncio.Event(), until=start + days * DAY)
        ended.append((days, (clock.micros() - start) // DAY))

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for days in (3, 1, 2, 1):
            group.create_task(wait(days))

    assert ended == [(1, 1), (1, 1), (2, 2), (3, 3)]


async def test_a_skipping_clock_does_not_overtake_work_in_flight() -> None:
    clock = SkippingClock(turns=0, settle=10)
    start = clock.micros()
    event, task = waiting(clock, until=start + DAY)
    loop = asyncio.get_running_loop()
    await turns()
    assert not task.done()

    await asyncio.to_thread(loop.call_soon_threadsafe, event.set)
    await task

    assert clock.micros() == start


async def test_a_skipping_clock_waits_for_ever_without_a_time() -> None:
    clock = SkippingClock()
    event, task = waiting(clock, until=None)
    await clock.wait(asyncio.Event(), until=clock.micros() + DAY)
    assert not task.done()
    event.set()
    await task


async def test_a_cancelled_wait_leaves_the_others_alone() -> None:
    clock = SkippingClock(settle=0)
    _, first = waiting(clock, until=clock.micros() + DAY)
    _, then = waiting(clock, until=clock.micros() + 2 * DAY)
    await asyncio.sleep(0)

    first.cancel()
    await then

    assert clock.monotonic() == 2 * 86_400
