"""A journal told as a story: the steps with their durations, what is waited for, what is in doubt, how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...governance import Ledger
from ...journal import Entry, Kind
from ...memory import answer_in
from ..recalls import WAITS_FOR_REVIEW, recalled_words, waits_for_review
from . import boundary
from .boundary import step_of
from .parts import Doubt, Question, Shift, Step, Story
from .reading import as_object, body, changed_parts, error_name, fields

__all__ = ["story_of", "tell"]


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
    if entry.kind == Kind.CONTINUED:
        story.ledger = Ledger()  # what it says was spent so far holds all that stands before it
    boundary.sees(story, entry)
    _TELL.get(entry.kind, _nothing)(story, entry)
    if (step := story.steps.get(entry.key)) is not None:
        _waits(step, entry.at)


def _waits(step: Step, at: int) -> None:
    """Keep when it waited: of a call that is approved first, most of the time is the approver's."""
    waits = step.state in ("waiting", "doubt") and step.waits_for != "child"  # then the child works
    if waits and step.waits_since is None:
        step.waits_since = at
    elif not waits and step.waits_since is not None:
        step.waited.append((step.waits_since, at))
        step.waits_since = None


def _nothing(story: Story, entry: Entry) -> None:
    pass


def _started(story: Story, entry: Entry) -> None:
    story.began = entry.at
    told = fields(entry)
    story.input, story.origin = told.get("input"), told.get("origin")
    story.principal = told.get("by")
    story.on_behalf_of, story.chain = told.get("on_behalf_of"), told.get("chain") or []
    story.limits = as_object(as_object(told.get("budget")).get("limits"))


def _continued(story: Story, entry: Entry) -> None:
    """What follows has keys of its own; what was before is told under its generation's number."""
    for step in story.steps.values():
        step.key = step.key if step.key.startswith("#") else f"#{story.generation}/{step.key}"
    story.steps = {step.key: step for step in story.steps.values()}
    told = fields(entry)
    story.generation = told.get("generation", story.generation + 1)
    story.input, story.origin = told.get("input"), None
    story.principal = told.get("by")
    story.on_behalf_of, story.chain = told.get("on_behalf_of"), told.get("chain") or []
    story.began, story.last_began = story.began or entry.at, entry.at
    story.limits = as_object(as_object(told.get("budget")).get("limits"))
    story.doubts.clear()
    story.questions.clear()
    story.connections.clear()
    story.short.clear()
    story.failure = story.failed_step = None


def _claimed(story: Story, entry: Entry) -> None:
    story.claims += 1
    told = as_object(fields(entry).get("behaviour"))
    digest, parts = told.get("digest"), as_object(told.get("parts"))
    last = story.behaviours[-1] if story.behaviours else None
    if digest and parts and (last is None or last.digest != digest):
        changed = [] if last is None else changed_parts(last.parts, parts)
        story.behaviours.append(Shift(entry.seq, entry.at, digest, parts, changed, len(story.steps)))


def _result(story: Story, entry: Entry) -> None:
    step = step_of(story, entry, "step")
    step.ended, step.state = entry.at, "ok"
    boundary.settles(step)
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
    elif isinstance(told.get("uncovered"), list) and "reply" in told and "asked" in told:  # a model turn
        for name in told["uncovered"]:
            story.uncovered[str(name)] = story.uncovered.get(str(name), 0) + 1
    elif isinstance(winner := told.get("winner"), int):
        _lost(story, entry, winner)
    elif (answer := answer_in(entry.payload)) is not None:
        step.recalled, step.note = answer, recalled_words(answer)
    elif waits_for_review(entry.key, told):
        step.note = WAITS_FOR_REVIEW


def _lost(story: Story, entry: Entry, winner: int) -> None:
    """A race is over: what the other branches had begun goes on no more."""
    for key, step in story.steps.items():
        branch = key.removeprefix(entry.key + ".").partition("/")[0]
        racing = key.startswith(entry.key + ".") and branch.isdigit()
        if racing and int(branch) != winner and step.ended is None and step.state != "doubt":
            step.state, step.ended, step.note = "stopped", entry.at, "another branch was first"


def _failed(story: Story, entry: Entry) -> None:
    step = step_of(story, entry, "step")
    step.ended, step.state = entry.at, "failed"
    story.doubts.pop(entry.key, None)
    story.questions.pop(entry.key, None)
    story.connections.pop(entry.key, None)
    failure = fields(entry)
    step.note = f"{error_name(failure)}: {failure.get('message', '')}"
    step.failure = boundary.failed_as(failure)
    boundary.settles(step)
    story.short.pop(entry.key, None)
    story.failure, story.failed_step = failure, entry.key


def _intent(story: Story, entry: Entry) -> None:
    step = step_of(story, entry, "effect")
    step.attempts = max(step.attempts + 1, step.tried + 1)
    step.state, step.ended, step.waits_for = "running", None, None


def _unknown(story: Story, entry: Entry) -> None:
    step = step_of(story, entry, "effect")
    told = fields(entry)
    step.state, step.note, step.stalled = "doubt", str(told.get("why", "")), entry.at
    if told.get("error"):
        story.failure, story.failed_step = told["error"], entry.key


def _settled(story: Story, entry: Entry) -> None:
    step = step_of(story, entry, "effect")
    told = fields(entry)
    found = "had happened" if told.get("happened") else "had not happened"
    step.note = f"was in doubt; {found}, says {told.get('by')}"
    step.state = "running"
    story.doubts.pop(entry.key, None)


def _waiting(story: Story, entry: Entry) -> None:
    told = fields(entry)
    reason = told.get("on")
    if reason == "in_doubt":
        step = step_of(story, entry, "effect")
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
    step = step_of(story, entry, "wait")
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
    elif reason == "needs_connection":
        step.what = "effect"
        step.note = f"{told.get('subject')} has connected no account with {told.get('provider')}"
        story.connections[entry.key] = str(told.get("connect", ""))


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
    step = step_of(story, entry, "decision")
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
    story.latest = {boundary.named(key): step for key, step in story.steps.items()}
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
    story.connections.clear()
    story.short.clear()


def _outcome(story: Story, entry: Entry) -> None:
    story.outcomes.append({**fields(entry), "at": entry.at})


def _escalation(story: Story, entry: Entry) -> None:
    story.escalations.append({**fields(entry), "at": entry.at})


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
    Kind.VERDICT: boundary.verdict,
    Kind.ATTEMPT: boundary.attempt,
    Kind.RESERVED: boundary.reserved,
    Kind.CHARGED: boundary.charged,
    Kind.COMPACTED: boundary.compacted,
    Kind.OUTCOME: _outcome,
    Kind.ESCALATION: _escalation,
}
