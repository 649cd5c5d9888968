"""The part of the story that the boundary tells of: attempts, verdicts, money, and what was left out of conversations.

What stands between a step and its result is told twice: in the step's note, as it is now, and as a line of what
happened on the way, with its time. Whoever looks at a run at night reads the first, and the second to learn why.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ...governance import Amount, warning
from ...journal import Entry, Kind
from ..words import pretty
from .governed import governed, signed
from .parts import Happening, Short, Step, Story
from .reading import as_object, error_name, fields

__all__ = [
    "attempt",
    "charged",
    "compacted",
    "failed_as",
    "named",
    "reserved",
    "sees",
    "settles",
    "step_of",
    "verdict",
]


def sees(story: Story, entry: Entry) -> None:
    """Add the entry to the ledger, which the sums are read from."""
    if not entry.erased or entry.kind == Kind.CLAIMED:
        with suppress(KeyError):  # of a payload that says nothing there is nothing to reckon
            story.ledger.see(entry)


def step_of(story: Story, entry: Entry, what: str) -> Step:
    """The entry's step; a new one where this is its first entry."""
    step = story.steps.get(entry.key)
    if step is None:
        _overcome(story, entry.key)
        step = story.steps[entry.key] = Step(entry.key, what, entry.at - entry.took)
        story.latest[named(entry.key)] = step
        if story.origin is not None and entry.epoch == 0:
            step.note = f"taken over from {story.origin.get('run')}"
    return step


def attempt(story: Story, entry: Entry) -> None:
    """An attempt failed, and another follows: the step goes on."""
    step, told = step_of(story, entry, "step"), fields(entry)
    step.tried = max(step.tried, int(told.get("attempt") or 1))
    step.attempts = max(step.attempts, step.tried)
    following = as_object(told.get("then")).get("name")
    step.instead = None if following is None else str(following)
    step.trouble = f"{told.get('by')} failed ({told.get('class')}): {told.get('why')}"
    line = _happened(story, entry)
    step.note = line.text
    _goes_on(story, step)


def settles(step: Step) -> None:
    """The last attempt has come to its end: say what the ones before it came to."""
    if not step.tried:
        return
    step.attempts = max(step.attempts, step.tried + 1)
    if step.state == "ok":
        by = f"by {step.instead} instead" if step.instead else "went well in the end"
        step.note = f"{by}; {step.trouble}"


def reserved(story: Story, entry: Entry) -> None:
    """Budget was set aside: whatever the step waited for is over."""
    step = step_of(story, entry, "step")
    _goes_on(story, step)
    if fields(entry).get("last"):
        _happened(story, entry)
    _warned(story, entry)


def charged(story: Story, entry: Entry) -> None:
    """What a step cost."""
    told = fields(entry)
    amount = Amount.from_json(as_object(told.get("amount")))
    step = step_of(story, entry, "step")
    step.cost += amount
    step.unpriced = step.unpriced or bool(told.get("unpriced"))
    step.estimated = step.estimated or bool(told.get("estimated"))
    if told.get("estimated"):  # a worker died, or a call was cut off: somebody will ask about that bill
        _happened(story, entry)
    _warned(story, entry)


