"""A write whose worker freezes: FREEZE=`effect` between the lease's check and the effect, `step` in a plain step,
`lock` in the middle of a transaction of its own on the store's file, `hang` in a step until there is a file GO."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import apsw

from perdure import Agent, App, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    @app.tool(effect="write")
    async def send(to: str) -> str:
        if os.environ.get("FREEZE") == "effect":
            crew.stop_here()
        crew.note(f"send {to} by {os.environ.get('NAME', '')}")
        return f"sent {to}"

    async def think() -> str:
        crew.note("think")
        match os.environ.get("FREEZE"):
            case "step":
                crew.stop_here()
            case "hang":
                crew.note("hang")
                await asyncio.to_thread(wait_for_go)
            case "lock":
                stop_with_the_lock()
            case _:
                pass
        return f"thought by {os.environ.get('NAME', '')}"

    @app.agent("frozen")
    async def frozen(run: Run) -> list[str]:
        thought = await run.step("think", think)
        sent = await run.call(send, "ada")
        word = await run.receive("word", str)
        return [thought, sent, word]

    return frozen


def wait_for_go() -> None:
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)


def stop_with_the_lock() -> None:
    connection = apsw.Connection(os.environ["STORE"].removeprefix("sqlite:///"))
    connection.set_busy_timeout(10_000)
    connection.execute("begin immediate")
    os.write(2, b"stopping\n")
    os.kill(os.getpid(), signal.SIGSTOP)
    connection.execute("rollback")
    connection.close()


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
