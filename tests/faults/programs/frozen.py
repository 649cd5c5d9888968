"""A write whose worker freezes: FREEZE=`effect` between the lease's check and the effect, `step` in a plain step,
`lock` in the middle of a transaction on the store, `hang` in a step until there is a file GO."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

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
                stop_in_a_transaction(app)
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


def stop_in_a_transaction(app: App) -> None:
    if not os.environ["STORE"].startswith("sqlite:///"):
        return stop_before_a_commit(app)
    connection = apsw.Connection(os.environ["STORE"].removeprefix("sqlite:///"))
    connection.set_busy_timeout(10_000)
    connection.execute("begin immediate")
    crew.freeze()
    connection.execute("rollback")
    connection.close()


def stop_before_a_commit(app: App) -> None:
    """The next transaction of the writer's is all but committed: its rows are locked."""
    from perdure.db.postgres import PostgresStore

    store = getattr(app.store, "inner", app.store)
    assert isinstance(store, PostgresStore) and store._writer is not None
    link = store._writer.link
    execute = link.execute

    def stopping(sql: str, values: Any = None) -> Any:
        if sql.endswith("commit"):  # it may tell of moved heads in the same trip
            link.execute = execute
            crew.freeze()
        return execute(sql, values)

    link.execute = stopping


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
