"""A desk of agents that leave a bit of everything in their journals, and what folds those."""

from __future__ import annotations

from datetime import timedelta

from perdure import App, Run
from perdure.audit import LogGrower
from perdure.journal import Store
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, Usage
from perdure.telemetry import Projector

PRICES = {"models": {"fake:small": {"input": 1, "output": 10}}, "tools": {"look": "0.25"}}


class Model:
    """Says yes; `fake:free` has no price."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        return ModelReply(text="yes", usage=Usage(input_tokens=100, output_tokens=50))


def desk(store: Store | str) -> App:
    app = App(store, prices=PRICES)
    app.models.register("fake", Model())

    @app.tool(effect="read")
    def look(what: str) -> str:
        if what == "nothing":
            raise ValueError("there is nothing")
        return f"{what} is there"

    @app.tool(effect="write")
    def pay(to: str) -> str:
        return f"paid {to}"

    @app.agent("helper")
    async def helper(run: Run, question: str) -> str:
        return await run.model("fake:small", question)

    @app.agent("clerk", version="2")
    async def clerk(run: Run, order: dict[str, str]) -> str:
        await run.gather(run.call(look, order["item"]), run.step("note", str.upper, "x"))
        await run.model("fake:small", "go")
        await run.model("fake:free", "go")
        await run.child(helper, "why?")
        await run.decide("pay", ["now", "later"], "now", confidence=0.8)
        answer = await run.ask("Pay?")
        if not answer:
            raise ValueError("nobody pays")
        await run.call(pay, "Ann")
        await run.sleep(timedelta(milliseconds=1))
        return "done"

    return app


async def fold(store: Store) -> None:
    """All that was written so far is folded."""
    while (await store.integrate(LogGrower())).more:
        pass
    await Projector(store).catch_up()


async def asked(app: App, run: str) -> None:
    """Wait until the run asks."""
    since = app.store.changes()
    while not await app.store.approvals(ref=app.ref(run)):
        await app.store.changed(since, within=1)
        since = app.store.changes()


async def settled(app: App, *runs: str) -> None:
    """Wait until they have ended."""
    refs = [app.ref(run) for run in runs]
    since = app.store.changes()
    while len(await app.store.ended(refs)) < len(refs):
        await app.store.changed(since, within=1)
        since = app.store.changes()
