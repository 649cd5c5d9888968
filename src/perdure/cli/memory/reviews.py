"""`perdure memory review ls|accept|reject`: what strangers would have agents remember, before it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ...core.errors import UnknownItem
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import memory_review

if TYPE_CHECKING:
    from ...app import App

__all__: list[str] = []

Target = Annotated[
    str, typer.Argument(metavar="ITEM|RUN", help="RUN/STEP; or a run, for all of it that waits.")
]
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
async def accept(cli: Cli, target: Target, why: Why = "", by: By = None) -> None:
    """Do a write that waits: it is recalled from then on, under its labels and `reviewed`."""
    async with cli.opened() as app:
        for item in (items := await _meant(app, target)):
            await app.memory.accept(item, by=operator(by), why=why)
    cli.done(f"{target}: accepted ({len(items)})", {"target": target, "items": items, "state": "accepted"})


@command(memory_review, "reject")
async def reject(cli: Cli, target: Target, why: Why = "", by: By = None) -> None:
    """Let a write that waits never be done."""
    async with cli.opened() as app:
        for item in (items := await _meant(app, target)):
            await app.memory.reject(item, by=operator(by), why=why)
    cli.done(f"{target}: rejected ({len(items)})", {"target": target, "items": items, "state": "rejected"})


async def _meant(app: App, target: str) -> list[str]:
    """The item, or all that wait of a run."""
    if "/" in target:
        return [target]
    found = [proposal.id for proposal in await app.memory.proposals(run=target, limit=1000)]
    if not found:
        raise UnknownItem(
            f"nothing of run `{target[:120]}` waits for a review: `perdure memory review ls` shows what does"
        )
    return found
