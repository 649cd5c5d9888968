"""Agents that send two letters each. The first is under way until the test says `go`; LABEL says where each runs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from perdure import Agent, App, Run
from tests.faults.programs import crew
from tests.faults.programs.crew import note


def register(app: App) -> dict[str, Agent]:
    @app.tool(effect="write")
    def send(letter: str) -> str:
        note(letter)
        while letter.endswith("1") and not Path(os.environ["LEDGER"]).with_name("go").exists():
            time.sleep(0.01)
        return letter

    @app.agent("rogue")
    async def rogue(run: Run, name: str) -> list[str]:
        return [await run.call(send, f"{name} {n}") for n in (1, 2)]

    @app.agent("honest")
    async def honest(run: Run, name: str) -> list[str]:
        return [await run.call(send, f"{name} {n}") for n in (1, 2)]

    return {"rogue": rogue, "honest": honest}


def main() -> None:
    app = crew.new_app(labels=[os.environ["LABEL"]])
    register(app)
    crew.work(app)
