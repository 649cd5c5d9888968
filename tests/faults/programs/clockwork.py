"""An agent that a schedule starts every second."""

from __future__ import annotations

from datetime import timedelta

from perdure import DID_NOT_HAPPEN, Happened, Run
from perdure.runtime import Verdict
from tests.faults.programs import crew


def tick(run_id: str) -> None:
    crew.note(run_id)


def ticked(run_id: str) -> Verdict:
    return Happened(None) if crew.noted(run_id) else DID_NOT_HAPPEN


def main() -> None:
    app = crew.new_app()

    @app.schedule(every=timedelta(seconds=1), overlap="allow", catch_up="all", name="tick")
    @app.agent("ticker")
    async def ticker(run: Run) -> None:
        await run.step("tick", tick, run.id, effect="write", verify=ticked)

    crew.work(app)
