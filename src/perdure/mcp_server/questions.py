"""A question of a run before the eyes of the person whose client this is. Only what they themselves say counts.

    a tool names a question ─► the client shows the person exactly what is asked, and a form ─► the person's answer
                                                                                                └─► `App.answer`

A model that calls tools can have a question put before its person; it cannot answer one, whatever it passes. What the
person was shown is kept with its digest: if something else stands open by then, they are asked again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core
from mcp.shared.message import ServerMessageMetadata
from mcp_types import ElicitRequest, ElicitRequestFormParams, ElicitResult, InputRequiredResult

from ..access.viewings import Viewings
from ..core.errors import AnswerRefused
from ..core.lookalikes import suspicious
from ..journal import Approval
from ..runtime.approval.answering import why_not
from ..runtime.approval.proof import signing
from ..views.words import pretty, safe
from .asking import Asking

__all__ = ["Said", "asked_as", "hindrance", "mark_of", "page_of", "put", "record_answer", "said_in"]

LONGEST = 4000
"""Characters that a client's form can be trusted to show whole."""

ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Said:
    """What the person said."""

    approved: bool
    reason: str | None
    value: Any = None


async def hindrance(asking: Asking, approval: Approval) -> str | None:
    """Why this person does not answer this question here, and where they do; None: they can."""
    row, caller, settings = approval.told, asking.caller, asking.app.approval_settings
    if not asking.reaches_a_person:
        return (
            f"no person answers through this client: it shows no forms (the capability `elicitation`), or "
            f"`{caller.subject}` is a program. A person answers {await page_of(asking, approval)}"
        )
    if approval.digest is not None:
        if why := why_not(row, {"digest": row["digest"], "approved": True}, caller.subject, settings):
            return why
        if signing(row, settings) == "required":
            return f"the answer counts only with a signature, which is made {await page_of(asking, approval)}"
    if _form_of(approval) is None:
        return f"what it asks for does not fit a form of a client; it is answered {await page_of(asking, approval)}"
    if len(_shown(approval)) > LONGEST:
        return (
            f"it is too long to be shown whole in a client; it is answered {await page_of(asking, approval)}"
        )
    return None


async def page_of(asking: Asking, approval: Approval) -> str:
    """Where a person answers it: the page, where there is a server that people reach, and the command."""
    url = asking.app.access_settings.url
    command = f"by `perdure approvals show {approval.ref.id}`"
    return command if url is None else f"at {url}/approvals/{approval.ref.id} or {command}"


async def put(
    asking: Asking, approval: Approval, *, keep: Mapping[str, str] | None = None
) -> Said | InputRequiredResult | None:
    """Ask the person; None: they did not want to say. Where the client has to come again, what it is asked meanwhile.

    `keep` is what the round that follows finds in `asking.kept`.

    Raises `AnswerRefused` where they cannot answer it here, with where they can.
    """
    if why := await hindrance(asking, approval):
        raise AnswerRefused(why)
    mark = mark_of(approval)
    given = (asking.responses or {}).get(ANSWER)
    if isinstance(given, ElicitResult) and asking.kept.get("mark") == mark:
        return said_in(approval, given)
    await Viewings(asking.app).saw(asking.caller, "question", (approval.ref, approval.step))
    asked = asked_as(approval)
    if asking.modern:
        kept = pydantic_core.to_json({**(keep or {}), "mark": mark}).decode()
        return InputRequiredResult(input_requests={ANSWER: asked}, request_state=kept)
    context = asking.context
    related = ServerMessageMetadata(related_request_id=context.request_id)
    given = await context.session.send_request(asked, ElicitResult, metadata=related)
    return said_in(approval, given)


def asked_as(approval: Approval) -> ElicitRequest:
    """The question as a client shows it."""
    form = _form_of(approval)
    assert form is not None  # else it would have been a hindrance
    return ElicitRequest(params=ElicitRequestFormParams(message=_shown(approval), requested_schema=form))


