"""What is told outside of the run about an approval: the row of the open question, and notices to people's contacts.

A notice is a cell that the outbox delivers (a signed webhook, a mail). It carries text for people, blocks as Slack
draws them, and the command that answers; no secret, and no way to answer by itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pydantic_core
from pydantic import PydanticUserError

from ...core.clock import from_micros
from ...core.lookalikes import strings_in, suspicious, visible
from ...governance.notices import Notice, new_notice
from ...journal import Amendment, Approval
from ..boundary.tool import Tool
from .approvers import Approvers
from .enquiry import Enquiry
from .proof import signing

if TYPE_CHECKING:
    from ..replay.recorder import Recorder

__all__ = ["asked", "caused", "facts", "row"]

_LONGEST = 2500
"""Characters of one text in a block: Slack takes 3,000."""


def facts(recorder: Recorder, enquiry: Enquiry) -> dict[str, Any]:
    """What decides whether an answer counts; see `answering.why_not` and `proof.problem_of`."""
    shown: dict[str, Any] = enquiry.waiting["show"]
    assert enquiry.policy is not None
    return {
        "digest": enquiry.digest,
        "people": enquiry.people,
        "held": enquiry.held,
        "requester": shown["requester"],
        "arguments": shown["arguments"],
        "editable": enquiry.policy.editable,
        "tenant": recorder.ref.tenant,
        "show": shown,
        "nonce": enquiry.nonce,
        "signed": enquiry.policy.signed,
    }


def row(recorder: Recorder, key: str, agent: str, tool: Tool[..., Any], enquiry: Enquiry) -> Approval:
    """The question as it stands open, for listings and for those who answer."""
    known = facts(recorder, enquiry)
    told = {
        **known,
        "tool": tool.name,
        "signing": signing(known, recorder.boundary.rules.approvals),
        "about": enquiry.waiting["about"],
        "choices": None,
        "form": _form(tool),
        "nobody": enquiry.nobody,
        "round": enquiry.refused + len(enquiry.supporters),
        "flags": suspicious(strings_in(enquiry.waiting["show"])),
    }
    return Approval(
        ref=recorder.ref,
        step=key,
        question=enquiry.waiting["question"],
        opened_at=enquiry.opened_at,
        due=None if enquiry.nobody else enquiry.due,
        agent=agent,
        show=pydantic_core.to_json(told),
    )


def _form(tool: Tool[..., Any]) -> dict[str, Any] | None:
    try:
        return {**tool.schema(), "additionalProperties": False}
    except PydanticUserError:  # parameters that JSON cannot describe
        return None


def asked(recorder: Recorder, row: Approval, enquiry: Enquiry, kind: str, contact: str) -> Amendment:
    """To somebody who is to answer: for the first time, as a reminder, or because others did not."""
    shown: dict[str, Any] = enquiry.waiting["show"]
    about: dict[str, Any] = enquiry.waiting["about"]
    run, digest = recorder.ref, enquiry.digest
    arguments = "\n".join(f"{name}: {_text(value)}" for name, value in shown["arguments"].items()) or "none"
    lines = [f"run `{run.id}` of agent `{row.agent}`, started by {_text(shown['requester'])}"]
    why: dict[str, Any] = about.get("why") or {}
    if why.get("reason"):
        lines.append(f"why: {_text(why['reason'])}")
    changed: dict[str, dict[str, Any]] = about.get("changed") or {}
    earlier: list[dict[str, Any]] = about.get("earlier") or []
    for name, was in changed.items():
        lines.append(f"{name} was {_text(was['was'])} the last time")
    for one in earlier[-3:]:
        said = "approved" if one["approved"] else "denied"
        lines.append(f"before: {said} by {_text(one['by'])}, {_text(one['outcome'] or 'outcome not known')}")
    if about.get("cost"):
        lines.append(f"cost of the run so far: {about['cost']}")
    if row.due is not None:
        lines.append(f"to be answered until {from_micros(row.due):%Y-%m-%d %H:%M} UTC")
        assert enquiry.policy is not None
        if enquiry.place + 1 >= len(enquiry.policy.route):
            lines.append(f"after that: {_after(enquiry.policy)}")
    if row.told["signing"] == "required":
        lines.append("an answer counts only with your signature")
    careful = [f"careful: {oddity}" for oddity in suspicious(strings_in(shown))]
    where = f"perdure approvals approve {run.id} {row.step} --digest {digest[:16]}"
    instead = f"perdure approvals reject {run.id} {row.step} --digest {digest[:16]} --reason WHY"
    subject = f"{'' if kind == 'asked' else kind + ': '}may `{shown['tool']}` be called? ({run.id})"
    body = "\n".join([subject, "", arguments, "", *careful, *lines, "", where, instead])
    blocks = [
        _header(subject),
        _section(f"```{arguments}```"),
        *([_section("\n".join(f":warning: {line}" for line in careful))] if careful else []),
        _section("\n".join(lines)),
        _section(f"`{where}`\n`{instead}`"),
        _context(f"digest {digest[:16]}"),
    ]
    return _notice(recorder, f"approval.{kind}", contact, subject, body, blocks, row.step)


def _after(policy: Approvers) -> str:
    """What holds where nobody answers."""
    match policy.on_expiry:
        case "approve":
            return "it is called"
        case "default":
            return f"it is not called, and taken to have returned {_text(policy.default)}"
        case _:
            return "it is not called"


def caused(recorder: Recorder, key: str, used: Mapping[str, Any], said: str, contact: str) -> Amendment:
    """To whoever approved: what came of it."""
    subject = f"`{used['tool']}`, which you approved, is {_text(said)} ({recorder.ref.id})"
    return _notice(
        recorder,
        "approval.outcome",
        contact,
        subject,
        subject,
        [_header(subject), _context(f"step {key}")],
        key,
    )


def _notice(
    recorder: Recorder, kind: str, to: str, subject: str, body: str, blocks: list[Any], step: str
) -> Amendment:
    name = hashlib.sha256(f"{recorder.name}\0{recorder.head}\0{kind}\0{to}\0{step}".encode()).hexdigest()[:32]
    told = Notice(kind=kind, run=recorder.ref.id, step=step, to=to, subject=subject, body=body, blocks=blocks)
    return new_notice(recorder.ref.tenant, f"approval.{name}", told)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else pydantic_core.to_json(value, fallback=repr).decode()
    shown = visible(text, lines=True).replace("`", "'")
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text.replace("`", "")[:150]}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _inert(text)[:_LONGEST]}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": _inert(text)}]}


def _inert(text: str) -> str:
    """Without what Slack would make a link, a mention or a command of."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
