"""A process that accepts a run; with WORK it is a worker instead, whose step hangs with HANG."""

from __future__ import annotations

import asyncio
import os

from perdure import Agent, App, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    async def greet(name: str) -> str:
        if "HANG" in os.environ:
            crew.note("hanging")
            await asyncio.Event().wait()
        crew.note(f"hello {name}")
        return f"hello {name}"

    @app.agent("greeter")
    async def greeter(run: Run, name: str) -> str:
        return await run.step("greet", greet, name)

    return greeter


async def start(app: App, agent: Agent) -> None:
    await app.start(agent, "ada", run_id="accepted")
    await app.close()


def main() -> None:
    app = crew.new_app()
    agent = register(app)
    if "WORK" in os.environ:
        crew.work(app)
    else:
        asyncio.run(start(app, agent))
