"""The answers of humans in a run's journal, looked at again: by whoever has the entries and the registry of keys.

Needs neither the app nor the store. What a run said of an answer (VERDICT, or SETTLED of a write in doubt) is compared
with what was shown (WAITING), what came (MESSAGE), and the signature over both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

import pydantic_core
from pydantic import ValidationError

from ..core.approval_settings import ApprovalSettings
from ..core.approver_keys import ApproverKey
from ..core.errors import BadSignature
from ..core.ids import RunRef
from ..core.people import person
from ..core.statements import Decision, Statement, digest_of, shown_of_doubt
from ..journal import Entry, Kind

if TYPE_CHECKING:
    from ..identity.approvals import Signed

__all__ = ["VerifiedAnswer", "verify_answer", "verify_answers"]

_SAID: dict[str, Decision] = {"approved": "approve", "supported": "approve", "denied": "reject"}
_SETTLED_BY = " (settle)"
"""Behind the name of whoever has settled a write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedAnswer:
    """What a VERDICT or SETTLED says of a human's answer, and what its evidence says of that."""

    seq: int
    """of that entry"""
    step: str
    tool: str
    decision: Decision
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
    found = (verify_answer(ref, entry, entries, settings) for entry in entries)
    return [answer for answer in found if answer is not None]


def verify_answer(
    ref: RunRef, entry: Entry, entries: Sequence[Entry], settings: ApprovalSettings
) -> VerifiedAnswer | None:
    """What one entry says of an answer, with the journal that it stands in; None: it is of no human's, or is erased."""
    told = _told(entry)
    if told is None or told.get("from") is None or told.get("by") is None:
        return None  # nobody answered in time, or nobody was asked
    message = next((e for e in entries if e.seq == told["from"] and e.kind == Kind.MESSAGE), None)
    came = None if message is None else _told(message)
    before = [e for e in reversed(entries) if e.kind == Kind.WAITING and e.seq < entry.seq]
    if entry.kind == Kind.VERDICT and told.get("stage") == "approval" and told.get("verdict") in _SAID:
        case = _of_call(entry, told, before, came)
    elif entry.kind == Kind.SETTLED and str(told["by"]).endswith(_SETTLED_BY):
        case = _of_doubt(entry, told, before, came)
    else:
        return None
    found: dict[str, Any] = {
        "seq": entry.seq,
        "step": case.step,
        "tool": case.tool,
        "decision": case.decision,
        "by": case.by,
        "reason": case.reason,
        "run": str(ref) if case.shown is None else case.shown["run"],
        "digest": case.digest,
    }
    if case.shown is None or came is None:
        return VerifiedAnswer(**found, signature="erased", why="what was shown, or what came, is not there")
    if not told.get("signed"):
        return VerifiedAnswer(**found, signature="none")
    signed: dict[str, Any] = told["signed"]
    found |= {"key": signed["key"], "iat": signed["iat"]}
    if "passkey" in signed and settings.passkeys is None:
        why = (
            "`[approvals.passkeys]` is not set here: passkeys sign for a host, and it is not known for which"
        )
        return VerifiedAnswer(**found, signature="unknown", why=why)
    unknown = _unknown(signed, settings)
    try:  # a key's id is worked out from the key: another one under the same id is not found
        _verify(ref, case, case.shown, came, signed, _as_it_was(signed, settings) if unknown else settings)
    except BadSignature as error:
        return VerifiedAnswer(**found, signature="bad", why=str(error))
    return VerifiedAnswer(**found, signature="unknown" if unknown else "good", why=unknown)


