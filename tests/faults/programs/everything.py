"""One agent that does everything that a journal can hold."""

from __future__ import annotations

from typing import Any

from perdure import DID_NOT_HAPPEN, Agent, App, EffectKey, Happened, Run
from tests.faults.programs import crew
from tests.faults.programs.crew import note, noted

SLEEP = 1.05
"""Just long enough to be a wait that holds no worker."""


def register(app: App) -> Agent:
    @app.tool(effect="read")
    async def look(what: str) -> str:
        note(f"look {what}")
        return what.upper()

    @app.tool(effect="idempotent")
    async def reserve(item: str, key: EffectKey) -> str:
        note(f"reserve {item} {key}")
        return f"reserved {item}"

    def was_paid(order: str, key: EffectKey) -> object:
        return Happened(f"receipt {order}") if noted(f"pay {order} {key}") else DID_NOT_HAPPEN

    @app.tool(effect="write", verify=was_paid)
    async def pay(order: str, key: EffectKey) -> str:
        note(f"pay {order} {key}")
        return f"receipt {order}"

    @app.tool(effect="write")
    def mail(to: str) -> str:
        note(f"mail {to}")
        return f"mailed {to}"

    async def planned(order: str) -> list[str]:
        note("plan")
        return [order, "box"]

    def priced(item: str) -> int:
        note(f"price {item}")
        return len(item)

    @app.agent("everything")
    async def everything(run: Run, order: str) -> dict[str, Any]:
        async def two_steps(item: str) -> int:
            await run.call(look, item)
            return await run.step("price", priced, item)

        plan = await run.step("plan", planned, order)
        number = run.random()
        found = await run.gather(run.call(look, "ink"), two_steps("paper"))
        await run.decide("shop", ["a", "b"], "a", reason="cheaper")
        reserved = await run.call(reserve, order)
        receipt = await run.call(pay, order)
        await run.sleep(SLEEP)
        run.progress("paid", done=1, total=2)
        mailed = await run.call(mail, "ada")
        word = await run.receive("word", str)
        return {
            "plan": plan,
            "number": number,
            "found": found,
            "reserved": reserved,
            "receipt": receipt,
            "mailed": mailed,
            "word": word,
        }

    return everything


RESULT = {
    "plan": ["book", "box"],
    "found": ["INK", 5],
    "reserved": "reserved book",
    "receipt": "receipt book",
    "mailed": "mailed ada",
    "word": "go",
}
"""Of the input `book` and the signal `go`, but for what is random."""


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
