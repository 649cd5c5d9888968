"""What runs spend: reserved before a call, charged with its result; what happens where a budget does not hold it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import App, Budget, Handle, Run, RunFailed, RunStatus, open_store
from perdure.core.clock import to_micros
from perdure.core.ids import DEFAULT_TENANT
from perdure.governance import Amount, Ledger, from_nanos
from perdure.governance.accounts import ACCOUNT, SLICE, Account
from perdure.journal import Entry, Kind
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage
from perdure.testing import Boundary, KillingStore, MemoryStore, SkippingClock

from .conversations import app_with, asks, killed_after, of_kind, payload, says

PRICES = {"version": "v7", "models": {"fake:*": {"input": 1, "output": 10}}, "tools": {"look": "0.5"}}
SETTINGS = {"max_tokens": 100}
TURN = 100 * 1000 + 50 * 10_000
"""Nano-dollars of one turn of `Model`."""


class Model:
    """Answers always; 100 tokens in, 50 out."""

    def __init__(self, *replies: ModelReply) -> None:
        self.replies = list(replies)
        self.requests: list[ModelRequest] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        self.requests.append(request)
        reply = self.replies.pop(0) if self.replies else says("yes")
        return reply.model_copy(update={"usage": Usage(input_tokens=100, output_tokens=50)})


def asker(app: App, *, turns: int = 1, budget: Budget | None = None, name: str = "asker") -> None:
    @app.agent(name, budget=budget)
    async def ask(run: Run) -> int:
        for _ in range(turns):
            await run.model("fake:m", "go", settings=SETTINGS)
        return turns


def charges(entries: list[Entry]) -> list[dict[str, Any]]:
    return [payload(e) for e in of_kind(entries, Kind.CHARGED)]


async def account(app: App, name: str) -> Account:
    cells = await app.store.cells(ACCOUNT, tenant=DEFAULT_TENANT)
    return next((Account.of(cell) for key, cell in cells if key.name == name), Account())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition; whoever makes it true tells nobody."""
    async with asyncio.timeout(30):
        while not await condition():  # noqa: ASYNC110  # it is in a store
            await asyncio.sleep(0.005)


async def waiting(handle: Handle) -> bool:
    return (await handle.record()).status == RunStatus.WAITING


# charges --------------------------------------------------------------------------------------------------------


async def test_a_turn_is_charged_with_its_result_though_no_budget_applies(store_url: str) -> None:
    app = app_with(Model(), store_url, prices=PRICES)
    asker(app)
    async with app:
        handle = await app.start("asker")
        await handle.result()
        entries = await handle.entries()
        spent = (await handle.ending()).spent

    assert not of_kind(entries, Kind.RESERVED)
    (charge,) = charges(entries)
    assert charge == {
        "what": "model",
        "name": "fake:m",
        "amount": {"money": TURN, "input_tokens": 100, "output_tokens": 50, "tokens": 150, "model_calls": 1},
        "usage": {"input_tokens": 100, "output_tokens": 50, "requests": 1},
        "price": {"source": "perdure.toml", "version": "v7"},
    }
    (paid,) = of_kind(entries, Kind.CHARGED)
    assert entries[paid.seq].kind == Kind.RESULT, "the next entry, of the same append"
    assert payload(entries[-1])["spent"]["money"] == TURN
    assert (spent["money"], spent["model_calls"]) == (from_nanos(TURN), 1)


async def test_what_has_no_price_is_unpriced_and_may_be_forbidden() -> None:
    app = app_with(Model())
    asker(app)
    asker(app, name="strict", budget=Budget(allow_unpriced=False))
    async with app:
        handle = await app.start("asker")
        await handle.result()
        (charge,) = charges(await handle.entries())
        assert charge["unpriced"]
        assert "money" not in charge["amount"]
        with pytest.raises(RunFailed, match=r"`fake:m` has no price"):
            await (await app.start("strict")).result()


async def test_a_tool_with_a_fee_is_charged_and_one_without_leaves_no_trace() -> None:
    app = app_with(Model(), prices=PRICES)

    @app.tool(effect="read")
    async def look(n: int) -> int:
        return n

    @app.tool(effect="read")
    async def see(n: int) -> int:
        return n

    @app.agent("user")
    async def user(run: Run) -> int:
        return await run.call(look, 1) + await run.call(see, 2)

    async with app:
        handle = await app.start("user")
        assert await handle.result() == 3
        (charge,) = charges(await handle.entries())
    assert (charge["name"], charge["amount"]) == ("look", {"money": 500_000_000, "tool_calls": 1})


