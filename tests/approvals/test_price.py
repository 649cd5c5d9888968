"""What a human's answers cost: a flat time each, at the price of a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from perdure import App, ApprovalDenied, Run
from perdure.governance import Charged, charges, from_nanos
from tests.approvals.desks import digest, opened

PRICES = {"human_minute": "0.60", "human_minutes_per_approval": 2}


async def charged(app: App, run: str) -> list[Charged]:
    record = await app.store.get(app.ref(run))
    assert record is not None
    found: AsyncIterator[Charged] = charges(app.store, [record])
    return [c async for c in found]


@pytest.mark.parametrize("approved", [True, False])
async def test_each_answer_is_charged_once(store_url: str, approved: bool) -> None:
    app = App(store_url, prices=PRICES)

    @app.tool(needs_approval=True)
    def pay() -> str:
        return "paid"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        answer = await run.ask("Is it right?")
        try:
            return await run.call(pay) if answer else "not right"
        except ApprovalDenied:
            return "denied"

    async with app:
        handle = await app.start(payer, run_id="r")

        async def answer(step: str, said: bool) -> None:
            asked = await opened(app, handle, step)
            await app.answer("r", asked.step, approved=said, by="boss", digest=digest(asked) or None)

        await asyncio.gather(handle.result(), answer("ask", True), answer("pay", approved))
        lines = [c.line for c in await charged(app, "r")]

    assert [(line.what, line.name, line.step) for line in lines if line] == [
        ("human", "approval", "ask"),
        ("human", "approval", "pay"),
    ]
    assert all(line and str(from_nanos(line.amount.money)) == "1.200000000" for line in lines)
