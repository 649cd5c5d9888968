"""What was recorded, what was done, and whether the two agree.

Three witnesses who do not know each other: the journals of the runs, the file to which every execution of a tool or a
model adds a line, and the mail server's own log. Nothing in the demo's last page is asserted; it is counted here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from executions import Execution
from mail import message_id
from pydantic import BaseModel
from stage import Accepted, Worker
from stories import EFFECTS, Story, finished

from perdure.journal import Kind

LOOKING = ("was_sent",)
"""Executions that are no step: asking whether one has happened."""

TIMES = {0: "never", 1: "once", 2: "twice"}


class Repeats(BaseModel):
    """How often things were done, against how often they were recorded."""

    finished: int
    """steps with a result for which a tool or a model had to be executed"""
    executions: int
    repeated_after_result: int
    """executions of a step that had its result already: must be 0"""
    begun_again: int
    """executions of a model call or a read that a kill had cut off before its result"""
    sent_after_all: int
    """executions of a write that a kill had cut off, and of which `verify` said that it had not happened"""
    without_execution: int
    """finished steps of which the evidence knows nothing: must be 0, else it would prove nothing"""


def count_repeats(stories: Iterable[Story], executions: Sequence[Execution]) -> Repeats:
    done: dict[tuple[str, str], int] = {}
    for story in stories:
        done |= finished(story)
    steps = [x for x in executions if x.what not in LOOKING]
    times: Counter[tuple[str, str]] = Counter()
    late = again = writes = 0
    for x in sorted(steps, key=lambda x: x.at):
        step = (x.what, x.about)
        if times[step]:
            if x.at > done.get(step, x.at):
                late += 1
            elif x.what in EFFECTS:
                writes += 1
            else:
                again += 1
        times[step] += 1
    return Repeats(
        finished=len(done),
        executions=len(steps),
        repeated_after_result=late,
        begun_again=again,
        sent_after_all=writes,
        without_execution=sum(1 for step in done if step not in times),
    )


class Tokens(BaseModel):
    input: int = 0
    output: int = 0
    cost: float | None = None
    """US dollars; None where the price of the model is not known"""


def count_tokens(stories: Iterable[Story], *, model: str) -> Tokens:
    """What the providers say that the model calls used, from the journals."""
    used = [
        call.payload["reply"]["usage"] for s in stories for call in s.model_calls if call.kind is Kind.RESULT
    ]
    tokens = Tokens(
        input=sum(u["input_tokens"] or 0 for u in used), output=sum(u["output_tokens"] or 0 for u in used)
    )
    return tokens.model_copy(update={"cost": _price(model, tokens)})


def _price(model: str, tokens: Tokens) -> float | None:
    provider, _, name = model.partition(":")
    if provider == "scripted":
        return 0.0
    try:
        from genai_prices import Usage, calc_price

        usage = Usage(input_tokens=tokens.input, output_tokens=tokens.output)
        return float(calc_price(usage, model_ref=name).total_price)
    except (ImportError, LookupError):
        return None


class LeadSummary(BaseModel):
    lead: str
    run: str
    status: str
    outcome: str
    reason: str
    steps: int
    model_calls: int
    mails_recorded: int
    mails_accepted: int
    in_doubt: bool
    """whether a kill left it open if the mail was sent"""
    found_sent: bool | None
    """what `was_sent`, or whoever settled it, found out about that"""


class Check(BaseModel):
    holds: bool
    what: str


class Summary(BaseModel):
    """What the demo found; `--json` prints it."""

    ok: bool
    model: str
    scripted: bool
    store: str
    seconds: float
    workers: list[dict[str, Any]]
    kills: int
    entries: int
    leads: list[LeadSummary]
    repeats: Repeats
    mails_accepted: int
    mails_sent_twice: int
    verify_asked: int
    verify_found: int
    tokens: Tokens
    checks: list[Check]


@dataclass(frozen=True)
class Facts:
    """What the demo saw with its own eyes."""

    model: str
    store: str
    took: timedelta
    workers: Sequence[Worker]
    accepted: Sequence[Accepted]
    executions: Sequence[Execution]
    kills_meant: int
    held_while_waiting: int
    """runs that a worker held while all waited for a person"""
    unrecorded: Sequence[str]
    """Message-IDs that the server had and no journal, right after the second kill"""
    last_exit: int


def summarise(stories: Sequence[Story], facts: Facts) -> Summary:
    repeats = count_repeats(stories, facts.executions)
    per_mail = Counter(mail.message_id for mail in facts.accepted)
    twice = sum(n - 1 for n in per_mail.values())
    leads = [_lead(story, per_mail) for story in stories]
    asked = sum(1 for x in facts.executions if x.what == "was_sent")
    found = sum(1 for s in stories if s.settled and s.settled["happened"] and s.settled["by"] == "verify")
    recorded = Counter(receipt for story in stories for receipt in story.receipts)
    kills = sum(1 for worker in facts.workers if worker.killed)
    unknown_pids = {x.pid for x in facts.executions} - {worker.pid for worker in facts.workers}
    checks = [
        Check(holds=all(s.status == "succeeded" for s in stories), what="every run has ended, and says how"),
        Check(holds=kills == facts.kills_meant, what=f"the worker was killed {TIMES[facts.kills_meant]}"),
        Check(holds=repeats.repeated_after_result == 0, what="no finished step was executed again"),
        Check(
            holds=repeats.without_execution == 0 and not unknown_pids,
            what="every finished step is in the evidence, done by a worker of ours",
        ),
        Check(holds=twice == 0, what="the mail server accepted no mail twice"),
        Check(holds=recorded == per_mail, what="the journals and the mail server name the same mails"),
        Check(holds=facts.held_while_waiting == 0, what="no worker held a run that waited for a person"),
        Check(holds=True, what="the hash chain of every journal verifies"),  # else `read_story` had raised
        Check(holds=facts.last_exit == 0, what="the last worker, asked to stop, left in good order"),
    ]
    if facts.kills_meant > 1:
        check = bool(facts.unrecorded) and found >= len(facts.unrecorded)
        checks.append(
            Check(holds=check, what="the mail that only the server knew of was found by `was_sent`")
        )
    return Summary(
        ok=all(check.holds for check in checks),
        model=facts.model,
        scripted=facts.model.startswith("scripted:"),
        store=facts.store,
        seconds=round(facts.took.total_seconds(), 1),
        workers=[{"number": w.number, "pid": w.pid, "killed": w.killed} for w in facts.workers],
        kills=kills,
        entries=sum(len(story.lines) for story in stories),
        leads=leads,
        repeats=repeats,
        mails_accepted=len(facts.accepted),
        mails_sent_twice=twice,
        verify_asked=asked,
        verify_found=found,
        tokens=count_tokens(stories, model=facts.model),
        checks=checks,
    )


def _lead(story: Story, per_mail: Counter[str]) -> LeadSummary:
    return LeadSummary(
        lead=story.lead,
        run=story.run,
        status=story.status,
        outcome=story.report.outcome if story.report else story.status,
        reason=story.report.reason if story.report else "",
        steps=len(story.steps),
        model_calls=len(story.model_calls),
        mails_recorded=len(story.receipts),
        mails_accepted=per_mail[message_id(f"{story.run}/send_email")],
        in_doubt=story.in_doubt,
        found_sent=story.settled["happened"] if story.settled else None,
    )