# reservations ---------------------------------------------------------------------------------------------------


async def test_a_call_is_reserved_before_it_and_settled_with_it() -> None:
    app = app_with(Model(), prices=PRICES)
    asker(app, turns=2, budget=Budget(money=1))
    async with app:
        handle = await app.start("asker")
        await handle.result()
        entries = await handle.entries()

    kinds = [e.kind for e in entries if e.key]
    assert kinds == [Kind.RESERVED, Kind.CHARGED, Kind.RESULT] * 2
    reserved = [payload(e) for e in of_kind(entries, Kind.RESERVED)]
    assert [c["reserved"] for c in charges(entries)] == [r["id"] for r in reserved]
    assert reserved[0]["amount"]["money"] > 100 * 10_000, "the prompt, and all output that is allowed"


async def killed_at(where: Boundary, app_on: Callable[[Any], App], store: Any, agent: str) -> None:
    """Let a worker begin the run `r` and die there; the run is free again."""
    await app_on(store).start(agent, run_id="r")
    killing = KillingStore(store, where)
    task = asyncio.create_task(app_on(killing).new_worker().run())
    async with asyncio.timeout(20):
        await killing.killed.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    for session in killing.registered:
        await store.expire(session)
    await store.recover()


async def test_a_call_that_a_crash_cut_off_is_charged_its_reservation_as_estimated(store_url: str) -> None:
    def app_on(store: Any) -> App:
        app = app_with(Model(), store, prices=PRICES, budget={"tenant": {"money": 1}})
        asker(app, budget=Budget(money=1))
        return app

    dead, store = open_store(store_url), open_store(store_url)
    await killed_at(Boundary("after", entry="reserved"), app_on, dead, "asker")
    app = app_on(store)
    await app.open()
    assert (await account(app, "tenant/always")).held.money > 0

    async with app:
        handle = await app.handle("r")
        assert await handle.result() == 1
        entries = await handle.entries()
        reserved = payload(of_kind(entries, Kind.RESERVED)[0])
        lost, paid = charges(entries)
        assert (lost["amount"], lost["estimated"], lost["reserved"]) == (
            reserved["amount"],
            True,
            reserved["id"],
        )
        assert "estimated" not in paid
        after = await account(app, "tenant/always")
        assert after.spent.money == lost["amount"]["money"] + paid["amount"]["money"]
        assert after.held == Amount()
        assert await store.cells(SLICE) == []
    await dead.close()


@pytest.mark.parametrize("appends", range(6))
async def test_whatever_a_crash_cuts_off_the_account_and_the_journal_agree(appends: int) -> None:
    """Killed at every append of a run of two turns: what the account says was spent is what the journal says."""

    def app_on(store: Any) -> App:
        app = app_with(Model(), store, prices=PRICES, budget={"tenant": {"money": 1}})
        asker(app, turns=2)
        return app

    store = MemoryStore()
    await killed_after(appends, app_on, store, "asker")
    app = app_on(store)
    async with app:
        handle = await app.handle("r")
        assert await handle.result() == 2
        ledger = Ledger(await handle.entries())
        after = await account(app, "tenant/always")

    assert after.spent.money == ledger.spent.money
    assert after.held == Amount()
    assert await store.cells(SLICE) == []


async def test_a_replay_reserves_and_draws_nothing() -> None:
    clock = SkippingClock()
    app = app_with(Model(), prices=PRICES, budget={"tenant": {"money": 1}}, clock=clock)

    @app.agent("sleeper")
    async def sleeper(run: Run) -> None:
        await run.model("fake:m", "go", settings=SETTINGS)
        await run.sleep(timedelta(hours=1))
        await run.receive("go")

    async with app:
        handle = await app.start("sleeper")
        await until(lambda: _waits_for(handle, "signal"))
        amended = []
        original = app.store.amend

        async def amend(*args: Any, **more: Any) -> Any:
            amended.append(args)
            return await original(*args, **more)

        app.store.amend = amend  # type: ignore[method-assign]
        await app.signal(handle.ref.id, "go")
        await handle.result()
        assert amended == []
        entries = await handle.entries()
    assert len(of_kind(entries, Kind.CLAIMED)) == 3
    assert len(of_kind(entries, Kind.RESERVED)) == 1


async def _waits_for(handle: Handle, reason: str) -> bool:
    record = await handle.record()
    return record.status == RunStatus.WAITING and reason in record.reasons


# at the limit ---------------------------------------------------------------------------------------------------


