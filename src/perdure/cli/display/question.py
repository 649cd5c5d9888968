"""A question to a human, as it is put before one: with nothing hidden in it, and the commands that answer it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from ...core.lookalikes import strings_in
from ...views.story import Question, as_object
from ...views.words import one_line, pretty, safe, stated_text, suspicious, visible
from ..command import Cli

__all__ = ["DIGITS", "answers", "question_text"]

DIGITS = 16
"""Of a digest, in commands: no two open questions share so many."""


def answers(cli: Cli, run: str, question: Question) -> list[str]:
    """The commands that answer a question."""
    step = question.step
    if question.digest is not None:
        seen = ("--digest", question.digest[:DIGITS])
        return [
            cli.hint("approvals", "approve", run, step, *seen),
            cli.hint("approvals", "reject", run, step, *seen, "--reason", "WHY"),
            cli.hint("approvals", "edit", run, step, *seen, "--set", "NAME=JSON"),
        ]
    approve = ("approvals", "approve", run, step)
    if question.choices:
        yes = [cli.hint(*approve, "--value", safe(choice)) for choice in question.choices]
    elif question.form is not None:
        yes = [cli.hint("approvals", "answer", run, "JSON", "--step", step)]
    else:
        yes = [cli.hint(*approve)]
    return [*yes, cli.hint("approvals", "deny", run, step, "--reason", "WHY")]


def question_text(question: str, shown: Any, choices: Sequence[str] | None, *, about: Any = None) -> Text:
    """What a human is asked, with nothing hidden in it."""
    text = Text(visible(question, lines=True), style="bold")
    if choices:
        text.append(f"\nchoices: {', '.join(visible(c) for c in choices)}", style="not bold")
    call = as_object(shown) if _is_call(shown) else {}
    if call:
        text.append("\n" + visible(_json(call["arguments"]), lines=True), style="not bold")
        rest = ", ".join(f"{name} {pretty(call[name], limit=80)}" for name in _OF_A_CALL if name in call)
        text.append(f"\n{visible(rest)}", style="not bold dim")
    elif shown is not None:
        body = shown if isinstance(shown, str) else _json(shown)
        text.append("\n" + visible(body, lines=True), style="not bold")
    raw = question + " " + strings_in(shown) + " " + " ".join(choices or ())
    for oddity in suspicious(raw):
        text.append(f"\ncareful: {oddity}", style="not bold red")
    for line in _beside(as_object(about)):
        text.append("\n" + line, style="not bold dim")
    return text


_OF_A_CALL = ("tool", "effect", "requester", "agent", "run", "step", "schema")
"""What the digest covers besides the arguments."""


def _is_call(shown: Any) -> bool:
    found = as_object(shown)
    return isinstance(found.get("arguments"), dict) and {"tool", "requester", "schema"} <= found.keys()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=repr)


def _beside(about: dict[str, Any]) -> list[str]:
    """What is told beside a call that is to be approved: a line each."""
    why = as_object(about.get("why"))
    lines = [f"why: {one_line(str(why['reason']))}"] if why.get("reason") else []
    policy = as_object(about.get("policy"))
    if policy.get("why"):
        lines.append(f"asked, because {one_line(str(policy['why']))}")
    if about.get("stated"):
        lines.append(f"the model says: {stated_text(about['stated'])}")
    for origin in policy.get("origins") or ():
        one = as_object(origin)
        whence = (
            ", ".join(one_line(str(source)) for source in one.get("from") or ()) or "nothing that it was told"
        )
        lines.append(f"{one_line(str(one.get('argument')))} comes from {whence} ({one.get('trust')})")
    if about.get("note"):
        lines.append(f"note: {one_line(str(about['note']))}")
    for done in about.get("done") or ():
        told = as_object(done)
        arguments = pretty(told.get("arguments"), limit=200)
        lines.append(f"done so far: {one_line(str(told.get('tool')))}({arguments}): {told.get('outcome')}")
    if about.get("cost") is not None:
        lines.append(f"cost so far: {about['cost']}")
    for name, was in as_object(about.get("changed")).items():
        before = pretty(as_object(was).get("was"), limit=100)
        lines.append(f"other than the last time: {one_line(name)} was {before}")
    for earlier in about.get("earlier") or ():
        one = as_object(earlier)
        said = "approved" if one.get("approved") else "denied"
        reason = f" ({one_line(str(one['reason']))})" if one.get("reason") else ""
        outcome = f", {one_line(str(one['outcome']))}" if one.get("outcome") else ""
        arguments = pretty(one.get("arguments"), limit=200)
        lines.append(f"earlier: {arguments} {said} by {one_line(str(one.get('by')))}{reason}{outcome}")
    return lines
