"""The first and the last page of the demo."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from board import Board
from evidence import Summary
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text
from settings import PROVIDERS, Settings
from stage import Worker
from stories import Line, Story

from perdure.journal import Kind


def print_opening(board: Board, settings: Settings, leads: int) -> None:
    console = board.console
    console.print()
    console.print("[bold]Perdure: the sales desk[/]")
    console.print(
        f"{leads} leads; research, plan, select, draft; a person's yes; one mail. The worker dies twice.\n"
    )
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if settings.scripted:
        grid.add_row(
            "model", f"[bold]a scripted one[/], which answers from {_short(settings.model.partition(':')[2])}"
        )
        grid.add_row("", f"[dim]for a real one set {', '.join(PROVIDERS)}[/]")
    else:
        grid.add_row("model", f"{settings.model} (a real one, which costs money)")
    grid.add_row("mail", f"a real SMTP server on {settings.smtp}, which delivers into a folder")
    grid.add_row("store", _short(settings.store))
    console.print(grid)
    console.print()


def print_report(
    board: Board, summary: Summary, stories: Sequence[Story], workers: Sequence[Worker], *, folder: Path
) -> None:
    console = board.console
    told = next((s for s in stories if s.settled and s.settled["happened"]), stories[0])
    _title(console, f"One run, from its journal: {told.lead}")
    console.print(_timeline(board, told, workers))
    _title(console, "All runs")
    console.print(_leads(board, summary))
    _title(console, "What was repeated, and what it cost")
    console.print(_counts(summary))
    _title(console, "Checked")
    for check in summary.checks:
        mark = Text(board.marks.done, "green") if check.holds else Text(board.marks.failed, "bold red")
        console.print(_hanging(mark, Text(check.what, "" if check.holds else "bold red")))
    _title(console, "What to try next")
    console.print(_next(told, folder, summary))
    console.print()


def _title(console: Console, text: str) -> None:
    console.print()
    console.print(Rule(Text(text, style="bold"), align="left", style="dim"))


def _hanging(mark: Text, text: Text) -> Table:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(mark, text)
    return grid


# one run ---------------------------------------------------------------------------------------------------------


def _timeline(board: Board, story: Story, workers: Sequence[Worker]) -> Table:
    gap = 1 if board.console.width < 100 else 2
    table = Table(box=None, pad_edge=False, padding=(0, gap), header_style="dim")
    table.add_column("time", justify="right", no_wrap=True, style="dim")
    table.add_column("worker", justify="center", no_wrap=True)
    table.add_column("epoch", justify="center", no_wrap=True, style="dim")
    table.add_column("what", overflow="fold")
    began = story.lines[0].at
    kills = [w for w in workers if w.killed and w.ended_at]
    for line in story.lines:
        while kills and (kills[0].ended_at or 0) < line.at:
            _kill_row(table, kills.pop(0), began)
        text = _told(line)
        if text is not None:
            worker = _worker_at(workers, line.at)
            table.add_row(_time(line.at - began), worker, str(line.entry.epoch or ""), text)
    return table


def _kill_row(table: Table, worker: Worker, began: int) -> None:
    when = _time((worker.ended_at or began) - began)
    table.add_row(
        when, str(worker.number), "", Text(f"kill -9: worker {worker.number} is dead", style="bold red")
    )


def _worker_at(workers: Sequence[Worker], at: int) -> str:
    return next((str(w.number) for w in reversed(workers) if w.started_at <= at), "")


def _time(micros: int) -> str:
    return f"{micros / 1e6:.2f} s"


def _told(line: Line) -> Text | None:
    """A line of the timeline; None for what only the runtime cares for."""
    node = "" if line.agent == "sales-desk" else f"{line.agent}: "
    took = f" [dim]{line.entry.took / 1e3:.0f} ms[/]" if line.entry.took >= 1000 else ""
    match line.kind, line.name:
        case Kind.STARTED, _ if not node:
            text = "accepted"
        case Kind.RESULT, "turn":
            text = f"{node}the model has answered{took}"
        case Kind.RESULT, "search":
            text = f"{node}searched: {escape(line.payload['question'])}"
        case Kind.RESULT, "read_document":
            text = f"{node}read {escape(line.payload['name'])}"
        case Kind.FAILED, _:
            text = f"[red]{node}{escape(line.payload['message'])}[/]"
        case Kind.DECISION, _:
            text = f"{node}chose: {escape(line.payload['choice'])} [dim](sure to {line.payload['confidence']:.0%})[/]"
        case Kind.WAITING, "ask":
            text = "[yellow]asks a person, and lets its worker go[/]"
        case Kind.MESSAGE, _ if line.payload["kind"] == "answer":
            said = "yes" if line.payload["body"]["approved"] else "no"
            text = f"answered by {escape(line.payload['sender'])}: {said}"
        case Kind.INTENT, name:
            text = f"[cyan]intends {name}[/]"
        case Kind.UNKNOWN, name:
            why = (
                escape(line.payload["why"])
                if line.payload["error"]
                else "its intent is on disk, a result is not"
            )
            text = f"[yellow]{name} is in doubt: {why}[/]"
        case Kind.SETTLED, _:
            who = "was_sent" if line.payload["by"] == "verify" else line.payload["by"]
            verdict = "it has happened" if line.payload["happened"] else "it has not happened"
            text = f"[yellow]{who} finds out: {verdict}[/]"
        case Kind.RESULT, "send_email":
            how = "mail sent" if line.entry.took else "recorded as sent, and not sent again"
            text = f"[green]{how}[/] [dim]{line.payload['message_id']}[/]"
        case Kind.RESULT, "log_contact":
            text = "contact logged"
        case Kind.ENDED, _ if not node:
            text = f"[bold]{line.payload['status']}[/]"
        case _:
            return None
    return Text.from_markup(text)


# all runs --------------------------------------------------------------------------------------------------------


def _leads(board: Board, summary: Summary) -> Table:
    narrow = board.console.width < 74
    table = Table(
        box=None, pad_edge=False, padding=(0, 1 if board.console.width < 100 else 2), header_style="dim"
    )
    table.add_column("lead", no_wrap=True, max_width=16 if narrow else 24)
    table.add_column("steps", justify="right")
    table.add_column("model" if narrow else "model calls", justify="right")
    table.add_column("mails", justify="right", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for lead in summary.leads:
        outcome = Text(lead.outcome, style="green" if lead.outcome == "sent" else "yellow")
        if lead.outcome == "sent" and lead.found_sent is not None:
            outcome.append(
                ": was_sent found it" if lead.found_sent else ": was_sent had found none", style="dim"
            )
        if lead.reason:
            outcome.append(f": {lead.reason}", style="dim")
        mails = f"{lead.mails_recorded} / {lead.mails_accepted}"
        table.add_row(lead.lead, str(lead.steps), str(lead.model_calls), mails, outcome)
    table.caption = "mails: in the journal / accepted by the mail server"
    table.caption_justify = "left"
    table.caption_style = "dim"
    return table


def _counts(summary: Summary) -> Table:
    repeats, tokens = summary.repeats, summary.tokens
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(overflow="fold")
    nothing = repeats.repeated_after_result == 0
    grid.add_row(
        Text(str(repeats.repeated_after_result), "bold green" if nothing else "bold red"),
        f"of {repeats.finished} finished steps were executed again",
    )
    grid.add_row(
        Text(str(summary.mails_sent_twice), "bold green" if not summary.mails_sent_twice else "bold red"),
        f"of {summary.mails_accepted} mails were sent twice; {summary.verify_found} that no journal knew of was "
        "found by was_sent",
    )
    grid.add_row(
        str(repeats.begun_again), "reads or model calls had been cut off by a kill, and were begun again"
    )
    grid.add_row(
        str(repeats.sent_after_all), "mails had been cut off before the server had them, and were sent then"
    )
    grid.add_row(str(tokens.input + tokens.output), f"tokens, {_cost(summary)}")
    return grid


def _cost(summary: Summary) -> str:
    if summary.scripted:
        return "$0.00: the model is a scripted one, so nothing was bought"
    if summary.tokens.cost is None:
        return f"cost not known: there is no price for `{summary.model}`"
    missing = "; what was cut off is not in it" if summary.repeats.begun_again else ""
    return f"about ${summary.tokens.cost:.4f} by list prices{missing}"


def _next(story: Story, folder: Path, summary: Summary) -> Padding:
    perdure = "perdure" if shutil.which("perdure") else _short(str(Path(sys.executable).with_name("perdure")))
    lines = [
        ("all runs, and the journal of that one", f"export PERDURE_STORE={_short(summary.store)}"),
        ("", f"{perdure} runs ls --agent sales-desk"),
        ("", f"{perdure} runs show {story.run}"),
        ("the mails, as the server has them", f"ls {_short(str(folder / 'sent-mail' / 'new'))}"),
        ("your own lead", "add a line to leads.csv, drop a text into documents/, run it again"),
        ("how it is written", "examples/sales_desk/agents.py"),
    ]
    text = Text()
    for what, how in lines:
        text.append(f"{what}\n" if what else "", style="dim")
        text.append(f"  {how}\n")
    text.rstrip()
    return Padding(text, 0)


def _short(path: str) -> str:
    """Relative to where we are, where it lies below."""
    return path.replace(f"{Path.cwd()}/", "")
