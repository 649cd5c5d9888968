"""`perdure schedules ls|show|pause|resume|trigger|rm`: what starts runs by the clock."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import RunConflict
from ..command import Cli, command
from ..complete import schedule_names
from ..tree import schedules

if TYPE_CHECKING:
    from ...app.schedules import Schedule

__all__ = ["NEXT_FIRINGS"]

NEXT_FIRINGS = 5
"""So many are shown."""

LONG = 3650 * 86_400_000_000
"""Microseconds: a window that is none."""

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The schedule's name.", autocompletion=schedule_names)
]


@command(schedules, "ls")
async def ls(
    cli: Cli, all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False
) -> None:
    """List schedules: when each fires next, what became of its last run, what was missed."""
    async with cli.opened() as app:
        found = await app.schedules.ls(all_tenants=all_tenants)
        now = app.store.now()
    if cli.json:
        cli.answer([_json(s) for s in found])
        return
    if not found:
        cli.note("no schedule; a worker whose code declares one with `@app.schedule` makes it")
        return
    from rich.text import Text

    from ...views.words import ago, safe
    from ..display.screen import listing, status_text

    rows: list[list[Text | str]] = []
    for s in found:
        held = _held(s)
        due = "never" if s.record.next is None else f"{_local(s.record.next)} ({ago(s.record.next, now)})"
        passed = [
            f"{n} {what}" for n, what in ((s.state.skipped, "skipped"), (s.state.missed, "missed")) if n
        ]
        rows.append(
            [
                Text(safe(_name(s)), style="bold"),
                Text(safe(s.record.agent)),
                Text(safe(_times(s))),
                Text(held, style="yellow") if held else due,
                "" if s.record.last is None else ago(s.record.last, now),
                "" if s.last_status is None else status_text(s.last_status),
                Text(", ".join(passed), style="yellow"),
            ]
        )
    headings = ("schedule", "agent", "times", "next", "last", "its run", "passed over")
    cli.out.print(listing(headings, rows, cli.out, squeeze=((1, 0), (2, 12))))


@command(schedules, "show")
async def show(cli: Cli, name: Name) -> None:
    """Show one: its times, its policies, its next firings."""
    async with cli.opened() as app:
        s = await app.schedules.get(name)
        now = app.store.now()
    if cli.json:
        cli.answer(_json(s))
        return
    from rich.text import Text

    from ...core.clock import to_micros
    from ...views.words import ago, pretty, safe, span

    spec, state = s.spec, s.state
    window = f", at most {span(spec.catch_up_window)} back" if spec.catch_up_window < LONG else ""
    last = "" if s.last_status is None else f", {s.last_status}"
    lines: list[tuple[str, str]] = [
        ("agent", f"{spec.agent} version {spec.version}"),
        ("times", _times(s, words=True)),
        ("input", pretty(json.loads(spec.input), limit=200)),
        ("overlap", spec.overlap),
        ("catch up", spec.catch_up + window),
    ]
    if spec.jitter:
        lines.append(("jitter", f"up to {span(spec.jitter)}"))
    if spec.deadline is not None:
        lines.append(("deadline", span(spec.deadline)))
    if spec.priority or spec.needs:
        lines.append(("claims", f"priority {spec.priority}, needs {' '.join(spec.needs) or 'nothing'}"))
    if spec.grants:
        lines.append(("grants", " ".join(spec.grants)))
    if spec.labels:
        lines.append(("labels", " ".join(f"{key}={value}" for key, value in spec.labels.items())))
    lines.append(("started", f"{state.started}"))
    if s.record.last_run is not None:
        lines.append(("last run", f"{s.record.last_run}{last}"))
    for what, count, at in (
        ("skipped", state.skipped, state.skipped_at),
        ("missed", state.missed, state.missed_at),
    ):
        if at is not None:
            lines.append((what, f"{count}, the last of {_local(at)}"))
    if state.waits is not None:
        lines.append(("waits", f"the firing of {_local(state.waits)}, for {s.record.last_run} to end"))
    for n, at in enumerate(to_micros(moment) for moment in s.upcoming(NEXT_FIRINGS)):
        lines.append(("" if n else "next", f"{_local(at)} ({ago(at, now)})"))
    held = _held(s)
    head = Text.assemble((safe(_name(s)), "bold"), (f"  {held}" if held else "", "yellow"))
    cli.out.print(head, soft_wrap=True)
    for key, value in lines:
        cli.out.print(Text.assemble((f"  {key:<9}", "dim"), safe(value)), soft_wrap=True)


@command(schedules, "pause")
async def pause(cli: Cli, name: Name) -> None:
    """Hold it: what comes due until `resume` is passed over, and not made up for."""
    async with cli.opened() as app:
        if not await app.schedules.pause(name):
            raise RunConflict(
                f"schedule `{name}` is paused already; `{cli.hint('schedules', 'resume', name)}`"
            )
    cli.done(f"{name}: paused", {"schedule": name, "paused": True})


@command(schedules, "resume")
async def resume(cli: Cli, name: Name) -> None:
    """Let it fire again, from now on."""
    async with cli.opened() as app:
        if not await app.schedules.resume(name):
            raise RunConflict(f"schedule `{name}` is not paused")
        s = await app.schedules.get(name)
    due = "" if s.record.next is None else f", next at {_local(s.record.next)}"
    cli.done(f"{name}: fires again{due}", {"schedule": name, "paused": False, "next": _json(s)["next"]})


@command(schedules, "trigger")
async def trigger(cli: Cli, name: Name) -> None:
    """Start a run of it now, outside of the schedule; a worker drives it."""
    async with cli.opened() as app:
        run = await app.schedules.trigger(name)
    cli.done(f"{name}: started {run.id}", {"schedule": name, "run": run.id})


@command(schedules, "rm")
async def rm(cli: Cli, name: Name) -> None:
    """Delete one that no code declares any more; its runs stay."""
    async with cli.opened() as app:
        await app.schedules.remove(name)
    cli.done(f"{name}: deleted", {"schedule": name, "deleted": True})


def _name(s: Schedule) -> str:
    from ...core.ids import RunRef

    return str(RunRef(s.record.tenant, s.name))


def _held(s: Schedule) -> str:
    return "paused" if s.paused else "orphaned: no live worker declares it" if s.orphaned else ""


def _times(s: Schedule, *, words: bool = False) -> str:
    spec = s.spec
    if spec.cron is None:
        return spec.timetable.words()
    said = f" ({spec.timetable.words()})" if words else ""
    return f"{spec.cron}{said} {spec.timezone}"


def _local(at: int) -> str:
    from ...core.clock import from_micros

    local = from_micros(at).astimezone()
    return f"{local:%a %Y-%m-%d %H:%M}{f'{local:%S}' if at % 60_000_000 else ''}"


def _json(s: Schedule) -> dict[str, Any]:
    from ...core.clock import to_micros
    from ...views.words import iso

    spec, state = s.spec, s.state
    return {
        "schedule": s.name,
        "tenant": s.record.tenant,
        "agent": spec.agent,
        "version": spec.version,
        "cron": spec.cron,
        "timezone": None if spec.cron is None else spec.timezone,
        "every_us": spec.every,
        "words": spec.timetable.words(),
        "jitter_us": spec.jitter,
        "input": json.loads(spec.input),
        "labels": spec.labels,
        "deadline_us": spec.deadline,
        "priority": spec.priority,
        "needs": list(spec.needs),
        "grants": list(spec.grants),
        "overlap": spec.overlap,
        "catch_up": spec.catch_up,
        "catch_up_window_us": spec.catch_up_window,
        "paused": s.paused,
        "orphaned": s.orphaned,
        "next": iso(s.record.next),
        "upcoming": [iso(to_micros(at)) for at in s.upcoming(NEXT_FIRINGS)],
        "last": iso(s.record.last),
        "last_run": s.record.last_run,
        "last_status": s.last_status,
        "waits": iso(state.waits),
        "started": state.started,
        "skipped": state.skipped,
        "skipped_at": iso(state.skipped_at),
        "missed": state.missed,
        "missed_at": iso(state.missed_at),
    }
