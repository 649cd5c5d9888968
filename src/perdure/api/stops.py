"""`/stops`: what is held before its next effect, on every worker, and what goes on."""

from __future__ import annotations

from fastapi import APIRouter, Response

from ..access.stops import Target, lift, stop
from ..client.models import Lifted, Page, Stop, StopOut, Stopped
from ..core.clock import from_micros
from ..core.errors import RunConflict
from ..governance import Revocation
from .callers import Operator, TheApp, Viewer
from .routes import GatedRoute

__all__ = ["router"]

router = APIRouter(prefix="/stops", tags=["stops"], route_class=GatedRoute)


@router.get("")
async def ls(caller: Viewer, app: TheApp) -> Page[StopOut]:
    """What is held in the caller's tenant, by whom and why; with what is held of all tenants."""
    return Page[StopOut](items=[_out(one) for one in await app.stopped(tenant=caller.tenant)])


def _out(held: Revocation) -> StopOut:
    target = Target.of(held)
    return StopOut(
        what=target.what, name=target.name, by=held.by, reason=held.reason, at=from_micros(held.at)
    )


@router.post(
    "", status_code=201, responses={200: {"model": Stopped, "description": "It was stopped already"}}
)
async def hold(asked: Stop, caller: Operator, app: TheApp, response: Response) -> Stopped:
    """Hold an agent, a run, a user's runs, the tenant, or (an admin) everything.

    No effect of it begins any more once this has answered, on any worker. No call fails, and nothing is lost: the runs
    wait until it is lifted.
    """
    fresh = await stop(app, Target(asked.what, asked.name), caller, reason=asked.reason)
    response.status_code = 201 if fresh else 200
    return Stopped(fresh=fresh)


@router.post("/lift")
async def go_on(asked: Stop, caller: Operator, app: TheApp) -> Lifted:
    """Let go on what is held, where it was. 409 where it is not stopped."""
    target = Target(asked.what, asked.name)
    woken = await lift(app, target, caller, reason=asked.reason)
    if woken is None:
        raise RunConflict(f"{target} is not stopped; `GET /stops` lists what is")
    return Lifted(runs=woken)
