"""Whether the agent, the run or its user may do anything at all: asked before each effect, before all other stages.

A model call goes by a look of the last second. An effect, and whatever uses an account or a token, goes by a look that
began after it was about to be made: for an effect beside the commit of its intent, so that it takes no longer for it.
Where the store cannot be read, nothing is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pydantic_core

from ...core.errors import Revoked, StoreError
from ...core.failures import Diagnosis, FailureClass
from ...governance.revocations import Revocation, Who
from ...journal import Kind
from ..replay.control import Unwind
from .call import Call
from .diagnosis import remember

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from .stages import Boundary

__all__ = ["STAGE", "cleared", "let_pass", "names_of"]

STAGE = "revocation"


def names_of(recorder: Recorder, agent: str) -> tuple[Who, ...]:
    """Whose revocation stops a run: also that of the agents, and of the runs, that handed its task on."""
    principal = recorder.principal
    names = [Who("run", recorder.ref.id), Who("agent", agent)]
    for handed in recorder.chain:
        names += [Who("run", handed.run), Who("agent", handed.agent)]
    if principal:
        names.append(Who("user", principal if ":" in principal else f"user:{principal}"))
    return tuple(names)


def cleared(boundary: Boundary) -> bool:
    """Whether a look of the last second has found nothing against the run; what was found against it counts longer."""
    revocations = boundary.rules.revocations
    if revocations is None:
        return True
    known = revocations.lately(boundary.recorder.ref.tenant)
    return known is not None and known.whole and known.first(boundary.names) is None


async def let_pass(call: Call, name: str, *, beside_commit: bool = False) -> None:
    """Return where nothing is revoked, by a look that begins now; `beside_commit`: and what was written is on disk.

    Raises `Revoked`, which stands in the journal then, and `Unwind` where the store cannot be read.
    """
    recorder, boundary = call.recorder, call.recorder.boundary
    revocations = boundary.rules.revocations
    if revocations is None:
        if beside_commit:
            await recorder.barrier(leave=True)
        return
    looked = revocations.look(recorder.ref.tenant)
    if beside_commit:
        await recorder.barrier(leave=True)
    try:
        known = await looked
        found = known.first(boundary.names)
        if found is None and not known.whole:
            found = await revocations.one_by_one(recorder.ref.tenant, boundary.names)
    except StoreError as error:
        recorder.fail(error)
        raise Unwind from error
    if found is not None:
        raise _refused(call, name, found)


def _refused(call: Call, name: str, found: Revocation) -> Revoked:
    reason = f": {found.reason}" if found.reason else ""
    error = Revoked(f"`{name}` was not called: {found.who} was revoked by {found.by}{reason}")
    error.what, error.name, error.by = found.who.what, found.who.name, found.by
    told = {
        "stage": STAGE,
        "verdict": "denied",
        "tool": name,
        "what": found.who.what,
        "name": found.who.name,
        "by": found.by,
        "reason": found.reason,
        "revoked_at": found.at,
    }
    call.recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(told), fingerprint=call.mark)
    diagnosis = Diagnosis(failure=FailureClass.REFUSED, not_sent=True, why=str(error))
    remember(cast("BaseException", error), diagnosis)
    return error
