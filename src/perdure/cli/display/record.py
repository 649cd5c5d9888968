"""A run's row, in words and as JSON."""

from __future__ import annotations

import json
from typing import Any

from ...core.ids import DEFAULT_TENANT
from ...journal import RunRecord
from ...views.standing import progress_words, standing
from ...views.words import iso

__all__ = ["name_of", "progress_words", "record_json", "standing"]


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


def name_of(record: RunRecord) -> str:
    """The run's id, with its tenant where that is not the default one."""
    return record.ref.id if record.ref.tenant == DEFAULT_TENANT else str(record.ref)
