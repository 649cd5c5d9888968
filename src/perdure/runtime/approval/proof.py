"""The signature of an answer to a question about a call: whether one is needed, and whether it is over this answer.

Asked twice, as all of an answer is: by whoever sends it, to be told at once, and by the run, which decides. It looks
once, live; what it found is in its journal, with the id of the key, and a replay looks at no key.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.approval_settings import ApprovalSettings, Signatures
from ...core.errors import BadSignature
from ...core.statements import Statement, digest_of
from ...governance.signatures import ApproverProof, proven
from ...journal import Approval, Store

if TYPE_CHECKING:
    from ...identity.approvals import Signed
    from ...identity.approver_file import SigningKey

__all__ = ["answer_statement", "first_look", "problem_of", "sign_answer", "signing", "statement"]


def signing(row: Mapping[str, Any], settings: ApprovalSettings) -> Signatures | None:
    """Whether the answer to that question is signed. A rule may ask for more than the settings, never for less."""
    return "required" if row.get("signed") else settings.signing


def statement(
    row: Mapping[str, Any],
    sender: str,
    *,
    approved: bool,
    reason: str | None,
    arguments: str | None,
    iat: int = 0,
    kid: str | None = None,
) -> Statement:
    """What such an answer says. `arguments`: the digest of what was shown, with those that are put in place."""
    return Statement(
        tenant=row["tenant"],
        run=row["show"]["run"],
        step=row["show"]["step"],
        digest=row["digest"],
        decision="approve" if approved else "reject",
        arguments=arguments if approved else None,
        reason=reason,
        nonce=row["nonce"],
        sub=sender,
        iat=iat,
        kid=kid,
    )


async def problem_of(
    row: Mapping[str, Any],
    body: Mapping[str, Any],
    sender: str,
    settings: ApprovalSettings,
    store: Store,
    *,
    arguments: str | None,
    at: int,
    vouching: ApproverProof | None,
) -> tuple[str, Signed | None]:
    """Why the answer's signature does not let it count, empty where it does; and what was found good. `StoreError`."""
    how, proof = signing(row, settings), body.get("proof")
    if how is None or (proof is None and how == "optional"):
        return "", None
    reason: Any = body.get("reason")
    said = statement(row, sender, approved=bool(body.get("approved")), reason=reason, arguments=arguments)
    try:
        now = store.now()
        return "", await proven(proof, said, settings, store, at=at, now=now, vouching=vouching)
    except BadSignature as error:
        return str(error), None


async def first_look(
    row: Mapping[str, Any],
    body: Mapping[str, Any],
    sender: str,
    settings: ApprovalSettings,
    store: Store,
    vouching: ApproverProof | None,
) -> str:
    """The same for whoever sends it, as far as these settings have the keys by which the run will go."""
    if body.get("proof") is not None and not settings.verifiable:
        return ""
    there = {**row, "signed": row.get("signing") == "required"}
    given: Any = body.get("arguments")
    edited = None if given is None else digest_of({**row["show"], "arguments": given})
    found, _ = await problem_of(
        there, body, sender, settings, store, arguments=edited, at=store.now(), vouching=vouching
    )
    return found


def answer_statement(
    question: Approval,
    *,
    by: str,
    approved: bool,
    reason: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    iat: int,
    kid: str | None,
) -> Statement:
    """What an answer to an open question says: its `text()` is what is signed."""
    row = question.told
    edited = None if arguments is None else digest_of({**row["show"], "arguments": dict(arguments)})
    return statement(row, by, approved=approved, reason=reason, arguments=edited, iat=iat, kid=kid)


def sign_answer(
    question: Approval,
    key: SigningKey,
    *,
    by: str | None = None,
    approved: bool,
    reason: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    now: float | None = None,
) -> str:
    """Sign an answer to an open question, for `App.answer(..., proof=...)`, which is given the same.

    `by` is the key's owner where it is not said; `now` is seconds since the Unix epoch.
    """
    said = answer_statement(
        question,
        by=by or key.user,
        approved=approved,
        reason=reason,
        arguments=arguments,
        iat=int(time.time() if now is None else now),
        kid=key.public.kid,
    )
    return key.sign(said.text())
