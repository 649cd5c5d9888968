"""`/memory`: what agents remember: found, explained, withdrawn, reviewed, exported, forgotten."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from ..access import Caller
from ..access.viewings import Viewings
from ..app import App
from ..app.memory_governance import FoundItem
from ..client.models import (
    Decide,
    Forget,
    Forgotten,
    ItemExplained,
    ItemName,
    ItemOut,
    Page,
    ProposalOut,
    Restore,
    RunId,
    SpreadOut,
    Withdraw,
    Withdrawn,
    WithdrawnOut,
)
from ..core.errors import Forbidden
from ..core.ids import RunRef
from ..views.memory import explained_told, hold_told, item_told, proposal_told, spread_told
from .callers import Admin, Approver, Operator, TheApp, Viewer
from .limits import Limits
from .routes import GatedRoute
from .runs import Size

__all__ = ["router"]

router = APIRouter(prefix="/memory", tags=["memory"], route_class=GatedRoute)

Text = Annotated[str, Query(max_length=200, description="What stands in it, whatever the case.")]
Word = Annotated[str | None, Query(max_length=300)]
ALL = "*"
"""In place of a run, where items of many are exported."""


@router.get("/items")
async def search(
    caller: Viewer,
    app: TheApp,
    request: Request,
    text: Text = "",
    layer: Word = None,
    subject: Word = None,
    run: Word = None,
    label: Word = None,
    after: Annotated[str, Query(max_length=2000, description="`next` of the page before.")] = "",
    limit: Size = 100,
) -> Page[ItemOut]:
    """What agents of the caller's tenant remember, of all layers. A page may be short, or empty, and not the last."""
    if text and not caller.sees_payloads:  # else a word is found out letter by letter
        raise Forbidden(
            f"`{caller.subject}` does not see what is remembered, and so cannot search in it: it takes the role "
            "`operator`, `approver` or `auditor`"
        )
    limits: Limits = request.app.state.limits
    page = await app.memory.search(
        text,
        layer=layer,
        subject=subject,
        run=run,
        label=label,
        after=after,
        limit=min(limit, limits.page),
        tenant=caller.tenant,
    )
    items = [found.item for found in page.items]
    await _saw(app, caller, *((i.origin.run, i.origin.step) for i in items))
    told = [ItemOut.model_validate(_shown(item_told(found), caller)) for found in page.items]
    return Page[ItemOut](items=told, next=page.next or None)


@router.get("/why")
async def why(
    caller: Viewer,
    app: TheApp,
    item: Annotated[ItemName, Query(description="RUN/STEP.")],
    runs: Annotated[
        int, Query(ge=0, le=10_000, description="Journals that are looked through for recalls.")
    ] = 500,
) -> ItemExplained:
    """Why an item is there: which run wrote it, having been told what, and which runs were handed it since."""
    told = await app.memory.why(item, runs=runs, tenant=caller.tenant)
    await _saw(app, caller, (item.partition("/")[0], item.partition("/")[2]))
    made = explained_told(told)
    if made["item"] is not None:
        made["item"] = _shown({**made["item"], "withdrawn": made["withdrawn"]}, caller)
    if made["proposal"] is not None:
        made["proposal"] = _shown(made["proposal"], caller)
    return ItemExplained.model_validate(made)


@router.get("/spread")
async def spread(
    caller: Viewer,
    app: TheApp,
    run: RunId,
    runs: Annotated[int, Query(ge=1, le=10_000, description="Journals that are looked through.")] = 500,
) -> SpreadOut:
    """What runs have written that had been handed what a run wrote, or what was made of it."""
    return SpreadOut.model_validate(
        spread_told(await app.memory.spread(run, runs=runs, tenant=caller.tenant))
    )


@router.get("/withdrawn")
async def withdrawn(caller: Viewer, app: TheApp) -> Page[WithdrawnOut]:
    """What was withdrawn, by whom and why."""
    found = await app.memory.holds(tenant=caller.tenant)
    return Page[WithdrawnOut](items=[WithdrawnOut.model_validate(hold_told(hold)) for hold in found])


