"""`/runs/RUN/...`: what people and programs do to a run that is there."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ..app.histories import KEPT
from ..client.models import (
    Accepted,
    Cancel,
    Fork,
    Resume,
    RetryRun,
    RunId,
    RunOut,
    Settle,
    Signal,
    Taken,
)
from ..core.errors import RunEnded
from ..journal import RunStatus
from .callers import Operator, TheApp
from .routes import GatedRoute
from .runs import record_of
from .shapes import run_out

__all__ = ["router"]

router = APIRouter(prefix="/runs/{run}", tags=["runs"], route_class=GatedRoute)


@router.post("/signal", status_code=202)
async def signal(run: RunId, asked: Signal, caller: Operator, app: TheApp) -> Taken:
    """Send it a message, for its `run.receive(NAME)`."""
    fresh = await app.signal(
        run,
        asked.name,
        asked.payload,
        message_id=asked.message_id,
        sender=caller.subject,
        tenant=caller.tenant,
    )
    return Taken(run=run, fresh=fresh)


@router.post("/cancel", status_code=202)
async def cancel(run: RunId, asked: Cancel, caller: Operator, app: TheApp) -> RunOut:
    """Cancel it: `RunCancelled` is raised at its next step, unless it is to end at once (`terminate`)."""
    await app.cancel(
        run,
        reason=asked.reason,
        by=caller.subject,
        terminate=asked.terminate,
        compensate=asked.compensate,
        tenant=caller.tenant,
    )
    return run_out(await record_of(app, run, caller))


@router.post("/pause", status_code=202)
async def pause(run: RunId, caller: Operator, app: TheApp) -> RunOut:
    """Hold it at its next step until it is resumed."""
    await app.pause(run, by=caller.subject, tenant=caller.tenant)
    return run_out(await record_of(app, run, caller))


@router.post("/resume", status_code=202)
async def resume(run: RunId, caller: Operator, app: TheApp, asked: Resume | None = None) -> RunOut:
    """Let it go on where it is paused; make one that waits look again."""
    record = await record_of(app, run, caller)
    reset = asked is not None and asked.reset
    if record.status is RunStatus.QUARANTINED and not reset:
        raise RunEnded(
            f"run `{record.ref}` is quarantined: it killed its workers; when that is mended, send `reset: true`"
        )
    await app.resume(run, by=caller.subject, reset=reset, tenant=caller.tenant)
    return run_out(await record_of(app, run, caller))


@router.post("/settle", status_code=202)
async def settle(run: RunId, asked: Settle, caller: Operator, app: TheApp) -> Taken:
    """Say whether a write in doubt happened. Look first: the run builds on what is said."""
    await record_of(app, run, caller)
    fresh = await app.settle(
        run,
        asked.step,
        happened=asked.happened,
        result=asked.result,
        by=caller.subject,
        proof=asked.proof,
        tenant=caller.tenant,
    )
    return Taken(run=run, fresh=fresh)


@router.post(
    "/retry", status_code=201, responses={200: {"model": Accepted, "description": "It was there before"}}
)
async def retry(
    run: RunId, caller: Operator, app: TheApp, response: Response, asked: RetryRun | None = None
) -> Accepted:
    """A new run that tries again what ended this one: it keeps every result but the failure."""
    asked = asked or RetryRun()
    handle = await app.retry(
        run,
        run_id=asked.run_id,
        version=asked.version,
        force=asked.force,
        by=caller.subject,
        tenant=caller.tenant,
    )
    response.status_code = 201 if handle.fresh else 200
    return Accepted(run=handle.id, tenant=handle.ref.tenant, fresh=handle.fresh)


@router.post(
    "/fork", status_code=201, responses={200: {"model": Accepted, "description": "It was there before"}}
)
async def fork(run: RunId, asked: Fork, caller: Operator, app: TheApp, response: Response) -> Accepted:
    """A new run that has all of this one before a step, and goes on by itself from there."""
    handle = await app.fork(
        run,
        from_step=asked.from_step,
        input=asked.input if "input" in asked.model_fields_set else KEPT,
        run_id=asked.run_id,
        version=asked.version,
        by=caller.subject,
        tenant=caller.tenant,
    )
    response.status_code = 201 if handle.fresh else 200
    return Accepted(run=handle.id, tenant=handle.ref.tenant, fresh=handle.fresh)
