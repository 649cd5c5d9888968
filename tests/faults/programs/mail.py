"""A run that takes signals, and a process that sends them (SENDER)."""

from __future__ import annotations

import asyncio
import os

from perdure import Agent, App, Run
from tests.faults.programs import crew

EACH = 50
"""signals of one sender"""


def register(app: App) -> Agent:
    @app.agent("reader")
    async def reader(run: Run, letters: int) -> list[str]:
        return [await run.receive("letter", str) for _ in range(letters)]

    return reader


async def send(app: App, sender: str) -> None:
    for n in range(EACH):
        await app.signal("r1", "letter", f"{sender} {n}", message_id=f"{sender}-{n}")
    await app.close()


def main() -> None:
    app = crew.new_app()
    register(app)
    if "SENDER" in os.environ:
        asyncio.run(send(app, os.environ["SENDER"]))
    else:
        crew.work(app)
