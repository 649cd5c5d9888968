"""`perdure rebuild`: figures and tallies are dropped, and made again from the journals."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Annotated

import typer

from ..command import Cli, command
from ..outcome import Exit
from ..tree import root

__all__: list[str] = []


@command(root, "rebuild", rich_help_panel="Care")
async def rebuild(
    cli: Cli,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Compare what was there with what comes of it; exit 1 where they differ."
        ),
    ] = False,
) -> int:
    """Drop the figures of runs and all that is added up, and make them again from the journals.

    Nothing else is touched, and workers and servers go on. Until it is done lists show figures as they were, sums are
    short, and /metrics leaves out what is being rebuilt. Stopped half-way, whoever folds (a server) finishes it.
    """
    from ...telemetry import Projector, projections_digest

    async with cli.opened() as app:
        projector = Projector(app.store)
        before = None
        if check:
            await projector.bring_up()
            before = await projections_digest(app.store)
        leaves = 0
        with _bar(cli) as seen:
            async for step in projector.rebuild():
                leaves = step.of
                seen(step.done, step.of)
        after = await projections_digest(app.store) if check else None
    told = {"heads": leaves, **({"before": before, "after": after, "same": before == after} if check else {})}
    if before != after:
        cli.done(
            f"{leaves} heads folded anew, and it is not what was there before ({before} is now {after})", told
        )
        return Exit.NOT_SO
    cli.done(f"{leaves} heads folded anew" + (", to the same bytes" if check else ""), told)
    return Exit.OK


@contextlib.contextmanager
def _bar(cli: Cli) -> Generator[Callable[[int, int], None]]:
    if cli.json or not cli.err.is_terminal:
        yield lambda done, of: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("folding"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("folding", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
