"""Whether the agent, the run or its user may do anything at all: asked before each effect, before all other stages.

What is revoked is refused. What is stopped is held: VERDICT `stop` says by whom and why, the branch is parked, and goes
on where somebody lets it (message `go_on`); nothing of the call is lost, and none has failed.

A model call, a plain read and a step go by a look of the last half second. An effect, and whatever uses an account or a
token, goes by a look that began after it was about to be made: for an effect beside the commit of its intent, so that
it takes no longer for it. Where the store cannot be read, nothing is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ...core.errors import Revoked, StoreError
from ...core.failures import Diagnosis, FailureClass
from ...governance.revocations import EVERYTHING, Revocation, Who
from ...governance.stops import held_run
from ...journal import Change, Entry, Kind, WaitReason
from ..replay.control import Unwind
from .call import Call, Way
from .diagnosis import remember

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from .stages import Boundary

__all__ = ["STAGE", "STOP", "Held", "cleared", "hold", "let_pass", "names_of", "not_begun"]

STAGE = "revocation"
STOP = "stop"


class Held(Exception):
    """The call may not be made now: somebody has stopped it. Never seen outside of the boundary."""

    def __init__(self, name: str, found: Revocation) -> None:
        super().__init__(f"`{name}` was not called yet: {found.who} was stopped by {found.by}")
        self.name = name
        self.found = found
        self.diagnosis = Diagnosis(failure=FailureClass.REFUSED, not_sent=True, why=str(self))
        remember(self, self.diagnosis)


def names_of(recorder: Recorder, agent: str) -> tuple[Who, ...]:
    """Whose revocation stops a run: also that of the agents, and of the runs, that handed its task on."""
    principal = recorder.principal
    names = [Who("run", recorder.ref.id), Who("agent", agent)]
    for handed in recorder.chain:
        names += [Who("run", handed.run), Who("agent", handed.agent)]
    if principal:
        names.append(Who("user", principal if ":" in principal else f"user:{principal}"))
    return (*names, Who("tenant", recorder.ref.tenant), EVERYTHING)


def cleared(boundary: Boundary) -> bool:
    """Whether a look of the last half second has found nothing against the run; what was found counts longer."""
    revocations = boundary.rules.revocations
    if revocations is None:
        return True
    known = revocations.lately(boundary.recorder.ref.tenant)
    return (
        known is not None
        and known.whole
        and known.first(names := boundary.names) is None
        and (known.stopped(names) is None)
    )


async def let_pass(call: Call, name: str, *, beside_commit: bool = False) -> None:
    """Return where nothing is revoked, by a look that begins now; `beside_commit`: and what was written is on disk.

    Raises `Held`; `Revoked`, which stands in the journal then; and `Unwind` where the store cannot be read.
    """
    recorder, boundary = call.recorder, call.recorder.boundary
    revocations = boundary.rules.revocations
    if revocations is None:
        if beside_commit:
            await recorder.barrier(leave=True)
        return
    tenant, names = recorder.ref.tenant, boundary.names
    looked = revocations.look(tenant)
    if beside_commit:
        await recorder.barrier(leave=True)
    try:
        known = await asyncio.shield(looked)  # who has lost a race meanwhile leaves at once, as on replay
        found, stopped = known.first(names), known.stopped(names)
        if not known.whole:
            found = found or await revocations.one_by_one(tenant, names)
            stopped = stopped or await revocations.one_by_one(tenant, names, stop=True)
    except StoreError as error:
        recorder.fail(error)
        raise Unwind from error
    if found is not None and call.kind != "step":
        raise _refused(call, name, found)
    if stopped is not None:
        raise Held(name, stopped)


def _refused(call: Call, name: str, found: Revocation) -> Revoked:
    reason = f": {found.reason}" if found.reason else ""
    error = Revoked(f"`{name}` was not called: {found.who} was revoked by {found.by}{reason}")
    error.what, error.name, error.by = found.who.what, found.who.name, found.by
    told = _told(STAGE, "denied", name, found) | {"revoked_at": found.at}
    call.recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(told), fingerprint=call.mark)
    diagnosis = Diagnosis(failure=FailureClass.REFUSED, not_sent=True, why=str(error))
    remember(cast("BaseException", error), diagnosis)
    return error


# holding -----------------------------------------------------------------------------------------------------------


async def hold(call: Call, held: Held, trail: list[Entry]) -> None:
    """Park the branch until the call may be looked at again. Raises what `pause` raises.

    Whoever lets it go on looks for the runs that are held before this one may be: so it is looked at once more when it
    can be found.
    """
    from .stages import pause

    recorder, found = call.recorder, held.found
    told = _told(STOP, "wait", held.name, found) | {"stopped_at": found.at}
    if _last_stop(trail) != told:
        kept = held_run(recorder.ref, found.who)
        recorder.write(
            Kind.VERDICT,
            call.key,
            pydantic_core.to_json(told),
            fingerprint=call.mark,
            change=Change(amendments=(kept,)),
        )
        trail.append(recorder.last)
        await recorder.barrier()
        try:
            await let_pass(call, held.name)
        except Held:
            pass
        else:
            return
    await pause(call, WaitReason.STOPPED, None)


def not_begun(call: Call, way: Way, held: Held, attempt: int) -> bytes:
    """What ATTEMPT says of an effect that was stopped behind its intent: it was not sent, and does not count."""
    now = call.recorder.store.now()
    told = {"attempt": attempt, "by": way.name, "class": "stopped", "not_sent": True, "why": str(held)}
    return pydantic_core.to_json({**told, "since": now, "wait": 0, "due": now, "then": None})


def _told(stage: str, verdict: str, tool: str, found: Revocation) -> dict[str, Any]:
    return {
        "stage": stage,
        "verdict": verdict,
        "tool": tool,
        "what": found.who.what,
        "name": found.who.name,
        "by": found.by,
        "reason": found.reason,
    }


def _last_stop(trail: list[Entry]) -> Mapping[str, Any] | None:
    """What the last VERDICT of the step says, where it is that it was stopped, and nothing was tried since."""
    for entry in reversed(trail):
        if entry.kind == Kind.INTENT:
            return None
        if entry.kind == Kind.VERDICT:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            return told if told.get("stage") == STOP else None
    return None