async def test_stop_ends_the_run_with_the_budget_that_did_not_hold() -> None:
    app = app_with(Model(), prices=PRICES)
    asker(app, turns=5, budget=Budget(model_calls=3, on_limit="stop"))
    async with app:
        handle = await app.start("asker")
        with pytest.raises(RunFailed, match=r"BudgetExceeded.*holds 3 model calls"):
            await handle.result()
        assert len(charges(await handle.entries())) == 3


async def test_ask_waits_without_a_worker_until_the_owner_raises_it(store_url: str) -> None:
    app = app_with(Model(), store_url, prices=PRICES)
    asker(app, turns=3, budget=Budget(model_calls=2))
    async with app:
        handle = await app.start("asker")
        await until(lambda: waiting(handle))
        assert (await handle.record()).reasons == ("budget",)
        (verdict,) = [payload(e) for e in of_kind(await handle.entries(), Kind.VERDICT)]
        assert (verdict["stage"], verdict["dimension"], verdict["limit"]) == ("budget", "model_calls", 2)

        await app.budgets.raise_run(handle.ref.id, Budget(model_calls=1), by="ada")

        assert await handle.result() == 3
        assert payload((await handle.entries())[-1])["undelivered"] == []


async def test_the_owner_may_stop_it_instead() -> None:
    app = app_with(Model(), prices=PRICES)
    asker(app, turns=3, budget=Budget(model_calls=2))
    async with app:
        handle = await app.start("asker")
        await until(lambda: waiting(handle))
        await app.budgets.stop_run(handle.ref.id, by="ada")
        with pytest.raises(RunFailed, match="stopped by ada"):
            await handle.result()


async def test_finish_makes_one_last_call_without_tools_and_ends_partial() -> None:
    model = Model(asks(("look", {"n": 1})), asks(("look", {"n": 2})), says("what there is"))
    app = app_with(model, prices=PRICES)

    @app.tool(effect="read")
    async def look(n: int) -> int:
        return n

    @app.agent("finder", budget=Budget(model_calls=3, on_limit="finish"))
    async def finder(run: Run) -> str:
        return await run.model("fake:m", "find", tools=[look], settings=SETTINGS)

    async with app:
        handle = await app.start("finder")
        with pytest.raises(RunFailed) as failed:
            await handle.result()
        entries = await handle.entries()

    assert failed.value.status == "partial"
    assert payload(entries[-1])["result"] == "what there is"
    last = model.requests[-1]
    assert len(model.requests) == 3
    assert last.tools == ()
    assert "budget is used up" in last.messages[-1].text


async def test_after_the_last_call_there_is_none() -> None:
    app = app_with(Model(), prices=PRICES)
    asker(app, turns=9, budget=Budget(model_calls=4, on_limit="finish"))
    async with app:
        handle = await app.start("asker")
        with pytest.raises(RunFailed) as failed:
            await handle.result()
        assert failed.value.status == "partial"
        assert len(charges(await handle.entries())) == 4


async def test_time_is_a_budget_too() -> None:
    clock = SkippingClock()
    app = app_with(Model(), prices=PRICES, clock=clock)

    @app.agent("late", budget=Budget(wall_clock=timedelta(hours=1), on_limit="stop"))
    async def late(run: Run) -> None:
        await run.model("fake:m", "go", settings=SETTINGS)
        await run.sleep(timedelta(hours=2))
        await run.model("fake:m", "go", settings=SETTINGS)

    async with app:
        handle = await app.start("late")
        with pytest.raises(RunFailed, match=r"holds 3,600\.0 s"):
            await handle.result()
        assert len(charges(await handle.entries())) == 1


async def test_thresholds_are_journaled_once_each(caplog: pytest.LogCaptureFixture) -> None:
    app = app_with(Model(), prices=PRICES)
    asker(app, turns=4, budget=Budget(model_calls=4))
    async with app:
        handle = await app.start("asker")
        await handle.result()
        warned = [w["share"] for c in charges(await handle.entries()) for w in c.get("warned", ())]
    assert warned == [0.5, 0.95]
    assert "50 % of the model calls in the budget of this run are used (2 of 4" in caplog.text
    assert "100 % of the model calls" in caplog.text  # not that 95 % were passed


# shared budgets -------------------------------------------------------------------------------------------------


async def test_an_operators_raise_wakes_the_runs_that_wait_for_a_shared_budget(store_url: str) -> None:
    app = app_with(Model(), store_url, prices=PRICES, budget={"agents": {"asker": {"model_calls": 2}}})
    asker(app, turns=3)
    async with app:
        handle = await app.start("asker")
        await until(lambda: waiting(handle))
        after = await account(app, "agent/asker/always")
        assert (after.spent.model_calls, after.held) == (2, Amount()), "what it does not need is given back"

        await app.budgets.raise_("agent/asker", Budget(model_calls=5), by="ada")

        assert await handle.result() == 3
        assert (await account(app, "agent/asker/always")).spent.model_calls == 3


