"""`perdure torture`: run an agent under every schedule of faults, and tell what did not hold."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..arguments import duration, json_text
from ..command import Cli, command
from ..complete import agent_names
from ..outcome import Exit
from ..tree import root

if TYPE_CHECKING:
    from collections.abc import Generator

    from ...testing.torture import Progress, Report

__all__ = ["torture"]


@command(root, "torture", rich_help_panel="Care")
async def torture(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Which agent.", autocompletion=agent_names)
    ] = None,
    input: Annotated[
        str | None, typer.Option("--input", metavar="JSON", help="Its input: JSON, `@FILE` or `-`.")
    ] = None,
    scenario: Annotated[
        Path | None, typer.Option("--scenario", metavar="FILE", help="Agent, input, answers, models: TOML.")
    ] = None,
    cassette: Annotated[
        Path | None,
        typer.Option(
            "--cassette", metavar="FILE", help="What `perdure record` wrote: models and tools answer so."
        ),
    ] = None,
    every_boundary: Annotated[
        bool, typer.Option("--every-boundary", help="All that can be tried; so it is without the next two.")
    ] = False,
    random: Annotated[
        int | None, typer.Option("--random", min=1, metavar="N", help="Draw so many schedules instead.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="What they are drawn by.")] = 0,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule", metavar="TEXT", help="This one: `kill before result STEP; ...`; repeatable."
        ),
    ] = None,
    faults: Annotated[
        str | None, typer.Option("--faults", metavar="KINDS", help="Only these, as `kill,tool`.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve whatever is asked.")] = False,
    limit: Annotated[
        str | None, typer.Option("--limit", metavar="30s", help="How long one run may take.")
    ] = None,
) -> int:
    """Run an agent under every schedule of faults: kills, failing tools and models, late answers, a store that is away.

    Runs are in memory, where time skips; `--store` names a real store. Exit 0 where all that must hold did, else 1.
    """
    from ...testing import Cassette
    from ...testing.torture import Scenario, say_yes
    from ...testing.torture import torture as tortured
    from ...testing.torture.models import ServedModels

    if sum((every_boundary, random is not None, bool(schedule))) > 1:
        raise ConfigError("give one of `--every-boundary`, `--random` and `--schedule`")
    read = Scenario() if scenario is None else Scenario.read(scenario)
    kinds = None if faults is None else [kind.strip() for kind in faults.split(",") if kind.strip()]
    models = read.script if cassette is None else Cassette(cassette)
    served = None if models is None else ServedModels(models)
    with nullcontext() if served is None else served.leading():  # before the import: it may make the clients
        app = cli.load_app(target)
        if not cli.verbose:
            logging.getLogger("perdure").setLevel(
                logging.CRITICAL + 1
            )  # what a killed worker says is no news here
        options = read.options(app)
        if served is not None:
            options["models"] = served
        if yes:
            options["outside"] = say_yes
        if input is not None:
            options["input"] = json_text(input, what="--input")
        if limit is not None:
            options["limit"] = duration(limit, what="--limit").total_seconds()
        if kinds is not None:
            options["faults"] = kinds
        with redirect_stdout(sys.stderr), _bar(cli) as progress:  # what the agents print is no answer
            report = await tortured(
                app,
                agent or read.agent,
                schedules=schedule or None,
                random=random,
                seed=seed,
                store=cli.given.store,
                progress=progress,
                **options,
            )
    again = _again(cli, target, agent, input, scenario, cassette, yes)
    if cli.json:
        told = report.as_json()
        for one in told["smallest"]:
            one["replay"] = cli.hint(*again, "--schedule", one["schedule"], app=True)
        cli.answer(told)
    else:
        _tell(cli, report, again)
    return Exit.OK if report.ok else Exit.NOT_SO


def _again(
    cli: Cli,
    target: str | None,
    agent: str | None,
    input: str | None,
    scenario: Path | None,
    cassette: Path | None,
    yes: bool,
) -> list[str]:
    """The command line of this invocation, without what chooses schedules."""
    words = ["torture"] + ([target] if target else [])
    given = (("--agent", agent), ("--input", input), ("--scenario", scenario), ("--cassette", cassette))
    for flag, value in given:
        words += [] if value is None else [flag, str(value)]
    return words + (["--yes"] if yes else [])


@contextmanager
def _bar(cli: Cli) -> Generator[Progress]:
    if cli.json or not cli.err.is_terminal:
        yield lambda done, total, schedule: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns: Any = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, schedule: bar.update(
            task, completed=done, total=total, description=schedule
        )


def _tell(cli: Cli, report: Report, again: list[str]) -> None:
    from rich.text import Text

    from ...testing.torture import INVARIANTS
    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = [
        [
            Text(count.kind, style="bold"),
            str(count.schedules),
            Text(str(count.passed), style="green"),
            Text(str(count.violations), style="red" if count.violations else "dim"),
            str(count.doubts or ""),
            str(count.not_reached or ""),
        ]
        for count in report.counts()
    ]
    headings = ("what befell it", "schedules", "passed", "violations", "in doubt", "not reached")
    cli.out.print(listing(headings, rows, cli.out))
    cli.out.print()
    total, broken = len(report.rows), sum(bool(row.violations) for row in report.rows)
    for name, violation in report.smallest.items():
        cli.out.print(Text(f"violated: {INVARIANTS[name]}", style="bold red"), soft_wrap=True)
        cli.out.print(Text(safe(f"  {violation.schedule}"), style="bold"), soft_wrap=True)
        cli.out.print(Text(safe(f"  {violation.text}")), soft_wrap=True)
        command = cli.hint(*again, "--schedule", str(violation.schedule), app=True)
        cli.out.print(Text(f"  {command}", style="cyan"), soft_wrap=True)
        cli.out.print()
    if report.alone:
        cli.out.print(
            Text(
                safe(f"left alone, the run ended {report.alone}: nothing beyond that was tried"),
                style="bold yellow",
            ),
            soft_wrap=True,
        )
    minutes = f"{report.seconds / 60:.1f} minutes" if report.seconds >= 60 else f"{report.seconds:.1f} s"
    words = f"{total} schedules, {report.boundaries} boundaries, in {minutes}: " + (
        "everything held" if report.ok else f"{broken} with violations"
    )
    cli.out.print(Text(words, style="green" if report.ok else "red"), soft_wrap=True)
