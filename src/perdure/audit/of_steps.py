"""What entries tell of a step: calls, answers, doubts, waits, what the boundary and people said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..core.digests import content_digest
from ..journal import Entry, Kind
from .telling import State, Telling, Words, as_object, digest_in, text

__all__ = ["OF_STEPS"]

_SAID = frozenset({"stage", "verdict", "tool", "by", "digest", "reason", "why"})
_NAMED = frozenset(
    {"from", "at", "step", "place", "people", "held", "nobody", "due", "expired"}  # approval
    | {
        "limits",
        "whose",
        "dimension",
        "limit",
        "used",
        "needed",
        "until",
        "on_limit",
        "age",
        "run",
    }  # budget, rate, cache
    | {"provider", "subject", "scopes", "audience", "jti", "issuer", "policies", "policy", "principal", "kid"}
    | {
        "agent",
        "version",
        "expires_at",
        "signed",
        "requires",
        "lacks",
        "what",
        "name",
        "revoked_at",
        "stopped_at",
        "after",
    }
)
"""What a verdict holds of names, numbers and digests. What else it holds, also of a newer release, is contents."""

_BY_PEOPLE = frozenset({"approval", "answer", "settle"})
"""Stages in which `by` is who has said it; in the others it is whose earlier word the boundary goes by."""

_ACTS = frozenset({"answer", "cancel", "pause", "resume", "settle", "budget", "connected", "go_on"})
"""Messages by which somebody steers a run; others bring it news."""


def _intent(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    tool = text(told.get("tool"))
    state.effects[entry.key] = tool
    return Words(
        "tool.called",
        by=state.me(),
        tool=tool,
        digest=digest_in(told, "arguments"),
        key=text(told.get("key")),
        details={"attempt": told.get("attempt")},
        contents={"arguments": told.get("arguments")},
    )


def _result(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    digest = content_digest(entry.payload) if entry.payload and not entry.erased else None
    if entry.key in state.effects:
        tool = state.effects.pop(entry.key)
        return Words(
            "tool.answered",
            by=state.me(),
            tool=tool,
            outcome="ok",
            digest=digest,
            contents={"result": value},
        )
    reason = state.waits.pop(entry.key, None)
    if reason is not None:
        return Words("wait.over", outcome="ok", details={"on": reason, "from": told.get("from")})
    if "reply" in told and "asked" in told:
        return _turn(state, told, digest)
    return Words("step.done", by=state.me(), outcome="ok", digest=digest, contents={"result": value})


def _turn(state: State, told: dict[str, Any], digest: str | None) -> Words:
    reply, asked = as_object(told.get("reply")), as_object(told.get("asked"))
    calls = [
        {"tool": call.get("name"), "arguments": digest_in(call, "arguments")}
        for call in map(as_object, reply.get("tool_calls") or ())
    ]
    model = told.get("by") or told.get("model") or asked.get("model")
    return Words(
        "model.answered",
        by=state.me(),
        outcome="ok",
        digest=digest,
        details={
            "model": model,
            "asked": asked,
            "chose": calls,
            "usage": told.get("usage") or reply.get("usage"),
            "not_covered": told.get("uncovered"),
            "problem": told.get("problem"),
        },
        contents={"reply": told.get("reply"), "messages": told.get("messages")},
    )


def _failed(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    effect = entry.key in state.effects
    tool = state.effects.pop(entry.key, None)
    waited = state.waits.pop(entry.key, None)
    return Words(
        "tool.failed" if effect else "wait.failed" if waited is not None else "step.failed",
        by=state.me(),
        tool=tool,
        outcome="failed",
        why=text(told.get("message")),
        details={"error": told.get("type"), "class": as_object(told.get("diagnosis")).get("failure")},
    )


def _attempt(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words(
        "step.retried",
        by=state.me(),
        tool=state.effects.get(entry.key),
        outcome="failed",
        why=text(told.get("why")),
        details={name: told.get(name) for name in ("attempt", "by", "class", "not_sent", "wait", "then")},
    )


def _unknown(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    return Words(
        "effect.in_doubt",
        tool=state.effects.get(entry.key),
        outcome="in_doubt",
        why=text(told.get("why")),
        details={
            "error": as_object(told.get("error")).get("type"),
            "cancelled": told.get("cancelled") or None,
        },
    )


def _settled(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    happened = told.get("happened")
    return Words(
        "effect.settled",
        by=text(told.get("by")),
        tool=state.effects.get(entry.key),
        outcome=None if happened is None else "happened" if happened else "did_not_happen",
        details={"from": told.get("from")},
    )


def _waiting(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    reason = str(told.get("on") or "")
    if reason == "in_doubt":
        return Words(
            "effect.asked",
            tool=text(told.get("tool")),
            outcome="in_doubt",
            digest=digest_in(told, "arguments"),
            why=text(told.get("why")),
            contents={"arguments": told.get("arguments")},
        )
    tool = text(told.get("tool"))
    if reason == "approval":
        if tool is None:
            state.waits[entry.key] = reason
        return Words(
            "approval.asked" if tool is not None else "question.asked",
            by=state.me(),
            tool=tool,
            outcome="waiting",
            digest=text(told.get("digest")),
            details={"asked": told.get("people"), "due": told.get("due"), "policy": told.get("policy")},
            contents={
                "question": told.get("question"),
                "shown": told.get("show"),
                "beside": told.get("about"),
                "choices": told.get("choices"),
            },
        )
    state.waits[entry.key] = reason
    names = ("on", "name", "run", "due", "provider", "scopes")
    return Words(
        "wait.began", by=state.me(), outcome="waiting", details={name: told.get(name) for name in names}
    )


def _verdict(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    """What the boundary said: also of stages that this release does not know."""
    stage, verdict = str(told.get("stage") or "boundary"), str(told.get("verdict") or "said")
    edited = as_object(told.get("edited"))
    return Words(
        f"{stage}.{verdict}",
        by=text(told.get("by")) if stage in _BY_PEOPLE else None,
        tool=text(told.get("tool")),
        outcome=verdict,
        digest=text(told.get("digest")),
        why=text(told.get("reason") or told.get("why")),
        details={
            **{name: said for name, said in told.items() if name in _NAMED},
            "edited_digest": edited.get("digest"),
            "because_of": None if stage in _BY_PEOPLE else told.get("by"),
        },
        contents={name: said for name, said in told.items() if name not in _NAMED | _SAID},
    )


def _message(state: State, entry: Entry, told: dict[str, Any], value: Any) -> Words:
    kind, sender, inner = (
        str(told.get("kind") or ""),
        text(told.get("sender")),
        as_object(told.get("body")),
    )
    outcome = None
    if kind == "answer":
        outcome = "yes" if inner.get("approved") else "no"
    elif kind == "settle":
        outcome = "happened" if inner.get("happened") else "did_not_happen"
    elif kind == "child":
        outcome = text(inner.get("status"))
    group = "operator" if kind in _ACTS else "message"
    return Words(
        f"{group}.{kind}" if kind else "message",
        by=sender,
        outcome=outcome,
        digest=text(inner.get("digest")) or digest_in(told, "body"),
        why=text(inner.get("reason")),
        details={"about": told.get("name"), "message": told.get("id"), "posted_at": told.get("at")},
        contents={"body": told.get("body")},
    )


OF_STEPS: Mapping[int, Telling] = {
    Kind.INTENT: _intent,
    Kind.RESULT: _result,
    Kind.FAILED: _failed,
    Kind.ATTEMPT: _attempt,
    Kind.UNKNOWN: _unknown,
    Kind.SETTLED: _settled,
    Kind.WAITING: _waiting,
    Kind.VERDICT: _verdict,
    Kind.MESSAGE: _message,
}
"""The telling of each kind of entry that is about a step."""
