"""The play: what the demo does to the desk, in its order."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import executions
from board import Board, Standing
from evidence import Facts, Summary, summarise
from person import Verdict, ask, show_draft
from report import print_opening, print_report
from settings import Settings
from shapes import Draft, Lead, Report
from stage import PostOffice, Worker
from stories import Story, finished, read_story

import perdure


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
        await self.until(lambda: self.workers[-1].ready, "the last worker is ready")
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
