"""`perdure alerts ls|ack|test`, and what the journal of alerts looks like to people."""

from __future__ import annotations

import asyncio

from perdure import App
from perdure.core.alert_settings import AlertSettings
from perdure.engines.alerts import Alerts, Occurrence
from perdure.engines.watching import Watching
from tests.cli.conftest import Cli
from tests.endings.receiver import receiving


def test_an_alert_is_listed_with_its_runbook_and_taken(cli: Cli) -> None:
    asyncio.run(_raise(cli))
    (told,) = cli("alerts", "ls", "--json").json
    assert (told["kind"], told["runs"], told["state"], told["count"]) == ("run_failed", ["r1"], "open", 1)
    assert told["runbook"] == "docs/runbooks/run-failed.md"
    shown = cli("alerts", "ls", columns="220").stdout
    assert "a run of `clerk` failed" in shown and "docs/runbooks/run-failed.md" in shown
    taken = cli("alerts", "ack", told["alert"], "--by", "ann", "--note", "looks", "--json").json
    assert (taken["state"], taken["by"], taken["note"]) == ("acknowledged", "ann", "looks")
    assert "taken by ann" in cli("alerts", "ls", columns="220").stdout
    assert cli("alerts", "ack", "al-none").code == 4
    log = cli("runs", "ls", "--agent", "perdure-alerts", "--json").json
    assert [r["status"] for r in log] == ["succeeded"]
    assert cli("runs", "verify", log[0]["run"]).code == 0
    assert "a run of `clerk` failed" in cli("runs", "tail", log[0]["run"], columns="220").stdout
    assert cli("alerts", "ls", "--tenant", "other", "--json").json == []


def test_a_test_goes_to_whoever_is_told(cli: Cli) -> None:
    asyncio.run(_raise(cli))
    assert cli("alerts", "test").code == 2  # nobody is
    with receiving() as desk:
        (cli.folder / "perdure.toml").write_text(
            f'[contacts.desk]\nwebhook = "{desk.url}"\n[contacts.away]\nwebhook = "http://127.0.0.1:1"\n'
            '[alerts]\nto = "desk"\n[alerts.routes]\nchain_broken = "away"\n'
        )
        done = cli("alerts", "test", "--json")
        assert done.code == 1
        assert [(one["to"], one["delivered"]) for one in done.json] == [("away", False), ("desk", True)]
        assert [post.told["type"] for post in desk.posts] == ["alert.test"]


async def _raise(cli: Cli) -> None:
    app = App(cli.store)
    await app.open()
    await Alerts(app.store, AlertSettings()).raise_(
        Occurrence(
            kind="run_failed",
            tenant="default",
            about="clerk",
            subject="a run of `clerk` failed",
            runs=("r1",),
            cause="r1/3",
        )
    )
    await app.close()


def test_who_watches_is_listed_and_how_far_behind(cli: Cli) -> None:
    cli.begin("asks", "r")
    asyncio.run(_watch(cli))
    (told,) = cli("watchers", "ls", "--json").json
    assert (told["watcher"], told["worker"]) == ("violations", "w-here")
    behind = told["behind"]
    cli.begin("asks", "r2")
    cli("audit", "sequence", "--once")
    assert cli("watchers", "ls", "--json").json[0]["behind"] > behind
    assert "w-here" in cli("watchers", "ls", columns="200").stdout


async def _watch(cli: Cli) -> None:
    app = App(cli.store, watchers={"anomalies": "off"})
    await app.open()
    await Watching(
        app.store,
        [watcher for watcher in app.watchers() if watcher.name == "violations"],
        tenant=app.tenant,
        revocations=app.revocations,
        found=app.found,
        name="w-here",
    ).catch_up()
    await app.close()
