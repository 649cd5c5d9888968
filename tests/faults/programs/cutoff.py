"""A run whose worker is cut off from the store in its first step, if HANG is set: until there is a file GO."""

from __future__ import annotations

import asyncio
import os
import time

from perdure import Agent, App, EffectKey, Run
from tests.faults.programs import crew


def register(app: App) -> Agent:
    name = os.environ.get("NAME", "")

    async def think() -> str:
        crew.note(f"think by {name}")
        if "HANG" in os.environ:
            await asyncio.to_thread(wait_for_go)
        return name

    async def look() -> str:
        crew.note(f"look by {name}")
        return name

    @app.tool(effect="write")
    async def send(key: EffectKey) -> str:
        crew.note(f"send by {name}")
        return name

    @app.agent("cutoff")
    async def cutoff(run: Run) -> list[str]:
        found = [await run.step("think", think), await run.step("look", look), await run.call(send)]
        return [*found, await run.receive("word", str)]

    return cutoff


def wait_for_go() -> None:
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
    crew.note("goes on")


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
