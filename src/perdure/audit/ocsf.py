"""Facts as events of the Open Cybersecurity Schema Framework (OCSF 1.8.0, https://schema.ocsf.io), for a SIEM.

    runs begun, carried on, paused, ended            Application Lifecycle  6002
    a credential lent for a call                     Authorize Session      3003
    calls, answers, approvals, acts of operators     API Activity           6003, approvals with the profile
                                                                            Security Control: allowed, denied
    entries of a newer release                       Base Event             0

The event's name, `metadata.uid`, is the fact's: tenant, run, entry. It is the same however often it is sent.
Nothing that a person wrote or a tool returned is in an event unless it is asked for: names, numbers and digests are.
"""

from __future__ import annotations

from typing import Any

from .fact import Fact
from .wording import title

__all__ = ["OCSF", "event_of"]

OCSF = "1.8.0"
"""The version of the schema that events are valid by."""

_LIFECYCLE = {
    "run.started": (3, "Start"),
    "run.forked": (3, "Start"),
    "run.claimed": (5, "Restart"),
    "run.continued": (5, "Restart"),
    "run.ended": (4, "Stop"),
    "run.does_not_replay": (7, "Disable"),
    "operator.pause": (7, "Disable"),
    "operator.resume": (6, "Enable"),
    "operator.cancel": (4, "Stop"),
    "operator.accepted": (6, "Enable"),
}
_API = {
    "tool.called": (3, "Update"),
    "tool.answered": (3, "Update"),
    "tool.failed": (3, "Update"),
    "step.done": (2, "Read"),
    "step.failed": (2, "Read"),
    "model.answered": (1, "Create"),
    "approval.asked": (1, "Create"),
    "question.asked": (1, "Create"),
}
_CONTROL = {
    "approved": (1, "Allowed", 8, "Approved"),
    "granted": (1, "Allowed", 1, "Allowed"),
    "waived": (1, "Allowed", 1, "Allowed"),
    "allow": (1, "Allowed", 1, "Allowed"),
    "denied": (2, "Denied", 25, "Rejected"),
    "deny": (2, "Denied", 2, "Blocked"),
    "refused": (2, "Denied", 26, "Unauthorized"),
    "defaulted": (2, "Denied", 2, "Blocked"),
    "wait": (3, "Observed", 14, "Delayed"),
    "needs_approval": (3, "Observed", 23, "Challenge"),
}
"""Verdicts of the boundary: action and disposition of the profile Security Control."""

_SUCCESS = frozenset(
    {"ok", "approved", "granted", "waived", "allow", "succeeded", "happened", "met", "yes", "hit"}
)
_FAILURE = frozenset(
    {"failed", "denied", "deny", "refused", "quarantined", "not_met", "unanswered", "cancelled"}
)
_SEVERITY = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
_TAMED = frozenset({"in_doubt", "denied", "deny", "refused", "unanswered", "escalated"})
_USERS = {"user": 1, "system": 3, "schedule": 3, "agent": 4}
_CLASSES = {0: "Base Event", 6002: "Application Lifecycle", 3003: "Authorize Session", 6003: "API Activity"}
_CATEGORIES = {0: "Uncategorized", 3: "Identity & Access Management", 6: "Application Activity"}


