"""Steps that take longer than the lease: one that blocks the event loop, one that waits, one in a thread."""

from __future__ import annotations

import asyncio
import os
import time

from perdure import Agent, App, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    seconds = float(os.environ.get("SECONDS", "0"))

    @app.tool(effect="write")
    async def block(how: str) -> str:
        crew.note(f"begin {how}")
        match how:
            case "block":
                time.sleep(seconds)  # noqa: ASYNC251  # what a careless tool does is the test
            case "await":
                await asyncio.sleep(seconds)
            case _:
                await asyncio.to_thread(time.sleep, seconds)
        crew.note(f"end {how}")
        return how

    @app.agent("slow")
    async def slow(run: Run, how: str) -> str:
        return await run.call(block, how)

    return slow


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
