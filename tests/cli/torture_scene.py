"""Agents for the torture chamber. Loaded by `perdure torture tests/cli/torture_scene.py:app`."""

from perdure import App, Run

app = App("memory://")
charged: list[str] = []


@app.tool(effect="read")
async def charge(item: str) -> str:
    charged.append(item)
    return f"{item} is paid"


@app.agent("careless")
async def careless(run: Run, item: str) -> str:
    await run.ask("Buy it?")
    receipt: str = await run.call(charge, item)
    return receipt


@app.agent("careful")
async def careful(run: Run, item: str) -> str:
    note: str = await run.receive("note", str)
    return f"{item}, {note}"
