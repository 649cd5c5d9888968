"""The fold of one run's journal into spans, each told once, when it is over.

    CLAIMED ──► segment: what one worker did between two waits. The first is the root; each other hangs below it and is
                linked to the one before. It is over at SUSPENDED, ENDED, or the next CLAIMED (its worker had died)
    RESULT, FAILED ──► the step's span, as long as it took, below the segment in which it ended
    WAITING, VERDICT, DECISION, ATTEMPT, UNKNOWN, SETTLED ──► events: a wait has no duration that anybody worked

It never fails on what it reads: of an entry whose payload was taken away, or is not what it should be, the header
counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, cast

import pydantic_core

from ...core.ids import RunRef
from ...core.tracing import TraceContext, segment_span, step_span, trace_of
from ...governance import Line
from ...governance.money import NANOS
from ...journal import Entry, Kind, RunRecord
from ...memory import answer_in
from ..reading import fields, step_name
from .conventions import Profile
from .span import Event, Span, SpanKind, Value

__all__ = ["SpanFold"]

_EMBEDS = ("_add/embed", "_search/embed")
"""How keys of steps end in which working memory asks what texts mean."""

LONGEST = 4000
"""Characters of a content that is told."""

_OF_PEOPLE = frozenset({"approval", "answer", "settle"})
"""Stages at which people give their reasons."""

MOST_EVENTS = 200
"""Of one span: the journal has the others."""


@dataclass
class _Segment:
    epoch: int
    began: int
    last: int
    span_id: str
    before: str | None
    worker: str = ""
    events: list[Event] = field(default_factory=list[Event])


@dataclass
class _Step:
    """What is known of a step that is not over."""

    what: str = "step"
    """`step`, `tool`, `model`, `child`, `wait`"""
    name: str = ""
    since: int | None = None
    attempts: int = 0
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])
    usage: dict[str, int] = field(default_factory=dict[str, int])
    events: list[Event] = field(default_factory=list[Event])


class SpanFold:
    """Folds the entries of one run, in their order, from the first on."""

    def __init__(
        self, ref: RunRef, *, agent: str = "", version: str = "", profile: Profile, contents: bool = False
    ) -> None:
        """`contents`: also what was said to tools and models, and what they answered. Only where that was asked for."""
        self._ref = ref
        self._agent, self._version = agent, version
        self._profile = profile
        self._contents = contents
        self._trace = trace_of(ref)
        self._root: str | None = None
        self._segment: _Segment | None = None
        self._last: str | None = None
        self._steps: dict[str, _Step] = {}
        self._generation = 1
        self._whose: dict[str, Value] = {}
        self._found: list[Span] = []

    @classmethod
    def of(cls, record: RunRecord, *, profile: Profile, contents: bool = False) -> SpanFold:
        """That of a run."""
        agent, version = record.agent, record.version
        return cls(record.ref, agent=agent, version=version, profile=profile, contents=contents)

    def see(self, entry: Entry) -> list[Span]:
        """One more entry; the spans that are over with it."""
        if (segment := self._segment) is not None:
            segment.last = max(segment.last, entry.at)
        tell = _TELL.get(entry.kind)
        if tell is not None and not (entry.epoch == 0 and entry.seq > 1 and entry.kind in _OF_STEPS):
            tell(self, entry)  # what a fork took over is told by the run that did it
        found, self._found = self._found, []
        return found

    # of the run -------------------------------------------------------------------------------------------------

    def _started(self, entry: Entry) -> None:
        told = fields(entry)
        self._agent = str(told.get("agent") or self._agent)
        self._version = str(told.get("version") or self._version)
        self._trace = trace_of(self._ref, TraceContext.told_by(told.get("trace")))
        self._whose = _texts({"perdure.principal": told.get("by"), "perdure.parent": told.get("parent")})
        labels = told.get("labels")
        if isinstance(labels, dict):
            self._whose |= _texts(
                {f"perdure.label.{k}": v for k, v in cast("dict[str, Any]", labels).items()}
            )

    def _continued(self, entry: Entry) -> None:
        self._close(entry, None)
        self._steps.clear()
        self._generation = int(fields(entry).get("generation") or self._generation + 1)

    def _claimed(self, entry: Entry) -> None:
        self._close(entry, "the worker died, or lost its lease")
        span_id = segment_span(self._ref, entry.epoch)
        self._segment = _Segment(entry.epoch, entry.at, entry.at, span_id, self._last)
        self._segment.worker = str(fields(entry).get("worker") or "")
        if self._root is None:
            self._root = span_id

    def _suspended(self, entry: Entry) -> None:
        reasons = fields(entry).get("reasons")
        self._note(entry, "perdure.suspended", _texts({"perdure.waits_for": _list(reasons)}))
        self._close(entry, None)

    def _ended(self, entry: Entry) -> None:
        told = fields(entry)
        status = str(told.get("status") or "")
        self._note(entry, "perdure.ended", {"perdure.status": status})
        bad = status in ("failed", "quarantined")
        why = self._said(told.get("reason")) or status
        self._close(entry, why if bad else None, {"perdure.status": status})
        self._steps.clear()

    def _outcome(self, entry: Entry) -> None:
        """Known when the spans are long sent: a span of its own, that takes no time."""
        if self._root is None:
            return
        told = fields(entry)
        attributes: dict[str, Value] = {"perdure.met": bool(told.get("met")), **self._always()}
        attributes |= _texts({"perdure.by": told.get("by"), "openinference.span.kind": "EVALUATOR"})
        span_id = step_span(self._ref, f"outcome {entry.seq}")
        self._tell("outcome", span_id, self._root, entry.at, entry.at, attributes)

    def _close(self, entry: Entry, error: str | None, more: dict[str, Value] | None = None) -> None:
        segment = self._segment
        if segment is None:
            return
        self._segment = None
        first = segment.span_id == self._root
        name, attributes = self._profile.run(self._agent, self._version, first=first)
        attributes |= self._always() | self._whose | (more or {})
        attributes |= {"perdure.epoch": segment.epoch, "perdure.worker": segment.worker}
        ended = entry.at if entry.kind != Kind.CLAIMED else segment.last
        parent = (self._trace.span_id if self._trace.given else None) if first else self._root
        links = () if segment.before is None else (self._trace.below(segment.before),)
        self._last = segment.span_id
        self._tell(
            name,
            segment.span_id,
            parent,
            segment.began,
            ended,
            attributes,
            kind=SpanKind.SERVER if first and self._trace.given else SpanKind.INTERNAL,
            events=segment.events,
            links=links,
            error=error,
        )

    # of steps ---------------------------------------------------------------------------------------------------

    def _step(self, entry: Entry) -> _Step:
        found = self._steps.get(entry.key)
        if found is None:
            found = self._steps[entry.key] = _Step(name=step_name(entry.key))
            if "/turn" in f"/{entry.key.rpartition('/')[0]}":  # a model chose it
                found.what = "tool"
        return found

    def _intent(self, entry: Entry) -> None:
        step = self._step(entry)
        step.attempts += 1
        step.what, step.name = "tool", str(fields(entry).get("tool") or step.name)

    def _waiting(self, entry: Entry) -> None:
        told, step = fields(entry), self._step(entry)
        reason = str(told.get("on") or "")
        if reason == "child":
            step.what, step.name, step.since = "child", str(told.get("agent") or step.name), entry.at
        elif step.what == "step" and not told.get("tool"):
            step.what = "wait"
        self._note(entry, "perdure.waiting", _texts({"perdure.waits_for": reason, "perdure.step": entry.key}))

    def _verdict(self, entry: Entry) -> None:
        told, step = fields(entry), self._step(entry)
        if step.what in ("step", "wait") and told.get("stage") in ("policy", "credential", "scope"):
            step.what = "tool"
        attributes = _texts(
            {
                "perdure.stage": told.get("stage"),
                "perdure.verdict": told.get("verdict"),
                "perdure.why": self._said(told.get("why"))
                if told.get("stage") in _OF_PEOPLE
                else told.get("why"),
                "perdure.by": told.get("by"),
                "perdure.policies": _list(told.get("policies")),
            }
        )
        self._event(step, entry, "perdure.verdict", attributes)

    def _attempt(self, entry: Entry) -> None:
        told, step = fields(entry), self._step(entry)
        step.attempts += 1
        attributes = _texts({"error.type": told.get("class"), "perdure.why": self._said(told.get("why"))})
        self._event(step, entry, "perdure.attempt_failed", attributes)

    def _unknown(self, entry: Entry) -> None:
        why = _texts({"perdure.why": self._said(fields(entry).get("why"))})
        self._event(self._step(entry), entry, "perdure.in_doubt", why)

    def _settled(self, entry: Entry) -> None:
        told = fields(entry)
        said: dict[str, Value] = {"perdure.happened": bool(told.get("happened"))}
        self._event(
            self._step(entry), entry, "perdure.settled", said | _texts({"perdure.by": told.get("by")})
        )

    def _charged(self, entry: Entry) -> None:
        try:
            line = Line.of(entry, pydantic_core.from_json(entry.payload))
        except (ValueError, KeyError, TypeError):
            return
        step, amount = self._step(entry), line.amount
        if line.what in ("model", "tool", "child"):
            step.what, step.name = line.what, line.name
        for word, n in (("input_tokens", amount.input_tokens), ("output_tokens", amount.output_tokens)):
            if n:
                step.usage[word] = step.usage.get(word, 0) + n
        if line.cached_tokens:
            step.usage["cache_read.input_tokens"] = line.cached_tokens
        if amount.money:
            step.attributes["perdure.cost.usd"] = amount.money / NANOS
        if line.unpriced:
            step.attributes["perdure.cost.unpriced"] = True

    def _decision(self, entry: Entry) -> None:
        told = fields(entry)
        attributes = _texts(
            {
                "perdure.step": entry.key,
                "perdure.options": _list(told.get("options")),
                "perdure.choice": told.get("choice"),
                "perdure.reason": self._said(told.get("reason")),
                "perdure.confidence": told.get("confidence"),
            }
        )
        self._note(entry, "perdure.decision", attributes)

    def _result(self, entry: Entry) -> None:
        self._finish(entry, None, None)

    def _failed(self, entry: Entry) -> None:
        told = fields(entry)
        kind = str(told.get("type") or "error").rpartition(":")[2].rpartition(".")[2]
        self._finish(entry, kind, str(self._said(told.get("message")) or ""))

    def _finish(self, entry: Entry, failed: str | None, message: str | None) -> None:
        step = self._step(entry)
        del self._steps[entry.key]
        if step.what == "wait":
            came = {"perdure.step": entry.key}
            self._note(entry, "perdure.resumed" if failed is None else "perdure.wait_failed", _texts(came))
            return
        began = entry.at - entry.took if step.since is None else step.since
        profile, kind = self._profile, SpanKind.INTERNAL
        match step.what:
            case "model":
                say = profile.embedding if entry.key.endswith(_EMBEDS) else profile.model
                (name, attributes), kind = say(step.name, step.usage), SpanKind.CLIENT
            case "tool":
                name, attributes = profile.tool(step.name, entry.key)
            case "child":
                name, attributes = profile.child(step.name)
            case _:
                name, attributes = profile.step(step.name)
        attributes |= self._always() | step.attributes | {"perdure.step": entry.key, "perdure.seq": entry.seq}
        if step.attempts > 1:
            attributes["perdure.attempts"] = step.attempts
        if failed is None and (answer := answer_in(entry.payload)) is not None:
            attributes |= profile.recall(answer)
        if failed is not None:
            attributes["error.type"] = failed
        elif self._contents and not entry.erased:
            attributes["output.value"] = _shortened(entry.payload)
        segment = self._segment
        parent = segment.span_id if segment is not None else self._last or self._root
        span_id = step_span(self._ref, entry.key, self._generation)
        error = None if failed is None else (message or failed)
        self._tell(
            name, span_id, parent, began, entry.at, attributes, kind=kind, events=step.events, error=error
        )

    # --------------------------------------------------------------------------------------------------------------

    def _said(self, text: Any) -> Any:
        """What somebody said, or an error that may quote it: a content, told where that was asked for."""
        return text if self._contents else None

    def _always(self) -> dict[str, Value]:
        return {
            "gen_ai.conversation.id": self._ref.id,
            "perdure.run": self._ref.id,
            "perdure.tenant": self._ref.tenant,
        }

    def _note(self, entry: Entry, name: str, attributes: dict[str, Value]) -> None:
        """An event of the segment."""
        if self._segment is not None and len(self._segment.events) < MOST_EVENTS:
            self._segment.events.append(Event(name=name, at=entry.at, attributes=attributes))

    def _event(self, step: _Step, entry: Entry, name: str, attributes: dict[str, Value]) -> None:
        if len(step.events) < MOST_EVENTS:
            step.events.append(Event(name=name, at=entry.at, attributes=attributes))

    def _tell(
        self,
        name: str,
        span_id: str,
        parent: str | None,
        began: int,
        ended: int,
        attributes: dict[str, Value],
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        events: Iterable[Event] = (),
        links: tuple[TraceContext, ...] = (),
        error: str | None = None,
    ) -> None:
        self._found.append(
            Span(
                name=name,
                kind=kind,
                place=self._trace.below(span_id),
                parent=parent,
                began=began,
                ended=max(began, ended),
                attributes=attributes,
                events=tuple(events),
                links=links,
                error=error,
            )
        )


def _list(value: Any) -> list[str] | None:
    return [str(one) for one in cast("list[Any]", value)] if isinstance(value, list) and value else None


def _texts(given: dict[str, Any]) -> dict[str, Value]:
    """What is there, as values of attributes."""
    return {
        name: value if isinstance(value, bool | int | float | list) else str(value)[:LONGEST]
        for name, value in given.items()
        if value is not None and value != ""
    }


def _shortened(payload: bytes) -> str:
    text = payload.decode("utf-8", "replace")
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


_TELL: dict[int, Callable[[SpanFold, Entry], None]] = {
    Kind.STARTED: SpanFold._started,  # pyright: ignore[reportPrivateUsage]  # a table of its own methods
    Kind.CONTINUED: SpanFold._continued,  # pyright: ignore[reportPrivateUsage]
    Kind.CLAIMED: SpanFold._claimed,  # pyright: ignore[reportPrivateUsage]
    Kind.SUSPENDED: SpanFold._suspended,  # pyright: ignore[reportPrivateUsage]
    Kind.ENDED: SpanFold._ended,  # pyright: ignore[reportPrivateUsage]
    Kind.OUTCOME: SpanFold._outcome,  # pyright: ignore[reportPrivateUsage]
    Kind.INTENT: SpanFold._intent,  # pyright: ignore[reportPrivateUsage]
    Kind.WAITING: SpanFold._waiting,  # pyright: ignore[reportPrivateUsage]
    Kind.VERDICT: SpanFold._verdict,  # pyright: ignore[reportPrivateUsage]
    Kind.ATTEMPT: SpanFold._attempt,  # pyright: ignore[reportPrivateUsage]
    Kind.UNKNOWN: SpanFold._unknown,  # pyright: ignore[reportPrivateUsage]
    Kind.SETTLED: SpanFold._settled,  # pyright: ignore[reportPrivateUsage]
    Kind.CHARGED: SpanFold._charged,  # pyright: ignore[reportPrivateUsage]
    Kind.DECISION: SpanFold._decision,  # pyright: ignore[reportPrivateUsage]
    Kind.RESULT: SpanFold._result,  # pyright: ignore[reportPrivateUsage]
    Kind.FAILED: SpanFold._failed,  # pyright: ignore[reportPrivateUsage]
}

_OF_STEPS = frozenset(
    int(kind)
    for kind in (
        *(Kind.RESULT, Kind.FAILED, Kind.INTENT, Kind.ATTEMPT, Kind.WAITING, Kind.VERDICT, Kind.DECISION),
        *(Kind.CHARGED, Kind.UNKNOWN, Kind.SETTLED),
    )
)
