"""From what a store holds to what goes over the wire."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pydantic_core

from ..client.models import ApprovalOut, EntryOut, FiguresOut, RunOut
from ..core.clock import from_micros
from ..governance import from_nanos
from ..journal import Approval, Entry, FiguresRow, RunRecord, kind_name
from ..telemetry import RunFigures

__all__ = ["approval_out", "entry_out", "figures_out", "run_out", "time_of"]


def time_of(at: int | None) -> datetime | None:
    """Microseconds as a time."""
    return None if at is None else from_micros(at)


def run_out(record: RunRecord, *, met: bool | None = None, figures: FiguresOut | None = None) -> RunOut:
    """A run's row."""
    return RunOut(
        run=record.ref.id,
        tenant=record.ref.tenant,
        agent=record.agent,
        version=record.version,
        status=record.status.value,
        reasons=list(record.reasons),
        labels=dict(record.labels),
        priority=record.priority,
        needs=list(record.needs),
        parent=record.parent,
        principal=record.principal,
        subject=record.subject,
        created_at=from_micros(record.created_at),
        updated_at=from_micros(record.updated_at),
        deadline=time_of(record.deadline),
        next_wake=time_of(record.next_wake),
        ended_at=time_of(record.ended_at),
        pruned_at=time_of(record.pruned_at),
        entries=record.head,
        generation=record.generation,
        results=record.results,
        unclean=record.unclean,
        unread_messages=record.inbox_seq - record.drained_seq,
        progress=_progress(record),
        met=met,
        figures=figures,
    )


def _progress(record: RunRecord) -> dict[str, Any] | None:
    if record.progress is None:
        return None
    told: dict[str, Any] = json.loads(record.progress)
    at = told.get("at")
    return {**told, "at": from_micros(at).isoformat().replace("+00:00", "Z") if at else None}


def entry_out(entry: Entry, *, payload: bool) -> EntryOut:
    """An entry; without its `payload` for those who may not see what calls were given and returned."""
    readable = payload and entry.payload and not entry.erased
    return EntryOut(
        seq=entry.seq,
        kind=kind_name(entry),
        key=entry.key,
        at=from_micros(entry.at),
        took_us=entry.took,
        actor=entry.actor,
        epoch=entry.epoch,
        erased=entry.erased,
        withheld=not payload,
        payload=pydantic_core.from_json(entry.payload) if readable else None,
    )


def approval_out(approval: Approval, *, payload: bool) -> ApprovalOut:
    """A question; without what is shown for those who may not see what calls are given."""
    told = approval.told
    return ApprovalOut(
        run=approval.ref.id,
        tenant=approval.ref.tenant,
        agent=approval.agent,
        step=approval.step,
        question=approval.question if payload or "digest" in told else "",
        opened_at=from_micros(approval.opened_at),
        due=time_of(approval.due),
        tool=approval.tool,
        digest=approval.digest,
        requester=approval.requester,
        people=told.get("people"),
        choices=told.get("choices"),
        withheld=not payload,
        asks=told if payload else None,
    )


def figures_out(row: FiguresRow, *, payload: bool) -> FiguresOut:
    """What a run adds up to; without its goal, which is made of its input, for those who may not see that."""
    found = RunFigures.read(row.figures, goal=row.goal)
    return FiguresOut(
        folded=row.folded,
        goal=found.goal if payload else None,
        step=found.step,
        active_us=found.active,
        money=from_nanos(found.money),
        unpriced=found.unpriced,
        estimated=found.estimated,
        input_tokens=found.input_tokens,
        output_tokens=found.output_tokens,
        model_calls=found.model_calls,
        tool_calls=found.tool_calls,
        errors=found.errors,
        retries=found.retries,
        guardrails=found.guardrails,
        confidence=found.confidence,
    )
