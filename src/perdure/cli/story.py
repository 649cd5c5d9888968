"""A journal told as a story: the steps with their durations, what is waited for, what is in doubt, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pydantic_core

from ..journal import Entry, Kind

__all__ = [
    "Doubt",
    "Question",
    "Shift",
    "Step",
    "Story",
    "as_object",
    "body",
    "changed_parts",
    "error_name",
    "fields",
    "kind_name",
    "story_of",
]


@dataclass
class Step:
    """One step, from its first entry to its last. Times are microseconds; `ended` is None while it goes on."""

    key: str
    what: str
    """`step`, `effect`, `wait`, `decision`"""
    began: int
    ended: int | None = None
    state: str = "running"
    """`running`, `ok`, `failed`, `waiting`, `doubt`, `stopped` (the run, or a race, ended first)"""
    stalled: int | None = None
    """since when it is in doubt"""
    attempts: int = 0
    waits_for: str | None = None
    note: str = ""


@dataclass(frozen=True)
class Doubt:
    """A write of which nobody knows whether it happened, put before a human."""

    step: str
    tool: str
    declared: bool
    verify: bool
    why: str
    problem: str
    arguments: Any
    since: int


@dataclass(frozen=True)
class Question:
    """A question that stands open."""

    step: str
    question: str
    choices: list[str] | None
    show: Any
    due: int | None
    since: int
    digest: str | None = None
    """of a call that is to be approved: what an answer is bound to"""
    about: Any = None
    """what is told beside it"""
    form: Any = None
    """JSON schema of the answer, where it has one"""


@dataclass(frozen=True)
class Shift:
    """A segment that began with another behaviour than the one before it, or the first whose behaviour is known."""

    entry: int
    at: int
    digest: str
    parts: dict[str, str]
    changed: list[str]
    """names of the parts; empty for the first"""
    steps: int
    """how many had begun before"""


@dataclass
class Story:
    """What a journal says, for people and for `--json`."""

    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    doubts: dict[str, Doubt] = field(default_factory=dict[str, Doubt])
    questions: dict[str, Question] = field(default_factory=dict[str, Question])
    failure: dict[str, Any] | None = None
    """the error that it ended with, or the last that a step raised"""
    failed_step: str | None = None
    mismatch: dict[str, Any] | None = None
    result: Any = None
    has_result: bool = False
    """also of a run that ended partial, where there is something"""
    ending: dict[str, Any] | None = None
    """what the last entry says of the end, but for the result"""
    escalations: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """whom the end was told, who has acknowledged it; with `at`"""
    outcomes: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """whether the goal was met, each with `at`; the last counts"""
    input: Any = None
    origin: dict[str, Any] | None = None
    """the run that it was made of, by a fork or a retry"""
    generation: int = 1
    last_began: int = 0
    """when the last generation began"""
    claims: int = 0
    behaviours: list[Shift] = field(default_factory=list[Shift])
    """the first, and one for each change"""
    began: int = 0
    last: int = 0
    over: bool = False
    """it has ended; more may have been added since"""
    undelivered: int = 0
    answers: dict[int, str] = field(default_factory=dict[int, str])
    """what messages said, by the entry that holds them"""


def story_of(entries: Sequence[Entry]) -> Story:
    """Fold a journal."""
    story = Story()
    for entry in entries:
        tell(story, entry)
    return story


def tell(story: Story, entry: Entry) -> None:
    """Go on with a story."""
    if entry.kind == Kind.CLAIMED:
        story.over = False
    if not story.over:  # what became of it is known days later, and is no part of what it took
        story.last = entry.at
    _TELL.get(entry.kind, _nothing)(story, entry)


def body(entry: Entry) -> Any:
    """The payload; None where there is none, or where it was erased."""
    return pydantic_core.from_json(entry.payload) if entry.payload and not entry.erased else None


def fields(entry: Entry) -> dict[str, Any]:
    """The payload where it is an object; else nothing."""
    return as_object(body(entry))


def kind_name(entry: Entry) -> str:
    """The name of the entry's kind; its number where this release does not know it."""
    return _NAMES.get(entry.kind, str(entry.kind))


_NAMES = {int(kind): kind.name.lower() for kind in Kind}


