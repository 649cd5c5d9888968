"""Stops within one process: what is held, what is not lost by it, and who finds the runs again."""

from __future__ import annotations

import asyncio
import json

import pytest

from perdure import (
    App,
    Budget,
    ConfigError,
    Credential,
    ModelReply,
    ModelRequest,
    Retry,
    Run,
    RunCancelled,
    Wanted,
)
from perdure.core.ids import RunRef
from perdure.journal import Kind
from tests.credentials.wallet import ANN, Wallet, kinds
from tests.faults.processes import until


async def waits_stopped(app: App, run_id: str, tenant: str = "default") -> None:
    async def waits() -> bool:
        record = await app.store.get(RunRef(tenant, run_id))
        return record is not None and record.status == "waiting" and record.reasons == ("stopped",)

    await until(waits, f"run `{run_id}` is held")


@pytest.mark.parametrize("what", ["read", "step", "model", "child"])
async def test_nothing_begins_of_what_looks_only_now_and_then(what: str) -> None:
    app, done = App("memory://"), list[str]()

    class Model:
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            done.append(what)
            return ModelReply(text="hello", model=model)

    app.models.register("mine", Model())

    @app.tool(effect="read")
    async def look() -> None:
        done.append(what)

    async def step() -> None:
        done.append(what)

    @app.agent("helper")
    async def helper(run: Run) -> None:
        await run.call(look)

    @app.agent("desk")
    async def desk(run: Run) -> None:
        match what:
            case "read":
                await run.call(look)
            case "step":
                await run.step("s", step)
            case "model":
                await run.model("mine:m", "hello")
            case _:
                await run.child(helper)

    async with app:
        await app.stop(agent="desk", reason="enough")
        run = await app.start(desk, run_id="r")
        if what == "child":
            await until(lambda: app.store.cells("stopped_run"), "the child is held")
        else:
            await waits_stopped(app, "r")
        assert done == []
        assert await app.go_on(agent="desk") == 1
        await run.result()
    assert done == [what]


async def test_a_loop_of_plain_reads_is_held_in_its_middle() -> None:
    """The short way of a read, behind the first: nothing is looked at but what was found half a second ago."""
    app, done = App("memory://"), list[int]()

    @app.tool(effect="read")
    async def look(n: int) -> None:
        await asyncio.sleep(0.002)
        done.append(n)

    @app.agent("desk")
    async def desk(run: Run) -> None:
        for n in range(100_000):
            await run.call(look, n)

    async with app:
        run = await app.start(desk, run_id="r")
        await until(lambda: len(done) > 5, "it reads")
        await app.stop(agent="desk")
        await waits_stopped(app, "r")
        assert len(done) < 5000
        await app.cancel("r", terminate=True)
        await run.ending()


async def test_a_stop_behind_the_intent_costs_nothing_and_no_second_approval(store_url: str) -> None:
    """The look at admission finds nothing, the one beside the intent's commit does."""

    class Stops(Wallet):
        async def credential(self, wanted: Wanted) -> Credential:
            if not self.asked:
                await app.stop(agent="desk", by="ops")
            return await super().credential(wanted)

    wallet = Stops()
    app, paid = App(store_url, credentials=wallet), list[int]()
    wallet.keep("a-token")

    @app.tool(needs_approval=True, effect="write", credential="github", retry=Retry(attempts=1))
    async def pay(amount: int, token: Credential) -> int:
        paid.append(amount)
        return amount

    @app.agent("desk", budget=Budget(tool_calls=1))
    async def desk(run: Run) -> int:
        return await run.call(pay, amount=7)

    async with app:
        run = await app.start(desk, run_id="r", on_behalf_of=ANN)
        asked = await until(lambda: app.open_approvals("r"), "it is asked")
        digest = asked[0].digest
        await app.answer("r", asked[0].step, approved=True, by="user:bob", digest=digest)
        await waits_stopped(app, "r")
        assert paid == []
        await app.go_on(agent="desk")
        assert await run.result() == 7
        entries = await run.entries()
    assert paid == [7]
    assert kinds(entries, "pay").count("intent") == 2
    assert kinds(entries, "pay").count("waiting") == 1  # one question
    assert "unknown" not in kinds(entries, "pay")


async def test_a_run_that_is_held_can_be_cancelled() -> None:
    app = App("memory://")

    @app.tool(effect="write")
    async def send() -> None:
        raise AssertionError

    @app.agent("desk")
    async def desk(run: Run) -> str:
        try:
            await run.call(send)
        except RunCancelled:
            return "left"
        return "sent"

    async with app:
        await app.stop(user="ann")
        run = await app.start(desk, run_id="r", by="user:ann")
        await waits_stopped(app, "r")
        await app.cancel("r")
        assert await run.result() == "left"
        assert await app.go_on(user="ann") == 0
        assert await app.go_on(user="ann") is None


async def test_two_stops_are_lifted_one_by_one(store_url: str) -> None:
    app, sent = App(store_url), list[str]()

    @app.tool(effect="write")
    async def send() -> None:
        sent.append("sent")

    @app.agent("desk")
    async def desk(run: Run) -> None:
        await run.call(send)

    async with app:
        await app.stop(agent="desk", by="ops")
        await app.stop(everything=True, by="boss", reason="fire")
        assert not await app.stop(everything=True)
        assert [str(r.who) for r in await app.stopped()] == ["agent `desk`", "all of this store"]
        run = await app.start(desk, run_id="r")
        await waits_stopped(app, "r")
        assert await app.go_on(agent="desk") == 1

        async def met_both() -> bool:
            entries = await app.store.read(RunRef("default", "r"))
            return [json.loads(e.payload)["what"] for e in entries if e.kind == Kind.VERDICT] == [
                "agent",
                "all",
            ]

        await until(met_both, "it is held by the other")
        await waits_stopped(app, "r")
        assert sent == []
        assert await app.go_on(everything=True) == 1
        await run.result()
        assert await app.stopped() == []


async def test_a_stop_is_of_one_tenant_or_of_all(store_url: str) -> None:
    app, sent = App(store_url), list[str]()

    @app.tool(effect="write")
    async def send(name: str) -> None:
        sent.append(name)

    @app.agent("desk")
    async def desk(run: Run, name: str) -> None:
        await run.call(send, name)

    async with app:
        await app.stop(whole_tenant=True, tenant="acme")
        held = await app.start(desk, "acme", run_id="r", tenant="acme")
        free = await app.start(desk, "default", run_id="r")
        await waits_stopped(app, "r", "acme")
        await free.result()
        assert await app.go_on(whole_tenant=True, tenant="acme") == 1
        await held.result()
        assert sent == ["default", "acme"]
        await app.stop(everything=True)
        for tenant in ("acme", "default"):
            await app.start(desk, tenant, run_id="s", tenant=tenant)
            await waits_stopped(app, "s", tenant)
            assert [str(r.who) for r in await app.stopped(tenant=tenant)] == ["all of this store"]
        assert await app.go_on(everything=True) == 2


async def test_who_is_meant_is_said_once() -> None:
    app = App("memory://")
    for wrong in ({}, {"agent": "a", "everything": True}, {"agent": ""}, {"run": "r", "user": "u"}):
        with pytest.raises(ConfigError):
            await app.stop(**wrong)  # type: ignore[arg-type]
    await app.close()
