"""Events are valid by the schema, tell who did what for whom, and nothing that a person wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from perdure.audit import Fact, story_of
from perdure.audit.ocsf import event_of
from perdure.audit.wording import title
from perdure.core.ids import RunRef
from perdure.journal import Entry, Kind
from perdure.testing import JournalBuilder
from tests.audit.ocsf import faults
from tests.audit.test_facts import record_of

SECRET = "what Ann wrote"


def payloads() -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Entries of every kind, and verdicts, messages and waits of every kind that there is."""
    secret = {"text": SECRET}
    begun = {"agent": "desk", "version": "1", "by": "user:ann"}
    yield Kind.STARTED, "", {**begun, "input": secret, "labels": {"x": SECRET}}
    yield Kind.CLAIMED, "", {"worker": "w1", "version": "1", "behaviour": {"digest": "ab", "parts": {}}}
    yield Kind.RESULT, "turn", {"asked": {"model": "m"}, "reply": {"text": SECRET}, "by": "openai:gpt-5"}
    yield Kind.DECISION, "decision", {"options": [SECRET], "choice": SECRET, "reason": SECRET}
    for verdict in (
        "waived",
        "reminded",
        "passed",
        "refused",
        "approved",
        "denied",
        "defaulted",
        "withdrawn",
    ):
        told = {"stage": "approval", "tool": "pay", "verdict": verdict, "by": "user:boss", "reason": SECRET}
        yield (
            Kind.WAITING,
            "pay",
            {"on": "approval", "tool": "pay", "show": secret, "digest": "ab", "question": SECRET},
        )
        yield Kind.VERDICT, "pay", {**told, "edited": {"arguments": secret, "digest": "cd"}}
    for stage, verdict in (
        ("budget", "wait"),
        ("rate", "wait"),
        ("cache", "hit"),
        ("policy", "deny"),
        ("policy", "allow"),
        ("policy", "needs_approval"),
        ("scope", "denied"),
        ("revocation", "denied"),
        ("settle", "refused"),
        ("new", "what"),
    ):
        yield (
            Kind.VERDICT,
            "pay",
            {"stage": stage, "verdict": verdict, "tool": "pay", "why": SECRET, "more": secret},
        )
    granted = {"stage": "credential", "verdict": "granted", "tool": "pay", "provider": "bank"}
    yield Kind.VERDICT, "pay", {**granted, "subject": "user:ann", "scopes": ["pay"], "secret": SECRET}
    yield (
        Kind.VERDICT,
        "pay",
        {**granted, "audience": "https://bank.example.com", "agent": "spiffe://x/t/d/agent/desk"},
    )
    yield Kind.INTENT, "pay", {"tool": "pay", "key": "r/pay", "attempt": 1, "arguments": secret}
    yield (
        Kind.ATTEMPT,
        "pay",
        {"attempt": 1, "class": "transient", "why": SECRET, "error": {"message": SECRET}},
    )
    yield Kind.UNKNOWN, "pay", {"why": SECRET, "error": {"type": "builtins:TimeoutError", "message": SECRET}}
    yield Kind.WAITING, "pay", {"on": "in_doubt", "tool": "pay", "why": SECRET, "arguments": secret}
    for kind in (
        "answer",
        "cancel",
        "pause",
        "resume",
        "settle",
        "child",
        "late",
        "signal",
        "budget",
        "brand-new",
    ):
        body = {"approved": True, "reason": SECRET, "happened": True, "result": secret, "status": "failed"}
        yield (
            Kind.MESSAGE,
            "",
            {"kind": kind, "name": "pay", "id": "1", "sender": "user:boss", "at": 5, "body": body},
        )
    yield Kind.SETTLED, "pay", {"happened": True, "by": "user:boss (settle)"}
    yield Kind.RESULT, "pay", secret
    yield Kind.INTENT, "mail", {"tool": "mail", "key": "r/mail", "arguments": secret}
    yield Kind.FAILED, "mail", {"type": "builtins:ValueError", "message": SECRET}
    for reason in ("timer", "signal", "child", "needs_connection", "budget"):
        yield Kind.WAITING, f"w-{reason}", {"on": reason, "name": "x", "due": 5}
        yield Kind.RESULT, f"w-{reason}", {"from": None}
    yield Kind.RESULT, "look", secret
    yield Kind.FAILED, "look:2", {"type": "builtins:ValueError", "message": SECRET}
    yield Kind.MISMATCH, "", {"recorded": secret, "requested": secret}
    yield Kind.ACCEPTED, "", {"by": "user:boss", "set_aside": [{"step": "x"}]}
    yield Kind.COMPACTED, "turn:2", {"why": SECRET, "before": 9, "after": 4}
    yield Kind.CONTINUED, "", {"generation": 2, "by": "user:ann", "input": secret}
    for status in ("succeeded", "failed", "partial", "escalated", "cancelled", "quarantined"):
        yield Kind.ENDED, "", {"status": status, "result": secret, "why": SECRET}
    yield Kind.OUTCOME, "", {"met": False, "by": "user:auditor", "evidence": SECRET}
    for what in ("delivered", "acknowledged", "passed", "unanswered"):
        yield Kind.ESCALATION, "", {"what": what, "to": "owner", "notice": "n", "why": SECRET}
    for kind in (
        Kind.VALUE,
        Kind.PROGRESS,
        Kind.DRIFT,
        Kind.SUSPENDED,
        Kind.RESERVED,
        Kind.HEARTBEAT,
    ):
        yield kind, "x", {"what": SECRET, "name": "m", "amount": {"money": 5}}
    yield Kind.CHARGED, "x", {"what": "model", "name": "m", "amount": {"money": 5}}
    yield 99, "x", secret


