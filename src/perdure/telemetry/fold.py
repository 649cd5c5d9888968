"""The fold of one run's journal into its figures, and into what it adds to the tallies.

It reads headers, and payloads of a few kinds: results of steps, which are most of a journal's bytes, are not read at
all. It never fails on what it reads: of an entry whose payload was taken away, or is not what it should be, the header
counts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pydantic_core

from ..governance import Line
from ..journal import Entry, Kind
from .figures import RunFigures
from .goal import clean, goal_of
from .parts import PartKey, Parts, read_parts, told_parts
from .reading import fields, step_name

__all__ = ["READ_KINDS", "RunFold"]

READ_KINDS = tuple(
    int(kind)
    for kind in (
        *(Kind.STARTED, Kind.CONTINUED, Kind.SUSPENDED, Kind.ENDED, Kind.CHARGED, Kind.INTENT, Kind.VERDICT),
        *(Kind.WAITING, Kind.ATTEMPT, Kind.FAILED, Kind.DECISION, Kind.OUTCOME, Kind.CLAIMED, Kind.SETTLED),
    )
)
"""Of these the payload is read."""

_TURN = "turn"
"""Of a step that asks a model: of one that failed nothing else may tell."""

_REFUSING = frozenset({"scope", "revocation", "policy"})
_REFUSED = frozenset({"deny", "denied"})
_NO_STEPS = frozenset({int(Kind.VALUE), int(Kind.MISMATCH), int(Kind.DRIFT)})


class RunFold:
    """Folds the entries of one run, in their order, on from what was folded before."""

    def __init__(self, state: str = "", *, goal: str | None = None) -> None:
        """Go on from what `told` said; empty: from the beginning. The goal is kept apart: it may be taken away."""
        told: dict[str, Any] = json.loads(state) if state else {}
        self.figures: dict[str, Any] = told.get("figures", {})
        self.goal = goal
        self.folded: int = told.get("folded", 0)
        self.standing: str = told.get("standing", "")
        """`pending`, `running`, `waiting:REASON`; empty: it has ended, or nothing is known"""
        self.was_standing = self.standing
        self.was_outcome = self.outcome
        """the same, as they were when it was folded last"""
        self.erased = False
        """of what was folded now, something was taken away"""
        self.parts: dict[PartKey, list[int]] = read_parts(told.get("parts", ()))
        """what it had added before"""
        self.new = Parts(beside=self.parts)
        """what it adds now"""
        self._began: int = told.get("began", 0)
        self._done: int = told.get("done", 0)
        """microseconds of claims that are over"""
        self._claim: list[int] | None = told.get("claim")
        """of the claim that is not over: when it began, its last entry's time, its epoch"""
        self._calls: dict[str, str] = told.get("calls", {})
        """of steps under way what is known of them: `model` or `step`, and the name of model or tool, as `what name`"""
        self._waits: dict[str, list[Any]] = told.get("waits", {})
        """steps that wait: for what, since when"""
        self._short: set[str] = set(told.get("short", ()))
        """steps that wait for a budget"""
        self._failed: str = told.get("failed", "")
        """the step that failed last"""
        self._model: str = told.get("model", "")
        """the model that was asked last"""

    @property
    def outcome(self) -> str:
        """As tallies tell it."""
        met = self.figures.get("met")
        return "" if met is None else "met" if met else "not-met"

    def told(self) -> str:
        """All that is needed to go on: JSON, the same text for the same journal."""
        merged = {key: list(counts) for key, counts in self.parts.items()}
        for key, counts in self.new.counts.items():
            found = merged.get(key)
            merged[key] = (
                list(counts) if found is None else [a + b for a, b in zip(found, counts, strict=True)]
            )
        told = {
            "figures": self.figures,
            "folded": self.folded,
            "standing": self.standing,
            "began": self._began,
            "done": self._done,
            "claim": self._claim,
            "calls": self._calls,
            "waits": self._waits,
            "short": sorted(self._short),
            "failed": self._failed,
            "model": self._model,
            "parts": told_parts(merged),
        }
        return json.dumps({k: v for k, v in told.items() if v}, sort_keys=True, separators=(",", ":"))

    def shown(self) -> RunFigures:
        """The figures, without the goal."""
        return RunFigures(folded=self.folded, active=self._active(), **self.figures)

    def see(self, entry: Entry) -> None:
        """One more entry."""
        kind = entry.kind
        self.folded = entry.seq
        if entry.erased and kind != Kind.CHARGED and kind in _READ:
            self.erased = True
        if kind == Kind.CLAIMED:
            self._close_claim()
            self._claim = [entry.at, entry.at, entry.epoch]
            self.standing = "running"
            self._claimed(entry)
            return
        if self._claim is not None and entry.epoch == self._claim[2]:
            self._claim[1] = max(self._claim[1], entry.at)
        if entry.key and kind not in _NO_STEPS:
            self.figures["step"] = clean(entry.key)
        if entry.epoch == 0 and entry.seq > 1 and kind in _OF_STEPS:
            return  # a fork took it over: another run did it, and counts it
        tell = _TELL.get(kind)
        if tell is not None:
            tell(self, entry)

    # of a run ---------------------------------------------------------------------------------------------------

    def _started(self, entry: Entry) -> None:
        self._began = entry.at
        self.goal = goal_of(fields(entry).get("input"))
        self.standing = "pending"
        self.new.add(entry.at, "run", "started")

    def _claimed(self, entry: Entry) -> None:
        told = fields(entry)
        self.new.add(entry.at, "claim", "policies" if told.get("policies") else "no policies")
        if told.get("unclean"):
            self.new.add(entry.at, "claim", "after a death")

    def _continued(self, entry: Entry) -> None:
        self.goal = goal_of(fields(entry).get("input"))
        self._close_claim()
        self._waits.clear()
        self._short.clear()
        self._calls.clear()
        self.standing = "pending"

    def _suspended(self, entry: Entry) -> None:
        self._close_claim()
        reasons = fields(entry).get("reasons")
        first = min(map(str, cast("list[Any]", reasons))) if isinstance(reasons, list) and reasons else ""
        self.standing = f"waiting:{clean(first)}"

    def _ended(self, entry: Entry) -> None:
        self._close_claim()
        self.standing = ""
        status = str(fields(entry).get("status") or "")
        self.new.timed(entry.at, "run", clean(status), self._active())
        self.new.timed(entry.at, "wall", clean(status), max(0, entry.at - self._began))
        if status == "escalated":
            self.new.add(entry.at, "escalation", clean(step_name(self._failed)))
        self._waits.clear()
        self._short.clear()
        self._calls.clear()

    def _outcome(self, entry: Entry) -> None:
        met = fields(entry).get("met")
        if isinstance(met, bool):
            self.figures["met"] = met

    def _decision(self, entry: Entry) -> None:
        self.new.add(entry.at, "decision", "made")
        confidence = fields(entry).get("confidence")
        if isinstance(confidence, int | float) and not isinstance(confidence, bool):
            self.new.add(entry.at, "decision", "with confidence")
            least = self.figures.get("least_confidence")
            self.figures["confidence"] = float(confidence)
            self.figures["least_confidence"] = float(confidence if least is None else min(least, confidence))

    def _active(self) -> int:
        return self._done + (0 if self._claim is None else self._claim[1] - self._claim[0])

    def _close_claim(self) -> None:
        self._done, self._claim = self._active(), None

    # of a step --------------------------------------------------------------------------------------------------

    def _intent(self, entry: Entry) -> None:
        name = str(fields(entry).get("tool") or step_name(entry.key))
        self._is(entry.key, "step", name)
        self.new.add(entry.at, "effect", "begun")

    def _unknown(self, entry: Entry) -> None:
        self.new.add(entry.at, "effect", "in doubt")

    def _settled(self, entry: Entry) -> None:
        happened = fields(entry).get("happened")
        self.new.add(entry.at, "effect", "had happened" if happened else "had not happened")

    def _charged(self, entry: Entry) -> None:
        try:
            line = Line.of(entry, pydantic_core.from_json(entry.payload))
        except (ValueError, KeyError, TypeError):
            return  # taken away by a release that did not keep charges
        if line.what == "child":
            return  # it counts its own
        amount, name = line.amount, clean(line.name)
        what = "step" if line.what == "tool" else line.what
        if what in ("model", "step"):
            self._is(entry.key, what, name)
        self._count("money", amount.money)
        self._count("unpriced", int(line.unpriced))
        self._count("estimated", int(line.estimated))
        self._count("input_tokens", amount.input_tokens)
        self._count("output_tokens", amount.output_tokens)
        self._count("model_calls", amount.model_calls)
        self._count("tool_calls", amount.tool_calls)
        self.new.add(
            entry.at,
            what,
            name,
            money=amount.money,
            unpriced=int(line.unpriced),
            estimated=int(line.estimated),
            input_tokens=amount.input_tokens,
            output_tokens=amount.output_tokens,
            model_calls=amount.model_calls,
            tool_calls=amount.tool_calls,
        )
        self._short.discard(entry.key)

    def _result(self, entry: Entry) -> None:
        self._finish(entry, errors=0)

    def _failed_step(self, entry: Entry) -> None:
        failure = fields(entry)
        self._count("errors", 1)
        self._failed = entry.key
        diagnosis: Any = failure.get("diagnosis")
        found: Any = cast("dict[str, Any]", diagnosis).get("failure") if isinstance(diagnosis, dict) else None
        self.new.add(entry.at, "failure", clean(str(found or "")))
        if str(failure.get("type", "")).endswith("BudgetExceeded"):
            self._count("budget_stops", 1)
        self._finish(entry, errors=1)

    def _finish(self, entry: Entry, *, errors: int) -> None:
        key = entry.key
        waited = self._waits.pop(key, None)
        self._short.discard(key)
        was = self._calls.pop(key, None)
        if waited is not None:
            self.new.timed(entry.at, "wait", waited[0], max(0, entry.at - waited[1]))
            if was is None:
                return
        what, name = self._what(key, was)
        if what != "cache":
            self.new.timed(entry.at, what, name, entry.took, errors=errors)

    def _attempt(self, entry: Entry) -> None:
        told = fields(entry)
        self._count("retries", 1)
        what, name = self._what(entry.key, self._calls.get(entry.key))
        if what == "model":
            name = clean(str(told.get("by") or name))
            self._is(entry.key, what, name)
        self.new.add(entry.at, what, name, calls=1, errors=1)
        self.new.add(entry.at, "failure", clean(str(told.get("class") or "")))

    def _waiting(self, entry: Entry) -> None:
        if entry.key in self._waits:
            return  # it waits on: an answer was refused, say
        reason = clean(str(fields(entry).get("on") or ""))
        self._waits[entry.key] = [reason, entry.at]
        if reason == "approval":
            self._count("approvals", 1)

    def _verdict(self, entry: Entry) -> None:
        told = fields(entry)
        stage, verdict = clean(str(told.get("stage") or "")), clean(str(told.get("verdict") or ""))
        self.new.add(entry.at, "guard", f"{stage}.{verdict}")
        if stage in _REFUSING and verdict in _REFUSED:
            self._count("refusals", 1)
        elif stage == "budget" and verdict == "wait":
            if entry.key not in self._short:
                self._short.add(entry.key)
                self._count("budget_stops", 1)
        elif stage == "cache" and verdict == "hit":
            self._calls[entry.key] = "cache "
        elif stage == "approval" and verdict in ("approved", "denied", "withdrawn"):
            waited = self._waits.pop(entry.key, None)
            if waited is not None:
                self.new.timed(entry.at, "wait", waited[0], max(0, entry.at - waited[1]))

    def _is(self, key: str, what: str, name: str) -> None:
        """The step calls a model or a tool of that name."""
        name = clean(name)
        self._calls[key] = f"{what} {name}"
        if what == "model":
            self._model = name

    def _what(self, key: str, was: str | None) -> tuple[str, str]:
        if was is not None:
            what, _, name = was.partition(" ")
            return what, name
        name = clean(step_name(key))
        if name == _TURN and "/" in key:
            return "model", self._model
        return "step", name

    def _count(self, name: str, n: int) -> None:
        if n:
            self.figures[name] = self.figures.get(name, 0) + n


