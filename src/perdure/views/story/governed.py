"""What the boundary writes of a call, for people: attempts, money, verdicts, signs of life, what was left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...journal import Kind
from ..words import short_span, stated_text
from .reading import as_object

__all__ = ["governed", "signed"]

_APPROVAL = {
    "waived": "need not be approved",
    "reminded": "approvers were reminded",
    "passed": "the question was passed on",
    "withdrawn": "the question was withdrawn",
}


def attempt_text(told: dict[str, Any]) -> str:
    """`attempt 1 by look failed (transient): HTTP 503; again in 2 s`."""
    following = as_object(told.get("then"))
    then = f"{following.get('name')} is next" if following else f"again in {_seconds(told.get('wait'))}"
    return f"attempt {told.get('attempt')} by {told.get('by')} failed ({told.get('class')}): {told.get('why')}; {then}"


def reserved_text(told: dict[str, Any]) -> str:
    """`sets aside $0.02, 1 model calls for model openai:gpt-5`."""
    last = ", for the last call" if told.get("last") else ""
    return f"sets aside {_amount(told)} for {told.get('what')} {told.get('name')}{last}"


def charged_text(told: dict[str, Any]) -> str:
    """`charged $0.01, 100 input tokens for model openai:gpt-5 (estimated)`."""
    marks = ", ".join(name for name in ("estimated", "unpriced") if told.get(name))
    return f"charged {_amount(told)} for {told.get('what')} {told.get('name')}" + (
        f" ({marks})" if marks else ""
    )


def verdict_text(told: dict[str, Any]) -> str:
    """What one stage of the boundary said."""
    stage, verdict = told.get("stage"), str(told.get("verdict"))
    why = told.get("why") or told.get("reason")
    because = f": {why}" if why else ""
    match stage, verdict:
        case "rate", _:
            return f"waits for its place under {', '.join(told.get('limits', ()))}"
        case "budget", _:
            return f"waits for its budget{because}"
        case "credential", "connected" | "expired" | "withdrawn":
            how = {"connected": "has connected an account", "expired": "connected none in time"}
            said = how.get(verdict, "is waited for no more, to connect an account")
            return f"{told.get('subject')} {said} with {told.get('provider')}"
        case "revocation", _:
            return f"{told.get('what')} {told.get('name')} was revoked by {told.get('by')}{because}"
        case "stop", _:
            who = (
                "all of the store" if told.get("what") == "all" else f"{told.get('what')} {told.get('name')}"
            )
            return f"{who} was stopped by {told.get('by')}{because}"
        case "cache", _:
            return f"answered from the cache, {short_span(int(told.get('age') or 0))} old, by run {told.get('run')}"
        case "approval", "approved" | "denied":
            edited = ", with other arguments" if told.get("edited") else ""
            by = f"by {told['by']}" if told.get("by") else "because nobody answered in time"
            return (
                f"{told.get('tool')} {verdict} {by}{signed(told)}{edited}{because if told.get('by') else ''}"
            )
        case "approval", "defaulted":
            return f"nobody approved {told.get('tool')} in time; the value named for that stands in"
        case "scope" | "planning", "denied":
            return str(why or f"{told.get('tool')} was refused")
        case "trust", "observed" | "drafted":
            kept = f", kept as the draft {told['draft']}" if told.get("draft") else ""
            return f"{told.get('tool')} not carried out, {verdict} only{kept}{because}"
        case "trust", _:
            return f"trust ring {str(told.get('ring')).replace('_', ' ')}"
        case "check", _:
            return f"check of {told.get('tool')} {verdict}{because}"
        case "policy", _:
            stated = as_object(told.get("call")).get("stated")
            more = f" ({stated_text(stated)})" if stated else ""
            said = "more evidence first" if told.get("evidence") else verdict.replace("_", " ")
            return f"policy: {said}{because}{more}"
        case _, "refused":
            return f"an answer does not count{because}"
        case _:
            return f"{_APPROVAL.get(verdict, f'{stage}: {verdict}')}{because}"


def signed(told: dict[str, Any]) -> str:
    """Whether the answer is signed, where anybody looked."""
    signed = told.get("signed")
    if isinstance(signed, dict):
        return f", signed by key {str(as_object(told['signed']).get('key'))[:8]}"
    return ", not signed" if signed is False else ""


def heartbeat_text(told: dict[str, Any]) -> str:
    """`page 3 3/7`, or that it lives."""
    if told.get("what") is None:
        return "is alive"
    done, total = told.get("done"), told.get("total")
    count = "" if done is None else f" {done}" + ("" if total is None else f"/{total}")
    return f"{told['what']}{count}"


def compacted_text(told: dict[str, Any]) -> str:
    """`conversation shortened from about 9,000 to 4,000 tokens: 3 results, 2 turns; why`."""
    turns = as_object(told.get("dropped")).get("turns", 0)
    parts = [
        f"{count} {name}{'' if count == 1 else 's'}"
        for count, name in ((len(told.get("replaced", ())), "result"), (turns, "turn"))
        if count
    ]
    sizes = f"from about {told.get('before', 0):,} to {told.get('after', 0):,} tokens"
    return f"conversation shortened {sizes}, without {' and '.join(parts) or 'anything'}: {told.get('why')}"


_TOLD: dict[Kind, tuple[str, str, Callable[[dict[str, Any]], str]]] = {
    Kind.ATTEMPT: ("failed", "yellow", attempt_text),
    Kind.RESERVED: ("progress", "dim", reserved_text),
    Kind.CHARGED: ("progress", "dim", charged_text),
    Kind.VERDICT: ("decision", "blue", verdict_text),
    Kind.HEARTBEAT: ("progress", "dim", heartbeat_text),
    Kind.COMPACTED: ("changed", "yellow", compacted_text),
}
"""Of each kind its sign, its style and its words."""


def governed(kind: Kind, told: dict[str, Any]) -> tuple[str, str, str]:
    """Sign, style and words of an entry of one of these kinds."""
    sign, style, words = _TOLD[kind]
    if kind is Kind.VERDICT and told.get("verdict") == "wait":
        sign, style = "waiting", "yellow"
    return sign, style, words(told)


def _amount(told: dict[str, Any]) -> str:
    from ...governance.amounts import in_words

    amount = as_object(told.get("amount"))
    return ", ".join(in_words(name, n) for name, n in amount.items() if name != "tokens") or "nothing"


def _seconds(value: Any) -> str:
    return short_span(int(value * 1e6)) if isinstance(value, int | float) else "a while"
