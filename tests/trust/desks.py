"""A desk that pays, under trust rings: what the tests of rings share."""

from __future__ import annotations

import json
from typing import Any

from perdure import App, Check, EffectKey, Kind, NotCarriedOut, Run


class Bank:
    """What was paid, and taken back; and whether the books are right afterwards."""

    def __init__(self) -> None:
        self.paid: list[tuple[str, int]] = []
        self.back: list[str] = []
        self.looks = 0
        self.right = True


def made(url: str, bank: Bank, *, ring: Any = None, check: bool = True, **options: Any) -> App:
    app = App(url, **options)

    def booked(result: str, payee: str) -> Check:
        bank.looks += 1
        return Check(bank.right and payee in result, f"the books say {bank.right}", {"payee": payee})

    def take_back(payee: str, cents: int) -> None:
        bank.back.append(payee)

    @app.tool(effect="write", compensate=take_back, check=booked if check else None)
    def pay(payee: str, cents: int, key: EffectKey = EffectKey("")) -> str:
        """Pay somebody."""
        bank.paid.append((payee, cents))
        return f"paid {cents} to {payee}"

    @app.tool(effect="read")
    def look(q: str) -> str:
        """Look something up."""
        return q.upper()

    @app.agent("desk", ring=ring)
    async def desk(run: Run, cents: int) -> str:
        await run.call(look, "x")
        try:
            return await run.call(pay, "Ada", cents)
        except NotCarriedOut as held:
            return f"{held.ring}: {held}"

    return app


async def verdicts(run: Any, stage: str = "trust") -> list[dict[str, Any]]:
    """What a stage said in a run."""
    told = [json.loads(e.payload) for e in await run.entries() if e.kind == Kind.VERDICT]
    return [t for t in told if t["stage"] == stage]


async def approve(app: App, run: Any, *, by: str = "user:eve", step: str = "pay") -> None:
    """Say yes to the question that a step asks, once it stands open below a run."""
    while True:
        seen = app.store.changes()
        asked = next((a for a in await app.open_approvals(run.id) if a.step == step), None)
        if asked is not None:
            break
        await app.store.changed(seen, within=1.0)
    assert await app.answer(asked.ref.id, step, approved=True, by=by, digest=asked.digest)