def facts() -> list[Fact]:
    builder = JournalBuilder(RunRef("acme", "r"))
    entries: list[Entry] = [
        builder.entry(kind, key, payload=json.dumps(told).encode())  # type: ignore[arg-type]
        for kind, key, told in payloads()
    ]
    erased = builder.entry(Kind.INTENT, "pay:2", payload=b"{}")
    entries.append(erased._replace(salt=b"", payload=bytes(32)))
    return story_of(record_of(builder.ref), entries).facts


FACTS = facts()


def test_each_fact_is_a_valid_event_without_what_a_person_wrote() -> None:
    for fact in FACTS:
        event = json.loads(json.dumps(event_of(fact, release="0.1.0", cursor="1.ab")))
        assert faults(event) == [], fact.what
        assert event["metadata"]["uid"] == f"acme/r/{fact.seq}"
        assert SECRET not in str(event), fact.what
        assert faults(event_of(fact, release="0.1.0", contents=True)) == [], fact.what
    assert SECRET in str([event_of(fact, release="0.1.0", contents=True) for fact in FACTS])


def test_the_validator_finds_what_is_wrong() -> None:
    event = event_of(FACTS[0], release="0.1.0")
    assert faults(event) == []
    for wrong, said in (
        ({"class_uid": 1}, "is none of those here"),
        ({"activity_id": 77}, "is none of"),
        ({"type_uid": 5}, "type_uid"),
        ({"category_uid": 3}, "category_uid"),
        ({"time": "now"}, "$.time is no timestamp_t"),
        ({"app": {}}, "needs at least one of"),
        ({"actor": {"user": {"type_id": 9, "uid": "x"}}}, "$.actor.user.type_id"),
        ({"surprise": 1}, "$.surprise is no attribute"),
        ({"action_id": 1}, "security_control"),
        ({"status_id": 99, "status": ""}, "needs a status"),
    ):
        assert any(said in fault for fault in faults({**event, **wrong})), said
    assert "$.app is required" in faults({k: v for k, v in event.items() if k != "app"})


def by_what(what: str) -> dict[str, Any]:
    return event_of(next(fact for fact in FACTS if fact.what == what), release="0.1.0")


def test_who_did_what_for_whom_stands_where_a_siem_looks() -> None:
    called = by_what("tool.called")
    assert (called["class_uid"], called["activity_name"], called["api"]["operation"]) == (
        6003,
        "Update",
        "pay",
    )
    assert called["actor"] == {
        "app_name": "desk",
        "app_uid": "agent:desk",
        "user": {"uid": "user:ann", "name": "ann", "type_id": 1},
    }
    assert called["api"]["request"]["uid"] == "r/pay"
    approved = by_what("approval.approved")
    assert (approved["action_id"], approved["disposition"]) == (1, "Approved")
    assert approved["actor"] == {"user": {"uid": "user:boss", "name": "boss", "type_id": 1}}
    denied = by_what("approval.denied")
    assert (denied["action_id"], denied["status_id"], denied["severity"]) == (2, 2, "Medium")
    lent = by_what("credential.granted")
    assert (lent["class_uid"], lent["user"]["uid"], lent["privileges"]) == (3003, "user:ann", ["pay"])
    ended = by_what("run.ended")
    assert (ended["class_uid"], ended["activity_id"], ended["app"]["name"]) == (6002, 4, "desk")
    assert by_what("effect.in_doubt")["status"] == "Unknown"
    assert by_what("entry.99")["class_uid"] == 0


def test_every_kind_of_fact_has_words() -> None:
    bare = {fact.what for fact in FACTS if not fact.quiet and title(fact.what) == fact.what}
    assert bare <= {"entry.99", "new.what", "message.brand-new"}
