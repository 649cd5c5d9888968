"""Where a run stands, in words and in a tone: the state, and the typed reason for which it waits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from ..journal import RunRecord, RunStatus
from .words import ago, safe

__all__ = ["NEEDS_SOMEBODY", "Tone", "progress_text", "progress_words", "standing", "tone", "waits_for"]

Tone: TypeAlias = Literal["good", "warn", "bad", "live", "plain"]
"""`good`: it went well; `warn`: it waits for somebody; `bad`: it went wrong; `live`: it is under way; else `plain`."""

WAITS = {
    "timer": "a timer",
    "signal": "a signal",
    "approval": "an approval",
    "child": "a child run",
    "in_doubt": "a write in doubt to be settled",
    "retry": "its next attempt",
    "rate_limit": "its place under a rate limit",
    "deferred": "the time it put itself off to",
    "budget": "more budget",
    "needs_connection": "its user to connect an account",
    "stopped": "`perdure start`",
    "nondeterministic": "code that replays",
    "paused": "`runs resume`",
    "no_worker_for_version": "a worker that has its version",
    "not_importable": "an app that a process of its own can import",
    "no_worker_for_needs": "a worker that has the labels it needs",
    "corrupt": "a journal that can be trusted",
    "sealed": "the master key that opens its journal",
}

NEEDS_SOMEBODY = (
    "approval",
    "in_doubt",
    "budget",
    "needs_connection",
    "nondeterministic",
    "paused",
    "no_worker_for_version",
    "no_worker_for_needs",
    "not_importable",
    "corrupt",
    "sealed",
)
"""Reasons that do not pass by themselves: somebody has to do something."""

_TONES: dict[RunStatus, Tone] = {
    RunStatus.RUNNING: "live",
    RunStatus.SUCCEEDED: "good",
    RunStatus.PARTIAL: "warn",
    RunStatus.ESCALATED: "warn",
    RunStatus.FAILED: "bad",
    RunStatus.QUARANTINED: "bad",
}


def tone(status: RunStatus, reasons: Iterable[str] = ()) -> Tone:
    """How a state is to be coloured."""
    if status in (RunStatus.WAITING, RunStatus.PENDING):
        return "warn" if any(reason in NEEDS_SOMEBODY for reason in reasons) else "plain"
    return _TONES.get(status, "plain")


def waits_for(status: RunStatus, reasons: Iterable[str]) -> str:
    """What a run waits for: `an approval and a timer`; empty where it does not wait."""
    if status not in (RunStatus.WAITING, RunStatus.PENDING):
        return ""
    return " and ".join(WAITS.get(r, r) for r in reasons)


def standing(record: RunRecord, now: int) -> str:
    """Why it stands where it stands, in one line."""
    if record.status is RunStatus.WAITING:
        wake = f", {ago(record.next_wake, now)}" if record.next_wake and record.next_wake > now else ""
        return f"for {safe(waits_for(record.status, record.reasons))}{wake}"
    if record.status is RunStatus.PENDING:
        if record.reasons and record.reasons[0] in WAITS:
            return f"for {WAITS[record.reasons[0]]}"
        if record.next_wake and record.next_wake > now:
            return f"due {ago(record.next_wake, now)}"
        return f"due since {ago(record.next_wake, now)}".replace(" ago", "") if record.next_wake else ""
    if record.status is RunStatus.RUNNING and record.unclean:
        return f"after {record.unclean} deaths of its worker"
    if record.pruned_at is not None:
        return f"pruned {ago(record.pruned_at, now)}"
    return safe("; ".join(record.reasons).replace("\n", " "))


def progress_text(told: dict[str, Any]) -> str:
    """`drafted 3/7`."""
    done, total = told.get("done"), told.get("total")
    count = "" if done is None else f" {done}" + ("" if total is None else f"/{total}")
    return f"{told.get('what')}{count}"


def progress_words(record: RunRecord, now: int) -> str:
    """The last progress and its age: `drafted 3/7 (2m ago)`."""
    if record.progress is None:
        return ""
    told = json.loads(record.progress)
    age = f" ({ago(told['at'], now)})" if told.get("at") else ""
    return safe(progress_text(told)) + age
