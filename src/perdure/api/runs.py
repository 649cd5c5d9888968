"""`/runs`: start, list, show, read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

import pydantic_core
from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import StringConstraints

from ..access import Caller
from ..access.viewings import Viewings
from ..app import App
from ..app.endings import ending_of
from ..client.models import Accepted, EntryOut, Moment, Page, RunId, RunOut, RunResult, StartRun, Status
from ..core.clock import to_micros
from ..core.errors import Forbidden, RunNotEnded, RunPruned, UnknownRun
from ..core.tracing import TraceContext
from ..governance import budget_of
from ..journal import ENDINGS, RunQuery, RunRecord, RunStatus
from ..runtime.ending.conclusion import Ending
from .callers import Operator, TheApp, Viewer
from .inputs import typed
from .limits import Limits
from .routes import GatedRoute
from .shapes import entry_out, figures_out, run_out

__all__ = ["Size", "micros_of", "record_of", "router"]

router = APIRouter(prefix="/runs", tags=["runs"], route_class=GatedRoute)

Label = Annotated[str, StringConstraints(pattern=r"^[^=]+=", max_length=400)]
Size = Annotated[int, Query(ge=1, le=1000, description="At most so many.")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="Whoever sends it twice starts one run. Without it, `run_id` does the same.",
    ),
]


async def record_of(app: App, run: str, caller: Caller) -> RunRecord:
    """The row of a run of the caller's tenant. Raises `UnknownRun`."""
    ref = app.ref(run, caller.tenant)
    record = await app.store.get(ref)
    if record is None:
        raise UnknownRun(f"no run `{ref}`")
    return record


@router.post("", status_code=201, responses={200: {"model": Accepted, "description": "It was there before"}})
async def start(
    asked: StartRun,
    caller: Operator,
    app: TheApp,
    request: Request,
    response: Response,
    idempotency_key: Key = None,
) -> Accepted:
    """Accept a run: once this has answered, it is on disk, and some worker will drive it."""
    agent = app.find_agent(asked.agent)
    run_id = asked.run_id
    if run_id is None and idempotency_key is not None:
        run_id = _named_by(idempotency_key, caller)
    handle = await app.start(
        agent,
        typed(agent, asked.input),
        run_id=run_id,
        labels=asked.labels,
        deadline=asked.deadline,
        priority=asked.priority,
        needs=asked.needs,
        budget=None if asked.budget is None else budget_of(asked.budget),
        tenant=caller.tenant,
        on_behalf_of=asked.on_behalf_of or caller.principal,
        subject=asked.subject,
        trace=_trace(request),
    )
    if not handle.fresh:
        response.status_code = 200
    response.headers["location"] = f"runs/{handle.id}"
    return Accepted(run=handle.id, tenant=handle.ref.tenant, fresh=handle.fresh)


def _trace(request: Request) -> TraceContext | None:
    """What `traceparent` says; two of them say nothing."""
    parents, states = request.headers.getlist("traceparent"), request.headers.getlist("tracestate")
    return TraceContext.parse(parents[0], ",".join(states)) if len(parents) == 1 else None


def _named_by(key: str, caller: Caller) -> str:
    """The run's id that follows from the key: the same for the same caller, and nobody else's."""
    return "run-" + hashlib.sha256(f"{caller.subject}\0{key}".encode()).hexdigest()[:24]


