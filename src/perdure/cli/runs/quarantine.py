"""`perdure quarantine ls|release`: runs that killed their workers."""

from __future__ import annotations

from typing import Annotated

import typer

from ...core.errors import RunConflict
from ..command import Cli, command
from ..tree import quarantine
from .listing import RunId
from .steer import By, operator

__all__: list[str] = []


@command(quarantine, "ls")
async def ls(
    cli: Cli,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
) -> None:
    """List runs in quarantine: why, since when, and how far each had come."""
    from ...journal import RunQuery, RunStatus
    from ..display.record import name_of, progress_words, record_json

    async with cli.opened() as app:
        tenant = None if all_tenants else app.tenant
        held = RunQuery(tenant=tenant, statuses=frozenset({RunStatus.QUARANTINED}), limit=1000)
        found = await app.store.find(held)
        now = app.store.now()
    if cli.json:
        cli.answer([record_json(r) for r in found])
        return
    if not found:
        cli.note("no run is in quarantine")
        return
    from rich.text import Text

    from ...views.words import ago, one_line, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(name_of(r), style="bold"),
            safe(r.agent),
            ago(r.ended_at or r.updated_at, now),
            Text(progress_words(r, now)),
            Text(one_line("; ".join(r.reasons))),
        ]
        for r in found
    ]
    headings = ("run", "agent", "since", "how far", "why")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((4, 24), (3, 12), (0, 12))))
    cli.note(f"{cli.hint('runs', 'show', 'RUN')}, then {cli.hint('quarantine', 'release', 'RUN')}")


@command(quarantine, "release")
async def release(cli: Cli, run: RunId, by: By = None) -> None:
    """Let a run go on from quarantine; its deaths are forgotten."""
    from ...journal import RunStatus
    from ..display.follow import record_of

    async with cli.opened() as app:
        record = await record_of(app, run)
        if record.status is not RunStatus.QUARANTINED:
            raise RunConflict(f"run `{record.ref}` is not in quarantine; it stands at `{record.status}`")
        await app.resume(run, by=operator(by), reset=True)
    cli.done(f"{run} goes on as soon as a worker is there", {"run": run, "released": True})
