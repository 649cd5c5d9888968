"""A run that writes a lot, slowly enough to be watched: notes each step that it begins."""

from __future__ import annotations

import random

from perdure import DID_NOT_HAPPEN, Agent, App, Happened, Run
from tests.faults.programs import crew

STEPS = 60
SIZE = 24_000


def register(app: App) -> Agent:
    async def page(n: int) -> str:
        crew.note(f"page {n}")
        return random.Random(n).randbytes(SIZE // 2).hex()  # PostgreSQL would compress what repeats

    def was_filed(n: int) -> object:  # the disk may be full right after it
        return Happened(n) if crew.noted(f"file {n}") else DID_NOT_HAPPEN

    @app.tool(effect="write", verify=was_filed)
    async def file(n: int) -> int:
        crew.note(f"file {n}")
        return n

    @app.agent("writer")
    async def writer(run: Run) -> int:
        total = 0
        for n in range(STEPS):
            total += len(await run.step("page", page, n))
            if n % 10 == 0:
                await run.call(file, n)
        return total

    return writer


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
