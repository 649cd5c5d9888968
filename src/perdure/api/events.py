"""`/runs/RUN/events`: a run as it goes on, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated

import pydantic_core
from fastapi import APIRouter, Header, Query, Request

from ..access.viewings import Viewings
from ..app import App
from ..audit.feed import Cursor, Feed
from ..audit.log import LogGrower
from ..client.models import RunId
from ..core.errors import ConfigError
from ..core.ids import RunRef
from ..journal import ENDINGS, Kind
from ..views.facts import newest
from ..views.hearing import Hearing
from ..views.watching import LOOK_SECONDS, REST_SECONDS, Watch
from .callers import TheApp, Viewer
from .routes import GatedRoute
from .runs import record_of
from .shapes import entry_out, run_out
from .streams import IDLE, IDLE_SECONDS, EventStream, event

__all__ = ["router"]

router = APIRouter(tags=["events"], route_class=GatedRoute)

_ENDS = frozenset({Kind.RESULT, Kind.FAILED})

PAGE = 500
"""Entries read at once."""

LEAVES = 256
"""Of the audit log, read at once."""

LastId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID", max_length=100, description="The last event that was heard: it goes on behind."
    ),
]


@router.get(
    "/runs/{run}/events",
    response_class=EventStream,
    responses={
        200: {
            "description": (
                "`entry`: a fact of its journal, with its `seq` as the id. `run`: its row, whenever it stands "
                "elsewhere. `token`: a piece of what a model says in a step, provisional, with where it stands in the "
                "message. `end`: it has ended, and nothing more will come."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def of_run(
    run: RunId,
    caller: Viewer,
    app: TheApp,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only entries behind this `seq`.")] = 0,
    tokens: Annotated[
        bool, Query(description="What its models say as they say it, to whoever may see payloads.")
    ] = False,
    last_event_id: LastId = None,
) -> EventStream:
    """What is recorded of a run, from `after` on, then as it comes, until it has ended."""
    record = await record_of(app, run, caller)
    if last_event_id:
        if not (last_event_id.isascii() and last_event_id.isdecimal()):
            raise ConfigError(
                f"`Last-Event-ID: {last_event_id[:40]}` is no id of this stream: it has numbers"
            )
        after = min(int(last_event_id), 2**53)
    await Viewings(app).saw(caller, "stream", record.ref)
    watch: Watch = request.app.state.watch
    hearing: Hearing | None = request.app.state.hearing if tokens and caller.sees_payloads else None
    return EventStream(_run(app, watch, record.ref, after, payload=caller.sees_payloads, hearing=hearing))


@router.get(
    "/events",
    response_class=EventStream,
    responses={
        200: {
            "description": (
                "`run`: the row of a run that has moved. `at`: the cursor up to here, as the id. Whoever reconnects "
                "with it misses no run; one that moved several times meanwhile comes once, as it stands now."
            ),
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def of_all(caller: Viewer, app: TheApp, last_event_id: LastId = None) -> EventStream:
    """The runs of the caller's tenant as they move, from now on, or from the cursor that was heard last."""
    await app.open()
    feed = Feed(
        app.store,
        tenant=caller.tenant,
        since=Cursor.parse(last_event_id or await newest(app.store)),
    )
    await feed.check()
    return EventStream(_moved(app, caller.tenant, feed.cursor.place))


async def _moved(app: App, tenant: str, place: int) -> AsyncIterator[bytes]:
    store, grower = app.store, LogGrower()
    told = time.monotonic()
    while True:
        seen = store.changes()
        if await store.moved():  # a worker's sequencer does so too; where there is none, this is it
            await store.integrate(grower)
        while leaves := await store.leaves(after=place, limit=LEAVES):
            place = leaves[-1].n
            for ref in dict.fromkeys(leaf.run for leaf in leaves if leaf.run.tenant == tenant):
                record = await store.get(ref)
                if record is not None:
                    yield event("run", run_out(record).model_dump_json())
            yield event("at", "{}", id=str(Cursor.of(leaves[-1])))
            told = time.monotonic()
        if time.monotonic() - told > IDLE_SECONDS:
            told = time.monotonic()
            yield IDLE
        await asyncio.sleep(REST_SECONDS)
        if store.changes() == seen:
            await store.changed(seen, within=LOOK_SECONDS)


async def _run(
    app: App, watch: Watch, ref: RunRef, after: int, *, payload: bool, hearing: Hearing | None = None
) -> AsyncIterator[bytes]:
    async with AsyncExitStack() as stack:
        onlooker = await stack.enter_async_context(watch.on(ref))
        ear = None if hearing is None else await stack.enter_async_context(hearing.to(ref, onlooker.moved))
        over: set[str] = set()
        """steps whose end was told: what was said in them on the way there does not count any more"""
        stood: object = None
        while True:
            record = await onlooker.next(within=IDLE_SECONDS)
            for token in () if ear is None else ear.take():
                if token.step not in over:
                    yield event("token", pydantic_core.to_json(token).decode())
            if record is None:
                yield IDLE
                continue
            while record.head > after and (found := await app.store.read(ref, after=after, limit=PAGE)):
                for entry in found:
                    after = entry.seq
                    if ear is not None and entry.kind in _ENDS:
                        over.add(entry.key)
                    yield event("entry", entry_out(entry, payload=payload).model_dump_json(), id=str(after))
            stands = (record.status, record.reasons, record.progress)
            if stands != stood:
                stood = stands
                yield event("run", run_out(record).model_dump_json())
            if record.status in ENDINGS:
                yield event("end", "{}")
                return
