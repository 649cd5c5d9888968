"""A run's row, in words and as JSON."""

from __future__ import annotations

import json
from typing import Any

from ...core.ids import DEFAULT_TENANT
from ...journal import RunRecord, RunStatus
from ...views.words import ago, iso, safe
from .events import progress_text

__all__ = ["name_of", "progress_words", "record_json", "standing"]

_WAITS = {
    "timer": "a timer",
    "signal": "a signal",
    "approval": "an approval",
    "child": "a child run",
    "in_doubt": "a write in doubt to be settled",
    "nondeterministic": "code that replays",
    "paused": "`runs resume`",
    "no_worker_for_version": "a worker that has its version",
    "not_importable": "an app that a process of its own can import",
    "no_worker_for_needs": "a worker that has the labels it needs",
    "corrupt": "a journal that can be trusted",
    "sealed": "the master key that opens its journal",
}


def record_json(record: RunRecord) -> dict[str, Any]:
    """The row for programs. Times are ISO 8601 in UTC."""
    return {
        "run": record.ref.id,
        "tenant": record.ref.tenant,
        "agent": record.agent,
        "version": record.version,
        "status": record.status.value,
        "reasons": list(record.reasons),
        "labels": dict(record.labels),
        "priority": record.priority,
        "needs": list(record.needs),
        "parent": record.parent,
        "principal": record.principal,
        "subject": record.subject,
        "created_at": iso(record.created_at),
        "updated_at": iso(record.updated_at),
        "deadline": iso(record.deadline),
        "next_wake": iso(record.next_wake),
        "ended_at": iso(record.ended_at),
        "pruned_at": iso(record.pruned_at),
        "entries": record.head,
        "generation": record.generation,
        "results": record.results,
        "unclean": record.unclean,
        "alone_deaths": record.alone_deaths,
        "unread_messages": record.inbox_seq - record.drained_seq,
        "session": record.session,
        "progress": _progress(record),
    }


def _progress(record: RunRecord) -> dict[str, Any] | None:
    if record.progress is None:
        return None
    told: dict[str, Any] = json.loads(record.progress)
    return {**told, "at": iso(told.get("at"))}


def progress_words(record: RunRecord, now: int) -> str:
    """The last progress and its age: `drafted 3/7 (2m ago)`."""
    if record.progress is None:
        return ""
    told = json.loads(record.progress)
    age = f" ({ago(told['at'], now)})" if told.get("at") else ""
    return safe(progress_text(told)) + age


def standing(record: RunRecord, now: int) -> str:
    """Why it stands where it stands, in one line."""
    if record.status is RunStatus.WAITING:
        reasons = " and ".join(_WAITS.get(r, r) for r in record.reasons)
        wake = f", {ago(record.next_wake, now)}" if record.next_wake and record.next_wake > now else ""
        return f"for {safe(reasons)}{wake}"
    if record.status is RunStatus.PENDING:
        if record.reasons and record.reasons[0] in _WAITS:
            return f"for {_WAITS[record.reasons[0]]}"
        if record.next_wake and record.next_wake > now:
            return f"due {ago(record.next_wake, now)}"
        return f"due since {ago(record.next_wake, now)}".replace(" ago", "") if record.next_wake else ""
    if record.status is RunStatus.RUNNING and record.unclean:
        return f"after {record.unclean} deaths of its worker"
    if record.pruned_at is not None:
        return f"pruned {ago(record.pruned_at, now)}"
    return safe("; ".join(record.reasons).replace("\n", " "))


def name_of(record: RunRecord) -> str:
    """The run's id, with its tenant where that is not the default one."""
    return record.ref.id if record.ref.tenant == DEFAULT_TENANT else str(record.ref)
