"""Rate limits: never more than the rate, in order, over all takers; and what a taker is told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from perdure import ConfigError, FailureClass, LimitFull, Rate
from perdure.governance import Limits, Take
from perdure.governance.rate import place
from perdure.journal import Store
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.runtime.replay.failure import again, failure_of
from perdure.testing import ManualClock

SECOND = 1_000_000
NANOS = 1_000_000_000

OpenStore = Callable[[], Awaitable[Store]]


class TestRates:
    @pytest.mark.parametrize(
        ("text", "rate"),
        [
            ("10/s", Rate(10)),
            ("100/min", Rate(100, per=timedelta(minutes=1))),
            ("1000/h", Rate(1000, per=timedelta(hours=1))),
            (" 5000 / day ", Rate(5000, per=timedelta(days=1))),
            ("3/10s", Rate(3, per=timedelta(seconds=10))),
        ],
    )
    def test_as_text(self, text: str, rate: Rate) -> None:
        assert Rate.of(text) == rate
        assert Rate.of(str(rate)) == rate
        assert Rate.of(rate) is rate

    @pytest.mark.parametrize("text", ["", "10", "ten/s", "10/fortnight", "-1/s", "10/", "1.5/s"])
    def test_text_that_is_none(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"10/s"):
            Rate.of(text)

    @pytest.mark.parametrize(
        ("count", "per", "burst"),
        [
            (0, timedelta(seconds=1), None),
            (1, timedelta(), None),
            (5, timedelta(seconds=1), 6),
            (5, timedelta(seconds=1), 0),
        ],
    )
    def test_numbers_that_make_no_sense(self, count: int, per: timedelta, burst: int | None) -> None:
        with pytest.raises(ConfigError):
            Rate(count, per=per, burst=burst)


@example(3, 1, 1, [0] * 9)  # a third of a second is no whole number of nanoseconds
@example(7, 1, 3, [0] * 30)
@given(
    st.integers(1, 50),
    st.integers(1, 100),
    st.integers(1, 10),
    st.lists(st.integers(0, 3 * NANOS), min_size=1, max_size=200),
)
def test_never_more_than_the_rate(count: int, seconds: int, burst: int, gaps: list[int]) -> None:
    """However they come: in no time of the length `per` are there more than the rate and its burst allow."""
    rate = Rate(count, per=timedelta(seconds=seconds), burst=min(burst, count))
    now, used, places = 0, None, list[int]()
    for gap in gaps:
        now += gap
        at, used = place(used, rate, now, 1)
        assert at >= now
        places.append(at)
    assert places == sorted(places), "nobody is overtaken"
    most = count + min(burst, count) - 1
    for first, beyond in zip(places, places[most:], strict=False):
        assert beyond - first >= seconds * NANOS


@given(st.integers(1, 1000), st.integers(1, 10), st.lists(st.integers(1, 20), min_size=2, max_size=50))
def test_who_takes_more_is_waited_for(count: int, burst: int, costs: list[int]) -> None:
    rate = Rate(count, burst=min(burst, count))
    used, places = None, list[int]()
    for cost in costs:
        at, used = place(used, rate, 0, cost)
        places.append(at)
    room = (min(burst, count) - 1) * rate.interval
    paid = 0
    for at, cost in zip(places, costs, strict=True):
        assert at == max(0, paid - room)
        paid += cost * rate.interval


def test_a_quiet_time_gives_no_more_than_the_burst() -> None:
    rate = Rate(10, burst=3)
    used: int | None = None
    _, used = place(used, rate, 0, 1)
    later = 3600 * NANOS
    places = list[int]()
    for _ in range(5):
        at, used = place(used, rate, later, 1)
        places.append(at - later)
    assert places == [0, 0, 0, NANOS // 10, 2 * NANOS // 10]


class TestTakes:
    @pytest.fixture
    async def two(self, opening: OpenStore) -> list[Store]:
        return [await opening(), await opening()]

    async def test_a_place_in_the_queue_over_all_workers(self, two: list[Store], clock: ManualClock) -> None:
        one, other = (Limits(store) for store in two)
        now = two[0].now()
        assert await one.take("t", "tool:pay", Rate(4)) is None
        assert await other.take("t", "tool:pay", Rate(4)) == now + SECOND // 4
        assert await one.take("t", "tool:pay", Rate(4)) == now + SECOND // 2
        clock.advance(0.75)
        assert await other.take("t", "tool:pay", Rate(4)) is None

    async def test_all_at_once_get_places_of_their_own(self, two: list[Store]) -> None:
        limits = [Limits(store) for store in two]
        now = two[0].now()
        takes = [limits[n % 2].take("t", "tool:pay", Rate(1000)) for n in range(100)]
        places = sorted(at or now for at in await asyncio.gather(*takes))
        assert places == [now + n * 1000 for n in range(100)]

    async def test_limits_of_their_own(self, two: list[Store]) -> None:
        limits = Limits(two[0])
        assert await limits.take("t", "tool:pay", Rate(1)) is None
        assert await limits.take("t", "tool:mail", Rate(1)) is None
        assert await limits.take("u", "tool:pay", Rate(1)) is None
        assert await limits.take("t", "tool:pay", Rate(1)) is not None

    async def test_a_rate_that_was_changed_holds_at_once(self, two: list[Store]) -> None:
        limits, now = Limits(two[0]), two[0].now()
        await limits.take("t", "tool:pay", Rate(1))
        assert await limits.take("t", "tool:pay", Rate(100)) == now + SECOND
        assert await limits.take("t", "tool:pay", Rate(100)) == now + SECOND + SECOND // 100

    async def test_several_limits_the_slowest_decides(self, two: list[Store]) -> None:
        limits, now = Limits(two[0]), two[0].now()
        takes = [Take("tool:pay", Rate(1)), Take("tenant", Rate(10), cost=2)]
        assert await limits.take_all("t", takes) is None
        assert await limits.take_all("t", takes) == now + SECOND
        # The faster one has counted both, each where it would have let it go.
        assert await limits.take("t", "tenant", Rate(10)) == now + 4 * SECOND // 10

    async def test_one_of_another_tenant(self, two: list[Store]) -> None:
        """The key of a model's provider is shared, whoever calls."""
        limits = Limits(two[0])
        everybodys = Take("model:m", Rate(1), tenant="*")
        assert await limits.take_all("t", [everybodys]) is None
        assert await limits.take_all("u", [everybodys]) is not None

    async def test_a_queue_that_is_too_long_is_refused_and_grows_no_more(self, two: list[Store]) -> None:
        limits, now = Limits(two[0], most_wait=timedelta(seconds=2)), two[0].now()
        slow, fast = Take("slow", Rate(1)), Take("fast", Rate(100))
        for at in (None, now + SECOND, now + 2 * SECOND):
            assert await limits.take_all("t", [slow]) == at
        for _ in range(2):
            with pytest.raises(LimitFull, match=r"limit `slow` has a queue until") as raised:
                await limits.take_all("t", [fast, slow])
            assert raised.value.until == now + 3 * SECOND
            assert raised.value.retry_after == 1
        assert await limits.take_all("t", [fast]) is None, "all or none"

    async def test_what_is_refused_was_not_sent(self, two: list[Store]) -> None:
        limits = Limits(two[0], most_wait=timedelta())
        await limits.take("t", "slow", Rate(1))
        with pytest.raises(LimitFull) as raised:
            await limits.take("t", "slow", Rate(1))
        for error in (raised.value, again(failure_of(raised.value))):
            found = diagnose(error)
            assert (found.failure, found.not_sent, found.retry_after) == (FailureClass.OVERLOADED, True, 1)

    async def test_takes_that_make_no_sense(self, two: list[Store]) -> None:
        limits = Limits(two[0])
        with pytest.raises(ConfigError, match="named twice"):
            await limits.take_all("t", [Take("a", Rate(1)), Take("a", Rate(1))])
        with pytest.raises(ConfigError, match="cost `0`"):
            await limits.take("t", "a", Rate(1), cost=0)
        assert await limits.take_all("t", []) is None

    async def test_it_is_forgotten_when_it_says_nothing_any_more(
        self, two: list[Store], clock: ManualClock
    ) -> None:
        store = two[0]
        await Limits(store).take("t", "tool:pay", Rate(1))
        assert await store.forget_cells("rate", before=store.now()) == 0
        clock.advance(1.1)
        assert await store.forget_cells("rate", before=store.now()) == 1
