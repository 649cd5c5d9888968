"""A machine whose time of day is wrong by JUMP seconds: from its birth, or (WHEN=`step`) from the middle of a run."""

from __future__ import annotations

import asyncio
import os
import time

from perdure import Agent, App, EffectKey, Run
from tests.faults.programs import crew

NAP = 1.3
"""Seconds: a wait that holds no worker."""

DOZE = 0.4
"""Seconds: a wait in memory."""

_time, _time_ns = time.time, time.time_ns


def jump() -> None:
    """From now on every clock but the monotonic one is off, as when somebody sets the machine's."""
    seconds = int(os.environ.get("JUMP", "0"))
    time.time = lambda: _time() + seconds
    time.time_ns = lambda: _time_ns() + seconds * 1_000_000_000


def register(app: App) -> Agent:
    async def stand(where: str) -> None:
        crew.note(f"{where} {time.monotonic()}")
        if where == "jump" and os.environ.get("WHEN") == "step":
            jump()

    @app.agent("sleeper")
    async def sleeper(run: Run) -> None:
        await run.step("stand", stand, "jump")
        for seconds in (NAP, DOZE):
            await run.step("stand", stand, f"lie {seconds}")
            await run.sleep(seconds)
            await run.step("stand", stand, f"rise {seconds}")

    @app.tool(effect="write")
    async def hold(key: EffectKey) -> str:
        crew.note(f"hold {key} by {os.environ.get('NAME')}")
        await asyncio.sleep(float(os.environ.get("SECONDS", "0")))
        return "held"

    @app.agent("holder")
    async def holder(run: Run) -> str:
        return await run.call(hold)

    return holder


def main() -> None:
    if os.environ.get("WHEN") == "birth":
        jump()
    app = crew.new_app()
    register(app)
    crew.work(app)
