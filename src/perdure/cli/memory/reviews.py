"""`perdure memory review ls|accept|reject`: what strangers would have agents remember, before it is."""

from __future__ import annotations

from typing import Annotated

import typer

from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import memory_review
from .items import ItemId

__all__: list[str] = []

Why = Annotated[str, typer.Option("--why", help="Why; it stands in the audit log.")]


@command(memory_review, "ls")
async def ls(
    cli: Cli,
    all: Annotated[bool, typer.Option("--all", help="Also those that were decided.")] = False,
    limit: Annotated[int, typer.Option("--limit", help="At most so many.", min=1, max=1000)] = 100,
) -> None:
    """List the writes that wait for a person, each with where it comes from and its labels."""
    from ...views.memory import proposal_told

    async with cli.opened() as app:
        found = await app.memory.proposals(all=all, limit=limit)
        now = app.store.now()
    if cli.json:
        cli.answer([proposal_told(p) for p in found])
        return
    if not found:
        cli.note("no write waits for a review")
        return
    from rich.text import Text

    from ...views.words import ago, pretty, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(safe(p.id), style="bold"),
            p.write.tool,
            safe(pretty(dict(p.write.arguments), limit=200)),
            safe(", ".join(p.write.origin.labels)),
            "waits" if p.state in ("waits", "accepting") else safe(f"{p.state} by {p.by}"),
            ago(p.at, now),
        ]
        for p in found
    ]
    columns = ("item", "write", "what", "labels", "state", "proposed")
    cli.out.print(listing(columns, rows, cli.out, squeeze=((2, 20), (0, 20))))


@command(memory_review, "accept")
async def accept(cli: Cli, item: ItemId, why: Why = "", by: By = None) -> None:
    """Do a write that waits: it is recalled from then on, under its labels and `reviewed`."""
    async with cli.opened() as app:
        done = await app.memory.accept(item, by=operator(by), why=why)
    cli.done(f"{item}: accepted", {"item": item, "state": done.state, "by": done.by})


@command(memory_review, "reject")
async def reject(cli: Cli, item: ItemId, why: Why = "", by: By = None) -> None:
    """Let a write that waits never be done."""
    async with cli.opened() as app:
        done = await app.memory.reject(item, by=operator(by), why=why)
    cli.done(f"{item}: rejected", {"item": item, "state": done.state, "by": done.by})
