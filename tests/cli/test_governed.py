"""What the boundary wrote of a call is told in a line each."""

from __future__ import annotations

import io
from typing import Any

import pydantic_core
import pytest
from rich.console import Console

from perdure.cli.display.events import Teller
from perdure.core.ids import RunRef
from perdure.journal import Kind
from perdure.testing import JournalBuilder

TOLD: dict[str, tuple[Kind, dict[str, Any], str]] = {
    "again": (
        Kind.ATTEMPT,
        {"attempt": 1, "by": "look", "class": "transient", "why": "HTTP 503", "wait": 2.0, "then": None},
        "attempt 1 by look failed (transient): HTTP 503; again in 2.0s",
    ),
    "another way": (
        Kind.ATTEMPT,
        {
            "attempt": 2,
            "by": "a:m",
            "class": "overloaded",
            "why": "HTTP 429",
            "then": {"way": 1, "name": "b:m"},
        },
        "attempt 2 by a:m failed (overloaded): HTTP 429; b:m is next",
    ),
    "reserved": (
        Kind.RESERVED,
        {"id": "1.1", "what": "model", "name": "a:m", "amount": {"money": 250_000_000}, "last": True},
        "sets aside $0.25 for model a:m, for the last call",
    ),
    "charged": (
        Kind.CHARGED,
        {"what": "model", "name": "a:m", "amount": {"input_tokens": 1200, "tokens": 1200}, "unpriced": True},
        "charged 1,200 input tokens for model a:m (unpriced)",
    ),
    "approved": (
        Kind.VERDICT,
        {
            "stage": "approval",
            "verdict": "approved",
            "tool": "refund",
            "by": "ada",
            "edited": {},
            "reason": "fine",
        },
        "refund approved by ada: fine",
    ),
    "not counted": (
        Kind.VERDICT,
        {"stage": "answer", "verdict": "refused", "from": 3, "why": "no number"},
        "an answer does not count: no number",
    ),
    "no money": (
        Kind.VERDICT,
        {"stage": "budget", "verdict": "wait", "why": "the run has used it up"},
        "waits for its budget: the run has used it up",
    ),
    "limited": (
        Kind.VERDICT,
        {"stage": "rate", "verdict": "wait", "limits": ["tool:look", "tenant"], "due": 1},
        "waits for its place under tool:look, tenant",
    ),
    "cached": (
        Kind.VERDICT,
        {"stage": "cache", "verdict": "hit", "age": 5_000_000, "labels": [], "run": "r0"},
        "answered from the cache, 5.0s old, by run r0",
    ),
    "unsure": (
        Kind.VERDICT,
        {
            "stage": "policy",
            "verdict": "deny",
            "evidence": True,
            "why": "no guesses",
            "call": {"stated": {"confidence": 0.4, "unknowns": ["whose bill it is"]}},
        },
        "policy: more evidence first: no guesses (confidence 0.4; not known: whose bill it is)",
    ),
    "asked": (
        Kind.VERDICT,
        {"stage": "policy", "verdict": "needs_approval", "why": "above 50", "call": {}},
        "policy: needs approval: above 50",
    ),
    "unread": (
        Kind.VERDICT,
        {"stage": "policy", "verdict": "allow", "call": {"stated": [3]}},
        "policy: allow (nothing that can be read)",
    ),
    "planning": (
        Kind.VERDICT,
        {"stage": "planning", "verdict": "denied", "why": "`pay` was not called: this is a planning stage"},
        "`pay` was not called: this is a planning stage",
    ),
    "newer": (Kind.VERDICT, {"stage": "policy", "verdict": "narrowed"}, "policy: narrowed"),
    "alive": (Kind.HEARTBEAT, {"at": 1}, "is alive"),
    "how far": (Kind.HEARTBEAT, {"what": "page", "done": 3, "total": 7, "at": 1}, "page 3/7"),
    "shorter": (
        Kind.COMPACTED,
        {"why": "too long", "before": 9000, "after": 4000, "replaced": [{}, {}], "dropped": {"turns": 3}},
        "conversation shortened from about 9,000 to 4,000 tokens, without 2 results and 3 turns: too long",
    ),
}


@pytest.mark.parametrize("name", TOLD)
def test_it_is_told(name: str) -> None:
    kind, payload, said = TOLD[name]
    entry = JournalBuilder(RunRef("default", "r")).entry(kind, "step", pydantic_core.to_json(payload))

    line = Teller(Console(file=io.StringIO(), width=200), verbose=True).line(entry)

    assert line is not None and line.plain.endswith(f"step  {said}"), line
