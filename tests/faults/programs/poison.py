"""A run that kills its process, and neighbours that do not. Started as a script, so that it can be imported again."""

from __future__ import annotations

import asyncio
import os

from perdure import App, Run
from tests.faults.programs import crew

STEPS = 40
"""of a good run"""

app = App("sqlite:///poison.db") if "STORE" not in os.environ else crew.new_app()


async def take(what: str) -> str:
    crew.note(f"take {what} in {os.getpid()}")
    if what == os.environ.get("POISON", "poison"):
        await until_the_neighbours_got_on()
        os._exit(7)
    await asyncio.sleep(0.01)
    return what


async def until_the_neighbours_got_on() -> None:
    """Each that has not finished has a new result from this process: what came of it must not depend on chance."""
    while __name__ == "__main__":  # else it is alone
        lines = crew.notes()
        ours = f" in {os.getpid()}"
        if all(
            any(line.startswith(f"take {name}{STEPS - 1} ") for line in lines)
            or sum(line.startswith(f"take {name}") and line.endswith(ours) for line in lines) > 1
            for name in os.environ.get("NEIGHBOURS", "").split()
        ):
            break
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)  # and it is on disk


@app.agent("taker")
async def taker(run: Run, what: str) -> list[str]:
    """Many small steps for the good, one bad one for the poisoned."""
    if what == "poison":
        return [await run.step("take", take, what)]
    return [await run.step("take", take, f"{what}{n}") for n in range(STEPS)]


if __name__ == "__main__":
    crew.work(app)