async def record_answer(asking: Asking, approval: Approval, said: Said) -> bool:
    """Write down what the person said of what they saw; False where somebody has answered meanwhile.

    Raises `AnswerRefused` where something else stands open there by now, and what `App.answer` raises.
    """
    found = await asking.app.store.approvals(ref=approval.ref)
    now = next((one for one in found if one.step == approval.step), None)
    if now is not None and mark_of(now) != mark_of(approval):
        raise AnswerRefused(
            f"what `{approval.step}` of run `{approval.ref}` asks by now is not what was shown: look again"
        )
    return await asking.app.answer(
        approval.ref.id,
        approval.step,
        approved=said.approved,
        by=asking.caller.subject,
        reason=said.reason,
        value=said.value,
        digest=approval.digest,
        tenant=asking.caller.tenant,
    )


def mark_of(approval: Approval) -> str:
    """What the person sees, in short: another round, call, question or generation of the run has another mark."""
    where = [approval.ref.tenant, approval.ref.id, approval.step, approval.opened_at, approval.question]
    return hashlib.sha256(pydantic_core.to_json(where) + approval.show).hexdigest()


def said_in(approval: Approval, given: ElicitResult) -> Said | None:
    """What the person filled in; None: they did not want to say."""
    if given.action != "accept":
        return None
    content = dict(given.content or {})
    reason = content.pop("reason", None)
    words = str(reason)[:2000] if reason else None
    if approval.digest is not None or _yes_or_no(approval):
        decision = content.get("decision")
        if decision not in ("approve", "deny"):
            return None
        return Said(decision == "approve", words)
    return Said(True, words, content if _fields(approval) else content.get("value"))


def _yes_or_no(approval: Approval) -> bool:
    row = approval.told
    return row.get("choices") is None and row.get("form") is None


def _fields(approval: Approval) -> dict[str, Any]:
    """Those of an answer that has several parts."""
    row = approval.told
    form: Any = row.get("form")
    if row.get("choices") is not None or not isinstance(form, dict):
        return {}
    return cast("dict[str, Any]", form).get("properties", {})


def _shown(approval: Approval) -> str:
    """The whole of what is asked, as the person reads it."""
    row = approval.told
    lines = [
        f"Agent `{safe(approval.agent)}` asks (run {approval.ref.id}):",
        safe(approval.question, lines=True),
    ]
    if approval.digest is not None:
        lines += [
            f"Call of tool `{safe(str(approval.tool))}` for {safe(str(approval.requester))}, with:",
            pretty(approval.arguments, indent=1),
            f"Digest {approval.digest[:12]}. It is done exactly so if you approve.",
        ]
    elif row.get("show") is not None:
        lines.append(pretty(row["show"], indent=1))
    if odd := suspicious(f"{approval.question}\n{pretty(row.get('arguments', row.get('show')))}"):
        lines.append(f"Look closely: {safe('; '.join(odd))}")
    return "\n".join(lines)


_REASON = {"type": "string", "title": "Why (may be left empty)", "maxLength": 2000}
_PLAIN = frozenset({"string", "number", "integer", "boolean"})


def _form_of(approval: Approval) -> dict[str, Any] | None:
    """The form of the answer, of flat fields only, as clients have them; None: there is none like that."""
    row = approval.told
    if approval.digest is not None or _yes_or_no(approval):
        decision = {"type": "string", "title": "Your decision", "enum": ["approve", "deny"]}
        return _object({"decision": decision, "reason": _REASON}, ["decision"])
    if row.get("choices") is not None:
        value = {"type": "string", "title": "Your answer", "enum": list(row["choices"])}
        return _object({"value": value, "reason": _REASON}, ["value"])
    form: dict[str, Any] = row["form"]
    if form.get("type") in _PLAIN:
        return _object({"value": form, "reason": _REASON}, ["value"])
    fields = _fields(approval)
    if not fields or any(one.get("type") not in _PLAIN for one in fields.values()) or "reason" in fields:
        return None
    return _object(fields, list(form.get("required", ())))


def _object(fields: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": fields, "required": required}
