"""Accepting a run: the first entry of its journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pydantic_core

from ..core.delegation import Handed, chain_told
from ..core.ids import RunRef
from ..core.principal import OS_ISSUER, Principal
from ..core.tracing import TraceContext
from ..governance.budgets import Budget
from ..journal import Kind, NewRun, fingerprint, genesis, seal
from .agent import Agent, AgentName
from .progress.records import SERIES_LABEL

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
    on_behalf_of: Principal | None = None,
    chain: Sequence[Handed] = (),
    subject: str | None = None,
    budget: Budget | None = None,
    heard: Mapping[str, object] | None = None,
    draft: Mapping[str, object] | None = None,
    trace: TraceContext | None = None,
) -> NewRun:
    """A run of `agent` with the input `payload` (JSON). `key` is the tenant's, times are microseconds.

    For whom it acts: `by` is a name that is only said (`user:NAME`), `on_behalf_of` one that somebody vouched for, in
    its place. `chain` is who handed the task on, the nearest first; `subject` is whose data it handles; for `draft` see
    `drafts`; `trace` is the span that it stands below. Without `priority` and `needs` it has those of its agent. The
    fingerprint of the first entry is that of agent and input, and of whoever was vouched for: who starts the same id
    with others is refused by it.
    """
    priority = agent.priority if priority is None else priority
    needs = agent.needs if needs is None else needs
    if agent.series is not None and parent is None:
        labels = {SERIES_LABEL: agent.series, **(labels or {})}
    told: dict[str, object] = {
        "agent": agent.name,
        "version": agent.version,
        "labels": dict(labels or {}),
        "parent": parent,
        "deadline": deadline,
    }
    if on_behalf_of is not None:
        by = on_behalf_of.subject
        if on_behalf_of.verified:
            told["on_behalf_of"] = on_behalf_of.told()
    if by is not None:
        told["by"] = by
    if chain:
        told["chain"] = chain_told(chain)
    if subject is not None:
        told["subject"] = subject
    if priority:
        told["priority"] = priority
    if needs:
        told["needs"] = needs
    if heard:
        told["heard"] = heard
    if draft is not None:
        told["draft"] = draft
    if trace is not None:
        told["trace"] = trace.told()
    if budget is not None:
        told["budget"] = budget.to_json()
    head = pydantic_core.to_json(told)
    body = head[:-1] + b',"input":' + payload + b"}"
    whose = b"" if on_behalf_of is None else _whose(on_behalf_of)
    mark = fingerprint(key, agent.name.encode() + b"\0" + payload + whose)
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


def _whose(principal: Principal) -> bytes:
    """What tells the runs of two people apart that have one id: one does not get what the other's came to.

    Those of one machine have its store before them anyway.
    """
    if principal.issuer in (None, OS_ISSUER):
        return b""
    return f"\0{principal.issuer}\0{principal.subject}".encode()
