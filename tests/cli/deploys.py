"""An app before and after a deploy, by the environment. `perdure --app tests/cli/deploys.py:app`."""

import asyncio
import os

from perdure import App, Run

AFTER = os.environ.get("DEPLOY", "before") == "after"
app = App("memory://")  # every test names its own store with `--store`


def told(what: str) -> str:
    return what


@app.agent("steady")
async def steady(run: Run) -> str:
    await run.step("first", told, "first")
    print("between two steps")
    late = "late" if run.patched("late") else "never"
    await run.receive("word", str)
    return late


@app.agent("changing")
async def changing(run: Run) -> str:
    if AFTER:
        await run.step("new", told, "new")
    await run.step("first", told, "first")
    return await run.receive("word", str)


@app.agent("hanging")
async def hanging(run: Run) -> str:
    if AFTER:
        while os.environ.get("HOW") == "busily":
            pass
        await asyncio.Event().wait()
    return await run.receive("word", str)


@app.agent("gone", version="2" if AFTER else "1")
async def gone(run: Run) -> str:
    return await run.receive("word", str)


if os.environ.get("DEPLOY") == "tooled":
    app.tool(told)
