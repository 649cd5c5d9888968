"""A desk that pays twice the same, each time when somebody lets it. Whether it has paid is found out by the key."""

from __future__ import annotations

from perdure import DID_NOT_HAPPEN, Agent, App, EffectKey, Happened, Run
from tests.faults.programs import crew
from tests.faults.programs.crew import note, noted


def register(app: App) -> Agent:
    def was_paid(amount: int, key: EffectKey) -> object:
        return Happened(f"paid {amount}") if noted(f"pay {amount} {key}") else DID_NOT_HAPPEN

    @app.tool(effect="write", needs_approval=True, verify=was_paid)
    async def pay(amount: int, key: EffectKey) -> str:
        note(f"pay {amount} {key}")
        return f"paid {amount}"

    @app.agent("desk")
    async def desk(run: Run) -> list[str]:
        return [await run.call(pay, 5), await run.call(pay, 5)]

    return desk


def main() -> None:
    app = crew.new_app()
    register(app)
    crew.work(app)
