"""`perdure runs ls|show|tail`: looking."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ...core.errors import ConfigError
from ..arguments import labels
from ..command import Cli, command
from ..complete import agent_names, run_ids, statuses, wait_reasons
from ..outcome import Exit
from ..tree import runs

if TYPE_CHECKING:
    from ...app import App
    from ...core.ids import RunRef
    from ...journal import RunQuery, RunRecord

__all__ = ["RunId"]

_OUTCOMES: dict[str, tuple[bool | None]] = {"met": (True,), "not-met": (False,), "unknown": (None,)}

RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", autocompletion=run_ids)]


@command(runs, "ls")
async def ls(
    cli: Cli,
    status: Annotated[
        list[str] | None, typer.Option("--status", help="Only these; repeatable.", autocompletion=statuses)
    ] = None,
    agent: Annotated[
        str | None, typer.Option("--agent", help="Only its runs.", autocompletion=agent_names)
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option("--label", metavar="K=V", help="Only with this label; repeatable.")
    ] = None,
    reason: Annotated[
        str | None,
        typer.Option("--reason", help="Only those that wait for this.", autocompletion=wait_reasons),
    ] = None,
    principal: Annotated[
        str | None,
        typer.Option("--principal", metavar="NAME", help="Only those that act for them: `user:ann`."),
    ] = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="NAME", help="Only those that handle their data.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the newest first.")] = 50,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="Of every tenant.")] = False,
    outcome: Annotated[
        str | None,
        typer.Option(
            "--outcome", help="Only those that met their goal, did not, or of which it is not known."
        ),
    ] = None,
) -> None:
    """List runs, the newest first: where each stands, why it waits, how far it has come."""
    from ...journal import RunQuery, RunStatus

    names = {s.value for s in RunStatus}
    for given in status or ():
        if given not in names:
            raise ConfigError(f"status `{given}` is not one of {', '.join(s.value for s in RunStatus)}")
    if outcome not in (None, *_OUTCOMES):
        raise ConfigError(f"outcome `{outcome}` is not one of {', '.join(_OUTCOMES)}")
    async with cli.opened() as app:
        query = RunQuery(
            tenant=None if all_tenants else app.tenant,
            statuses=frozenset(RunStatus(s) for s in status or ()),
            agent=agent,
            labels=labels(label or ()),
            reason=reason,
            principal=principal,
            subject=subject,
            own=False,
            limit=limit,
        )
        found, known = await _found(app, query, None if outcome is None else _OUTCOMES[outcome])
        now = app.store.now()
    if cli.json:
        from ..display.record import record_json

        cli.answer([{**record_json(r), "met": known.get(r.ref)} for r in found])
        return
    _table(cli, found, now)
    if len(found) == limit:
        cli.note(f"the newest {limit}; there may be more: --limit")


async def _found(
    app: App, query: RunQuery, wanted: tuple[bool | None] | None
) -> tuple[list[RunRecord], dict[RunRef, bool]]:
    """Runs that match, and of which of them it is known whether they met their goal; `wanted`: only such."""
    from ...journal import ENDINGS

    found: list[RunRecord] = []
    known: dict[RunRef, bool] = {}
    while True:
        page = await app.store.find(query)
        said = await app.last_outcomes([r.ref for r in page])
        known |= said
        found += [r for r in page if wanted is None or (r.status in ENDINGS and said.get(r.ref) is wanted[0])]
        if wanted is None or len(found) >= query.limit or len(page) < query.limit:
            return found[: query.limit], known
        query = replace(query, before=page[-1].rid)


def _table(cli: Cli, found: list[Any], now: int) -> None:
    from rich.text import Text

    from ...views.words import ago, safe, short_span
    from ..display.record import name_of, progress_words, standing
    from ..display.screen import listing, status_text

    if not found:
        cli.note("no such runs")
        return
    out = cli.out
    wide = out.width >= 100
    rows: list[list[Text]] = []
    for r in found:
        why, progress = standing(r, now), progress_words(r, now)
        row = [Text(name_of(r), style="bold")]
        row += [Text(f"{safe(r.agent)} v{safe(r.version)}")] if wide else []
        row += [status_text(r.status), Text(short_span(max(now - r.created_at, 0)))]
        row += [Text(ago(r.updated_at, now))] if wide else []
        rows.append([*row, Text(" · ".join(part for part in (why, progress) if part))])
    headings = [
        "run",
        *(["agent"] if wide else []),
        "status",
        "age",
        *(["changed"] if wide else []),
        "why, how far",
    ]
    last = len(headings) - 1
    squeeze = [(last, 30), (1, 10), (0, 12)] if wide else [(last, 20), (0, 12)]
    table = listing(headings, rows, out, squeeze=squeeze)
    out.print(table)


@command(runs, "show")
async def show(
    cli: Cli,
    run: RunId,
    entries: Annotated[
        bool, typer.Option("--entries", help="Every entry of the journal, one to a line.")
    ] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Every entry with its whole payload.")] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Also what was before it was continued as new.")
    ] = False,
) -> None:
    """Show one run: its steps in time, what it waits for, what is in doubt, what went wrong, what came of it."""
    from ...core.errors import StoreError
    from ...journal import verify_chain
    from ...views.story import story_of
    from ..display.events import entry_json
    from ..display.follow import record_of
    from ..display.record import record_json
    from .show import entries_table, story_json
    from .show import show as show_story

    async with cli.opened() as app:
        record = await record_of(app, run)
        base = 1 if all_ else record.base
        journal = await app.store.read(record.ref, after=base - 1)
        below = [a for a in await app.open_approvals(run) if a.ref != record.ref]
        now = app.store.now()
    broken: StoreError | None = None
    try:
        verify_chain(record.ref, journal, after=base - 1, previous=record.base_hash if base > 1 else None)
    except StoreError as error:
        broken = error
    if raw or (entries and not cli.json):
        if raw:
            for entry in journal:
                cli.answer(entry_json(entry)) if cli.json else _raw(cli, entry)
        else:
            cli.out.print(entries_table(journal, record.created_at, cli.out))
    elif broken is None:
        story = story_of(journal)
        if cli.json:
            listed = {"journal": [entry_json(e) for e in journal]} if entries else {}
            asked = [{"run": a.ref.id, "step": a.step, "question": a.question} for a in below]
            told = {**record_json(record), **story_json(story), **listed}
            cli.answer({**told, "questions_below": asked})
        else:
            show_story(cli, record, story, now=now)
            from ...views.words import safe

            for a in below:
                cli.note(
                    f"its child {a.ref.id} asks: {safe(a.question)} "
                    f"({cli.hint('approvals', 'show', a.ref.id, a.step)})"
                )
    if broken is not None:
        raise broken


def _raw(cli: Cli, entry: Any) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from ...views.words import pretty, safe
    from ..display.events import entry_json

    told = entry_json(entry)
    payload = told.pop("payload")
    head = "  ".join(f"{name}={value}" for name, value in told.items() if value not in ("", 0))
    cli.out.print(Text(safe(head), style="bold"))
    cli.out.print(Padding(Text(pretty(payload, indent=2)), (0, 0, 1, 2), expand=False))


@command(runs, "tail")
async def tail(
    cli: Cli,
    run: RunId,
    follow_on: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Go on until the run has ended; exit 1 if it did not succeed."),
    ] = False,
) -> int:
    """Print what a run does, one line for each fact."""
    from ...journal import ENDINGS, RunStatus
    from ..display.events import Teller, entry_json
    from ..display.follow import follow, record_of

    async with cli.opened() as app:
        record = await record_of(app, run)
        teller = Teller(cli.out, verbose=bool(cli.verbose))
        async for latest, entries in follow(app, record.ref, forever=follow_on):
            record = latest
            for entry in entries:
                if cli.json:
                    cli.answer(entry_json(entry))
                elif (line := teller.line(entry)) is not None:
                    cli.out.print(line, soft_wrap=True)
    failed = record.status in ENDINGS and record.status is not RunStatus.SUCCEEDED
    return Exit.NOT_SO if follow_on and failed else Exit.OK
