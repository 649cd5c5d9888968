"""`perdure stop`, `start`, `stopped`."""

from __future__ import annotations

import asyncio

from perdure import App, Run
from tests.cli.conftest import Cli


def test_what_is_stopped_is_listed_and_goes_on(cli: Cli) -> None:
    asyncio.run(_run(cli, wait=False))
    assert cli("stopped", "--json").json == []
    done = cli("stop", "desk", "--reason", "it lies", "--by", "ops", "--json")
    assert done.json == {"agent": "desk", "stopped": True}
    again = cli("stop", "desk")
    assert again.code == 5
    assert "stopped already" in again.stderr
    told = cli("stopped", "--json").json
    assert [(r["what"], r["name"], r["by"], r["reason"]) for r in told] == [
        ("agent", "desk", "ops", "it lies")
    ]
    assert "it lies" in cli("stopped", columns="200").stdout

    asyncio.run(_run(cli, wait=True))
    shown = cli("runs", "show", "r", columns="200")
    assert "`perdure start`" in shown.stdout
    assert "agent desk was stopped by ops: it lies" in shown.stdout
    assert cli("start", "desk", "--json").json == {"agent": "desk", "stopped": False, "runs": 1}
    assert cli("start", "desk").code == 5


def test_a_tenant_and_all_of_the_store(cli: Cli) -> None:
    asyncio.run(_run(cli, wait=False))
    assert cli("stop", "--tenant", "acme", "--json").json == {"tenant": "acme", "stopped": True}
    assert cli("stop", "--all", "--json").json == {"all": True, "stopped": True}
    told = cli("stopped", "--tenant", "acme", "--json").json
    assert [(r["tenant"], r["what"]) for r in told] == [(None, "all"), ("acme", "tenant")]
    assert cli("start", "--tenant", "acme").code == 0
    assert cli("start", "--all").code == 0


def test_what_is_not_named(cli: Cli) -> None:
    asyncio.run(_run(cli, wait=False))
    for line in (["stop"], ["stop", "desk", "--all"], ["start"], ["start", "--run", "r", "--user", "ann"]):
        assert cli(*line).code == 2


async def _run(cli: Cli, *, wait: bool) -> None:
    """Make the store; with `wait`, a run in it that is held."""
    app = App(cli.store)

    @app.tool(effect="write")
    async def send() -> str:
        return "sent"

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.call(send)

    async with app:
        if not wait:
            return
        run = await app.start(desk, run_id="r")
        while (await run.record()).status != "waiting":
            seen = app.store.changes()
            await app.store.changed(seen, within=0.2)
