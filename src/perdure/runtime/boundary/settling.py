"""What a human says of a write in doubt: whether it happened, and with what result.

Who says that it did not lets it be tried again. So, where answers to calls are signed, this is signed too: over what
was known of the write, and under a nonce of its own.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.approval_settings import ApprovalSettings, Signatures
from ...core.errors import BadSignature
from ...core.ids import RunRef
from ...core.people import is_agent
from ...core.statements import Statement, digest_of, shown_of_doubt
from ...governance.signatures import ApproverProof, proven
from ...journal import Entry, Kind, Store, WaitReason
from ..replay.history import as_replayed

if TYPE_CHECKING:
    from ...identity.approvals import Signed
    from ...identity.approver_file import SigningKey

__all__ = ["DoubtfulWrite", "asked_in", "problem_of_word", "sign_settlement", "standing_doubts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DoubtfulWrite:
    """A write of which nobody knows whether it happened, as a human is asked about it."""

    ref: RunRef
    step: str
    shown: Mapping[str, Any]
    """what is known: `tool`, `arguments`, `why` it is in doubt, the `problem` of its `verify`; `run` and `step`"""
    nonce: str
    signing: Signatures | None = None
    """whether the worker that asks looks for a signature"""

    @classmethod
    def of(cls, ref: RunRef, waiting: Entry) -> DoubtfulWrite:
        """As the journal says."""
        told: dict[str, Any] = pydantic_core.from_json(waiting.payload)
        return cls(
            ref=ref,
            step=waiting.key,
            shown=shown_of_doubt(told, waiting.key),
            nonce=told.get("nonce", ""),
            signing=told.get("signing"),
        )

    @property
    def digest(self) -> str:
        """Of what is shown."""
        return digest_of(self.shown)

    def statement(
        self, *, by: str, happened: bool, result: Any = None, iat: int = 0, kid: str | None = None
    ) -> Statement:
        """What such an answer says: its `text()` is what is signed."""
        return Statement(
            tenant=self.ref.tenant,
            run=str(self.shown["run"]),
            step=self.step,
            digest=self.digest,
            decision="happened" if happened else "did_not_happen",
            arguments=digest_of({**self.shown, "result": result}) if happened else None,
            nonce=self.nonce,
            sub=by,
            iat=iat,
            kid=kid,
        )


def asked_in(entries: Sequence[Entry]) -> Entry | None:
    """The entry by which a human was asked last."""
    return next((e for e in reversed(entries) if _asks(e)), None)


def _asks(entry: Entry) -> bool:
    return entry.kind == Kind.WAITING and pydantic_core.from_json(entry.payload)["on"] == WaitReason.IN_DOUBT


def standing_doubts(ref: RunRef, entries: Sequence[Entry]) -> dict[str, DoubtfulWrite]:
    """The writes that wait for somebody to settle them, by the keys of their steps."""
    standing: dict[str, DoubtfulWrite] = {}
    for entry in as_replayed(entries):
        if _asks(entry):
            standing[entry.key] = DoubtfulWrite.of(ref, entry)
        elif entry.kind in (Kind.SETTLED, Kind.RESULT, Kind.FAILED):
            standing.pop(entry.key, None)
    return standing


async def problem_of_word(
    doubt: DoubtfulWrite,
    body: Mapping[str, Any],
    sender: str,
    settings: ApprovalSettings,
    store: Store,
    *,
    at: int,
    vouching: ApproverProof | None,
) -> tuple[str, Signed | None]:
    """Why somebody's word does not count, empty where it does; and the signature that was found good. `StoreError`."""
    proof = body.get("proof")
    if settings.settling is None or (proof is None and settings.settling == "optional"):
        return "", None
    if is_agent(sender):
        return f"`{sender}` is an agent, and what it says of a write cannot be signed", None
    said = doubt.statement(by=sender, happened=bool(body.get("happened")), result=body.get("result"))
    try:
        now = store.now()
        return "", await proven(proof, said, settings, store, at=at, now=now, vouching=vouching)
    except BadSignature as error:
        return str(error), None


def sign_settlement(
    doubt: DoubtfulWrite,
    key: SigningKey,
    *,
    by: str | None = None,
    happened: bool,
    result: Any = None,
    now: float | None = None,
) -> str:
    """Sign what is said of a write in doubt, for `App.settle(..., proof=...)`, which is given the same.

    `by` is the key's owner where it is not said; `now` is seconds since the Unix epoch.
    """
    iat = int(time.time() if now is None else now)
    said = doubt.statement(by=by or key.user, happened=happened, result=result, iat=iat, kid=key.public.kid)
    return key.sign(said.text())