def _unknown(signed: dict[str, Any], settings: ApprovalSettings) -> str:
    """Why what is here cannot say whether the key was the person's, or their issuer's; empty where it can."""
    if "issuer" not in signed:
        if settings.key(signed["key"]) is not None:
            return ""
        return f"the registry has no key `{signed['key']}` of `{signed['by']}`: revoke keys, and leave them there"
    issuer = next((i for i in settings.issuers.values() if i.url == signed["issuer"]), None)
    if issuer is not None and issuer.jwks is not None and "://" not in issuer.jwks:
        return ""
    return (
        f"nothing is asked of `{signed['issuer']}` here: the key is as the run wrote it down. Keep the issuer's keys "
        "in a file, and name it as its `jwks`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """What the journal says that was shown and answered."""

    step: str
    tool: str
    shown: dict[str, Any] | None
    nonce: str
    digest: str
    decision: Decision
    arguments: str | None
    by: str
    reason: str | None
    wrong: str = ""


def _of_call(verdict: Entry, told: dict[str, Any], before: list[Entry], came: dict[str, Any] | None) -> _Case:
    key = told.get("step", verdict.key)  # the approval of an earlier step, for the same effect
    this = (told["digest"], told.get("gate"))  # policies may ask several people about one call
    asked = (
        w for e in before if e.key == key and (w := _told(e)) and (w.get("digest"), w.get("gate")) == this
    )
    waiting = next(asked, None)
    shown: dict[str, Any] | None = None if waiting is None else waiting["show"]
    edited: dict[str, Any] = told.get("edited") or {}
    wrong = ""
    if shown is not None and digest_of(shown) != told["digest"]:
        wrong = "what was shown has another digest than what was answered"
    elif shown is not None and _other(shown, edited):
        wrong = "the arguments that were put in place have another digest than was signed"
    return _Case(
        step=key,
        tool=told["tool"],
        shown=shown,
        nonce="" if waiting is None else waiting.get("nonce", ""),
        digest=told["digest"],
        decision=_SAID[told["verdict"]],
        # whoever was asked before may have put others in place: they were shown, and are not this one's
        arguments=None if came is None or came["body"].get("arguments") is None else edited.get("digest"),
        by=told["by"],
        reason=told.get("reason"),
        wrong=wrong,
    )


def _other(shown: dict[str, Any], edited: dict[str, Any]) -> bool:
    return bool(edited) and digest_of({**shown, "arguments": edited["arguments"]}) != edited["digest"]


def _of_doubt(
    settled: Entry, told: dict[str, Any], before: list[Entry], came: dict[str, Any] | None
) -> _Case:
    asked = (w for e in before if e.key == settled.key and (w := _told(e)) and w.get("on") == "in_doubt")
    waiting = next(asked, None)
    shown = None if waiting is None else shown_of_doubt(waiting, settled.key)
    result: Any = None if came is None else came["body"].get("result")
    happened = bool(told["happened"])
    return _Case(
        step=settled.key,
        tool="" if shown is None else str(shown["tool"]),
        shown=shown,
        nonce="" if waiting is None else waiting.get("nonce", ""),
        digest="" if shown is None else digest_of(shown),
        decision="happened" if happened else "did_not_happen",
        arguments=digest_of({**shown, "result": result}) if happened and shown is not None else None,
        by=str(told["by"]).removesuffix(_SETTLED_BY),
        reason=None,
    )


def _as_it_was(signed: dict[str, Any], settings: ApprovalSettings) -> ApprovalSettings:
    """The registry as far as the run has written it down."""
    if "issuer" in signed:
        return settings
    try:
        told = {"keys": {signed["by"]: [signed["public"]]}, "passkeys": settings.passkeys}
        return ApprovalSettings.model_validate(told)
    except ValidationError as error:
        raise BadSignature("the key that the run wrote down is none") from error


def _verify(
    ref: RunRef,
    case: _Case,
    shown: dict[str, Any],
    came: dict[str, Any],
    signed: dict[str, Any],
    settings: ApprovalSettings,
) -> None:
    if case.wrong:
        raise BadSignature(case.wrong)
    if came["kind"] not in ("answer", "settle") or came["sender"] != case.by:
        raise BadSignature(f"the message is of `{came['sender']}`, and `{case.by}` is said to have answered")
    expected = Statement(
        tenant=ref.tenant,
        run=shown["run"],
        step=shown["step"],
        digest=case.digest,
        decision=case.decision,
        arguments=case.arguments,
        reason=case.reason,
        nonce=case.nonce,
        sub=case.by,
        iat=signed["iat"],
        kid=signed["key"],
    )
    if _examined(came["body"].get("proof"), expected, settings, signed, at=came["at"]) != signed:
        raise BadSignature("what the run wrote of the signature is not what it is")


def _examined(
    proof: Any, expected: Statement, settings: ApprovalSettings, signed: dict[str, Any], *, at: int
) -> dict[str, Any]:
    """What was to be written of the signature."""
    now: int = signed["checked_at"]
    if isinstance(proof, dict) and "passkey" in proof:
        from ..identity.passkeys import asserted

        found = settings.key(signed["key"])
        if found is None:
            raise BadSignature(f"nobody has the key `{signed['key']}`")
        owner, key = found
        if person(owner) != person(signed["by"]):
            raise BadSignature(f"the passkey is of `{owner}`, and `{signed['by']}` is said to have answered")
        told = cast("dict[str, Any]", proof)
        good = asserted(told, key, signed["by"], expected, settings, at=at, now=now)
        return _not_revoked(good, key, now)
    if isinstance(proof, dict):
        from ..identity.approver_tokens import ApproverTokens, as_it_was

        issuers = {name: i for name, i in settings.issuers.items() if i.url == signed.get("issuer")}
        if not issuers:
            raise BadSignature(f"`{signed.get('issuer')}` is no issuer that vouches for approvers here")
        asked = _unknown(signed, settings)
        keys = as_it_was(signed["issuer"], signed["public"]) if asked else None
        told = cast("dict[str, Any]", proof)
        return ApproverTokens(issuers, keys=keys).examine(told, expected, settings, at=at, now=now).told()
    from ..identity.approvals import examined

    good, key = examined(proof, expected, settings, at=at, now=now)
    return _not_revoked(good, key, now)


def _not_revoked(good: Signed, key: ApproverKey, now: int) -> dict[str, Any]:
    until = key.revoked_since()
    if until is not None and until <= now:
        raise BadSignature("the key had been revoked before it was looked at")
    return good.told()


def _told(entry: Entry) -> dict[str, Any] | None:
    if entry.erased or entry.sealed or not entry.payload:
        return None
    try:
        found: Any = pydantic_core.from_json(entry.payload)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None  # pyright: ignore[reportUnknownVariableType]