@router.post("/undo")
async def undo(asked: Withdraw, caller: Operator, app: TheApp) -> Withdrawn:
    """Withdraw what a run, or one write of it, has put into memory, in all layers. `restore` takes it back."""
    if not asked.spread:
        fresh = await app.memory.undo(asked.target, by=caller.subject, why=asked.why, tenant=caller.tenant)
        return Withdrawn(fresh=fresh)
    further = await app.memory.undo_spread(
        asked.target, by=caller.subject, why=asked.why, tenant=caller.tenant
    )
    return Withdrawn(fresh=True, further=further)


@router.post("/restore")
async def restore(asked: Restore, caller: Operator, app: TheApp) -> Withdrawn:
    """Take back that something was withdrawn; what was withdrawn by `spread`, one by one."""
    fresh = await app.memory.restore(asked.target, by=caller.subject, why=asked.why, tenant=caller.tenant)
    return Withdrawn(fresh=fresh)


@router.get("/reviews")
async def reviews(
    caller: Viewer,
    app: TheApp,
    request: Request,
    everything: Annotated[bool, Query(alias="all", description="Also those that were decided.")] = False,
    limit: Size = 100,
) -> Page[ProposalOut]:
    """Writes that wait for a person before anybody recalls them."""
    limits: Limits = request.app.state.limits
    found = await app.memory.proposals(all=everything, limit=min(limit, limits.page), tenant=caller.tenant)
    await _saw(app, caller, *((p.write.origin.run, p.write.origin.step) for p in found))
    told = [ProposalOut.model_validate(_shown(proposal_told(p), caller)) for p in found]
    return Page[ProposalOut](items=told)


@router.post("/reviews/accept")
async def accept(asked: Decide, caller: Approver, app: TheApp) -> ProposalOut:
    """Do a write that waits: it is recalled from then on, under its labels and `reviewed`."""
    done = await app.memory.accept(asked.item, by=caller.subject, why=asked.why, tenant=caller.tenant)
    return ProposalOut.model_validate(_shown(proposal_told(done), caller))


@router.post("/reviews/reject")
async def reject(asked: Decide, caller: Approver, app: TheApp) -> ProposalOut:
    """Let a write that waits never be done."""
    done = await app.memory.reject(asked.item, by=caller.subject, why=asked.why, tenant=caller.tenant)
    return ProposalOut.model_validate(_shown(proposal_told(done), caller))


@router.post("/forget")
async def forget(asked: Forget, caller: Admin, app: TheApp) -> Forgotten:
    """Delete what is remembered about a data subject, in all layers, for good. What runs have recorded stays."""
    gone = await app.memory.forget(asked.subject, by=caller.subject, tenant=caller.tenant)
    return Forgotten(items=gone)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "JSON lines, each an item",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        }
    },
)
async def export(caller: Admin, app: TheApp, subject: Word = None) -> StreamingResponse:
    """What is remembered about a data subject, or of the whole tenant. It is recorded who asks."""
    await _saw(app, caller, (ALL, "memory"))

    items = app.memory.export(subject, by=caller.subject, tenant=caller.tenant)
    first = await anext(items, None)  # what is wrong with the question is answered before anything is sent

    async def lines() -> AsyncIterator[str]:
        if first is not None:
            yield _line(first)
        async for found in items:
            yield _line(found)

    headers = {"content-disposition": 'attachment; filename="memory.jsonl"', "cache-control": "no-store"}
    return StreamingResponse(lines(), media_type="application/x-ndjson", headers=headers)


def _line(found: FoundItem) -> str:
    return json.dumps(item_told(found), ensure_ascii=False) + "\n"


async def _saw(app: App, caller: Caller, *seen: tuple[str, str]) -> None:
    """Whoever is shown what is remembered has looked into the runs that wrote it."""
    await Viewings(app).saw(caller, "step", *((RunRef(caller.tenant, run), step) for run, step in seen))


def _shown(told: dict[str, Any], caller: Caller) -> dict[str, Any]:
    """Without what agents remember, for those who see no payloads."""
    hidden = {"content": None, "arguments": None}
    return told if caller.sees_payloads else {**told, **{k: v for k, v in hidden.items() if k in told}}
