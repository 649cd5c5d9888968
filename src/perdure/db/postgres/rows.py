"""Rows of the tables as the port's values, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from ...core.ids import RunRef
from ...journal import OWN_AGENTS, Approval, Message, RunQuery, RunRecord
from ..run_rows import run_record
from . import queries

__all__ = ["Row", "approval", "coded_labels", "conditions", "found", "message", "record"]

Row: TypeAlias = tuple[Any, ...]


def coded_labels(labels: Mapping[str, str]) -> list[str]:
    """Labels as they are kept: each as JSON, which is plain ASCII whatever a label holds."""
    return [json.dumps([key, value]) for key, value in labels.items()]


def found(query: RunQuery) -> tuple[str, dict[str, Any]]:
    """The statement that lists runs, and its values."""
    where, values = conditions(query)
    return f"{queries.FIND_RUNS}{where} order by r.rid desc limit %(limit)s", values | {"limit": query.limit}


def conditions(query: RunQuery, *, page: bool = True) -> tuple[str, dict[str, Any]]:
    """The `where` of a query, and its values."""
    where: list[str] = []
    values: dict[str, Any] = {}
    for name, condition, value in (
        ("tenant", "r.tenant = %(tenant)s", query.tenant),
        ("agent", "r.agent = %(agent)s", query.agent),
        ("version", "r.version = %(version)s", query.version),
        ("parent", "r.parent = %(parent)s", query.parent),
        ("principal", "r.principal = %(principal)s", query.principal),
        ("subject", "r.subject = %(subject)s", query.subject),
        ("since", "r.created_at >= %(since)s", query.since),
        ("until", "r.created_at < %(until)s", query.until),
        ("ended_before", "r.ended_at < %(ended_before)s", query.ended_before),
        ("statuses", "r.status = any(%(statuses)s::text[])", sorted(query.statuses) or None),
        ("labels", "r.labels @> %(labels)s::text[]", coded_labels(query.labels) or None),
        (
            "reason",
            "%(reason)s = any(r.reasons)",
            None if query.reason is None else json.dumps(query.reason),
        ),
        ("before", "r.rid < %(before)s", query.before if page else None),
    ):
        if value is not None:
            where.append(condition)
            values[name] = value
    if query.hides_own:
        where.append("r.agent <> all(%(own)s::text[])")
        values["own"] = [*OWN_AGENTS]
    if query.pruned is not None:
        where.append(f"r.pruned_at is {'not ' if query.pruned else ''}null")
    return (" where " + " and ".join(where) if where else ""), values


def record(row: Row | None) -> RunRecord:
    """A run's row, in the order of `queries.RUN_COLUMNS`."""
    assert row is not None
    return run_record(
        row,
        reasons=[json.loads(reason) for reason in row[6]],
        labels=dict(json.loads(label) for label in row[7]),
    )


def message(row: Row) -> Message:
    """A row of the inbox."""
    n, kind, name, id_, sender, at, body = row
    return Message(n=n, kind=kind, name=name, id=id_, sender=sender, at=at, body=body)


def approval(row: Row) -> Approval:
    """An open question, with its run."""
    tenant, run, step, question, opened_at, due, agent, show = row
    return Approval(
        ref=RunRef(tenant, run),
        step=step,
        question=question,
        opened_at=opened_at,
        due=due,
        agent=agent,
        show=show,
    )
