"""The answers of humans in a run's journal, looked at again: by whoever has the entries and the registry of keys.

Needs neither the app nor the store. What a run said of an answer (VERDICT) is compared with what was shown (WAITING),
what came (MESSAGE), and the signature over both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pydantic_core
from pydantic import ValidationError

from ..core.approval_settings import ApprovalSettings
from ..core.errors import BadSignature
from ..core.ids import RunRef
from ..core.statements import Statement, digest_of
from ..journal import Entry, Kind

__all__ = ["VerifiedAnswer", "verify_answer", "verify_answers"]

_SAID = {"approved": "approve", "denied": "reject"}


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAnswer:
    """What one VERDICT says of a human's answer, and what its evidence says of that."""

    seq: int
    """of the VERDICT"""
    step: str
    tool: str
    decision: Literal["approve", "reject"]
    by: str
    reason: str | None
    run: str
    """the run that was shown: another than the journal's where a fork took the answer over"""
    digest: str
    """of what was shown"""
    signature: Literal["good", "unknown", "none", "bad", "erased"]
    """`unknown`: good by the key that the run went by, which this registry does not hold (any more); `none`: it counted
    without one; `erased`: a payload that is needed was taken away"""
    why: str = ""
    """what is wrong"""
    key: str | None = None
    """the id of the key that signed"""
    iat: int | None = None
    """when it was signed, seconds since the Unix epoch, by the signer's clock"""


def verify_answers(ref: RunRef, entries: Sequence[Entry], settings: ApprovalSettings) -> list[VerifiedAnswer]:
    """All answers of humans that decided on a call of a run, in order; `settings` hold the registry of keys.

    Whether the entries are what was written is for `verify_chain` to say.
    """
    return [
        found
        for entry in entries
        if entry.kind == Kind.VERDICT and (found := verify_answer(ref, entry, entries, settings)) is not None
    ]


def verify_answer(
    ref: RunRef, verdict: Entry, entries: Sequence[Entry], settings: ApprovalSettings
) -> VerifiedAnswer | None:
    """One of them, with the journal that it stands in; None: the VERDICT is of no human's answer, or is erased."""
    told = _told(verdict)
    if told is None or told.get("stage") != "approval" or told.get("verdict") not in _SAID:
        return None
    if told.get("by") is None or told.get("from") is None:
        return None  # nobody answered in time
    message = next((e for e in entries if e.seq == told["from"] and e.kind == Kind.MESSAGE), None)
    key = told.get("step", verdict.key)  # the approval of an earlier step, for the same effect
    waiting = next(
        (
            e
            for e in reversed(entries)
            if e.kind == Kind.WAITING and e.seq < verdict.seq and e.key == key and _is(e, told["digest"])
        ),
        None,
    )
    shown = None if waiting is None else _told(waiting)
    came = None if message is None else _told(message)
    found: dict[str, Any] = {
        "seq": verdict.seq,
        "step": key,
        "tool": told["tool"],
        "decision": _SAID[told["verdict"]],
        "by": told["by"],
        "reason": told.get("reason"),
        "run": str(ref) if shown is None else shown["show"]["run"],
        "digest": told["digest"],
    }
    if shown is None or came is None:
        return VerifiedAnswer(**found, signature="erased", why="what was shown, or what came, is not there")
    if not told.get("signed"):
        return VerifiedAnswer(**found, signature="none")
    signed: dict[str, Any] = told["signed"]
    found |= {"key": signed["key"], "iat": signed["iat"]}
    known = settings.key(signed["key"]) is not None
    try:  # a key's id is worked out from the key: another one under the same id is not found
        _verify(ref, told, shown, came, settings if known else _as_it_was(signed))
    except BadSignature as error:
        return VerifiedAnswer(**found, signature="bad", why=str(error))
    if not known:
        why = f"the registry has no key `{signed['key']}` of `{signed['by']}`: revoke keys, and leave them there"
        return VerifiedAnswer(**found, signature="unknown", why=why)
    return VerifiedAnswer(**found, signature="good")


def _as_it_was(signed: dict[str, Any]) -> ApprovalSettings:
    """The registry as far as the run has written it down."""
    try:
        return ApprovalSettings.model_validate({"keys": {signed["by"]: [signed["public"]]}})
    except ValidationError as error:
        raise BadSignature("the key that the run wrote down is none") from error


def _verify(
    ref: RunRef,
    told: dict[str, Any],
    waiting: dict[str, Any],
    came: dict[str, Any],
    settings: ApprovalSettings,
) -> None:
    from ..identity.approvals import examined

    show, body, signed = waiting["show"], came["body"], told["signed"]
    edited: dict[str, Any] = told.get("edited") or {}
    if digest_of(show) != told["digest"]:
        raise BadSignature("what was shown has another digest than what was answered")
    if edited and digest_of({**show, "arguments": edited["arguments"]}) != edited["digest"]:
        raise BadSignature("the arguments that were put in place have another digest than was signed")
    if came["kind"] != "answer" or came["sender"] != told["by"]:
        raise BadSignature(
            f"the message is of `{came['sender']}`, and `{told['by']}` is said to have answered"
        )
    expected = Statement(
        tenant=ref.tenant,
        run=show["run"],
        step=show["step"],
        digest=told["digest"],
        decision="approve" if told["verdict"] == "approved" else "reject",
        arguments=edited.get("digest"),
        reason=told.get("reason"),
        nonce=waiting.get("nonce", ""),
        sub=told["by"],
        iat=signed["iat"],
        kid=signed["key"],
    )
    good, key = examined(body.get("proof"), expected, settings, at=told["at"], now=signed["checked_at"])
    if good.told() != signed:
        raise BadSignature("what the run wrote of the signature is not what it is")
    until = key.revoked_since()
    if until is not None and until <= signed["checked_at"]:
        raise BadSignature("the key had been revoked before it was looked at")


def _is(waiting: Entry, digest: str) -> bool:
    told = _told(waiting)
    return told is not None and told.get("digest") == digest


def _told(entry: Entry) -> dict[str, Any] | None:
    if entry.erased or not entry.payload:
        return None
    found: Any = pydantic_core.from_json(entry.payload)
    return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]
