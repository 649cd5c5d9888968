"""`perdure runs show`: one run, for a person who must find out what is the matter with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ...journal import Entry, RunRecord, RunStatus
from ...views.recalls import recalled_told
from ...views.story import Doubt, Story, as_object, error_name, kind_name
from ...views.words import ago, one_line, pretty, safe, short_span, span
from ..command import Cli
from ..display.boundary import (
    amount_json,
    ending_json,
    on_the_way_json,
    short_commands,
    show_on_the_way,
    spent_words,
)
from ..display.ended import show_ending, show_outcomes
from ..display.events import mismatch_text
from ..display.question import answers, question_text
from ..display.record import name_of, progress_words, standing
from ..display.screen import listing, status_text
from ..display.timeline import timeline

__all__ = ["entries_table", "show", "story_json"]


def show(cli: Cli, record: RunRecord, story: Story, *, now: int) -> None:
    """Headline, timeline, what is open, what went wrong, what came of it."""
    out = cli.out
    out.print(_headline(record, story, now=now))
    if story.steps:
        out.print()
        out.print(timeline(story, out, now=now))
    show_on_the_way(out, story)
    for step, short in story.short.items():
        _section(out, f"It waits for its budget: {safe(step)}", "yellow")
        out.print(Text("  " + one_line(story.steps[step].note)))
        _commands(out, *short_commands(cli, record.ref.id, short))
    for step, connect in story.connections.items():
        _section(out, f"It waits for an account: {safe(step)}", "yellow")
        out.print(Text("  " + one_line(story.steps[step].note) + ". To connect one:"))
        _commands(out, safe(connect))
    for question in story.questions.values():
        _section(out, "A question stands open", "yellow")
        out.print(
            Padding(
                question_text(question.question, question.show, question.choices, about=question.about),
                (0, 0, 0, 2),
                expand=False,
            )
        )
        _commands(out, *answers(cli, record.ref.id, question))
    for doubt in story.doubts.values():
        _section(out, f"In doubt: {safe(doubt.step)}", "yellow")
        _doubt(cli, out, record, doubt)
    if story.mismatch is not None:
        _section(out, "It does not replay", "red")
        out.print(Text("  " + safe(mismatch_text(story.mismatch))))
        _ways_out(cli, out, record, story.mismatch)
    if record.status is RunStatus.QUARANTINED:
        _section(out, "Quarantined", "red")
        out.print(Text("  " + safe("; ".join(record.reasons))))
        _commands(out, cli.hint("runs", "resume", record.ref.id, "--reset"))
    elif story.failure is not None:
        _failure(
            out, story, ended=record.status not in (RunStatus.RUNNING, RunStatus.PENDING, RunStatus.WAITING)
        )
    show_ending(out, story, record.status)
    if story.has_result:
        _section(out, "Result", "green" if record.status is RunStatus.SUCCEEDED else "yellow")
        out.print(Padding(Text(pretty(story.result, indent=2, limit=20_000)), (0, 0, 0, 2), expand=False))
    show_outcomes(out, story, now=now)


def _ways_out(cli: Cli, out: Console, record: RunRecord, mismatch: dict[str, Any]) -> None:
    run = record.ref.id
    step = as_object(mismatch.get("recorded")).get("step")
    out.print(Text("  Nothing is lost. Bring back the code that recorded it, or put what is new behind"))
    out.print(Text("  `run.patched(...)`, and:"))
    _commands(out, cli.hint("runs", "resume", run))
    out.print(Text("  or begin a new run, with what was recorded before that step:"))
    _commands(out, cli.hint("runs", "fork", run, "--from", safe(str(step))))
    out.print(
        Text(
            "  or let it go on here with the new code; the recorded steps that stand in its way are set aside:"
        )
    )
    _commands(out, cli.hint("runs", "resume", run, "--accept", app=True))


def _headline(record: RunRecord, story: Story, *, now: int) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    head = Text.assemble((name_of(record), "bold"), "  ", f"{record.agent} version {record.version}")
    grid.add_row("run", head)
    where = status_text(record.status)
    why = "" if record.status is RunStatus.QUARANTINED else standing(record, now)
    grid.add_row("status", Text.assemble(where, f" {why}" if why else ""))
    took = span(story.last - story.began) if record.status not in _LIVE else None
    times = f"started {ago(record.created_at, now)}"
    if story.principal is not None:
        times += f" by {one_line(story.principal)}"
    times += f", ended after {took}" if took else f", last entry {ago(story.last, now)}"
    grid.add_row("when", times)
    if story.principal is not None:
        grid.add_row("acts for", Text(_for_whom(story)))
    claims = f"{story.claims} claim{'' if story.claims == 1 else 's'}"
    deaths = f", {record.unclean} deaths in a row without a result" if record.unclean else ""
    grid.add_row("work", f"{record.results} results, {record.head} entries, {claims}{deaths}")
    if cost := spent_words(story):
        grid.add_row("cost", cost)
    for name, turns in story.uncovered.items():
        unseen = f"{safe(name)}, offered in {turns} turn{'' if turns == 1 else 's'}: run by its provider, not recorded"
        grid.add_row("uncovered", Text(unseen, style="yellow"))
    if record.progress is not None:
        grid.add_row("progress", progress_words(record, now))
    if record.labels:
        grid.add_row("labels", safe(" ".join(f"{k}={v}" for k, v in record.labels.items())))
    if record.parent is not None:
        grid.add_row("parent", record.parent)
    if record.subject is not None:
        grid.add_row("subject", safe(record.subject))
    if record.generation > 1:
        grid.add_row("generation", f"{record.generation}, since {ago(story.last_began, now)}")
    if story.origin is not None:
        grid.add_row("origin", safe(f"{story.origin.get('kind')} of {story.origin.get('run')}"))
    if record.deadline is not None and record.status in _LIVE:
        grid.add_row("deadline", ago(record.deadline, now))
    if unread := record.inbox_seq - record.drained_seq:
        grid.add_row("inbox", f"{unread} message{'' if unread == 1 else 's'} that no worker has taken yet")
    grid.add_row("input", Text(pretty(story.input, limit=300)))
    return grid


def _for_whom(story: Story) -> str:
    """`user:ann, vouched for by https://login.example.org, may payments:write; handed on by desk (run r1)`."""
    told = story.on_behalf_of
    words = one_line(str(story.principal))
    if told is None:
        words += ", as whoever started it says"
    else:
        grants = " ".join(str(grant) for grant in told.get("grants") or ())
        words += f", vouched for by {one_line(str(told.get('issuer')))}, may {one_line(grants) or 'nothing'}"
    above = [f"{handed.get('agent')} (run {handed.get('run')})" for handed in story.chain]
    return words + (f"; handed on by {one_line(', from '.join(above))}" if above else "")


_LIVE = (RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING)


def _section(out: Console, title: str, style: str) -> None:
    out.print()
    out.print(Text(title, style=f"bold {style}"))


def _commands(out: Console, *lines: str) -> None:
    for line in lines:
        out.print(Text("    " + line, style="cyan"), soft_wrap=True)


def _doubt(cli: Cli, out: Console, record: RunRecord, doubt: Doubt) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("  why", Text(one_line(doubt.why)))
    grid.add_row("  called", Text(f"{safe(doubt.tool)}({pretty(doubt.arguments, limit=500)})"))
    if doubt.problem:
        grid.add_row("  refused", Text(one_line(doubt.problem), style="red"))
    out.print(grid)
    run, tool = record.ref.id, safe(doubt.tool)
    out.print(Text(f"  Find out whether it happened. If it did, RESULT is what `{tool}` returned, as JSON:"))
    _commands(out, cli.hint("runs", "settle", run, doubt.step, "--happened", "RESULT"))
    out.print(Text("  If it did not:"))
    _commands(out, cli.hint("runs", "settle", run, doubt.step, "--did-not-happen"))
    out.print(Text(f"  So that nobody has to be asked, declare what `{tool}` does to the world:"))
    if not doubt.declared:
        _commands(
            out,
            '@app.tool(effect="read")                it changes nothing: it is done again',
            '@app.tool(effect="idempotent")          whoever receives it honours its key: it is done again',
        )
    if not doubt.verify:
        _commands(
            out, '@app.tool(effect="write", verify=...)   a function that finds out whether it happened'
        )
    else:
        out.print(
            Text(
                "    its `verify` could not tell, or failed: let it look where the effect can be seen",
                style="cyan",
            )
        )


def _failure(out: Console, story: Story, *, ended: bool) -> None:
    failure = story.failure or {}
    where = f" in {safe(story.failed_step)}" if story.failed_step else ""
    title = f"{'Error' if ended else 'Last error'}{where}"
    _section(out, title, "red")
    message = safe(str(failure.get("message", "")), lines=True)
    out.print(Padding(Text(f"{safe(error_name(failure))}: {message}"), (0, 0, 0, 2), expand=False))
    if failure.get("traceback"):
        trace = safe(str(failure["traceback"]).rstrip(), lines=True)
        out.print(Padding(Text(trace, style="dim", overflow="fold"), (0, 0, 0, 2), expand=False))


def entries_table(entries: Sequence[Entry], began: int, on: Console) -> Table:
    """Every entry, one to a row."""
    rows: list[list[Text | str]] = [
        [
            str(e.seq),
            kind_name(e),
            Text(safe(e.key)),
            f"+{short_span(max(e.at - began, 0))}",
            span(e.took) if e.took else "",
            Text(safe(e.actor)),
            Text(safe(e.payload[:200].decode(errors="replace")), style="dim"),
        ]
        for e in entries
    ]
    headings = ("seq", "kind", "key", "at", "took", "by", "payload")
    return listing(headings, rows, on, squeeze=((6, 24), (5, 0), (4, 0), (2, 10)), right=(0, 3, 4))


def story_json(story: Story) -> dict[str, Any]:
    """A story for programs. Durations are microseconds, money is dollars as decimals in strings."""
    return {
        "input": story.input,
        "principal": story.principal,
        "on_behalf_of": story.on_behalf_of,
        "chain": story.chain,
        "claims": story.claims,
        "spent": amount_json(story.ledger.spent),
        "set_aside": amount_json(story.ledger.reserved),
        "behaviour": [
            {
                "entry": b.entry,
                "after_us": b.at - story.began,
                "digest": b.digest,
                "parts": b.parts,
                "changed": b.changed,
            }
            for b in story.behaviours
        ],
        "steps": [
            {
                "step": s.key,
                "what": s.what,
                "state": s.state,
                "after_us": s.began - story.began,
                "took_us": None if s.ended is None else s.ended - s.began,
                "attempts": s.attempts or None,
                "cost": amount_json(s.cost) or None,
                "waits_for": s.waits_for,
                "note": s.note or None,
                **({} if s.recalled is None else {"recalled": recalled_told(s.recalled)}),
            }
            for s in story.steps.values()
        ],
        "in_doubt": [
            {
                "step": d.step,
                "tool": d.tool,
                "declared": d.declared,
                "verify": d.verify,
                "why": d.why,
                "problem": d.problem or None,
                "arguments": d.arguments,
            }
            for d in story.doubts.values()
        ],
        "questions": [
            {"step": q.step, "question": q.question, "choices": q.choices, "show": q.show, "digest": q.digest}
            for q in story.questions.values()
        ],
        "connections": [{"step": step, "connect": how} for step, how in story.connections.items()],
        "on_the_way": on_the_way_json(story),
        "uncovered": [{"tool": name, "turns": turns} for name, turns in story.uncovered.items()],
        "failure": story.failure,
        "mismatch": story.mismatch,
        "result": story.result,
        "ending": ending_json(story.ending),
        "escalations": story.escalations,
        "outcomes": story.outcomes,
    }