@router.get("")
async def ls(
    request: Request,
    caller: Viewer,
    app: TheApp,
    status: Annotated[list[Status] | None, Query(max_length=9)] = None,
    agent: Annotated[str | None, Query(max_length=200)] = None,
    version: Annotated[str | None, Query(max_length=200)] = None,
    label: Annotated[
        list[Label] | None, Query(max_length=16, description="`name=value`; all of them must fit.")
    ] = None,
    reason: Annotated[str | None, Query(max_length=100, description="Those that wait for this.")] = None,
    principal: Annotated[str | None, Query(max_length=400, description="Those that act for them.")] = None,
    subject: Annotated[str | None, Query(max_length=400, description="Those that handle their data.")] = None,
    parent: Annotated[RunId | None, Query(description="Its children.")] = None,
    since: Annotated[Moment | None, Query(description="Accepted then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Accepted before.")] = None,
    limit: Size = 50,
    after: Annotated[RunId | None, Query(description="`next` of the page before.")] = None,
) -> Page[RunOut]:
    """Runs of the caller's tenant, the newest first.

    Those that Perdure writes for itself (`perdure.views`, `perdure.erasure`, `perdure-alerts`) only where `agent` names
    them.
    """
    limits: Limits = request.app.state.limits
    size = min(limit, limits.page)
    query = RunQuery(
        tenant=caller.tenant,
        statuses=frozenset(RunStatus(s) for s in status or ()),
        agent=agent,
        version=version,
        labels=dict(text.split("=", 1) for text in label or ()),
        reason=reason,
        principal=principal,
        subject=subject,
        parent=parent,
        since=micros_of(since),
        until=micros_of(until),
        own=False,
        limit=size + 1,
        before=None if after is None else (await record_of(app, after, caller)).rid,
    )
    found = await app.store.find(query)
    page = found[:size]
    following = page[-1].ref.id if len(found) > size else None
    return Page[RunOut](items=await _told(app, page, caller), next=following)


async def _told(app: App, page: Sequence[RunRecord], caller: Caller) -> list[RunOut]:
    """The rows of a page, with what is known beside."""
    met = await app.last_outcomes([r.ref for r in page])
    figures = await app.store.figures([r.rid for r in page])
    return [
        run_out(
            r,
            met=met.get(r.ref),
            figures=None
            if (row := figures.get(r.rid)) is None
            else figures_out(row, payload=caller.sees_payloads),
        )
        for r in page
    ]


def micros_of(at: datetime | None) -> int | None:
    """A time that was asked for, in microseconds."""
    return None if at is None else max(0, to_micros(at))


@router.get("/{run}")
async def show(run: RunId, caller: Viewer, app: TheApp) -> RunOut:
    """One run as it stands."""
    (told,) = await _told(app, [await record_of(app, run, caller)], caller)
    return told


@router.get("/{run}/result")
async def result(run: RunId, caller: Viewer, app: TheApp) -> RunResult:
    """How it ended. Of a run that goes on: 409; its events say when."""
    if not caller.sees_payloads:
        raise Forbidden(
            f"`{caller.subject}` does not see what runs return: it takes the role `operator`, `approver` or `auditor`"
        )
    record = await record_of(app, run, caller)
    if record.status not in ENDINGS:
        raise RunNotEnded(f"run `{record.ref}` goes on ({record.status}); its events say when it has ended")
    if record.pruned_at is not None:
        raise RunPruned(f"run `{record.ref}` was pruned: it ended `{record.status}`, and its result is gone")
    await Viewings(app).saw(caller, "result", record.ref)
    ending = Ending.of(pydantic_core.from_json((await ending_of(app.store, record)).payload))
    failure = ending.failure
    return RunResult(
        run=record.ref.id,
        status=record.status.value,
        result=ending.value,
        why=ending.why or (record.reasons[0] if record.reasons else None),
        missing=ending.missing,
        error=None if failure is None else {"type": failure.name, "message": failure.message},
    )


@router.get("/{run}/entries")
async def entries(
    run: RunId,
    caller: Viewer,
    app: TheApp,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only those behind this `seq`.")] = 0,
    limit: Size = 100,
) -> Page[EntryOut]:
    """Its journal, in order: each fact that was recorded."""
    limits: Limits = request.app.state.limits
    record = await record_of(app, run, caller)
    await Viewings(app).saw(caller, "entries", record.ref)
    size = min(limit, limits.page)
    found = await app.store.read(record.ref, after=after, limit=size)
    following = str(found[-1].seq) if found and found[-1].seq < record.head else None
    return Page[EntryOut](items=[entry_out(e, payload=caller.sees_payloads) for e in found], next=following)
