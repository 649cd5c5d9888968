"""Workers of a fleet: VERSIONS that they have of an agent, their LABELS, their CONCURRENCY."""

from __future__ import annotations

import json
import os

from perdure import App, Run
from tests.faults.programs.crew import new_app, note, work


def register(app: App, version: str) -> None:
    """`parcel` in one version: notes what it does before and after it waits for a signal."""

    @app.agent("parcel", version=version)
    async def parcel(run: Run) -> str:
        await run.step("pack", lambda: note(f"{run.id} packed by {version}"))
        await run.receive("address")
        await run.step("send", lambda: note(f"{run.id} sent by {version}"))
        return version

    @app.agent("letter", version=version)
    async def letter(run: Run) -> str:
        await run.step("write", lambda: note(run.id))
        return version


def main() -> None:
    labels = json.loads(os.environ.get("LABELS", "[]"))
    app = new_app(labels=labels, concurrency=int(os.environ.get("CONCURRENCY", "256")))
    for version in json.loads(os.environ.get("VERSIONS", '["1"]')):
        register(app, version)
    work(app)
