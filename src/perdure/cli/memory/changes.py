"""`perdure memory undo|spread|restore|forget`: what is remembered is withdrawn, brought back, or gone."""

from __future__ import annotations

from typing import Annotated

import typer

from ...core.errors import ConfigError, RunConflict
from ..command import Cli, command
from ..runs.steer import By, operator
from ..tree import memory

__all__: list[str] = []

Target = Annotated[str, typer.Argument(metavar="RUN|ITEM", help="A run, or one write of it: RUN/STEP.")]
Runs = Annotated[
    int, typer.Option("--runs", help="Look through the journals of so many runs.", min=1, max=100_000)
]
Why = Annotated[str, typer.Option("--why", help="Why; it stands in the audit log.")]


@command(memory, "undo")
async def undo(
    cli: Cli,
    target: Target,
    why: Why = "",
    by: By = None,
    spread: Annotated[
        bool,
        typer.Option("--spread", help="Of a run: also what runs have written that were handed it before."),
    ] = False,
    runs: Runs = 500,
) -> None:
    """Withdraw what a run, or one write of it, has put into memory: no run recalls it from then on, in any layer."""
    if spread and "/" in target:
        raise ConfigError("`--spread` goes with a run, and not with one write of it")
    further: list[str] = []
    fresh = True
    async with cli.opened() as app:
        if spread:
            further = await app.memory.undo_spread(target, by=operator(by), why=why, runs=runs)
        else:
            fresh = await app.memory.undo(target, by=operator(by), why=why)
    if not fresh:
        raise RunConflict(f"`{target}` is withdrawn already; `perdure memory withdrawn` says by whom")
    cli.done(
        f"{target}: withdrawn" + (f", and {len(further)} writes behind it" if spread else ""),
        {"target": target, "withdrawn": True, **({"further": further} if spread else {})},
    )
    cli.note(f"to take that back: {cli.hint('memory', 'restore', target)}")


@command(memory, "spread")
async def spread(
    cli: Cli,
    run: Annotated[str, typer.Argument(metavar="RUN", help="Whose writes.")],
    runs: Runs = 500,
) -> None:
    """List what runs have written to memory that had been handed what a run has written, or what was made of it."""
    from ...views.memory import spread_told

    async with cli.opened() as app:
        told = await app.memory.spread(run, runs=runs)
        now = app.store.now()
    if cli.json:
        cli.answer(spread_told(told))
        return
    if not told.complete:
        cli.note(f"looked through the newest {told.looked} runs; `--runs` looks further")
    if not told.runs:
        cli.note(f"no run was handed what `{run}` has written")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    cli.out.print(f"handed to: {safe(', '.join(told.runs))}", markup=False)
    rows: list[list[Text | str]] = [
        [Text(safe(w.id), style="bold"), safe(w.agent), w.tool, safe(w.over), ago(w.at, now)]
        for w in told.writes
    ]
    if rows:
        columns = ("item", "agent", "write", "after it was handed", "written")
        cli.out.print(listing(columns, rows, cli.out, squeeze=((0, 20), (3, 20))))
        cli.note(f"to withdraw all of it: {cli.hint('memory', 'undo', run, '--spread')}")


@command(memory, "restore")
async def restore(cli: Cli, target: Target, why: Why = "", by: By = None) -> None:
    """Take back an `undo`: what was withdrawn is recalled again."""
    async with cli.opened() as app:
        done = await app.memory.restore(target, by=operator(by), why=why)
    if not done:
        raise RunConflict(f"`{target}` is not withdrawn; `perdure memory withdrawn` lists what is")
    cli.done(f"{target}: restored", {"target": target, "withdrawn": False})


@command(memory, "withdrawn")
async def withdrawn(cli: Cli) -> None:
    """List what was withdrawn, by whom and why."""
    from ...views.memory import hold_told

    async with cli.opened() as app:
        found = await app.memory.holds()
        now = app.store.now()
    if cli.json:
        cli.answer([hold_told(hold) for hold in found])
        return
    if not found:
        cli.note("nothing is withdrawn; `perdure memory undo RUN` withdraws what a run has written")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [Text(safe(h.target), style="bold"), safe(h.by), safe(h.why), ago(h.at, now)] for h in found
    ]
    cli.out.print(listing(("run or item", "by", "why", "since"), rows, cli.out, squeeze=((2, 20), (0, 20))))


@command(memory, "forget")
async def forget(
    cli: Cli,
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="About whom.")],
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete what agents remember about a data subject, in all layers. For good; what runs have recorded stays.

    `perdure audit erase` takes away what runs have recorded, too.
    """
    async with cli.opened() as app:
        if not yes and (cli.json or not cli.err.is_terminal):
            raise ConfigError(f"what is remembered about `{subject}` would be gone for good: add `--yes`")
        if not yes and not typer.confirm(
            f"What is remembered about `{subject}` will be gone. Go on?", err=True
        ):
            return
        gone = await app.memory.forget(subject, by=operator(by))
    cli.done(f"{subject}: forgotten, {gone} items", {"subject": subject, "items": gone})
    cli.note(f"what runs have recorded of it stays: {cli.hint('audit', 'erase', subject)} takes it away")
