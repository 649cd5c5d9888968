"""`perdure check`: what a deploy of this code would do to the runs that have not ended."""

from __future__ import annotations

import faulthandler
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..arguments import duration
from ..command import Cli, command, refuse_absent
from ..complete import agent_names
from ..outcome import Exit
from ..tree import root

if TYPE_CHECKING:
    from ...app import App
    from ...app.deploys import Broken, CheckReport

__all__ = ["report_json"]

MOST_SHOWN = 50


@command(root, "check", rich_help_panel="Care")
async def check(
    cli: Cli,
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="The app, as with --app.")] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only its runs.", autocompletion=agent_names)
    ] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="At most so many, the newest.")] = None,
    within: Annotated[
        str, typer.Option("--within", metavar="10s", help="How long the replay of one run may take.")
    ] = "10s",
    allow_absent: Annotated[
        bool,
        typer.Option("--allow-absent", help="Runs of versions that this code does not have are no failure."),
    ] = False,
) -> int:
    """Before a deploy: replay every run that has not ended against this code, without an effect.

    Exit 0 where all go on, 1 where one would break, or is of a version that this code does not have. Runs of every
    tenant, unless one is named.
    """
    seconds = duration(within, what="--within").total_seconds()
    app = cli.load_app(target)
    refuse_absent(app.store.url)
    tenant = cli.given.tenant or (cli.settings.tenant if cli.is_set("tenant") else None)
    try:
        with redirect_stdout(sys.stderr):  # what the agents print as they are replayed is no answer
            report = await _with_bar(cli, app, agent=agent, tenant=tenant, limit=limit, within=seconds)
    finally:
        faulthandler.cancel_dump_traceback_later()
        await app.close()
    ok = report.ok and (allow_absent or not report.absent)
    if cli.json:
        cli.answer({"ok": ok, **report_json(report)})
    else:
        _tell(cli, report, full=limit is None or report.checked < limit)
    return Exit.OK if ok else Exit.NOT_SO


async def _with_bar(cli: Cli, app: App, *, within: float, **options: Any) -> CheckReport:
    def alive() -> None:
        # Code that holds up the thread can only be left by leaving: it is shown where, and the check has failed.
        faulthandler.dump_traceback_later(2 * within + 3, exit=True, file=sys.__stderr__ or sys.stderr)

    alive()
    if cli.json or not cli.err.is_terminal:
        return await app.check(within=within, seen=alive, **options)
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=cli.err, transient=True) as bar:
        task = bar.add_task("replaying runs", total=None)

        def seen() -> None:
            alive()
            bar.advance(task)

        return await app.check(within=within, seen=seen, **options)


def _tell(cli: Cli, report: CheckReport, *, full: bool) -> None:
    from rich.text import Text

    if report.broken:
        _table(cli, report)
    for (agent, version), count in sorted(report.absent.items()):
        what = f"run{'' if count == 1 else 's'}"
        cli.out.print(
            Text(
                f"no code here for {agent}@{version}: keep a worker of that version until "
                f"{'its' if count == 1 else 'these'} {count} {what} {'has' if count == 1 else 'have'} ended",
                style="yellow",
            ),
            soft_wrap=True,
        )
    for patch, count in sorted(report.old_ways.items()):
        needed = f"{count} runs still take the old way" if count else "no run takes the old way"
        needed = needed.replace("1 runs still take", "1 run still takes") if count == 1 else needed
        cli.note(
            f"patch {patch}: {needed}" + ("; it may go, if all runs were looked at" if not count else "")
        )
    absent = report.absent.total()
    parts = [
        f"{report.checked} run{'' if report.checked == 1 else 's'} that {'has' if report.checked == 1 else 'have'}"
        f" not ended: {report.replays} would go on"
    ]
    parts += [f"{report.breaks} would break"] if report.breaks else []
    parts += [f"{report.stuck} stuck"] if report.stuck else []
    parts += [f"{absent} without code here"] if absent else []
    style = "green" if report.ok and not absent else "red" if not report.ok else "yellow"
    cli.out.print(Text(", ".join(parts), style=style), soft_wrap=True)
    if not full:
        cli.note(f"the newest {report.checked}; there may be more: --limit")


def _table(cli: Cli, report: CheckReport) -> None:
    from rich.text import Text

    from ...views.words import safe
    from ..display.screen import listing

    rows: list[list[Text | str]] = []
    for broken in report.broken[:MOST_SHOWN]:
        recorded, requested = _sides(broken)
        rows.append(
            [
                Text(safe(str(broken.ref)), style="bold"),
                Text(safe(f"{broken.agent}@{broken.version}")),
                Text(safe(recorded)),
                Text(safe(requested), style="red"),
            ]
        )
    headings = ("run", "agent", "recorded", "this code")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((3, 30), (2, 20), (1, 10), (0, 12))))
    if (more := report.breaks + report.stuck - len(rows)) > 0:
        cli.note(f"and {more} more")
    cli.out.print()
    cli.out.print(
        Text(
            "Either way leaves these runs whole:\n"
            "  - put what is new behind `if run.patched(NAME): ... else: ...`, with what was there before\n"
            '  - or register it as another version, `@app.agent(NAME, version="2")`, beside the old one\n'
            "  - or let them end, or fork them from a step that still fits: `perdure runs fork RUN --from STEP`"
        ),
        soft_wrap=True,
    )


def _sides(broken: Broken) -> tuple[str, str]:
    found = broken.rehearsal
    if found.recorded is None:
        return "", f"stuck: {found.why}"
    requested = found.requested or {}
    step = f"{requested['step']}: " if requested.get("step") else ""
    kind = f" ({found.recorded['kind']})" if found.recorded.get("kind") else ""
    return (
        f"entry {found.recorded.get('entry')}: {found.recorded.get('step')}{kind}",
        f"{step}{requested.get('what')}",
    )


def report_json(report: CheckReport) -> dict[str, Any]:
    """A report for programs."""
    return {
        "checked": report.checked,
        "replay": report.replays,
        "break": report.breaks,
        "stuck": report.stuck,
        "absent": [
            {"agent": agent, "version": version, "runs": count}
            for (agent, version), count in sorted(report.absent.items())
        ],
        "patches": [{"patch": p, "old_way": count} for p, count in sorted(report.old_ways.items())],
        "runs": [
            {
                "run": b.ref.id,
                "tenant": b.ref.tenant,
                "agent": b.agent,
                "version": b.version,
                "status": b.status.value,
                "verdict": b.rehearsal.verdict.value,
                "step": (b.rehearsal.recorded or {}).get("step"),
                "recorded": b.rehearsal.recorded,
                "requested": b.rehearsal.requested,
                "why": b.rehearsal.why or None,
            }
            for b in report.broken
        ],
    }