def event_of(
    fact: Fact, *, release: str, cursor: str | None = None, contents: bool = False
) -> dict[str, Any]:
    """The event that a fact is. `release` is Perdure's, `cursor` from where a feed goes on.

    With `contents`, also what was written, shown and returned.
    """
    kind, activity, name = _class_of(fact)
    event: dict[str, Any] = {
        "class_uid": kind,
        "class_name": _CLASSES[kind],
        "category_uid": kind // 1000,
        "category_name": _CATEGORIES[kind // 1000],
        "activity_id": activity,
        "activity_name": name,
        "type_uid": kind * 100 + activity,
        "type_name": f"{_CLASSES[kind]}: {name}",
        "time": fact.at // 1000,
        "message": _message(fact),
        "metadata": {
            "version": OCSF,
            "uid": fact.id,
            "product": {"name": "Perdure", "vendor_name": "Perdure", "version": release},
            "log_name": "perdure.audit",
            "event_code": fact.what,
            "tenant_uid": fact.ref.tenant,
            "correlation_uid": fact.ref.id,
            "original_time": str(fact.at),
        },
        **_severity(fact),
        **_status(fact),
    }
    if fact.took:
        event["unmapped"] = {"took_us": fact.took}
    if kind == 6002:
        event["app"] = {"name": fact.agent, "version": fact.version, "uid": _agent(fact)}
        event["actor"] = _actor(fact)
    elif kind == 6003:
        event |= _api(fact)
    elif kind == 3003:
        event |= _session(fact)
    if kind == 6003 and fact.outcome in _CONTROL and "." in fact.what and not fact.what.startswith("tool."):
        action, label, disposition, said = _CONTROL[fact.outcome]
        event |= {"action_id": action, "action": label, "disposition_id": disposition, "disposition": said}
        event["policy"] = {"name": fact.what.partition(".")[0], "type": "boundary"}
        event["metadata"]["profiles"] = ["security_control"]
    if fact.what == "model.answered" and (model := fact.details.get("model")):
        event["unmapped"] = {**event.get("unmapped", {}), "model": str(model)}
    event["unmapped"] = {**event.get("unmapped", {}), **_unmapped(fact, cursor, contents=contents)}
    if contents and fact.why:
        event["status_detail"] = fact.why
    return event


def _class_of(fact: Fact) -> tuple[int, int, str]:
    if fact.what in _LIFECYCLE:
        return 6002, *_LIFECYCLE[fact.what]
    if fact.what.startswith("entry."):
        return 0, 99, "Other"
    if fact.what == "credential.granted":
        return 3003, 1, "Assign Privileges"
    return 6003, *_API.get(fact.what, (99, "Other"))


def _agent(fact: Fact) -> str:
    return f"agent:{fact.agent}"


def _user(name: str) -> dict[str, Any]:
    kind, colon, short = name.partition(":")
    known = _USERS.get(kind) if colon else None
    return {"uid": name, "name": short if known else name, "type_id": known or 0}


def _actor(fact: Fact) -> dict[str, Any]:
    """Who did it: the agent, for a user; or a human by themselves."""
    if fact.by in (None, _agent(fact)):
        actor: dict[str, Any] = {"app_name": fact.agent, "app_uid": _agent(fact)}
        return actor if fact.behalf is None else {**actor, "user": _user(fact.behalf)}
    if fact.what == "run.claimed":
        return {"app_name": str(fact.details.get("worker") or fact.actor), "app_uid": fact.actor}
    return {"user": _user(str(fact.by))}


def _api(fact: Fact) -> dict[str, Any]:
    operation = fact.what
    if fact.tool is not None:
        operation = fact.tool if fact.what.startswith("tool.") else f"{fact.what} {fact.tool}"
    api: dict[str, Any] = {
        "operation": operation,
        "request": {"uid": fact.key or f"{fact.ref.id}/{fact.step or fact.seq}"},
        "service": {"name": fact.agent, "version": fact.version},
    }
    if error := fact.details.get("error"):
        api["response"] = {"error": str(error)}
    told: dict[str, Any] = {
        "api": api,
        "actor": _actor(fact),
        "src_endpoint": {"name": fact.actor or "unknown", "svc_name": "perdure"},
    }
    if fact.tool is not None:
        told["resources"] = [{"name": fact.tool, "type": "tool", "role_id": 1}]
    return told


def _session(fact: Fact) -> dict[str, Any]:
    details = fact.details
    scopes = [str(scope) for scope in details.get("scopes") or ()]
    whose = str(details.get("subject") or fact.behalf or "unknown")
    return {
        "actor": _actor(fact),
        "user": _user(whose),
        "privileges": scopes or [f"call {fact.tool}" if fact.tool else "call"],
        "dst_endpoint": {
            "svc_name": str(details.get("provider") or details.get("audience") or fact.tool or "unknown")
        },
    }


def _severity(fact: Fact) -> dict[str, Any]:
    level = 1
    if fact.outcome in _TAMED or fact.what in ("operator.accepted", "run.does_not_replay"):
        level = 3
    elif fact.outcome in _FAILURE:
        level = 4 if fact.outcome == "quarantined" else 2
    return {"severity_id": level, "severity": _SEVERITY[level]}


def _status(fact: Fact) -> dict[str, Any]:
    if fact.outcome is None:
        return {}
    told: dict[str, Any] = {"status_code": fact.outcome}
    if fact.outcome in _SUCCESS:
        return {**told, "status_id": 1, "status": "Success"}
    if fact.outcome in _FAILURE:
        return {**told, "status_id": 2, "status": "Failure"}
    if fact.outcome == "in_doubt":
        return {**told, "status_id": 0, "status": "Unknown"}
    return {**told, "status_id": 99, "status": fact.outcome}


def _message(fact: Fact) -> str:
    tool = f": {fact.tool}" if fact.tool else ""
    by = f", by {fact.by}" if fact.by else ""
    behalf = f" on behalf of {fact.behalf}" if fact.behalf and fact.behalf != fact.by else ""
    return f"{title(fact.what)}{tool}{by}{behalf}"


def _unmapped(fact: Fact, cursor: str | None, *, contents: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "run": fact.ref.id,
        "agent": fact.agent,
        "version": fact.version,
        "step": fact.step or None,
        "entry": fact.seq,
        "entry_hash": fact.hash,
        "digest": fact.digest,
        "idempotency_key": fact.key,
        "on_behalf_of": fact.behalf,
        "details": dict(fact.details) or None,
        "erased": fact.erased or None,
        "taken_over": fact.taken_over or None,
        "cursor": cursor,
    }
    if contents:
        told["contents"] = dict(fact.contents) or None
    return {name: value for name, value in told.items() if value is not None}
