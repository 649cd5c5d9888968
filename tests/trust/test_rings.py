"""Rings at the boundary: how far a call goes by itself, and what narrows that."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure import App, CheckFailed, ConfigError, Kind, NotCarriedOut, Ring, Run, RunFailed
from perdure.core.tracing import TraceContext, step_span
from perdure.testing import until_waiting
from tests.trust.desks import Bank, approve, made, verdicts


@pytest.fixture
def bank() -> Bank:
    return Bank()


async def test_without_a_ring_all_is_as_it_was(bank: Bank) -> None:
    async with made("memory://", bank) as app:
        run = await app.start("desk", 100)
        assert await run.result() == "paid 100 to Ada"
        assert await verdicts(run) == []


async def test_who_observes_carries_nothing_out_and_it_is_recorded_what_it_would_have_done(
    store_url: str, bank: Bank
) -> None:
    async with made(store_url, bank, ring="observe") as app:
        run = await app.start("desk", 100)
        told = await run.result()
        (verdict,) = await verdicts(run)
    assert told.startswith(
        "observe: `pay` was not carried out: the trust ring of `desk` for `pay` is `observe`. What"
    )
    assert (verdict["verdict"], verdict["ring"]) == ("observed", "observe")
    assert verdict["arguments"] == {"payee": "Ada", "cents": 100}
    assert bank.paid == []


async def test_a_draft_waits_for_a_person_and_its_run_goes_on(store_url: str, bank: Bank) -> None:
    async with made(store_url, bank, ring="draft") as app:
        trace = TraceContext.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        run = await app.start("desk", 100, by="user:ann", trace=trace)
        assert (await run.result()).startswith("draft: `pay` was not carried out")
        (verdict,) = await verdicts(run)
        assert bank.paid == []
        draft = await app.handle(verdict["draft"])
        await until_waiting(app, draft, "approval")
        begun = json.loads((await draft.entries())[0].payload)
        assert begun["trace"]["parent"] == trace.below(step_span(run.ref, "pay")).parent
        (asked,) = await app.open_approvals(run.id)
        assert asked.arguments == {"payee": "Ada", "cents": 100}
        assert asked.requester == "user:ann"
        assert asked.told["about"]["policy"]["why"].startswith(f"it is a draft: step `pay` of run `{run.id}`")
        await app.answer(
            draft.id,
            "pay",
            approved=True,
            by="user:eve",
            digest=asked.digest,
            arguments={"payee": "Ada", "cents": 90},
        )
        assert await draft.result() == "paid 90 to Ada"
        assert (await draft.record()).labels == {"draft_of": run.id}
    assert bank.paid == [("Ada", 90)]
    assert bank.looks == 1


async def test_a_draft_that_a_person_does_not_want_is_not_carried_out(bank: Bank) -> None:
    async with made("memory://", bank, ring="draft") as app:
        run = await app.start("desk", 100)
        await run.result()
        (verdict,) = await verdicts(run)
        draft = await app.handle(verdict["draft"])
        await until_waiting(app, draft, "approval")
        (asked,) = await app.open_approvals(run.id)
        await app.answer(draft.id, "pay", approved=False, by="user:eve", digest=asked.digest, reason="twice")
        with pytest.raises(RunFailed, match="user:eve said no: twice"):
            await draft.result()
        assert bank.paid == []
        again = await app.retry(draft.id)  # it is the same draft, and asks anew
        await approve(app, again)
        assert await again.result() == "paid 100 to Ada"


async def test_a_draft_falls_where_the_agent_may_only_observe_by_then(bank: Bank) -> None:
    async with made("memory://", bank, ring="draft") as app:
        run = await app.start("desk", 100)
        await run.result()
        (verdict,) = await verdicts(run)
        draft = await app.handle(verdict["draft"])
        await until_waiting(app, draft, "approval")
        await app.trust.narrow("desk", "pay", reason="an alarm", by="watcher")
        await approve(app, run)
        with pytest.raises(RunFailed, match="narrowed by watcher: an alarm"):
            await draft.result()
        assert await app.open_approvals() == []
    assert bank.paid == []


async def test_after_approval_a_person_is_asked_once_whatever_else_would_ask(
    store_url: str, bank: Bank
) -> None:
    async with made(store_url, bank, ring="act_after_approval", trust={"approvers": ["eve"]}) as app:
        run = await app.start("desk", 100)
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals(run.id)
        assert asked.told["people"] == ["eve"]
        assert bank.paid == []
        await approve(app, run, by="eve")
        assert await run.result() == "paid 100 to Ada"
        assert [v["verdict"] for v in await verdicts(run)] == ["needs_approval"]
        assert [v["gate"] for v in await verdicts(run, "approval")] == ["trust ring"]
    assert bank.paid == [("Ada", 100)]


async def test_a_tool_that_asks_by_itself_is_not_asked_for_twice(
    bank: Bank,
) -> None:
    app = App("memory://")

    @app.tool(needs_approval=True)
    def pay(cents: int) -> str:
        bank.paid.append(("Ada", cents))
        return "paid"

    @app.tool(needs_approval=lambda cents: cents > 500)
    def tip(cents: int) -> str:
        bank.paid.append(("Bob", cents))
        return "tipped"

    @app.agent("desk", ring="act_after_approval")
    async def desk(run: Run) -> str:
        return await run.call(pay, 1) + await run.call(tip, 1)

    async with app:
        run = await app.start(desk)
        await approve(app, run)
        await approve(app, run, step="tip")
        assert await run.result() == "paidtipped"
        assert [(v["tool"], v.get("gate"), v["verdict"]) for v in await verdicts(run, "approval")] == [
            ("pay", None, "approved"),
            ("tip", None, "waived"),
            ("tip", "trust ring", "approved"),
        ]


async def test_who_verifies_acts_by_itself_and_without_a_check_it_asks(bank: Bank) -> None:
    async with made("memory://", bank, ring="act_and_verify") as app:
        run = await app.start("desk", 100)
        assert await run.result() == "paid 100 to Ada"
        assert [v["verdict"] for v in await verdicts(run)] == ["allow"]
        assert [v["verdict"] for v in await verdicts(run, "check")] == ["passed"]
    async with made("memory://", bank, ring="act_and_verify", check=False) as app:
        run = await app.start("desk", 100)
        await until_waiting(app, run, "approval")
        assert "`pay` has no `check`" in (await verdicts(run))[0]["why"]
    assert bank.paid == [("Ada", 100)]


async def test_a_check_that_does_not_pass_undoes_the_effect_and_narrows_the_ring(
    store_url: str, bank: Bank
) -> None:
    bank.right = False
    async with made(store_url, bank, ring="act_and_verify") as app:
        run = await app.start("desk", 100)
        with pytest.raises(
            RunFailed, match="CheckFailed: `pay` was carried out, and its check did not pass: the books"
        ):
            await run.result()
        assert (bank.paid, bank.back) == ([("Ada", 100)], ["Ada"])
        keys = [(Kind(e.kind).name, e.key) for e in await run.entries() if e.key.startswith("pay")]
        assert keys == [
            ("VERDICT", "pay"),
            ("INTENT", "pay"),
            ("RESULT", "pay"),
            ("VERDICT", "pay/check"),
            ("RESULT", "pay/check"),
            ("INTENT", "pay/undo.pay"),
            ("RESULT", "pay/undo.pay"),
        ]
        standing = await app.trust.ring("desk", "pay")
        assert standing.ring is Ring.ACT_AFTER_APPROVAL
        assert standing.last is not None and standing.last.cause == f"{run.id}/pay"
        bank.right = True
        again = await app.start("desk", 100)
        await approve(app, again)
        assert await again.result() == "paid 100 to Ada"


async def test_a_check_holds_without_rings_too_and_says_what_is_left(bank: Bank) -> None:
    app = App("memory://")

    async def holds(result: str) -> bool:
        raise ValueError("no books")

    @app.tool(check=holds)
    def pay(cents: int) -> str:
        return "paid"

    def never(cents: int) -> None:
        raise RuntimeError("closed")

    from perdure import Retry

    @app.tool(check=holds, compensate=never, retry=Retry.NEVER)
    def tip(cents: int) -> str:
        return "tipped"

    @app.agent("desk")
    async def desk(run: Run) -> list[str]:
        told: list[str] = []
        for tool in (pay, tip):
            try:
                await run.call(tool, 1)
            except CheckFailed as failed:
                told.append(str(failed))
        return told

    async with app:
        first, second = await (await app.start(desk)).result()
    assert first == (
        "`pay` was carried out, and its check did not pass: it raised ValueError: no books; it cannot be undone, as "
        "the tool has no `compensate`"
    )
    assert second.endswith("it could not be undone: RuntimeError: closed")
    with pytest.raises(ConfigError, match="is a read"):
        app.tool(effect="read", check=holds, name="look")(lambda: "x")


async def test_a_ring_that_is_narrowed_holds_for_the_next_call_on_another_worker(
    store_url: str, bank: Bank
) -> None:
    async with made(store_url, bank, ring="act_and_verify") as app:
        assert await (await app.start("desk", 1)).result() == "paid 1 to Ada"
        other = App(store_url, trust={})
        await other.open()
        await other.trust.narrow("desk", "pay", to="observe", reason="an alarm", by="user:eve")
        told = await (await app.start("desk", 2)).result()
        assert told.startswith("observe: ") and "narrowed by user:eve: an alarm" in told
        await other.store.close()
    assert bank.paid == [("Ada", 1)]


async def test_a_ring_that_is_narrowed_while_a_question_stands_open_closes_it(bank: Bank) -> None:
    async with made("memory://", bank, ring="act_after_approval") as app:
        run = await app.start("desk", 100)
        await until_waiting(app, run, "approval")
        await app.trust.narrow("desk", to="observe", reason="an alarm", by="watcher")
        await approve(app, run)
        assert (await run.result()).startswith("observe: ")
        assert await app.open_approvals() == []
    assert bank.paid == []


async def test_a_goal_that_was_not_met_narrows_what_the_run_did(bank: Bank) -> None:
    async with made("memory://", bank, ring="act_and_verify") as app:
        run = await app.start("desk", 100)
        await run.result()
        for met in (True, False, False):
            await app.outcome(run.id, met, by="user:ann")
        standing = await app.trust.ring("desk", "pay")
        assert [j.record.by for j in standing.records] == ["user:ann"]
        assert standing.ring is Ring.ACT_AFTER_APPROVAL
    async with made("memory://", bank, ring="act_and_verify", trust={"narrow_on": ["check"]}) as app:
        run = await app.start("desk", 100)
        await run.result()
        await app.outcome(run.id, False, by="user:ann")
        assert (await app.trust.ring("desk", "pay")).ring is Ring.ACT_AND_VERIFY


@pytest.mark.parametrize("how", ["check", "outcome"])
async def test_a_run_that_misses_its_goal_narrows_before_it_ends(how: str, bank: Bank) -> None:
    app = App("memory://")

    @app.tool(check=lambda result: True)
    def pay() -> str:
        return "paid"

    def wrong(run: Run, result: str) -> bool:
        return False

    @app.agent("desk", ring="act_and_verify", check=wrong if how == "check" else None)
    async def desk(run: Run) -> str:
        if how == "outcome":
            run.outcome(False)
        return await run.call(pay)

    async with app:
        run: Any = await app.start(desk)
        await run.ending()
        assert (await app.trust.ring("desk", "pay")).ring is Ring.ACT_AFTER_APPROVAL


async def test_an_agent_that_is_registered_when_the_worker_is_there_already_has_its_ring(bank: Bank) -> None:
    async with made("memory://", bank) as app:
        app.agent("late", ring="observe")(app.find_agent("desk").function)
        assert (await (await app.start("late", 1)).result()).startswith("observe: ")
    assert bank.paid == []


async def test_a_question_that_a_narrowing_has_settled_is_not_left_open_while_its_run_goes_on(
    bank: Bank,
) -> None:
    app = App("memory://")

    @app.tool
    def pay(payee: str) -> str:
        bank.paid.append((payee, 1))
        return "paid"

    @app.agent("desk", ring="act_after_approval")
    async def desk(run: Run) -> str:
        try:
            return await run.call(pay, "Ada")
        except NotCarriedOut as held:
            return f"{held.ring}, {await run.receive('go')}"

    async with app:
        run = await app.start(desk)
        await until_waiting(app, run, "approval")
        await app.trust.narrow("desk", "pay", to="observe", reason="an alarm", by="watcher")
        await app.resume(run.id)
        await until_waiting(app, run, "signal")
        assert await app.open_approvals() == []
        await run.signal("go", "on")
        assert await run.result() == "observe, on"
    assert bank.paid == []