_TELL: dict[int, Callable[[RunFold, Entry], None]] = {
    Kind.STARTED: RunFold._started,  # pyright: ignore[reportPrivateUsage]  # a table of its own methods
    Kind.CONTINUED: RunFold._continued,  # pyright: ignore[reportPrivateUsage]
    Kind.SUSPENDED: RunFold._suspended,  # pyright: ignore[reportPrivateUsage]
    Kind.ENDED: RunFold._ended,  # pyright: ignore[reportPrivateUsage]
    Kind.OUTCOME: RunFold._outcome,  # pyright: ignore[reportPrivateUsage]
    Kind.DECISION: RunFold._decision,  # pyright: ignore[reportPrivateUsage]
    Kind.INTENT: RunFold._intent,  # pyright: ignore[reportPrivateUsage]
    Kind.CHARGED: RunFold._charged,  # pyright: ignore[reportPrivateUsage]
    Kind.RESULT: RunFold._result,  # pyright: ignore[reportPrivateUsage]
    Kind.FAILED: RunFold._failed_step,  # pyright: ignore[reportPrivateUsage]
    Kind.ATTEMPT: RunFold._attempt,  # pyright: ignore[reportPrivateUsage]
    Kind.WAITING: RunFold._waiting,  # pyright: ignore[reportPrivateUsage]
    Kind.UNKNOWN: RunFold._unknown,  # pyright: ignore[reportPrivateUsage]
    Kind.SETTLED: RunFold._settled,  # pyright: ignore[reportPrivateUsage]
    Kind.VERDICT: RunFold._verdict,  # pyright: ignore[reportPrivateUsage]
}

_READ = frozenset(READ_KINDS)
_OF_STEPS = frozenset(
    int(kind)
    for kind in (
        *(Kind.RESULT, Kind.FAILED, Kind.INTENT, Kind.ATTEMPT, Kind.WAITING, Kind.VERDICT, Kind.DECISION),
        *(Kind.CHARGED, Kind.UNKNOWN, Kind.SETTLED),
    )
)
