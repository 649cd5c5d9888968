"""What entries tell of a run as a whole: its beginning and end, who carried it on, what was said about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..journal import Entry, Kind
from .telling import State, Telling, Words, as_object, digest_in, text

__all__ = ["OF_RUNS"]


def _started(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    state.agent, state.version = told.get("agent") or state.agent, told.get("version") or state.version
    state.principal(told)
    state.origin = as_object(told.get("origin"))
    taken = state.origin.get("taken")
    state.taken = taken if isinstance(taken, int) else 0
    names = (
        "parent",
        "deadline",
        "priority",
        "needs",
        "origin",
        "on_behalf_of",
        "chain",
        "subject",
        "budget",
    )
    return Words(
        "run.forked" if state.origin else "run.started",
        by=entry.actor if state.behalf is None else state.behalf,
        digest=digest_in(told, "input"),
        details={name: told.get(name) for name in names},
        contents={"input": told.get("input"), "labels": told.get("labels") or None},
    )


def _continued(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    generation = told.get("generation")
    state.generation = generation if isinstance(generation, int) else state.generation + 1
    state.principal(told)
    state.effects.clear()
    state.waits.clear()
    return Words(
        "run.continued",
        by=state.me(),
        digest=digest_in(told, "input"),
        details={"generation": state.generation},
        contents={"input": told.get("input")},
    )


def _claimed(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    behaviour = as_object(told.get("behaviour"))
    state.version = told.get("version") or state.version
    return Words(
        "run.claimed",
        by=entry.actor,
        digest=behaviour.get("digest"),
        details={
            "worker": told.get("worker"),
            "version": told.get("version"),
            "epoch": entry.epoch,
            "behaviour": behaviour,
            "policies": told.get("policies"),
            "deaths_before": told.get("unclean") or None,
        },
    )


def _ended(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    failure = as_object(told.get("failure"))
    return Words(
        "run.ended",
        by=state.me(),
        outcome=told.get("status"),
        digest=digest_in(told, "result"),
        why=told.get("why") or failure.get("message"),
        details={"error": failure.get("type"), "spent": told.get("spent")},
        contents={
            "check": told.get("check"),
            "result": told.get("result"),
            "failure": failure or None,
            "done": told.get("done"),
            "undone": told.get("undone"),
        },
    )


def _decision(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words(
        "agent.decided",
        by=state.me(),
        details={"model": told.get("by")},
        why=text(told.get("reason")),
        contents={k: told.get(k) for k in ("options", "choice", "reasoning", "confidence", "unknowns")},
    )


def _accepted(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words(
        "operator.accepted",
        by=text(told.get("by")) or entry.actor,
        details={"set_aside": told.get("set_aside"), "even_writes": told.get("even_writes")},
    )


def _outcome(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    met = told.get("met")
    return Words(
        "outcome.said",
        by=text(told.get("by")) or entry.actor,
        outcome=None if met is None else "met" if met else "not_met",
        contents={"evidence": told.get("evidence")},
    )


def _escalation(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    what = text(told.get("what")) or "said"
    return Words(
        f"escalation.{what}",
        by=text(told.get("by")) or entry.actor,
        outcome=what,
        why=text(told.get("why")),
        details={
            name: told.get(name) for name in ("to", "notice", "alert", "kind", "about", "runs", "count")
        },
        contents={"subject": told.get("subject")},
    )


def _charged(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    names = ("what", "name", "amount", "usage", "price", "unpriced", "estimated", "accounts")
    return Words("cost.charged", by=state.me(), details={k: told.get(k) for k in names}, quiet=True)


def _mismatch(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words("run.does_not_replay", outcome="failed", contents={"mismatch": value})


def _compacted(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words(
        "conversation.shortened",
        by=state.me(),
        why=text(told.get("why")),
        details={"before": told.get("before"), "after": told.get("after")},
    )


OF_RUNS: Mapping[int, Telling] = {
    Kind.STARTED: _started,
    Kind.CLAIMED: _claimed,
    Kind.CONTINUED: _continued,
    Kind.ENDED: _ended,
    Kind.DECISION: _decision,
    Kind.ACCEPTED: _accepted,
    Kind.OUTCOME: _outcome,
    Kind.ESCALATION: _escalation,
    Kind.CHARGED: _charged,
    Kind.MISMATCH: _mismatch,
    Kind.COMPACTED: _compacted,
}
"""The telling of each kind of entry that is about no single call."""
