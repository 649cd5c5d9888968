"""`perdure breakers ls|close`: who is left alone for a while, since when, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import RunConflict
from ..command import Cli, command
from ..complete import breaker_names
from ..tree import breakers

if TYPE_CHECKING:
    from ...app import App
    from ...governance import BreakerRecord, Breakers

__all__: list[str] = []

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The breaker's name.", autocompletion=breaker_names)
]


@command(breakers, "ls")
async def ls(
    cli: Cli, all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False
) -> None:
    """List the breakers that are open, or have counted failures of late."""
    async with cli.opened() as app:
        found = await _breakers(app).ls(None if all_tenants else app.tenant)
        now = app.store.now()
    if cli.json:
        cli.answer([_json(b) for b in found])
        return
    if not found:
        cli.note("all breakers are closed, and none has counted a failure of late")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = []
    for b in found:
        state = b.state
        name = f"{b.tenant}: {b.name}" if all_tenants else b.name
        rows.append(
            [
                Text(safe(name), style="bold"),
                Text(b.phase.replace("_", " "), style="green" if b.phase == "closed" else "yellow"),
                "" if state.since is None else ago(state.since, now),
                str(state.count or len(state.failures)),
                "" if state.until is None else ago(state.until, now),
                safe(state.probe_by or ""),
                safe(state.why),
            ]
        )
    headings = ("breaker", "state", "since", "failures", "probe due", "probed by", "last failure")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((6, 12), (5, 0)), right=(3,)))


@command(breakers, "close")
async def close(cli: Cli, name: Name) -> None:
    """Close it now: calls go again, and failures are counted from nothing."""
    async with cli.opened() as app:
        if not await _breakers(app).close(app.tenant, name):
            raise RunConflict(
                f"breaker `{name}` is closed already; `{cli.hint('breakers', 'ls')}` lists them"
            )
    cli.done(f"{name}: closed; workers see it within a second", {"breaker": name, "state": "closed"})


def _breakers(app: App) -> Breakers:
    from ...governance import Breakers

    return Breakers(app.store, app.clock)


def _json(breaker: BreakerRecord) -> dict[str, Any]:
    from ...views.words import iso

    state = breaker.state
    return {
        "tenant": breaker.tenant,
        "breaker": breaker.name,
        "state": breaker.phase,
        "failures": state.count or len(state.failures),
        "since": iso(state.since),
        "probe_due": iso(state.until),
        "probed_by": state.probe_by,
        "probe_until": iso(state.probe_until),
        "why": state.why,
    }
