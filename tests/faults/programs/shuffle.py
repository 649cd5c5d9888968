"""Steps side by side, of random length: what the program sees must be what the journal says."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from perdure import Agent, App, Run
from tests.faults.programs import crew


async def roll(name: str) -> str:
    """A result that no second call would give."""
    await asyncio.sleep(random.random() * 0.01)
    return f"{name} {random.getrandbits(64):x}"


def register(app: App) -> Agent:
    @app.agent("shuffle")
    async def shuffle(run: Run) -> dict[str, Any]:
        seen: list[str] = []

        async def branch(name: str) -> list[str]:
            mine = []
            for n in range(3):
                mine.append(await run.step(f"roll{n}", roll, f"{name}{n}"))
                seen.append(mine[-1])
            return mine

        gathered = await run.gather(*(branch(name) for name in "abc"))
        winner = await run.first(branch("x"), branch("y"))
        aside = run.branch("aside", branch("s"))
        main = await branch("m")
        return {
            "seen": seen,
            "gathered": gathered,
            "winner": [winner.which, winner.value],
            "aside": await aside,
            "main": main,
        }

    return shuffle


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
