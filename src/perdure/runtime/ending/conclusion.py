"""How a run ends, as its ENDED entry says it; and an ending that the run's own function asks for.

    succeeded   the function returned, and its check, where it has one, passed
    partial     something came of it: the value, what is missing, and why
    escalated   it is handed to a human: the reason, the context, what was tried
    failed, cancelled, quarantined

What the function asks for is recorded as a value before it is left, so a replay that comes there leaves it there again,
with the words that were said first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, NoReturn

import pydantic_core

from ...core.errors import RunFailed
from ...governance.budgets import decimal_limits
from ...journal import Kind, RunStatus
from ..replay.control import Finish
from ..replay.failure import Failure, again
from ..replay.recorder import Recorder
from ..replay.scope import Scope

__all__ = ["Conclusion", "Ending", "finish_with", "not_succeeded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """How a run ends."""

    status: RunStatus
    failure: Failure | None = None
    result: bytes | None = None
    """JSON; of a partial run, what there is"""
    why: str = ""
    """of a run that ends partial or escalated, in the run's own words"""
    missing: tuple[str, ...] = ()
    """what a partial run has not done"""
    context: Any = None
    """what a human needs to go on with an escalated run"""
    to: str | None = None
    """the contact that the escalation goes to; None: the default one"""
    step: str | None = None
    """the key at which the function said so; None: it raised, or returned"""
    check: dict[str, Any] | None = None
    """what the check of the result said: `passed`, `why`, `evidence`, `repaired`; `spent` on it and on the repair;
    `scopes`, in which their steps are"""
    undone: dict[str, Any] | None = None
    """what was undone (`done`), and what could not be (`left`)"""

    @property
    def reason(self) -> str:
        """One line for listings."""
        if self.why:
            return self.why[:300]
        return "" if self.failure is None else f"{self.failure.name}: {self.failure.message}"[:300]

    def head(self) -> dict[str, Any]:
        """The payload of the ENDED entry, without the result."""
        told: dict[str, Any] = {"status": self.status}
        if self.failure is not None:
            told["failure"] = self.failure.model_dump(mode="json")
        if self.status in (RunStatus.PARTIAL, RunStatus.ESCALATED):
            told["why"] = self.why
        if self.status is RunStatus.PARTIAL:
            told["missing"] = list(self.missing)
        if self.status is RunStatus.ESCALATED:
            told |= {"context": self.context, "to": self.to}
        for name in ("step", "check", "undone"):
            if (value := getattr(self, name)) is not None:
                told[name] = value
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run has ended, with all that is said of it."""

    status: RunStatus
    value: Any = None
    """the result; of a partial run, what there is. JSON, not yet as the agent's type"""
    failure: Failure | None = None
    why: str = ""
    missing: tuple[str, ...] = ()
    context: Any = None
    to: str | None = None
    tried: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """of an escalated run: failed attempts, what was done, what is in doubt, progress, decisions"""
    check: Mapping[str, Any] | None = None
    """what the check of the result said: `passed`, `why`, `evidence`, `repaired`; where it or the repair cost something
    `spent`, of `check` and `repair` each as below"""
    undone: Mapping[str, Any] | None = None
    """what was undone, and what could not be"""
    degraded: tuple[Mapping[str, Any], ...] = ()
    """steps whose result came from a cache or a fallback"""
    spent: Mapping[str, Decimal | int] = field(default_factory=dict[str, Decimal | int])
    """what the run has used, its children included: `money` in dollars, tokens, calls, `active_time` in microseconds"""

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Ending:
        """From the payload of the ENDED entry."""
        failure = told.get("failure")
        return cls(
            status=RunStatus(told["status"]),
            value=told.get("result"),
            failure=None if failure is None else Failure.model_validate(failure),
            why=told.get("why") or "",
            missing=tuple(told.get("missing") or ()),
            context=told.get("context"),
            to=told.get("to"),
            tried=told.get("tried") or {},
            check=_check_of(told.get("check")),
            undone=told.get("undone"),
            degraded=tuple(told.get("degraded") or ()),
            spent=decimal_limits(told.get("spent") or {}),
        )


def _check_of(told: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What is told of a check: where its steps are is of no use outside of the journal."""
    if told is None:
        return None
    found = {name: value for name, value in told.items() if name not in ("scopes", "spent")}
    spent: Mapping[str, Mapping[str, int]] = told.get("spent") or {}
    return {**found, "spent": {k: decimal_limits(v) for k, v in spent.items()}} if spent else found


async def finish_with(recorder: Recorder, scope: Scope, key: str, conclusion: Conclusion) -> NoReturn:
    """Record how the run ends and leave its function. Raises `RunCancelled` instead in a run that was cancelled."""
    mark = recorder.mark(f"end {conclusion.status}".encode())  # the words are soft
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        final = record.final
        if final.kind == Kind.FAILED:
            await recorder.recorded(final)
            raise again(Failure.model_validate_json(final.payload))
        conclusion = _loaded(pydantic_core.from_json(final.payload))
    else:
        await recorder.live(scope, key, mark)
        told = {"ending": conclusion.status, "why": conclusion.why, "missing": conclusion.missing}
        told |= {"context": conclusion.context, "to": conclusion.to}
        head = pydantic_core.to_json(told)
        recorder.write(
            Kind.VALUE,
            key,
            head[:-1] + b',"result":' + (conclusion.result or b"null") + b"}",
            fingerprint=mark,
        )
    if recorder.said is None:  # of two branches that say it at once, the first counts
        recorder.said = replace(conclusion, step=key)
    recorder.finish()
    raise Finish


def _loaded(told: dict[str, Any]) -> Conclusion:
    status = RunStatus(told["ending"])
    missing: Sequence[str] = told["missing"]
    return Conclusion(
        status=status,
        result=pydantic_core.to_json(told["result"]) if status is RunStatus.PARTIAL else None,
        why=told["why"],
        missing=tuple(missing),
        context=told["context"],
        to=told["to"],
    )


def not_succeeded(what: str, told: Mapping[str, Any]) -> RunFailed:
    """What is raised to those who wait for the result of a run that ended so; `told` is its ENDED payload."""
    failure = None if told.get("failure") is None else Failure.model_validate(told["failure"])
    text = f": {told['why']}" if told.get("why") else ""
    if not text and failure is not None:
        text = f": {failure.name}: {failure.message}"
    missing: Sequence[str] = told.get("missing") or ()
    if missing:
        text += f" (missing: {', '.join(missing)})"
    return RunFailed(
        f"{what} ended `{told['status']}`{text}",
        status=told["status"],
        failure=failure,
        value=told.get("result"),
        missing=tuple(missing),
    )
