"""What an operator does with a run from its page. Each is a form with its token, and a second look."""

from __future__ import annotations

import json

from starlette.responses import Response

from ...core.errors import InvalidInput
from ..visit import Visit

__all__ = ["DONE", "cancel", "pause", "resume", "settle"]

DONE = {
    "cancelled": "It is asked to stop at its next step.",
    "terminated": "It was ended; its code was not asked.",
    "paused": "It is held at its next step.",
    "resumed": "It goes on as soon as a worker is there.",
    "released": "It is released from quarantine, and goes on as soon as a worker is there.",
    "settled": "It is settled; the run goes on with that.",
}
"""What the page says afterwards, by the word in its address: nobody else's words can stand there."""


async def cancel(visit: Visit) -> Response:
    """Cancel it, or end it at once."""
    record = await visit.run()
    how = visit.given("how")
    await visit.app.cancel(
        record.ref.id,
        reason=visit.given("reason"),
        by=visit.by,
        terminate=how == "terminate",
        compensate=how == "compensate",
        tenant=visit.tenant,
    )
    return visit.to(f"/runs/{record.ref.id}", done="terminated" if how == "terminate" else "cancelled")


async def pause(visit: Visit) -> Response:
    """Hold it at its next step."""
    record = await visit.run()
    await visit.app.pause(record.ref.id, by=visit.by, tenant=visit.tenant)
    return visit.to(f"/runs/{record.ref.id}", done="paused")


async def resume(visit: Visit) -> Response:
    """Let it go on; out of quarantine too, where that is said."""
    record = await visit.run()
    reset = visit.given("reset") == "yes"
    await visit.app.resume(record.ref.id, by=visit.by, reset=reset, tenant=visit.tenant)
    return visit.to(f"/runs/{record.ref.id}", done="released" if reset else "resumed")


async def settle(visit: Visit) -> Response:
    """Say whether a write in doubt happened, and with what result."""
    record = await visit.run()
    said = visit.given("happened")
    if said not in ("yes", "no"):
        raise InvalidInput("say whether it happened: the run builds on what you say")
    result = None
    if said == "yes" and (text := visit.given("result")):
        try:
            result = json.loads(text)
        except ValueError as error:
            raise InvalidInput(f"the result is not JSON ({error}); text stands in quotes") from None
    await visit.app.settle(
        record.ref.id,
        visit.given("step"),
        happened=said == "yes",
        result=result,
        by=visit.by,
        tenant=visit.tenant,
    )
    return visit.to(f"/runs/{record.ref.id}", done="settled")
