"""`make demo`: the sales desk, whose worker is killed twice, and which finishes all the same.

    python examples/sales_desk/demo.py [--yes] [--json] [--data FOLDER] [--keep FOLDER] [--model NAME]

The demo starts a real SMTP server on loopback, accepts a run for each lead, and starts `perdure worker`. It sends that
worker SIGKILL twice: in the middle of the pipeline, and between the moment in which the mail server has accepted a mail
and the moment in which the journal could know. The last page is counted from the journals, from the mail server's log,
and from a file to which every execution adds a line.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import io
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import executions
from board import Board, Standing
from evidence import Facts, Story, Summary, finished, read_story, summarise
from person import Verdict, ask, show_draft
from report import print_opening, print_report
from rich.console import Console
from settings import HERE, Settings, model_by_key
from shapes import Draft, Lead, Report
from stage import PostOffice, Worker

import perdure

MARK = "made by `make demo`; it is emptied when the demo begins"
PACE = 0.6
"""seconds: how long the scripted model takes, so that there is something to see"""


class Stuck(Exception):
    """What the demo waited for did not come."""


class Demo:
    def __init__(
        self, board: Board, settings: Settings, folder: Path, leads: Sequence[Lead], *, asks: bool
    ) -> None:
        self.board = board
        self.settings = settings
        self.folder = folder
        self.leads = leads
        self.asks = asks
        self.office = PostOffice(folder)
        self.workers: list[Worker] = []
        self.handles: list[perdure.Handle] = []
        self.standings: list[Standing] = []
        self.outcomes: dict[str, str] = {}
        self.patience = 60.0 if settings.scripted else 600.0
        self.held_while_waiting = 0
        self.unrecorded: list[str] = []

    # the play ------------------------------------------------------------------------------------------------

    async def play(self, app: perdure.App) -> Summary:
        try:
            await self.office.open()
            self.settings = self.settings.model_copy(update={"smtp": f"127.0.0.1:{self.office.port}"})
            print_opening(self.board, self.settings, len(self.leads))
            await self.accept(app)
            self.board.start()
            await self.kill_in_the_middle(app)
            await self.ask_for_approval(app)
            kills = await self.kill_between_mail_and_record(app)
            last_exit = await self.finish()
        finally:
            self.board.stop()
            self.office.close()
            for worker in self.workers:
                worker.end_now()
        stories = await self.read_stories(app)
        summary = summarise(
            stories,
            Facts(
                model=self.settings.model,
                store=self.settings.store,
                took=timedelta(seconds=self.board.seconds),
                workers=self.workers,
                accepted=self.office.accepted,
                executions=self.executions(),
                kills_meant=kills,
                held_while_waiting=self.held_while_waiting,
                unrecorded=self.unrecorded,
                last_exit=last_exit,
            ),
        )
        print_report(self.board, summary, stories, self.workers, folder=self.folder)
        return summary

    async def accept(self, app: perdure.App) -> None:
        for lead in self.leads:
            run_id = "desk-" + re.sub(r"[^a-z0-9]+", "-", lead.company.casefold()).strip("-")
            handle = await app.start("sales-desk", lead, run_id=run_id, labels={"lead": lead.company})
            self.handles.append(handle)
        self.board.say(f"{len(self.leads)} runs are accepted: they are on disk, and nobody works on them yet")

    async def kill_in_the_middle(self, app: perdure.App) -> None:
        await self.start_worker()
        several = min(3, len(self.leads))

        def in_the_middle() -> bool:
            begun = [s for s in self.standings if s.done >= 1 and not s.ended]
            return len(begun) >= several or all(s.ended or s.waits_for_person for s in self.standings)

        await self.until(in_the_middle, "several runs have finished a node")
        # A little into the next node, so that the kill cuts model calls off in their middle.
        begun = len(self.executions())
        await self.until(lambda: len(self.executions()) > begun or self.quiet(), "the next model call")
        await self.workers[-1].kill()
        done = [step for story in await self.read_stories(app) for step in finished(story)]
        cut_off = {(x.what, x.about) for x in self.executions()} - set(done)
        self.board.say(
            f"[bold red]kill -9[/] of worker 1, in the middle: {len(done)} finished steps are on disk, "
            f"{_count(len(cut_off), 'call')} had begun and had no result"
        )
        await self.start_worker()
        self.board.say(
            "[dim]it waits until the dead worker's lease (2 s) is over, and goes on where that one was[/]"
        )

    async def ask_for_approval(self, app: perdure.App) -> None:
        await self.until(self.quiet, "all drafts are written")
        waiting = [s for s in self.standings if s.waits_for_person]
        self.held_while_waiting = sum(1 for s in waiting if s.held)
        if not waiting:
            return
        self.board.say(
            f"{len(waiting)} runs wait for a person, for three days if need be. "
            f"Worker {self.workers[-1].number} holds {self.held_while_waiting or 'none'} of them"
        )
        places = [handle.id for handle in self.handles]
        approvals = await app.store.approvals(tenant=app.tenant)
        first, *others = sorted(approvals, key=lambda approval: places.index(approval.ref.id))
        verdict = await self.decide(first.question, Draft.model_validate_json(_shown(first.show)))
        changed = verdict.changed.model_dump() if verdict.changed else None
        await app.answer(
            first.ref.id,
            first.step,
            approved=verdict.approved,
            by="you" if self.asks else "demo",
            reason=verdict.reason,
            value=changed,
        )
        for approval in others:
            await app.answer(
                approval.ref.id, approval.step, approved=True, by="demo", reason="not read: a demo"
            )
        if others and self.asks:
            self.board.say(f"the other {len(others)} were approved by the demo itself, so that you need not")

    async def decide(self, question: str, draft: Draft) -> Verdict:
        self.board.stop()
        if self.asks:
            verdict = await ask(self.board.console, question, draft)
            said = (
                "changed and approved" if verdict.changed else "approved" if verdict.approved else "declined"
            )
            self.board.say(f"you have {said} the mail")
        else:
            show_draft(self.board.console, question, draft)
            verdict = Verdict(approved=True, reason="answered by the demo")
            self.board.say(
                "nobody is asked (no terminal, or --yes): [bold]the demo approves all of them itself[/]"
            )
        self.board.start()
        return verdict

    async def kill_between_mail_and_record(self, app: perdure.App) -> int:
        """The server has the mail and holds its answer back until the worker is dead. How many kills there were."""
        accepted = self.office.accepted
        await self.until(lambda: bool(accepted) or all(s.ended for s in self.standings), "a first mail")
        if not accepted:
            self.board.say("no mail was to be sent, so there is nothing to kill in the middle of")
            return 1
        # Let the others come to the door, so that some mails are sent, others not, and the journal cannot know which.
        soon = time.monotonic() + 0.5
        approved = sum(1 for s in self.standings if s.done == 5)
        await self.until(
            lambda: self.office.callers >= approved or time.monotonic() > soon, "the other mails"
        )
        await self.workers[-1].kill()
        self.office.answer.set()
        stories = await self.read_stories(app)
        recorded = {receipt for story in stories for receipt in story.receipts}
        self.unrecorded = [mail.message_id for mail in accepted if mail.message_id not in recorded]
        meant = sum(1 for story in stories if story.meant_to_send) - len(recorded)
        self.board.say(
            f"[bold red]kill -9[/] of worker 2, at the worst moment: {_count(meant, 'mail')} were to be sent, "
            f"{len(self.unrecorded)} of them the server has accepted, and no journal says which"
        )
        await self.start_worker()
        self.board.say("[dim]it must send none twice and leave none out, so it asks `was_sent` about each[/]")
        return 2

    async def finish(self) -> int:
        await self.until(lambda: all(s.ended for s in self.standings), "all runs have ended")
        self.board.say("all runs have ended")
        return await self.workers[-1].stop()

    # what it needs -------------------------------------------------------------------------------------------

    async def start_worker(self) -> None:
        worker = await Worker.start(
            len(self.workers) + 1, self.settings.as_environment(), self.settings.store, self.folder
        )
        self.workers.append(worker)
        self.board.say(f"worker {worker.number} starts [dim](perdure worker, process {worker.pid})[/]")

    async def until(self, holds: Callable[[], bool], what: str) -> None:
        """Look at the runs until it holds. Raises `Stuck`."""
        deadline = time.monotonic() + self.patience
        while True:
            await self.look()
            if holds():
                return
            worker = self.workers[-1]
            if worker.ended is not None and not worker.killed:
                raise Stuck(f"worker {worker.number} ended by itself with exit code {worker.ended}")
            if time.monotonic() > deadline:
                raise Stuck(f"after {self.patience:.0f} s still waiting until: {what}")
            await asyncio.sleep(0.04)

    async def look(self) -> None:
        standings: list[Standing] = []
        for lead, handle in zip(self.leads, self.handles, strict=True):
            record = await handle.record()
            if record.status == "succeeded" and handle.id not in self.outcomes:
                report: Report = Report.model_validate(await handle.result())
                self.outcomes[handle.id] = report.outcome
            standings.append(
                Standing.of(
                    lead.company,
                    progress=record.progress,
                    status=record.status,
                    reasons=record.reasons,
                    held=record.session is not None,
                    outcome=self.outcomes.get(handle.id),
                )
            )
        self.standings = standings
        worker = self.workers[-1]
        self.board.show(
            standings,
            f"worker {worker.number}, process {worker.pid}; the mail server has {len(self.office.accepted)} mails",
        )

    def quiet(self) -> bool:
        return all(s.ended or s.waits_for_person for s in self.standings)

    def executions(self) -> list[executions.Execution]:
        assert self.settings.executions is not None
        return executions.read(self.settings.executions)

    async def read_stories(self, app: perdure.App) -> list[Story]:
        pairs = zip(self.leads, self.handles, strict=True)
        return [await read_story(app, handle, lead.company) for lead, handle in pairs]


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _shown(show: bytes) -> str:
    return json.dumps(json.loads(show)["show"])


# the command line ------------------------------------------------------------------------------------------------


def main() -> int:
    options = parse()
    json_only = options.json
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # asked to stop, it cleans up as after Ctrl-C
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    console = Console(stderr=json_only, highlight=False)
    asks = not options.yes and not json_only and sys.stdin.isatty() and sys.stdout.isatty()
    try:
        leads = read_leads(options.data / "leads.csv")
        folder = prepare(options.keep)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    settings = Settings(
        store=f"sqlite:///{folder / 'perdure.db'}",
        model=options.model or model_by_key(),
        pace=PACE,
        documents=(options.data / "documents").resolve(),
        sent=folder / "sent-mail",
        crm=folder / "crm",
        executions=folder / "executions.jsonl",
    )
    try:
        summary = asyncio.run(run(Demo(Board(console), settings, folder, leads, asks=asks)))
    except KeyboardInterrupt:
        console.print(
            "\nStopped; its worker and its mail server are gone. What happened stays in", str(folder)
        )
        return 130
    except perdure.ConfigError as error:
        console.print(f"error: {error}", style="red", markup=False)
        return 2
    except Stuck as stuck:
        console.print(f"\nThe demo is stuck: {stuck}. The workers' own words:", style="red")
        for log in sorted(folder.glob("worker-*.log")):
            console.print(f"{log}:\n{log.read_text(errors='replace')[-2000:]}", markup=False)
        return 1
    if json_only:
        print(summary.model_dump_json(indent=2))
    return 0 if summary.ok else 1


async def run(demo: Demo) -> Summary:
    # Here too an app, but none that works: it accepts runs, answers questions and reads journals.
    app = load_app(demo.settings)
    app.models.provider(demo.settings.model)  # say now what is missing, and not in the middle
    try:
        return await demo.play(app)
    finally:
        await app.close()


def load_app(settings: Settings) -> perdure.App:
    os.environ.update(settings.as_environment())
    from agents import app

    return app


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The sales desk, killed twice, finishing.")
    parser.add_argument(
        "--yes", action="store_true", help="ask nobody: the demo approves by itself, and says so"
    )
    parser.add_argument("--json", action="store_true", help="a summary in JSON on stdout; implies --yes")
    parser.add_argument("--data", type=Path, default=HERE, help="folder with leads.csv and documents/")
    parser.add_argument("--keep", type=Path, default=Path(".demo"), help="folder for store, mails and logs")
    parser.add_argument("--model", help="`provider:name`; without it, by the keys that are set")
    return parser.parse_args()


def read_leads(file: Path) -> list[Lead]:
    """The leads of a CSV file. Raises `ValueError` where there is none, or a company twice."""
    with file.open(encoding="utf-8", newline="") as lines:
        leads = [Lead.model_validate({k: v or "" for k, v in row.items()}) for row in csv.DictReader(lines)]
    companies = [lead.company for lead in leads]
    twice = {company for company in companies if companies.count(company) > 1}
    if not leads or twice:
        raise ValueError(
            f"`{file}` " + (f"names {', '.join(sorted(twice))} twice" if twice else "has no leads")
        )
    return leads


def prepare(folder: Path) -> Path:
    """An empty folder. Raises `ValueError` where there is one that the demo has not made."""
    mark = folder / ".gitignore"
    if folder.exists() and any(folder.iterdir()):
        if not mark.exists() or MARK not in mark.read_text(encoding="utf-8"):
            raise ValueError(
                f"`{folder}` is not empty and was not made by the demo; give another with --keep"
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(f"# {MARK}\n*\n", encoding="utf-8")
    return folder.resolve()


if __name__ == "__main__":
    sys.exit(main())
