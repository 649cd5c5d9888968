"""Whether whoever answers may be believed, as the store stands now: not revoked, and the answer signed by them.

Looked at once, live, by the run that asks. Where the store cannot be read nothing is believed, and the run unwinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...core.errors import StoreError
from ...core.people import person
from ...governance.revocations import Who
from ..replay.control import Unwind
from .proof import problem_of

if TYPE_CHECKING:
    from ...identity.approvals import Signed
    from ..replay.recorder import Recorder

__all__ = ["standing_of"]


async def standing_of(
    recorder: Recorder,
    row: Mapping[str, Any],
    body: Mapping[str, Any],
    sender: str,
    *,
    arguments: str | None,
    at: int,
) -> tuple[str, Signed | None]:
    """Why they may not be, empty where they may; and the signature that was found good."""
    rules = recorder.boundary.rules
    try:
        if problem := await _revoked(recorder, sender):
            return problem, None
        return await problem_of(
            row,
            body,
            sender,
            rules.approvals,
            recorder.store,
            arguments=arguments,
            at=at,
            vouching=rules.approver_proof,
        )
    except StoreError as error:
        recorder.fail(error)
        raise Unwind from error


async def _revoked(recorder: Recorder, sender: str) -> str:
    revocations = recorder.boundary.rules.revocations
    if revocations is None:
        return ""
    said = sender if ":" in sender else f"user:{sender}"
    names = [Who("user", said), Who("user", f"user:{person(sender)}")]
    seen = await revocations.look(recorder.ref.tenant)
    found = seen.first(names)
    if found is None and not seen.whole:
        found = await revocations.one_by_one(recorder.ref.tenant, names)
    if found is None:
        return ""
    why = f": {found.reason}" if found.reason else ""
    return f"{found.who} was revoked by {found.by}{why}; somebody else has to answer"
