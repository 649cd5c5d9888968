"""`perdure alerts ls|ack|test`: what people were told without having asked, who has taken it, whether it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..command import Cli, command
from ..outcome import Exit
from ..runs.steer import By, operator
from ..tree import alerts

if TYPE_CHECKING:
    from ...core.alert_settings import AlertSettings
    from ...engines.alerts import Alert

__all__: list[str] = []

Id = Annotated[str, typer.Argument(metavar="ALERT", help="The alert's id, as `alerts ls` shows it.")]


@command(alerts, "ls")
async def ls(
    cli: Cli, all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False
) -> None:
    """List the alerts that are open, or acknowledged and not over, each with its runbook."""
    settings = _settings(cli)
    async with cli.opened() as app:
        found = await app.alarms.ls(tenant=None if all_tenants else app.tenant)
        now = app.store.now()
    if cli.json:
        cli.answer([_json(one, settings) for one in found])
        return
    if not found:
        cli.note(
            "there is no alert"
            + ("" if cli.is_set("alerts") else "; `[alerts]` in perdure.toml turns them on")
        )
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            a.id,
            Text(a.kind, style="bold" if a.state == "open" else "dim"),
            safe(a.subject),
            f"{a.count:,}",
            ago(a.last, now),
            a.state if a.by is None or a.state == "open" else f"taken by {safe(a.by)}",
            settings.runbook(a.kind),
        ]
        for a in found
    ]
    columns = ("alert", "kind", "what", "times", "last", "state", "runbook")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((2, 20), (6, 12))))


@command(alerts, "ack")
async def ack(
    cli: Cli,
    alert: Id,
    note: Annotated[str, typer.Option("--note", help="What you make of it; its journal keeps it.")] = "",
    by: By = None,
) -> None:
    """Say that you have taken an alert: nobody else is told, unless it goes on."""
    async with cli.opened() as app:
        taken = await app.acknowledge_alert(alert, by=operator(by), note=note)
    cli.done(
        f"{alert} ({taken.kind}) is yours; {_settings(cli).runbook(taken.kind)}", _json(taken, _settings(cli))
    )


@command(alerts, "test")
async def test(cli: Cli) -> int | None:
    """Send an alert that is marked as a test to whoever is told of alerts, now, by the way that a real one goes."""
    async with cli.opened() as app:
        app.alert_settings = _settings(cli)
        failed = await app.test_alerts()
    if cli.json:
        cli.answer([{"to": name, "delivered": why is None, "error": why} for name, why in failed.items()])
    else:
        for name, why in failed.items():
            cli.done(f"{name}: delivered" if why is None else f"{name}: {why}", None)
    return Exit.NOT_SO if any(why is not None for why in failed.values()) else None


def _settings(cli: Cli) -> AlertSettings:
    from ...core.alert_settings import AlertSettings

    return cli.settings.alerts or AlertSettings()


def _json(one: Alert, settings: AlertSettings) -> dict[str, Any]:
    from ...views.words import iso

    return {
        "alert": one.id,
        "kind": one.kind,
        "tenant": one.tenant,
        "about": one.about,
        "subject": one.subject,
        "why": one.why,
        "runs": list(one.runs),
        "count": one.count,
        "state": one.state,
        "by": one.by,
        "note": one.note,
        "first": iso(one.first),
        "last": iso(one.last),
        "told": one.told,
        "runbook": settings.runbook(one.kind),
    }
