"""Agents that the CLI's tests drive. Loaded by `perdure --app tests/cli/cli_scene.py:app`."""

import os
import time
from pathlib import Path

from pydantic import BaseModel

from perdure import App, ApprovalDenied, Run

app = App("memory://")  # every test names its own store with `--store`


class Order(BaseModel):
    item: str
    count: int = 1


class OutOfStock(Exception):
    pass


def price(order: Order) -> int:
    return order.count * 3


@app.agent("order")
async def order(run: Run, order: Order) -> dict[str, int]:
    total = await run.step("price", price, order)
    run.progress("priced", done=1, total=1)
    await run.decide("carrier", ["post", "bike"], "bike", reason="it is near")
    return {"total": total}


@app.agent("asks")
async def asks(run: Run) -> str:
    answer = await run.ask("Send it?", show={"to": "Ada"}, choices=["now", "later"])
    return f"{bool(answer)} {answer.by} {answer.reason} {answer.value}"


@app.tool(effect="write", needs_approval=True)
def refund(amount: int) -> str:
    return f"refunded {amount}"


@app.agent("refunds")
async def refunds(run: Run, amount: int) -> str:
    try:
        return await run.call(refund, amount)
    except ApprovalDenied as denied:
        return str(denied)


@app.agent("delegates")
async def delegates(run: Run, amount: int) -> str:
    return await run.child(refunds, amount)


@app.agent("asks-how-much")
async def asks_how_much(run: Run) -> str:
    order = await run.ask("How much?", answer=Order)
    return f"{order.item} {order.count}"


@app.agent("asks-then-works")
async def asks_then_works(run: Run) -> int:
    await run.ask("May it work?")
    return await run.step("price", price, Order(item="tea"))


@app.agent("asks-twice")
async def asks_twice(run: Run) -> str:
    answers = await run.gather(run.ask("One?"), run.ask("Two?"))
    return str([bool(a) for a in answers])


@app.agent("hides")
async def hides(run: Run) -> bool:
    answer = await run.ask("Pay \u202egnp.exe to p\u0430ypal?\x1b[2J", show={"zero\u200bwidth": "\x07"})
    return bool(answer)


@app.tool
async def send(to: str) -> str:
    raise TimeoutError(f"no answer from {to}")


@app.agent("doubts")
async def doubts(run: Run) -> str:
    return await run.call(send, to="Ada")


@app.agent("rounds")
async def rounds(run: Run, n: int) -> int:
    await run.step("round", short, n)
    if n < 2:
        await run.continue_as_new(n + 1)
    return n


@app.agent("receives")
async def receives(run: Run) -> str:
    return await run.receive("reply", str)


@app.agent("fails")
async def fails(run: Run) -> None:
    def look() -> None:
        raise OutOfStock("no \x1b[31mtea")

    await run.step("look", look)


def die() -> None:
    with open("deaths", "a") as file:
        file.write(f"{os.getpid()}\n")
    if not Path("cured").exists():
        os._exit(9)


@app.agent("poison")
async def poison(run: Run) -> str:
    await run.step("die", die)
    return "alive"


def short(n: int) -> int:
    return n


@app.agent("neighbour")
async def neighbour(run: Run) -> int:
    for n in range(20):
        await run.step("short", short, n)
    return n


def held() -> str:
    Path("begun").touch()
    until = time.monotonic() + 60
    while not Path("go").exists() and time.monotonic() < until:
        time.sleep(0.01)
    return "held"


@app.agent("holds")
async def holds(run: Run) -> str:
    await run.step("held", held)
    return await run.step("after", lambda: "done")


@app.agent("sleeps")
async def sleeps(run: Run) -> str:
    await run.sleep(3600)
    return "slept"


@app.agent("hands-over")
async def hands_over(run: Run) -> None:
    try:
        await run.step("look", _sold_out)
    except OutOfStock:
        await run.escalate("nobody knows the way", context={"map": None})


def _sold_out() -> None:
    raise OutOfStock("tea")


@app.agent("half")
async def half(run: Run) -> list[int]:
    await run.partial([1], missing=["two"], why="the rest is closed")
