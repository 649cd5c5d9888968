"""Agents of every sort, whose effects are kept in a ledger with their keys: what a soak is made of.

A file of the ledger belongs to one run, and a line is one request: `pay r1/pay`. A receiver that honours keys makes of
it a file of that key's own, once.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from perdure import DID_NOT_HAPPEN, App, EffectKey, Happened, Run
from tests.faults.programs import crew

CHILDREN = 2
LONG, SHORT = 1.05, 0.2
"""Seconds of a wait that holds no worker, and of one in memory."""


def ledger() -> Path:
    return Path(os.environ["LEDGER"])


def send(what: str, key: str) -> None:
    """A request arrives."""
    line = f"{what} {key}\n".encode()
    run = key.partition("/")[0].partition("#")[0]  # which began how often does not matter
    file = os.open(ledger() / run, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, line)
    os.close(file)


def apply(key: str) -> None:
    """A receiver that honours keys does what it was asked: once."""
    try:
        os.close(os.open(applied(key), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with open(ledger() / "applied", "ab", buffering=0) as file:
            file.write(f"{key}\n".encode())
    except FileExistsError:
        return


def applied(key: str) -> Path:
    return ledger() / ("key " + key.replace("/", " "))


async def moment() -> None:
    """Long enough to die in."""
    await asyncio.sleep(random.uniform(0, 0.08))


def register(app: App) -> None:
    @app.tool(effect="read")
    async def look(what: str) -> str:
        await moment()
        return what.upper()

    @app.tool(effect="idempotent")
    async def reserve(item: str, key: EffectKey) -> str:
        await moment()
        send("reserve", key)
        apply(key)
        await moment()
        return f"reserved {item}"

    def was_paid(order: str, key: EffectKey) -> Any:
        return Happened(f"receipt {order}") if applied(key).exists() else DID_NOT_HAPPEN

    @app.tool(effect="write", verify=was_paid)
    async def pay(order: str, key: EffectKey) -> str:
        await moment()
        send("pay", key)
        apply(key)
        await moment()
        return f"receipt {order}"

    @app.tool(effect="write")
    async def mail(to: str, key: EffectKey) -> str:
        await moment()
        send("mail", key)
        await moment()
        return f"mailed {to}"

    async def planned(order: str) -> list[str]:
        await moment()
        return [order, "box"]

    def priced(item: str) -> int:
        return len(item)

    @app.agent("clerk")
    async def clerk(run: Run, order: str) -> dict[str, Any]:
        async def two_steps(item: str) -> int:
            await run.call(look, item)
            return await run.step("price", priced, item)

        plan = await run.step("plan", planned, order)
        run.random()
        found = await run.gather(run.call(look, "ink"), two_steps("paper"))
        await run.decide("shop", ["a", "b"], "a", reason="cheaper")
        reserved = await run.call(reserve, order)
        receipt = await run.call(pay, order)
        run.progress("paid", done=1, total=2)
        mailed = await run.call(mail, "ada")
        return {
            "plan": plan,
            "found": found,
            "reserved": reserved,
            "receipt": receipt,
            "mailed": mailed,
            "word": await run.receive("word", str),
        }

    @app.agent("reader")
    async def reader(run: Run, letters: int) -> list[str]:
        return [await run.receive("letter", str) for _ in range(letters)]

    @app.agent("endless")
    async def endless(run: Run, state: tuple[int, list[str]]) -> list[str]:
        left, got = state
        await run.call(pay, f"turn {left}")
        got = [*got, await run.receive("letter", str)]
        if left:
            await run.continue_as_new((left - 1, got))
        return got

    @app.agent("errand")
    async def errand(run: Run, what: str) -> str:
        await run.step("plan", planned, what)
        return await run.call(pay, what)

    @app.agent("boss")
    async def boss(run: Run, order: str) -> list[Any]:
        winner = await run.first(run.receive("never", str), run.sleep(SHORT))
        answer = await run.ask("go on?", show=order)
        done = await run.gather(*(run.child("errand", f"{order}{n}") for n in range(CHILDREN)))
        return [winner.which, answer.approved, done]

    @app.agent("sleeper")
    async def sleeper(run: Run, naps: int) -> list[str]:
        beside = run.branch("beside", run.call(look, "moon"))
        for n in range(naps):
            await run.sleep(LONG if n % 2 else SHORT)
            await run.step("wake", priced, str(n))
        return [await beside, await run.call(mail, "moon")]


def expected(agent: str, input: Any, letters: list[str]) -> Any:
    """What comes of a run, whatever befalls its workers."""
    match agent:
        case "clerk":
            return {
                "plan": [input, "box"],
                "found": ["INK", 5],
                "reserved": f"reserved {input}",
                "receipt": f"receipt {input}",
                "mailed": "mailed ada",
                "word": letters[0],
            }
        case "reader" | "endless":
            return letters
        case "boss":
            return [1, True, [f"receipt {input}{n}" for n in range(CHILDREN)]]
        case "sleeper":
            return ["MOON", "mailed moon"]
        case _:
            raise AssertionError(agent)


app = crew.new_app() if "STORE" in os.environ else App("memory://")  # at the top, so that a run can go alone
register(app)


def main() -> None:
    crew.work(app)
