"""What a ring has said of a call stands: wherever its worker dies, the run comes to the same end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from perdure import App, CheckFailed, Kind, Run
from perdure.testing import survives, until_waiting
from perdure.testing.survival import Trial
from tests.trust.desks import Bank, approve, made, verdicts


def said(trial: Trial) -> list[tuple[str, str, str | None]]:
    """The verdicts of a trial, each once: what was said again after a crash says the same."""
    told = [json.loads(e.payload) for e in trial.entries if e.kind == Kind.VERDICT]
    stages = ("trust", "check", "approval")
    found = [(t["stage"], t["verdict"], t.get("ring")) for t in told if t["stage"] in stages]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("ring", ["observe", "draft", "act_after_approval", "act_and_verify"])
async def test_a_worker_that_dies_changes_no_verdict(ring: str) -> None:
    bank = Bank()
    app = made("memory://", bank, ring=ring)

    async def people(app: App, run: Any) -> None:
        if ring == "act_after_approval":
            await approve(app, run)

    trials = await survives(app, "desk", 100, outside=people, setup=bank.__init__)
    assert len(trials) > 10
    assert {tuple(said(t)) for t in trials} == {tuple(said(trials[0]))}
    assert len(bank.paid) == (ring in ("act_after_approval", "act_and_verify"))


async def test_a_failed_check_narrows_once_and_undoes_once_wherever_its_worker_dies() -> None:
    bank = Bank()
    records: list[int] = []

    app = made("memory://", bank, ring="act_and_verify")
    undone: set[int] = set()

    @app.agent("careful", ring="act_and_verify")
    async def careful(run: Run) -> str:
        try:
            return await run.call(app.tools["pay"], "Ada", 1)
        except CheckFailed as failed:
            undone.add(len(bank.back))
            return str(failed)

    async def watched(app: App, run: Any) -> None:
        await run.ending()
        records.append(len((await app.trust.ring("careful", "pay")).records))

    def fresh() -> None:
        bank.__init__()
        bank.right = False

    trials = await survives(app, "careful", setup=fresh, outside=watched)
    assert "did not pass" in trials[0].result
    assert set(records) == {1}


async def test_a_call_that_was_begun_in_a_ring_goes_on_in_no_wider_one() -> None:
    """Whoever was asked is not asked in vain, and what was drafted is not done beside its draft."""
    bank = Bank()
    async with made("memory://", bank, ring={"pay": "act_after_approval"}) as app:
        run = await app.start("desk", 100)
        await until_waiting(app, run, "approval")
        agent = app.find_agent("desk")
        agent.rings["pay"] = agent.rings["pay"].__class__.ACT_AND_VERIFY  # type: ignore[index]  # a deploy
        await app.resume(run.id)
        await approve(app, run)
        assert await run.result() == "paid 100 to Ada"
        assert [v["verdict"] for v in await verdicts(run, "approval")] == ["approved"]
