"""How facts are worded for people, and text that somebody else wrote made fit to be read."""

from __future__ import annotations

import json
from typing import Any

from ..core.clock import from_micros
from ..core.lookalikes import strings_in, suspicious, visible

__all__ = ["Wording", "as_text", "flagged", "json_text", "moment", "span", "title", "tone"]

LONGEST = 6000
"""Characters of one value on a page; all of it is in facts.jsonl."""

_TITLES = {
    "run.started": "Run started",
    "run.forked": "Run begun as a fork",
    "run.claimed": "Carried on by a worker",
    "run.continued": "Began again with new input",
    "run.ended": "Run ended",
    "run.does_not_replay": "Stopped: the code differs from what was recorded",
    "model.answered": "Model answered",
    "agent.decided": "Agent decided",
    "tool.called": "Tool called",
    "tool.answered": "Tool answered",
    "tool.failed": "Tool failed",
    "step.done": "Step done",
    "step.failed": "Step failed",
    "step.retried": "An attempt failed, another follows",
    "wait.began": "Waits",
    "wait.over": "Wait is over",
    "wait.failed": "Wait failed",
    "effect.in_doubt": "Nobody knows whether it happened",
    "effect.asked": "A human is asked whether it happened",
    "effect.settled": "Found out whether it happened",
    "approval.asked": "Approval asked for",
    "approval.approved": "Approved",
    "approval.denied": "Denied",
    "approval.refused": "An answer does not count",
    "approval.passed": "Passed on to the next approvers",
    "approval.reminded": "Approvers reminded",
    "approval.waived": "Need not be approved, by the tool's rule",
    "approval.defaulted": "Nobody answered: a value stood in",
    "approval.withdrawn": "Question withdrawn",
    "answer.refused": "An answer does not fit",
    "question.asked": "A human was asked",
    "settle.refused": "What was said of a doubt does not count",
    "policy.allow": "Allowed by the policies",
    "policy.needs_approval": "The policies ask for an approval",
    "policy.deny": "Denied by the policies",
    "scope.denied": "Denied: a grant is missing",
    "revocation.denied": "Denied: revoked",
    "stop.wait": "Held: stopped by somebody",
    "credential.granted": "Credential lent for the call",
    "budget.wait": "Waits: the budget is used up",
    "rate.wait": "Waits for its place under a rate limit",
    "cache.hit": "Answered from an earlier result",
    "operator.answer": "A human answered",
    "operator.cancel": "Cancelled by an operator",
    "operator.pause": "Paused by an operator",
    "operator.resume": "Resumed by an operator",
    "operator.go_on": "A stop was lifted",
    "operator.settle": "A human settled what was in doubt",
    "operator.budget": "Budget raised",
    "operator.accepted": "An operator set recorded steps aside",
    "operator.connected": "An account was connected",
    "message.signal": "Signal received",
    "message.child": "A child run ended",
    "message.late": "A late result of an earlier worker",
    "outcome.said": "Outcome said",
    "escalation.delivered": "Escalation delivered",
    "escalation.acknowledged": "Escalation acknowledged",
    "escalation.passed": "Escalation passed on",
    "escalation.unanswered": "Escalation unanswered",
    "escalation.raised": "Alert raised",
    "escalation.over": "Alert over",
    "conversation.shortened": "Conversation shortened",
}
_GOOD = frozenset(
    {"ok", "approved", "succeeded", "happened", "met", "yes", "acknowledged", "granted", "allow"}
)
_BAD = frozenset({"failed", "denied", "refused", "no", "not_met", "quarantined", "unanswered", "deny"})
_WARN = frozenset(
    {
        "in_doubt",
        "in doubt",
        "waiting",
        "partial",
        "escalated",
        "cancelled",
        "defaulted",
        "withdrawn",
        "under way",
    }
    | {
        "did_not_happen",
        "did not happen",
        "not done",
        "passed",
        "open",
        "expired",
        "pending",
        "running",
        "needs_approval",
    }
)


def title(what: str) -> str:
    """A fact's kind in words; as it is where this release has none."""
    return _TITLES.get(what, what)


def tone(outcome: object) -> str:
    """How an outcome is coloured: `good`, `bad`, `warn`, or `plain`."""
    if outcome in _GOOD:
        return "good"
    return "bad" if outcome in _BAD else "warn" if outcome in _WARN else "plain"


def as_text(text: str, *, lines: bool = False) -> str:
    """Text with what hides, or passes for something else, written as an escape."""
    cut = (
        text
        if len(text) <= LONGEST
        else f"{text[:LONGEST]}… ({len(text) - LONGEST:,} more characters in facts.jsonl)"
    )
    return visible(cut, lines=lines)


def json_text(value: Any) -> str:
    """A JSON value for reading."""
    try:
        text = json.dumps(value, ensure_ascii=False, indent=2, default=repr)
    except (ValueError, RecursionError):
        text = repr(value)
    return as_text(text, lines=True)


def flagged(value: Any) -> list[str]:
    """What is odd about text, or about the texts in a JSON value."""
    text = value if isinstance(value, str) else strings_in(value)
    return [] if text.isascii() and text.isprintable() else suspicious(text[: LONGEST * 4])


def moment(at: int | None) -> str:
    """`2026-11-26 04:20:11.123 UTC`."""
    return "" if at is None else f"{from_micros(at):%Y-%m-%d %H:%M:%S.%f}"[:-3] + " UTC"


def span(micros: int) -> str:
    """A duration in one unit."""
    for unit, size in (("d", 86_400_000_000), ("h", 3_600_000_000), ("min", 60_000_000), ("s", 1_000_000)):
        if micros >= size:
            return f"{micros / size:.1f} {unit}"
    return f"{micros / 1000:.0f} ms"


class Wording:
    """Words that several templates use."""

    @staticmethod
    def people(names: list[str] | None) -> str:
        """Who was asked."""
        if names is None:
            return "whoever may approve"
        return ", ".join(names) or "nobody: all who could be were held back"

    @staticmethod
    def fits(fits: bool | None) -> str:
        """Whether a digest is that of what was shown."""
        return {
            True: "recomputed: it is the digest of what is shown here",
            False: "recomputed: it is NOT the digest of what is shown here",
            None: "it cannot be recomputed: what was shown is erased, or was not recorded",
        }[fits]
