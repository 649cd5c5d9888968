"""`/audit`: what was done, the proof of it, and the bundle that an auditor takes away."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import StreamingResponse

from ..access.viewings import Viewings
from ..audit import Selection
from ..audit.bundle import write_bundle, zipped
from ..audit.log import newest_checkpoint
from ..client.models import AuditStatus, CheckpointOut, FactOut, FactsPage, Moment, Page, RunId
from ..core.clock import from_micros
from ..core.errors import ConfigError
from ..core.ids import RunRef
from ..journal import KeptCheckpoint
from ..views.facts import facts_after
from .callers import Auditor, TheApp
from .limits import Limits
from .routes import GatedRoute
from .runs import Size, micros_of, record_of

__all__ = ["router"]

router = APIRouter(prefix="/audit", tags=["audit"], route_class=GatedRoute)

CHUNK = 65_536
ALL = "*"
"""In place of a run, where the payloads of many were looked at."""


def _checkpoint(kept: KeptCheckpoint) -> CheckpointOut:
    return CheckpointOut(size=kept.size, at=from_micros(kept.at), note=kept.note)


@router.get("")
async def status(caller: Auditor, app: TheApp) -> AuditStatus:
    """How large the audit log is, how far behind, and what was signed last."""
    await app.open()
    store = app.store
    lag, newest = await store.log_lag(), await newest_checkpoint(store)
    behind = 0.0 if lag.since is None or not lag.runs else max(0, store.now() - lag.since) / 1e6
    return AuditStatus(
        size=await store.log_size(),
        behind=lag.runs,
        behind_seconds=behind,
        checkpoint=None if newest is None else _checkpoint(newest),
    )


@router.get("/checkpoints")
async def checkpoints(
    caller: Auditor,
    app: TheApp,
    request: Request,
    limit: Size = 20,
    before: Annotated[int | None, Query(ge=0, le=2**53, description="Only those of smaller trees.")] = None,
) -> Page[CheckpointOut]:
    """Signed checkpoints that are kept, the newest first."""
    limits: Limits = request.app.state.limits
    size = min(limit, limits.page)
    await app.open()
    found = await app.store.checkpoints(limit=size, before=before)
    following = str(found[-1].size) if len(found) == size else None
    return Page[CheckpointOut](items=[_checkpoint(kept) for kept in found], next=following)


@router.get("/facts")
async def facts(
    caller: Auditor,
    app: TheApp,
    request: Request,
    after: Annotated[str, Query(max_length=60, description="`cursor` of the piece before; `0`: all.")] = "0",
    limit: Size = 100,
    contents: Annotated[
        bool, Query(description="Also what was written, shown and returned: it may be personal.")
    ] = False,
) -> FactsPage:
    """What happened in the tenant, in one order, each fact at least once: for whoever keeps it elsewhere."""
    limits: Limits = request.app.state.limits
    size = min(limit, limits.page)
    await app.open()
    items: list[FactOut] = []
    cursor = after
    async for fact, behind in facts_after(app.store, caller.tenant, after):
        if fact is None:
            return FactsPage(items=items, cursor=behind, more=False)
        if len(items) == size:
            break
        items.append(FactOut.model_validate(fact.to_json(contents=contents)))
        cursor = behind
    return FactsPage(items=items, cursor=cursor, more=True)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "A ZIP file: journals, approvals, proofs, a page to read, and what checks it",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def export(
    caller: Auditor,
    app: TheApp,
    run: Annotated[RunId | None, Query(description="One run.")] = None,
    agent: Annotated[str | None, Query(max_length=200, description="Of one agent.")] = None,
    person: Annotated[str | None, Query(max_length=400, description="For them, or with their word.")] = None,
    since: Annotated[Moment | None, Query(description="Then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Before.")] = None,
    everything: Annotated[bool, Query(alias="all", description="All runs of the tenant.")] = False,
) -> StreamingResponse:
    """A bundle for an auditor, which can be checked without Perdure and without the store."""
    if not (run or agent or person or since or until or everything):
        raise ConfigError("say of what: `run`, `agent`, `person`, `since`, `until`, or `all=true`")
    await app.open()
    wanted = Selection(
        tenant=caller.tenant,
        run=None if run is None else (await record_of(app, run, caller)).ref.id,
        agent=agent,
        person=person,
        since=micros_of(since),
        until=micros_of(until),
    )
    viewings = Viewings(app)
    await viewings.saw(caller, "export", RunRef(caller.tenant, wanted.run or ALL))
    await viewings.write_up(tenant=caller.tenant, all=True)  # who audits is told of, too
    scratch = Path(tempfile.mkdtemp(prefix="perdure-export-"))
    try:
        folder = scratch / "bundle"
        folder.mkdir(mode=0o700)
        await write_bundle(
            app.store,
            wanted,
            folder,
            made_by=caller.subject,
            checkpoint=await newest_checkpoint(app.store),
        )
        zipped(folder, scratch / "bundle.zip")
    except BaseException:
        shutil.rmtree(scratch)
        raise
    name = f"audit-{from_micros(app.store.now()):%Y%m%dT%H%M%SZ}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(_sent(scratch), media_type="application/zip", headers=headers)


async def _sent(scratch: Path) -> AsyncIterator[bytes]:
    try:
        with (scratch / "bundle.zip").open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
    finally:
        shutil.rmtree(scratch)
