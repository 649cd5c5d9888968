"""`perdure identity revoke --agent|--run|--user`, `restore`, `revoked`."""

from __future__ import annotations

import asyncio

import pytest

from perdure import App, Run, RunFailed
from tests.cli.conftest import Cli


def test_who_is_revoked_is_listed_and_restored(cli: Cli) -> None:
    asyncio.run(_touch(cli))
    assert cli("identity", "revoked", "--json").json == []
    done = cli("identity", "revoke", "--agent", "desk", "--reason", "it lies", "--by", "ops", "--json")
    assert done.json == {"agent": "desk", "revoked": True}
    again = cli("identity", "revoke", "--agent", "desk")
    assert again.code == 5
    assert "revoked before" in again.stderr
    assert cli("identity", "revoke", "--user", "ann").code == 0
    told = cli("identity", "revoked", "--json").json
    assert [(r["what"], r["name"], r["reason"]) for r in told] == [
        ("agent", "desk", "it lies"),
        ("user", "user:ann", ""),
    ]
    shown = cli("identity", "revoked", columns="200").stdout
    assert "it lies" in shown and "ops" in shown

    with pytest.raises(RunFailed, match="`desk` was revoked by ops: it lies"):
        asyncio.run(_run(cli))
    assert cli("identity", "restore", "--agent", "desk").code == 0
    assert cli("identity", "restore", "--agent", "desk").code == 5
    assert asyncio.run(_run(cli)) == "sent"


def test_what_is_not_named(cli: Cli) -> None:
    asyncio.run(_touch(cli))
    for line in (["revoke"], ["revoke", "--agent", "a", "--run", "r"], ["revoke", "desk"], ["restore"]):
        assert cli("identity", *line).code == 2


async def _touch(cli: Cli) -> None:
    app = App(cli.store)
    await app.open()
    await app.close()


async def _run(cli: Cli) -> str:
    app = App(cli.store)

    @app.tool(effect="write")
    async def send() -> str:
        return "sent"

    @app.agent("desk")
    async def desk(run: Run) -> str:
        return await run.call(send)

    async with app:
        return await (await app.start(desk)).result()
