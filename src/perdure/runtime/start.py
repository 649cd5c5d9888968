"""Accepting a run: the first entry of its journal."""

from __future__ import annotations

from collections.abc import Mapping

import pydantic_core

from ..core.ids import RunRef
from ..governance.budgets import Budget
from ..journal import Kind, NewRun, fingerprint, genesis, seal
from .agent import Agent, AgentName

__all__ = ["new_run"]


def new_run(
    ref: RunRef,
    agent: Agent | AgentName,
    payload: bytes,
    *,
    key: bytes,
    at: int,
    actor: str,
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
    deadline: int | None = None,
    due: int = 0,
    priority: int | None = None,
    needs: tuple[str, ...] | None = None,
    by: str | None = None,
    subject: str | None = None,
    budget: Budget | None = None,
) -> NewRun:
    """A run of `agent` with the input `payload` (JSON). `key` is the tenant's, times are microseconds.

    `by` is for whom it acts (`user:NAME`), `subject` is whose data it handles. Without `priority` and `needs` it has
    those of its agent. The fingerprint of the first entry is that of agent and input: whoever starts the same id with
    other input is refused by it.
    """
    priority = agent.priority if priority is None else priority
    needs = agent.needs if needs is None else needs
    told: dict[str, object] = {
        "agent": agent.name,
        "version": agent.version,
        "labels": dict(labels or {}),
        "parent": parent,
        "deadline": deadline,
    }
    if by is not None:
        told["by"] = by
    if subject is not None:
        told["subject"] = subject
    if priority:
        told["priority"] = priority
    if needs:
        told["needs"] = needs
    if budget is not None:
        told["budget"] = budget.to_json()
    head = pydantic_core.to_json(told)
    body = head[:-1] + b',"input":' + payload + b"}"
    mark = fingerprint(key, agent.name.encode() + b"\0" + payload)
    first = seal(genesis(ref), Kind.STARTED, 1, 0, at, 0, "", actor, mark, body)
    return NewRun(
        ref=ref,
        agent=agent.name,
        version=agent.version,
        entries=(first,),
        labels=dict(labels or {}),
        parent=parent,
        deadline=deadline,
        due=due,
        priority=priority,
        needs=needs,
        principal=by,
        subject=subject,
    )