def as_object(value: Any) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def changed_parts(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Names of the parts of a behaviour that differ, or that only one of the two has."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))


def _nothing(story: Story, entry: Entry) -> None:
    pass


def _started(story: Story, entry: Entry) -> None:
    story.began = entry.at
    told = fields(entry)
    story.input, story.origin = told.get("input"), told.get("origin")


def _continued(story: Story, entry: Entry) -> None:
    """What follows has keys of its own; what was before is told under its generation's number."""
    for step in story.steps.values():
        step.key = step.key if step.key.startswith("#") else f"#{story.generation}/{step.key}"
    story.steps = {step.key: step for step in story.steps.values()}
    told = fields(entry)
    story.generation = told.get("generation", story.generation + 1)
    story.input, story.origin = told.get("input"), None
    story.began, story.last_began = story.began or entry.at, entry.at
    story.doubts.clear()
    story.questions.clear()
    story.failure = story.failed_step = None


def _claimed(story: Story, entry: Entry) -> None:
    story.claims += 1
    told = as_object(fields(entry).get("behaviour"))
    digest, parts = told.get("digest"), as_object(told.get("parts"))
    last = story.behaviours[-1] if story.behaviours else None
    if digest and parts and (last is None or last.digest != digest):
        changed = [] if last is None else changed_parts(last.parts, parts)
        story.behaviours.append(Shift(entry.seq, entry.at, digest, parts, changed, len(story.steps)))


def _step(story: Story, entry: Entry, what: str) -> Step:
    step = story.steps.get(entry.key)
    if step is None:
        step = story.steps[entry.key] = Step(entry.key, what, entry.at - entry.took)
        if story.origin is not None and entry.epoch == 0:
            step.note = f"taken over from {story.origin.get('run')}"
    return step


def _result(story: Story, entry: Entry) -> None:
    step = _step(story, entry, "step")
    step.ended, step.state = entry.at, "ok"
    story.doubts.pop(entry.key, None)
    question = story.questions.pop(entry.key, None)
    told = fields(entry)
    if step.what == "wait":
        came = told.get("from")
        answer = story.answers.get(came) if isinstance(came, int) else None
        if answer is not None:
            step.note = answer
        elif question is not None and came is None:
            step.note = "nobody answered in time"
    elif isinstance(winner := told.get("winner"), int):
        _lost(story, entry, winner)


def _lost(story: Story, entry: Entry, winner: int) -> None:
    """A race is over: what the other branches had begun goes on no more."""
    for key, step in story.steps.items():
        branch = key.removeprefix(entry.key + ".").partition("/")[0]
        racing = key.startswith(entry.key + ".") and branch.isdigit()
        if racing and int(branch) != winner and step.ended is None and step.state != "doubt":
            step.state, step.ended, step.note = "stopped", entry.at, "another branch was first"


def _failed(story: Story, entry: Entry) -> None:
    step = _step(story, entry, "step")
    step.ended, step.state = entry.at, "failed"
    story.doubts.pop(entry.key, None)
    story.questions.pop(entry.key, None)
    failure = fields(entry)
    step.note = f"{error_name(failure)}: {failure.get('message', '')}"
    story.failure, story.failed_step = failure, entry.key


def _intent(story: Story, entry: Entry) -> None:
    step = _step(story, entry, "effect")
    step.attempts += 1
    step.state, step.ended = "running", None


def _unknown(story: Story, entry: Entry) -> None:
    step = _step(story, entry, "effect")
    told = fields(entry)
    step.state, step.note, step.stalled = "doubt", str(told.get("why", "")), entry.at
    if told.get("error"):
        story.failure, story.failed_step = told["error"], entry.key


def _settled(story: Story, entry: Entry) -> None:
    step = _step(story, entry, "effect")
    told = fields(entry)
    found = "had happened" if told.get("happened") else "had not happened"
    step.note = f"was in doubt; {found}, says {told.get('by')}"
    step.state = "running"
    story.doubts.pop(entry.key, None)


def _waiting(story: Story, entry: Entry) -> None:
    told = fields(entry)
    reason = told.get("on")
    if reason == "in_doubt":
        step = _step(story, entry, "effect")
        step.state = "doubt"
        story.doubts[entry.key] = Doubt(
            step=entry.key,
            tool=told.get("tool", ""),
            declared=bool(told.get("declared")),
            verify=bool(told.get("verify")),
            why=told.get("why", ""),
            problem=told.get("problem", ""),
            arguments=told.get("arguments"),
            since=entry.at,
        )
        return
    step = _step(story, entry, "wait")
    step.what, step.waits_for, step.state = "wait", reason, "waiting"
    if reason == "approval":
        story.questions[entry.key] = Question(
            step=entry.key,
            question=told.get("question", ""),
            choices=told.get("choices"),
            show=told.get("show"),
            due=told.get("due"),
            since=entry.at,
            digest=told["digest"] if told.get("tool") else None,
            about=told.get("about"),
            form=told.get("form"),
        )
        step.note = str(told.get("question", ""))
    elif reason == "signal":
        step.note = f"signal {told.get('name')}"
    elif reason == "child":
        step.note = f"run {told.get('run') or told.get('name')}"


def _verdict(story: Story, entry: Entry) -> None:
    told = fields(entry)
    if told.get("stage") != "approval" or told.get("verdict") == "waived":
        return
    step = _step(story, entry, "effect")
    match told.get("verdict"):
        case "approved":
            edited = ", with other arguments" if told.get("edited") else ""
            step.what, step.state = "effect", "running"
            step.note = f"approved by {told.get('by') or 'nobody, in time'}{edited}"
            story.questions.pop(entry.key, None)
        case "refused":
            step.note = f"an answer of {told.get('by')} does not count: {told.get('why')}"
        case "passed":
            asked = "nobody, who has time" if told.get("nobody") else ", ".join(told.get("people") or ())
            step.note = f"passed on to {asked}"
        case "reminded":
            pass
        case _:
            story.questions.pop(entry.key, None)


def _message(story: Story, entry: Entry) -> None:
    told = fields(entry)
    inner = as_object(told.get("body"))
    sender = told.get("sender")
    if told.get("kind") == "answer":
        said = f"{'approved' if inner.get('approved') else 'denied'} by {sender}"
        reason = inner.get("reason")
        story.answers[entry.seq] = said + (f": {reason}" if reason else "")
    elif told.get("kind") == "signal":
        story.answers[entry.seq] = f"signal {told.get('name')} from {sender}"
    elif told.get("kind") == "child":
        story.answers[entry.seq] = f"{inner.get('status')}: run {told.get('name')}"


def _decision(story: Story, entry: Entry) -> None:
    told = fields(entry)
    step = _step(story, entry, "decision")
    step.ended, step.state = entry.at, "ok"
    step.note = f"chose {told.get('choice')}" + (f": {told['reason']}" if told.get("reason") else "")


def _mismatch(story: Story, entry: Entry) -> None:
    story.mismatch = body(entry)


def _accepted(story: Story, entry: Entry) -> None:
    told = fields(entry)
    gone = [str(as_object(aside).get("step")) for aside in told.get("set_aside") or ()]
    before, story.steps = story.steps, {}
    for key, step in before.items():
        if key in gone:
            # its name is free: the code may do a step of that name anew
            story.doubts.pop(key, None)
            story.questions.pop(key, None)
            step.key, step.state, step.ended = f"{key} (set aside)", "stopped", step.ended or entry.at
            step.note = f"set aside by {told.get('by')}"
        unique = step.key if step.key not in story.steps else f"{step.key} {entry.seq}"
        step.key = unique
        story.steps[unique] = step
    story.mismatch = None


def _ended(story: Story, entry: Entry) -> None:
    story.over = True
    told = fields(entry)
    story.failure = told.get("failure") or (None if told.get("status") == "succeeded" else story.failure)
    if told.get("failure"):
        story.failed_step = None
    story.result = told.get("result")
    story.has_result = told.get("status") == "succeeded" or story.result is not None
    story.ending = {name: value for name, value in told.items() if name not in ("result", "undelivered")}
    story.undelivered = len(told.get("undelivered") or ())
    story.mismatch = None
    for step in story.steps.values():
        if step.state in ("running", "waiting"):
            step.state, step.ended, step.note = "stopped", entry.at, "the run ended first"
    story.questions.clear()


def _outcome(story: Story, entry: Entry) -> None:
    story.outcomes.append({**fields(entry), "at": entry.at})


def _escalation(story: Story, entry: Entry) -> None:
    story.escalations.append({**fields(entry), "at": entry.at})


def error_name(failure: dict[str, Any]) -> str:
    """The type of a recorded error, without its module."""
    return str(failure.get("type", "")).rpartition(":")[2] or "error"


_TELL: dict[int, Callable[[Story, Entry], None]] = {
    Kind.STARTED: _started,
    Kind.CLAIMED: _claimed,
    Kind.RESULT: _result,
    Kind.FAILED: _failed,
    Kind.INTENT: _intent,
    Kind.UNKNOWN: _unknown,
    Kind.SETTLED: _settled,
    Kind.WAITING: _waiting,
    Kind.MESSAGE: _message,
    Kind.DECISION: _decision,
    Kind.MISMATCH: _mismatch,
    Kind.ENDED: _ended,
    Kind.ACCEPTED: _accepted,
    Kind.CONTINUED: _continued,
    Kind.VERDICT: _verdict,
    Kind.OUTCOME: _outcome,
    Kind.ESCALATION: _escalation,
}
