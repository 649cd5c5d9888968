"""Going on from what was recorded, with code that does not ask for all of it: what it does not ask for is set aside.

An ACCEPTED entry names the steps. From then on a replay reads the journal as if they were not there, so it is as
deterministic as before. They are found by rehearsal: where the code breaks, the steps that stand in its way are set
aside, and it is rehearsed again, until it gets to where the recording ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ...core.errors import RunConflict
from ...journal import Claim, Entry, Kind, WaitReason, seal
from ..agent import Agent
from .history import History, StepRecord
from .rehearsal import NEW_BEFORE, Rehearsal, Verdict, rehearse

__all__ = ["Acceptance", "accepted_entry", "plan_acceptance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """What is set aside so that a run can go on."""

    steps: tuple[str, ...]
    """keys, in the order in which they were recorded"""
    done: tuple[str, ...]
    """those of them that have done something, or may have: writes, idempotent effects, children"""
    questions: tuple[str, ...]
    """those of them that are questions which stand open"""
    mismatch: Rehearsal
    """what the code did with the journal as it was"""


async def plan_acceptance(
    agent: Agent, claim: Claim, *, now: int, agents: Callable[[Agent | str], Agent], limit: float
) -> Acceptance:
    """What must be set aside for `agent` to carry the run on. Raises `RunConflict` where that does not help."""
    run = claim.run
    keys: list[str] = []
    first: Rehearsal | None = None
    while True:
        entries = claim.entries
        if keys:
            trial = _payload(keys, History(claim.entries).steps, by="", even_writes=False)
            entries = [*entries, _entry(claim, trial, at=now, by="")]
        found = await rehearse(agent, run, entries, key=claim.tenant_key, now=now, agents=agents, limit=limit)
        first = first or found
        if found.verdict is Verdict.STUCK:
            raise RunConflict(f"run `{run.ref}` cannot be rehearsed with this code: {found.why}")
        new = [key for key in found.aside if key not in keys]
        if found.verdict is Verdict.REPLAYS or (found.requested or {}).get("what") == NEW_BEFORE:
            break
        if not new:
            what = (found.requested or {}).get("what")
            raise RunConflict(
                f"run `{run.ref}` cannot go on with this code, whatever is set aside: it asked for {what}"
            )
        keys += new
    steps = History(claim.entries).steps
    keys.sort(key=lambda key: steps[key].first.seq)
    return Acceptance(
        steps=tuple(keys),
        done=tuple(key for key in keys if _did_something(steps[key])),
        questions=tuple(key for key in keys if _waits_for(steps[key]) == WaitReason.APPROVAL),
        mismatch=first,
    )


def accepted_entry(claim: Claim, plan: Acceptance, *, at: int, by: str, even_writes: bool) -> Entry:
    """The ACCEPTED entry that carries a plan out, chained to the journal of the claim."""
    steps = History(claim.entries).steps
    return _entry(claim, _payload(plan.steps, steps, by=by, even_writes=even_writes), at=at, by=by)


def _payload(keys: Sequence[str], steps: dict[str, StepRecord], *, by: str, even_writes: bool) -> bytes:
    aside = [{"step": key, "entry": steps[key].first.seq} for key in keys]
    return pydantic_core.to_json({"by": by, "even_writes": even_writes, "set_aside": aside})


def _entry(claim: Claim, payload: bytes, *, at: int, by: str) -> Entry:
    run = claim.run
    return seal(run.head_hash, Kind.ACCEPTED, run.head + 1, run.epoch, at, 0, "", by, b"", payload)


def _did_something(step: StepRecord) -> bool:
    return any(e.kind == Kind.INTENT for e in step.trail) or _waits_for(step, ever=True) == WaitReason.CHILD


def _waits_for(step: StepRecord, *, ever: bool = False) -> str | None:
    waiting = [e for e in step.trail if e.kind == Kind.WAITING]
    if not waiting or (step.final is not None and not ever):
        return None
    told: dict[str, Any] = pydantic_core.from_json(waiting[-1].payload)
    return told["on"]
