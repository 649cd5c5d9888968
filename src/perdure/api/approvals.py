"""`/approvals`: what stands open for a human, and the answers."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query

from ..access import Caller
from ..access.viewings import Viewings
from ..app import App
from ..client.models import AnswerIn, ApprovalOut, Page, RunId, Taken
from ..core.errors import InvalidInput
from ..journal import Approval, ApprovalPlace
from .callers import Approver, TheApp, Viewer
from .routes import GatedRoute
from .runs import record_of
from .shapes import approval_out

__all__ = ["router"]

router = APIRouter(prefix="/approvals", tags=["approvals"], route_class=GatedRoute)


async def _page(
    app: App, found: list[Approval], caller: Caller, following: str | None = None
) -> Page[ApprovalOut]:
    await Viewings(app).saw(caller, "question", *((a.ref, a.step) for a in found))
    payload = caller.sees_payloads
    return Page[ApprovalOut](items=[approval_out(a, payload=payload) for a in found], next=following)


@router.get("")
async def ls(
    caller: Viewer,
    app: TheApp,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(max_length=4000, description="`next` of the page before.")] = None,
) -> Page[ApprovalOut]:
    """What stands open in the caller's tenant, the oldest first."""
    await app.open()
    place = None if after is None else _place(after, caller.tenant)
    found = await app.store.approvals(tenant=caller.tenant, after=place, limit=limit)
    following = _told(found[-1]) if len(found) == limit else None
    return await _page(app, found, caller, following)


def _told(last: Approval) -> str:
    """Where a page ends, as text for an address."""
    return f"{last.opened_at}/{last.ref.id}/{quote(last.step, safe='')}"


def _place(text: str, tenant: str) -> ApprovalPlace:
    at, _, rest = text.partition("/")
    run, _, step = rest.partition("/")
    if not at.isascii() or not at.isdigit() or len(at) > 18 or not run or not step:
        raise InvalidInput(
            f"`after={text[:80]}` is not where a page ends: give the `next` of the page before"
        )
    return ApprovalPlace(int(at), tenant, run, unquote(step))


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