async def test_a_period_that_rolls_over_lets_the_run_go_on() -> None:
    clock = SkippingClock(to_micros(datetime(2026, 11, 25, 23, 59, tzinfo=UTC)))
    app = app_with(Model(), prices=PRICES, clock=clock, budget={"tenant": {"model_calls": 2, "per": "day"}})
    asker(app, turns=3)
    async with app:
        handle = await app.start("asker")
        assert await handle.result() == 3
        assert (await account(app, "tenant/2026-11-25")).spent.model_calls == 2
        assert (await account(app, "tenant/2026-11-26")).spent.model_calls == 1
        assert (await handle.record()).ended_at >= 1_795_651_200_000_000  # midnight


# children -------------------------------------------------------------------------------------------------------


def family(app: App, *, child: Budget | None, turns: int = 1, parent: Budget | None = None) -> None:
    asker(app, turns=turns)

    @app.agent("parent", budget=parent or Budget(money=1))
    async def parent_(run: Run) -> Any:
        with contextlib.suppress(RunFailed):
            await run.child("asker", budget=child)
        await run.model("fake:m", "go", settings=SETTINGS)


async def test_a_childs_budget_is_carved_out_and_the_rest_comes_back_with_its_ending(store_url: str) -> None:
    app = app_with(Model(), store_url, prices=PRICES)
    family(app, child=Budget(money="0.25"))
    async with app:
        handle = await app.start("parent")
        await handle.result()
        entries = await handle.entries()
        (child,) = [e for e in of_kind(entries, Kind.RESULT) if e.key == "asker"]

    carved = payload(of_kind(entries, Kind.RESERVED)[0])
    assert (carved["what"], carved["amount"]["money"]) == ("child", 250_000_000)
    paid, own = charges(entries)
    assert (paid["what"], paid["amount"]["money"], paid["reserved"]) == ("child", TURN, carved["id"])
    assert own["what"] == "model"
    assert entries[child.seq - 2].kind == Kind.CHARGED, "in the append of the child's result"
    assert payload(entries[-1])["spent"]["money"] == 2 * TURN


async def test_without_a_budget_of_its_own_a_child_gets_a_share_of_what_is_left() -> None:
    app = app_with(Model(), prices=PRICES)
    family(app, child=None, turns=3, parent=Budget(model_calls=4, on_limit="stop"))
    async with app:
        handle = await app.start("parent")
        await handle.result()
        paid, own = charges(await handle.entries())
    assert (paid["amount"]["model_calls"], own["amount"]["model_calls"]) == (2, 1)


async def test_children_that_fan_out_are_stopped_by_their_parents_budget() -> None:
    model = Model()
    app = app_with(model, prices=PRICES)

    @app.agent("fan", budget=Budget(model_calls=8, on_limit="stop"))
    async def fan(run: Run, depth: int) -> None:
        for _ in range(4):
            await run.model("fake:m", "go", settings=SETTINGS)
            await run.child("fan", depth + 1)

    async with app:
        with pytest.raises(RunFailed, match="BudgetExceeded"):
            await (await app.start("fan", 0)).result()
    assert len(model.requests) <= 8


async def test_a_worker_that_dies_between_the_carve_and_the_child_carves_once() -> None:
    def app_on(store: Any) -> App:
        app = app_with(Model(), store, prices=PRICES)
        family(app, child=Budget(money="0.25"))
        return app

    store = MemoryStore()
    await killed_at(Boundary("after", entry="reserved"), app_on, store, "parent")

    async with app_on(store) as app:
        handle = await app.handle("r")
        await handle.result()
        entries = await handle.entries()
    assert [payload(e)["what"] for e in of_kind(entries, Kind.RESERVED)] == ["child", "model"]
    assert [c["what"] for c in charges(entries)] == ["child", "model"]


async def test_what_was_spent_before_a_run_began_again_counts_on() -> None:
    app = app_with(Model(), prices=PRICES)

    @app.agent("endless", budget=Budget(model_calls=3, on_limit="stop"))
    async def endless(run: Run) -> None:
        await run.model("fake:m", "go", settings=SETTINGS)
        await run.continue_as_new()

    async with app:
        handle = await app.start("endless")
        with pytest.raises(RunFailed, match="holds 3 model calls"):
            await handle.result()
        assert (await handle.record()).generation == 4
