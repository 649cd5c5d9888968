"""Budgets that many runs share: draws, settlements, and what becomes of a slice whose worker died."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from perdure import Budget, ConfigError, Superseded, open_store
from perdure.core.clock import to_micros
from perdure.core.ids import RunRef
from perdure.core.spending_settings import BudgetSettings
from perdure.governance import Amount, Exhausted
from perdure.governance.accounts import ACCOUNT, SLICE, Account, Drawn, Shared
from perdure.governance.ledger import Ledger, Line
from perdure.governance.purse import Purse
from perdure.governance.treasury import Treasury
from perdure.journal import Store

T0 = to_micros(datetime(2026, 11, 25, 12, tzinfo=UTC))
RUN = RunRef("t", "r")


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


def money(n: int) -> Amount:
    return Amount(money=n)


def spent(ledger: Ledger, seq: int, n: int, *accounts: str) -> None:
    ledger.charge(
        Line(seq=seq, at=T0, step=f"s{seq}", what="model", name="m:m", amount=money(n), accounts=accounts)
    )


def purse(
    store: Store, ref: RunRef = RUN, *, epoch: int = 1, head: int = 0, ledger: Ledger | None = None
) -> Purse:
    return Purse(store, ref, epoch=epoch, head=head, ledger=ledger or Ledger())


async def account(store: Store, name: str = "tenant/always") -> Account:
    cells = dict(await store.cells(ACCOUNT, tenant="t"))
    return next((Account.of(cell) for key, cell in cells.items() if key.name == name), Account())


async def give_back(store: Store, mine: Purse, active_time: int = 0) -> None:
    for amendment in mine.give_back(active_time):
        await store.amend(amendment)


def shared(limit: int = 1000, **more: Any) -> list[Shared]:
    return [Shared.at("tenant", Budget(money=limit / 1e9, **more), T0)]


# draws ----------------------------------------------------------------------------------------------------------


async def test_a_slice_is_drawn_ahead_and_shrinks_as_the_account_does(store_url: str) -> None:
    async with opened(store_url) as store:
        first = await purse(store, RunRef("t", "a")).draw(shared(1000), money(10))
        assert isinstance(first, Drawn)
        assert first.granted == {"tenant/always": money(125)}, (
            "an eighth of what is left, of sixteen calls' worth"
        )

        second = await purse(store, RunRef("t", "b")).draw(shared(1000), money(800))
        assert isinstance(second, Drawn)
        assert second.granted == {"tenant/always": money(800)}, "no more than is needed, where that is much"
        assert (await account(store)).held == money(925)


async def test_what_is_held_already_is_not_drawn_again(store_url: str) -> None:
    async with opened(store_url) as store:
        mine = purse(store)
        await mine.draw(shared(), money(10))
        mine.take(["tenant/always"], money(115))

        assert mine.lacks(shared()[0], money(10)) is None
        assert mine.lacks(shared()[0], money(11)) == money(1)


async def test_an_account_is_never_overdrawn_and_says_what_it_lacks(store_url: str) -> None:
    async with opened(store_url) as store:
        await purse(store, RunRef("t", "a")).draw(shared(1000), money(995))

        found = await purse(store, RunRef("t", "b")).draw(shared(1000, on_limit="stop"), money(6))

        assert isinstance(found, Exhausted)
        assert (found.dimension, found.limit, found.used, found.needed) == ("money", 1000, 995, 6)
        assert (found.whose, found.on_limit) == ("tenant", "stop")
        assert found.until is not None, "what the other holds may come back"
        assert (await account(store)).held == money(995)


async def test_a_draw_takes_of_all_accounts_or_of_none(store_url: str) -> None:
    async with opened(store_url) as store:
        both = [*shared(1000), Shared.at("agent/a", Budget(money=5e-9), T0)]

        found = await purse(store).draw(both, money(6))

        assert isinstance(found, Exhausted)
        assert found.whose == "agent a"
        assert (await account(store)).held == Amount()
        assert await store.cells(SLICE) == []


async def test_the_last_call_may_use_what_is_held_back(store_url: str) -> None:
    async with opened(store_url) as store:
        mine = purse(store)
        budget = shared(1000, on_limit="finish")

        assert isinstance(await mine.draw(budget, money(950)), Exhausted)
        assert isinstance(await mine.draw(budget, money(950), last=True), Drawn)


async def test_thresholds_are_told_by_the_draw_that_passes_them(store_url: str) -> None:
    async with opened(store_url) as store:
        one = await purse(store, RunRef("t", "a")).draw(shared(1000), money(500))
        two = await purse(store, RunRef("t", "b")).draw(shared(1000), money(460))

        assert isinstance(one, Drawn)
        assert isinstance(two, Drawn)
        assert [w["share"] for w in one.warned] == [0.5]
        assert [(w["share"], w["used"], w["limit"]) for w in two.warned] == [(0.95, 960, 1000)]


@pytest.mark.parametrize("processes", [4])
def test_of_a_hundred_takers_in_four_processes_exactly_one_passes(store_url: str, processes: int) -> None:
    each = 100 // processes
    room = 600_000_000  # of a dollar: for one, not for two
    command = [sys.executable, "-m", "tests.governance.takers", store_url]
    takers = [
        subprocess.Popen(
            [*command, f"p{n}", str(each), str(room)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    with_all = [t.stdout.readline() for t in takers if t.stdout]
    assert with_all == ["ready\n"] * processes
    passed = [int(taker.communicate("go\n", timeout=60)[0]) for taker in takers]

    assert sum(passed) == 1


# settlements ----------------------------------------------------------------------------------------------------


async def test_what_was_used_is_spent_and_the_rest_comes_back(store_url: str) -> None:
    async with opened(store_url) as store:
        ledger = Ledger()
        mine = purse(store, ledger=ledger)
        await mine.draw(shared(), money(10))
        spent(ledger, 1, 7, "tenant/always")
        spent(ledger, 2, 4, "tenant/always")

        await give_back(store, mine, active_time=250)

        after = await account(store)
        assert (after.spent, after.held) == (Amount(money=11, active_time=250), Amount())
        assert await store.cells(SLICE) == []


async def test_giving_back_twice_is_giving_back_once(store_url: str) -> None:
    async with opened(store_url) as store:
        ledger = Ledger()
        mine = purse(store, ledger=ledger)
        await mine.draw(shared(), money(10))
        spent(ledger, 1, 7, "tenant/always")

        await give_back(store, mine)
        await give_back(store, mine)

        assert (await account(store)).spent == money(7)


async def test_the_next_claim_settles_the_slice_of_a_worker_that_died(store_url: str) -> None:
    async with opened(store_url) as store:
        ledger = Ledger()
        dead = purse(store, epoch=1, head=0, ledger=ledger)
        await dead.draw(shared(), money(10))
        spent(ledger, 3, 7, "tenant/always")

        heir = purse(store, epoch=2, head=3, ledger=ledger)
        await heir.draw(shared(), money(20))

        now = await account(store)
        assert (now.spent, now.held) == (money(7), money(124))
        spent(ledger, 5, 8, "tenant/always")
        await give_back(store, heir)
        assert (await account(store)).spent == money(15), "what was settled is not settled again"
        assert (await account(store)).held == Amount()


async def test_the_next_claim_settles_it_also_where_it_spends_nothing(store_url: str) -> None:
    async with opened(store_url) as store:
        ledger = Ledger()
        dead = purse(store, epoch=1, ledger=ledger)
        await dead.draw(shared(), money(10))
        spent(ledger, 3, 7, "tenant/always")

        await give_back(store, purse(store, epoch=2, head=3, ledger=ledger))

        assert await account(store) == Account(spent=money(7))


async def test_a_slice_that_no_journal_names_is_found_by_the_next_draw(store_url: str) -> None:
    async with opened(store_url) as store:
        yesterday = [Shared.at("tenant", Budget(money=1, per="day"), T0 - 86_400_000_000)]
        today = [Shared.at("tenant", Budget(money=1, per="day"), T0)]
        await purse(store, epoch=1).draw(yesterday, money(10))  # and dies before it wrote RESERVED

        heir = purse(store, epoch=2, head=1)
        assert await heir.draw(today, money(10)) is None, "it asks again, for it must name the other account"
        assert isinstance(await heir.draw(today, money(10)), Drawn)

        assert (await account(store, "tenant/2026-11-24")).held == Amount()
        assert (await account(store, "tenant/2026-11-25")).held == money(160)


async def test_a_worker_that_lost_the_run_draws_nothing_and_gives_nothing_back(store_url: str) -> None:
    async with opened(store_url) as store:
        zombie = purse(store, epoch=1)
        await zombie.draw(shared(), money(10))
        await purse(store, epoch=2, head=1).draw(shared(), money(10))
        before = await account(store)

        with pytest.raises(Superseded):
            await zombie.draw(shared(), money(500))
        await give_back(store, zombie)

        assert await account(store) == before


# operators ------------------------------------------------------------------------------------------------------

CONFIGURED = BudgetSettings.model_validate(
    {"tenant": {"money": 1, "per": "day"}, "agents": {"a": {"tokens": 5}}}
)


async def test_what_an_operator_sets_wins_and_says_who_when_and_before(store_url: str) -> None:
    async with opened(store_url) as store:
        treasury = Treasury(store, settings=CONFIGURED)
        assert [s.budget.limits for s in await treasury.shared("t", "a")] == [{"money": 10**9}, {"tokens": 5}]

        await treasury.set("t", "tenant", Budget(money=2, per="month"), by="ada", reason="launch")
        await treasury.set("t", "tenant", Budget(money=3), by="bob")

        assert [s.scope for s in await Treasury(store).shared("t", "b")] == ["tenant"], (
            "every worker keeps to it"
        )
        assert (await treasury.shared("t", "a"))[0].budget.limits == {"money": 3 * 10**9}
        tenant, agent = await treasury.standings("t")
        assert (tenant.source, agent.source) == ("operator", "configuration")
        assert [(h["by"], h["before"] and h["before"]["limits"]) for h in tenant.history] == [
            ("ada", None),
            ("bob", {"money": 2 * 10**9}),
        ]
        await treasury.set("t", "tenant", None, by="ada")
        assert (await treasury.shared("t", "a"))[0].budget.limits == {"money": 10**9}


async def test_a_raise_holds_for_its_period(store_url: str) -> None:
    async with opened(store_url) as store:
        treasury = Treasury(store, settings=CONFIGURED)
        (before,) = await treasury.shared("t", "b")
        mine = purse(store)
        await mine.draw([before], money(10**9))

        standing = await treasury.raise_("t", "tenant", Budget(money=0.5), by="ada")

        assert standing.limits == {"money": 1_500_000_000}
        assert isinstance(await mine.draw([before], money(5)), Drawn) or mine.lacks(before, money(5)) is None
        assert isinstance(await purse(store, RunRef("t", "b")).draw([before], money(400_000_000)), Drawn)
        (tomorrow,) = treasury.known("t", "b", store.now()) or [before]
        later = Shared.at("tenant", tomorrow.budget, tomorrow.period.ends or 0)
        found = await purse(store, RunRef("t", "c")).draw([later], money(1_200_000_000))
        assert isinstance(found, Exhausted)
        assert found.limit == 10**9


async def test_a_raise_of_what_is_not_limited_is_refused(store_url: str) -> None:
    async with opened(store_url) as store:
        treasury = Treasury(store, settings=CONFIGURED)
        with pytest.raises(ConfigError, match="tokens"):
            await treasury.raise_("t", "tenant", Budget(tokens=1), by="ada")
        with pytest.raises(ConfigError, match="agent/nobody"):
            await treasury.raise_("t", "agent/nobody", Budget(tokens=1), by="ada")
        with pytest.raises(ConfigError, match="tennant"):
            await treasury.set("t", "tennant", Budget(tokens=1), by="ada")


async def test_another_period_set_meanwhile_is_noticed_by_the_draw(store_url: str) -> None:
    async with opened(store_url) as store:
        treasury = Treasury(store, settings=CONFIGURED)
        before = await treasury.shared("t", "b")
        await Treasury(store).set("t", "tenant", Budget(money=1, per="month"), by="ada")

        mine = purse(store)
        assert await mine.draw(before, money(5)) is None
        assert isinstance(await mine.draw(await treasury.shared("t", "b", fresh=True), money(5)), Drawn)


async def test_the_sweep_settles_slices_of_runs_that_are_gone(store_url: str) -> None:
    async with opened(store_url) as store:
        await purse(store).draw(shared(), money(10))

        assert await Treasury(store).sweep() == 1
        assert await account(store) == Account()
        assert await store.cells(SLICE) == []