def verdict(story: Story, entry: Entry) -> None:
    """What one stage of the boundary said of a call."""
    told = fields(entry)
    stage, said = told.get("stage"), told.get("verdict")
    if said == "waived":
        return
    step = step_of(story, entry, "effect")
    if (stage, said) == ("credential", "granted"):  # as it should be: no line, each call would have one
        _goes_on(story, step)
        return
    line = _happened(story, entry)
    match stage, said:
        case "approval", "approved":
            step.what = "effect"
            step.note = line.text = _approved(story, entry.key, told)
            _goes_on(story, step)
            story.questions.pop(entry.key, None)
        case "approval", "denied" | "withdrawn" | "defaulted":
            step.what = "effect"
            step.note = line.text
            story.questions.pop(entry.key, None)
        case "approval", "passed":
            asked = "nobody, who has time" if told.get("nobody") else ", ".join(told.get("people") or ())
            step.note = line.text = f"passed on to {asked}"
        case (("approval" | "answer" | "settle"), "refused"):
            step.note = line.text = (
                f"an answer of {told.get('by') or 'somebody'} does not count: {told.get('why')}"
            )
        case "budget", "wait":
            step.state, step.waits_for, step.note = "waiting", "budget", str(told.get("why", ""))
            story.short[entry.key] = Short(str(told.get("whose")), str(told.get("dimension")))
        case "credential", _:
            step.note = line.text
            story.connections.pop(entry.key, None)
            _goes_on(story, step)
        case "rate", "wait":
            step.state, step.waits_for = "waiting", "rate limit"
            step.note = ", ".join(str(name) for name in told.get("limits") or ())
        case (
            ("cache", "hit")
            | ("scope" | "planning", "denied")
            | ("trust", "observed" | "drafted")
            | ("check", _)
        ):
            step.note = line.text
        case _:
            pass


def compacted(story: Story, entry: Entry) -> None:
    """A conversation was made shorter. What did not fit before is no failure: this is the answer to it."""
    line = _happened(story, entry)
    step_of(story, entry, "step").note = line.text.partition(": ")[0]
    last = next((s for s in reversed(story.steps.values()) if s.state == "overcome"), None)
    if last is not None and last.overcome_by == entry.key:
        last.note = f"it was too long for the model; shortened, and asked again as {entry.key}"


def _overcome(story: Story, key: str) -> None:
    """Whether the step that begins is the answer to one that did not fit: then that one has not failed.

    A conversation that is too long ends its turn with an error; it is made shorter, or a larger model is asked, as
    the next turn of the same scope.
    """
    step = story.latest.get(named(key))
    if step is not None and step.state == "failed" and step.failure == "context_exceeded":
        step.state, step.overcome_by = "overcome", key
        step.note = f"it was too long for the model; a larger one is asked as {key}"
        if story.failed_step == step.key:
            story.failure = story.failed_step = None


def named(key: str) -> tuple[str, str]:
    """The scope of a step, and its name without the number that tells it from others of that name."""
    scope, _, name = key.rpartition("/")
    return scope, name.partition(":")[0]


def failed_as(failure: dict[str, Any]) -> str:
    """The class of a recorded failure; empty where none was recorded."""
    found = as_object(failure.get("diagnosis")).get("failure")
    return str(found) if found else "context_exceeded" if error_name(failure) == "ContextExceeded" else ""


def _approved(story: Story, key: str, told: dict[str, Any]) -> str:
    """Who has said yes to what: with which arguments, where they are others than were asked for."""
    by, reason = told.get("by"), told.get("reason")
    said = f"approved by {by}{signed(told)}" if by else "approved, because nobody answered in time"
    edited = as_object(as_object(told.get("edited")).get("arguments"))
    question = story.questions.get(key)
    asked = as_object(as_object(None if question is None else question.show).get("arguments"))
    changed = [
        f"{name} {pretty(value, limit=60)}"
        + (f" for {pretty(asked[name], limit=60)}" if name in asked else "")
        for name, value in edited.items()
        if asked.get(name) != value
    ]
    if edited:
        said += f", with {', '.join(changed) or 'other arguments'}"
    return said + (f": {reason}" if by and reason else "")


def _goes_on(story: Story, step: Step) -> None:
    story.short.pop(step.key, None)
    step.waits_for = None
    if step.ended is None:
        step.state = "running"


def _warned(story: Story, entry: Entry) -> None:
    for one in fields(entry).get("warned") or ():
        text = warning(as_object(one))
        story.on_the_way.append(Happening(entry.at, entry.key, "changed", "yellow", text))


def _happened(story: Story, entry: Entry) -> Happening:
    sign, style, text = governed(Kind(entry.kind), fields(entry))
    line = Happening(entry.at, entry.key, sign, style, text)
    story.on_the_way.append(line)
    return line
