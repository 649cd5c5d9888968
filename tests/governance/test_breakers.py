"""Circuit breakers: their states, and that all workers share them, at no cost while all is well."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Breaker, ConfigError, Diagnosis, FailureClass, StoreUnavailable
from perdure.governance import Admitted, Breakers, BreakerState, Open
from perdure.governance.breaker import admit, after_failure, after_success, phase
from perdure.journal import Store
from perdure.testing import ManualClock

OVERLOADED = Diagnosis(FailureClass.OVERLOADED, why="HTTP 503")
POLICY = Breaker(failures=3, within=timedelta(seconds=60), open_for=timedelta(seconds=30))
SECOND = 1_000_000

OpenStore = Callable[[], Awaitable[Store]]


class TestTheStates:
    def opened(self, at: int = 0) -> BreakerState:
        state = None
        for _ in range(POLICY.failures):
            state = after_failure(state, POLICY, at, why="HTTP 503")
        assert state is not None
        return state

    def test_failures_in_a_row_open_it(self) -> None:
        one = after_failure(None, POLICY, 1)
        two = after_failure(one, POLICY, 2)
        three = after_failure(two, POLICY, 3, why="HTTP 503")
        assert [phase(s, 3) for s in (one, two, three)] == ["closed", "closed", "open"]
        assert three == BreakerState(since=3, until=3 + 30 * SECOND, count=3, why="HTTP 503")

    def test_a_success_between_begins_anew(self) -> None:
        two = after_failure(after_failure(None, POLICY, 1), POLICY, 2)
        assert after_success(two, 3) is None

    def test_failures_of_long_ago_do_not_count(self) -> None:
        two = after_failure(after_failure(None, POLICY, 0), POLICY, 59 * SECOND)
        three = after_failure(two, POLICY, 60 * SECOND)
        assert three == BreakerState((59 * SECOND, 60 * SECOND))

    def test_a_receiver_that_asks_for_longer_gets_longer(self) -> None:
        state = None
        for _ in range(3):
            state = after_failure(state, POLICY, 0, wait=100 * SECOND)
        assert state is not None and state.until == 100 * SECOND
        for _ in range(3):
            state = after_failure(None, Breaker(failures=1), 0, wait=10**15)
        assert state is not None and state.until == 3600 * SECOND

    def test_one_probe_at_a_time_and_another_when_its_time_is_over(self) -> None:
        until = 30 * SECOND
        state, goes, probes = admit(self.opened(), POLICY, until, "a")
        assert (goes, probes) == (True, True)
        assert admit(state, POLICY, until + 1, "b")[1:] == (False, False)
        late = until + 60 * SECOND
        state, goes, probes = admit(state, POLICY, late, "b")
        assert (goes, probes) == (True, True)
        # The first, whose time was over, says nothing any more; the second does.
        assert after_failure(state, POLICY, late + 1, by="a", probe=until) == state
        again = after_failure(state, POLICY, late + 1, by="b", probe=late)
        assert again is not None and (again.since, again.until, again.count) == (0, late + 1 + until, 4)

    def test_only_a_probe_closes_it(self) -> None:
        state, *_ = admit(self.opened(), POLICY, 30 * SECOND, "a")
        assert after_success(state, 31 * SECOND, by="other") == state
        assert after_success(state, 31 * SECOND, by="a", probe=30 * SECOND) is None

    def test_what_is_stored_is_read(self) -> None:
        state, *_ = admit(self.opened(), POLICY, 30 * SECOND, "a")
        assert state is not None and BreakerState.read(state.data) == state
        few = after_failure(None, POLICY, 5, why="HTTP 503")
        assert few is not None and BreakerState.read(few.data) == few
        assert BreakerState.read(b'{"until":5,"of_a_later_release":1}') == BreakerState(until=5)

    @given(
        st.lists(st.tuples(st.sampled_from("askfailok"), st.integers(0, 40 * SECOND), st.sampled_from("abc")))
    )
    def test_never_two_probes_at_once(self, happened: list[tuple[str, int, str]]) -> None:
        state: BreakerState | None = None
        now, probing = 0, dict[str, int]()
        for what, passed, by in happened:
            now += passed
            if what in "ask":
                state, goes, probes = admit(state, POLICY, now, by)
                if probes:
                    assert all(now >= at + 60 * SECOND for at in probing.values())
                    probing = {by: now}
                assert goes == probes or phase(state, now) == "closed"
            elif what in "fail":
                state = after_failure(state, POLICY, now, by=by, probe=probing.pop(by, None))
            else:
                state = after_success(state, now, by=by, probe=probing.pop(by, None))
            if phase(state, now) != "half_open":
                probing = {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"failures": 0}, "failures `0`"),
        ({"open_for": timedelta()}, "`open_for`"),
        ({"within": 60}, "`within` of a breaker is `60`"),
        ({"probe": timedelta(days=2)}, "`probe`"),
        ({"on": ["hopeless"]}, "hopeless"),
    ],
)
def test_numbers_that_make_no_sense(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Breaker(**arguments)


class Worker:
    """One process, as far as breakers are concerned."""

    def __init__(self, store: Store, clock: ManualClock, name: str) -> None:
        self.store, self.name, self.calls = store, name, 0
        self.breakers = Breakers(store, clock)

    async def ask(self) -> Admitted | Open:
        self.calls += 1
        return await self.breakers.admit("t", "model:m", POLICY, by=f"{self.name}-{self.calls}")

    async def goes(self) -> Admitted:
        verdict = await self.ask()
        assert isinstance(verdict, Admitted), verdict
        return verdict

    async def away(self) -> Open:
        verdict = await self.ask()
        assert isinstance(verdict, Open), verdict
        return verdict

    async def fail(self, times: int = 1, diagnosis: Diagnosis = OVERLOADED) -> None:
        for _ in range(times):
            await self.breakers.failed(await self.goes(), diagnosis)


@pytest.fixture
async def two(opening: OpenStore, clock: ManualClock) -> list[Worker]:
    return [Worker(await opening(), clock, name) for name in ("a", "b")]


class TestShared:
    async def test_what_one_opens_the_other_sees_within_a_second(
        self, two: list[Worker], clock: ManualClock
    ) -> None:
        one, other = two
        before = await other.goes()
        await one.fail(3)
        turned = await one.away()
        assert (turned.name, turned.failures, turned.why) == ("model:m", 3, "HTTP 503")
        assert turned.until - turned.since == 30 * SECOND
        clock.advance(1)
        assert await other.away() == turned
        # What it had begun before the opening says nothing.
        await other.breakers.succeeded(before)
        await other.breakers.failed(before, OVERLOADED)
        assert await other.away() == turned

    async def test_failures_of_all_count_together(self, two: list[Worker], clock: ManualClock) -> None:
        one, other = two
        await one.fail(2)
        await other.fail(1)
        assert await other.away()

    async def test_half_open_one_probes_and_its_success_is_everybodys(
        self, two: list[Worker], clock: ManualClock
    ) -> None:
        one, other = two
        await one.fail(3)
        clock.advance(30)
        probe = await one.goes()
        assert probe.probe is not None
        turned = await other.away()
        assert turned.until == other.store.now() + 5 * SECOND
        assert await one.away()
        await one.breakers.succeeded(probe)
        assert (await one.goes()).probe is None
        clock.advance(1)
        assert (await other.goes()).probe is None
        assert await one.breakers.ls() == []

    async def test_a_probe_that_fails_keeps_it_open(self, two: list[Worker], clock: ManualClock) -> None:
        one, other = two
        await one.fail(3)
        opened = await one.away()
        clock.advance(30)
        await one.breakers.failed(await one.goes(), OVERLOADED)
        clock.advance(1)
        turned = await other.away()
        assert (turned.since, turned.failures) == (opened.since, 4)
        assert turned.until == opened.until + 30 * SECOND

    async def test_a_probe_that_dies_is_given_to_another(self, two: list[Worker], clock: ManualClock) -> None:
        one, other = two
        await one.fail(3)
        clock.advance(30)
        await one.goes()
        clock.advance(59)
        assert await other.away()
        clock.advance(1)
        assert (await other.goes()).probe is not None

    @pytest.mark.parametrize("failure", FailureClass)
    async def test_which_failures_count(
        self, two: list[Worker], clock: ManualClock, failure: FailureClass
    ) -> None:
        one, _ = two
        counts = failure in (FailureClass.TRANSIENT, FailureClass.OVERLOADED)
        await one.fail(3, Diagnosis(failure))
        assert isinstance(await one.ask(), Open if counts else Admitted)

    async def test_an_answer_of_any_kind_clears_what_was_counted(self, two: list[Worker]) -> None:
        one, _ = two
        await one.fail(2)
        await one.fail(1, Diagnosis(FailureClass.INVALID_OUTPUT))
        await one.fail(2)
        await one.goes()

    async def test_a_probe_that_ends_in_a_mistake_of_ours_is_given_to_the_next(
        self, two: list[Worker], clock: ManualClock
    ) -> None:
        one, other = two
        await one.fail(3)
        clock.advance(30)
        await one.breakers.failed(await one.goes(), Diagnosis(FailureClass.PERMANENT, why="a KeyError"))
        assert (await other.goes()).probe is not None

    async def test_an_operator_sees_it_and_closes_it(
        self, two: list[Worker], clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        one, other = two
        with caplog.at_level(logging.WARNING):
            await one.fail(3)
        assert "breaker `model:m` of tenant t is open" in caplog.text
        (record,) = await other.breakers.ls("t")
        assert (record.name, record.phase, record.state.why) == ("model:m", "open", "HTTP 503")
        assert await other.breakers.ls("another") == []
        assert await other.breakers.close("t", "model:m")
        assert not await other.breakers.close("t", "model:m")
        clock.advance(1)
        await one.goes()

    async def test_tenants_have_their_own(self, two: list[Worker]) -> None:
        one, _ = two
        await one.fail(3)
        assert isinstance(await one.breakers.admit("u", "model:m", POLICY, by="x"), Admitted)

    async def test_it_is_forgotten_when_it_says_nothing_any_more(
        self, two: list[Worker], clock: ManualClock
    ) -> None:
        one, _ = two
        await one.fail(2)
        assert await one.store.forget_cells("breaker", before=one.store.now()) == 0
        clock.advance(61)
        assert await one.store.forget_cells("breaker", before=one.store.now()) == 1


class CountedStore:
    """A store that counts what it is asked, and may be away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.asked: list[str] = []
        self.away = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._store, name)
        if name not in ("amend", "cells"):
            return real

        async def counted(*args: Any, **kwargs: Any) -> Any:
            self.asked.append(name)
            if self.away:
                raise StoreUnavailable("gone")
            return await real(*args, **kwargs)

        return counted


