"""`/approvals`: what stands open for a human, and the answers."""

from __future__ import annotations

from fastapi import APIRouter

from ..access import Caller
from ..access.viewings import Viewings
from ..app import App
from ..client.models import AnswerIn, ApprovalOut, Page, RunId, Taken
from ..journal import Approval
from .callers import Approver, TheApp, Viewer
from .routes import GatedRoute
from .runs import record_of
from .shapes import approval_out

__all__ = ["router"]

router = APIRouter(prefix="/approvals", tags=["approvals"], route_class=GatedRoute)


async def _page(app: App, found: list[Approval], caller: Caller) -> Page[ApprovalOut]:
    await Viewings(app).saw(caller, "question", *((a.ref, a.step) for a in found))
    payload = caller.sees_payloads
    return Page[ApprovalOut](items=[approval_out(a, payload=payload) for a in found])


@router.get("")
async def ls(caller: Viewer, app: TheApp) -> Page[ApprovalOut]:
    """All that stands open in the caller's tenant, the oldest first."""
    found = await app.open_approvals(tenant=caller.tenant)
    return await _page(app, found, caller)


@router.get("/{run}")
async def show(run: RunId, caller: Viewer, app: TheApp) -> Page[ApprovalOut]:
    """What a run asks, and the runs below it."""
    await record_of(app, run, caller)
    found = await app.open_approvals(run, tenant=caller.tenant)
    return await _page(app, found, caller)


@router.post("/{run}/answer", status_code=202)
async def answer(run: RunId, asked: AnswerIn, caller: Approver, app: TheApp) -> Taken:
    """Answer what a step of a run asks. Of a call, for exactly what was shown: by its digest.

    Whether it counts, the run decides; what it would refuse is refused here at once, with the reason.
    """
    await record_of(app, run, caller)
    fresh = await app.answer(
        run,
        asked.step,
        approved=asked.approved,
        by=caller.subject,
        reason=asked.reason,
        value=asked.value,
        digest=asked.digest,
        arguments=asked.arguments,
        proof=asked.proof,
        tenant=caller.tenant,
    )
    return Taken(run=run, fresh=fresh)
