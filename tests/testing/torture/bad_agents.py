"""Agents that must not survive, and one that must."""

from __future__ import annotations

from datetime import timedelta

from perdure import DID_NOT_HAPPEN, App, Budget, Happened, Run

paid: list[str] = []
mailed: list[str] = []
turns: list[int] = []

app = App("memory://")


def clear() -> None:
    for seen in (paid, mailed, turns):
        seen.clear()


def seen() -> list[list[str]]:
    return [list(paid), list(mailed)]


def was_paid(order: str) -> object:
    return Happened(f"receipt {order}") if order in paid else DID_NOT_HAPPEN


@app.tool(effect="write", verify=was_paid)
async def pay(order: str) -> str:
    paid.append(order)
    return f"receipt {order}"


@app.tool(effect="read")
async def price(of: str) -> int:
    return len(of)


@app.tool(effect="write")
def mail(to: str) -> str:
    mailed.append(to)
    return "mailed"


@app.tool(effect="read")
async def charge(order: str) -> str:
    """It says that it only reads."""
    paid.append(order)
    return f"receipt {order}"


@app.agent("good", budget=Budget(tool_calls=9))
async def good(run: Run, order: str) -> list[object]:
    cost = await run.call(price, order)
    answer = await run.ask("sell?", show=cost)
    note = await run.receive("note", str)
    receipt = await run.call(pay, order)
    await run.sleep(timedelta(days=1))
    return [cost, answer.by, note, receipt, await run.call(mail, "ada")]


@app.agent("small", budget=Budget(tool_calls=9))
async def small(run: Run, order: str) -> str:
    await run.call(price, order)
    receipt = await run.call(pay, order)
    await run.call(mail, "ada")
    return receipt


@app.agent("plain-write")
async def plain_write(run: Run, order: str) -> str:
    cost = await run.call(price, order)
    paid.append(order)  # a write without a step
    await run.call(mail, "ada")
    return f"{cost}"


@app.agent("branches")
async def branches(run: Run, order: str) -> str:
    turns.append(1)
    if len(turns) % 2:  # what no journal knows of
        await run.call(price, order)
    await run.call(price, "post")
    await run.call(mail, "ada")
    return "done"


@app.agent("lies")
async def lies(run: Run, order: str) -> str:
    await run.call(price, order)
    receipt: str = await run.call(charge, order)
    return receipt


@app.agent("waits")
async def waits(run: Run) -> str:
    return str((await run.ask("well?")).by)


@app.agent("catches")
async def catches(run: Run) -> str:
    return await run.receive("note", str)