class TestCost:
    @pytest.fixture
    async def worker(self, opening: OpenStore, clock: ManualClock) -> Worker:
        store: Any = CountedStore(await opening())
        return Worker(store, clock, "a")

    async def test_one_look_a_second_whatever_is_called(self, worker: Worker, clock: ManualClock) -> None:
        asked: list[str] = worker.store.asked  # type: ignore[attr-defined]
        for _ in range(3):
            for n in range(100):
                verdict = await worker.breakers.admit("t", f"tool:{n}", POLICY, by=str(n))
                assert isinstance(verdict, Admitted)
                await worker.breakers.succeeded(verdict)
            clock.advance(1)
        assert asked == ["cells"] * 3

    async def test_an_open_one_is_known_here(self, worker: Worker) -> None:
        await worker.fail(3)
        asked: list[str] = worker.store.asked  # type: ignore[attr-defined]
        asked.clear()
        for _ in range(100):
            await worker.away()
        assert asked == []

    async def test_a_success_writes_once_where_there_is_something_to_clear(self, worker: Worker) -> None:
        await worker.fail(1)
        asked: list[str] = worker.store.asked  # type: ignore[attr-defined]
        asked.clear()
        for _ in range(10):
            await worker.breakers.succeeded(await worker.goes())
        assert asked == ["amend"]

    async def test_a_store_that_is_away_stops_no_call(
        self, worker: Worker, clock: ManualClock, caplog: pytest.LogCaptureFixture
    ) -> None:
        await worker.fail(3)
        store: Any = worker.store
        store.away = True
        clock.advance(1)
        assert await worker.away(), "what is known here holds"
        assert "could not be read" in caplog.text
