"""`/costs`, `/agents/AGENT/answers`: what was charged, and what is known of an agent. Read from tallies."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from ..client.models import AnswerOut, CostBy, CostRowOut, CostTableOut, EvidenceOut, Moment, Page, RunId
from ..governance import from_nanos
from ..views.answers import answers
from ..views.cost import CostRow, cost_table
from .callers import TheApp, Viewer
from .routes import GatedRoute
from .runs import micros_of
from .shapes import time_of

__all__ = ["router"]

router = APIRouter(tags=["costs"], route_class=GatedRoute)


@router.get("/costs")
async def costs(
    caller: Viewer,
    app: TheApp,
    by: CostBy = "agent",
    agent: Annotated[str | None, Query(max_length=200, description="Of this one alone.")] = None,
    since: Annotated[Moment | None, Query(description="Charged then or later.")] = None,
    until: Annotated[Moment | None, Query(description="Charged before.")] = None,
) -> CostTableOut:
    """What the tenant's runs were charged, to the hour within two days, else to the day (UTC)."""
    await app.open()
    found = await cost_table(
        app.store,
        tenant=caller.tenant,
        by=by,
        agent=agent,
        since=micros_of(since),
        until=micros_of(until),
    )
    return CostTableOut(
        by=by,
        since=time_of(found.since),
        until=time_of(found.until),
        rows=[_row(row) for row in found.rows],
        total=_row(found.total),
    )


def _row(row: CostRow) -> CostRowOut:
    return CostRowOut(
        name=row.name,
        money=from_nanos(row.money),
        input_tokens=row.input_tokens,
        output_tokens=row.output_tokens,
        model_calls=row.model_calls,
        tool_calls=row.tool_calls,
        unpriced=row.unpriced,
        estimated=row.estimated,
    )


@router.get("/agents/{agent}/answers")
async def answered(agent: RunId, caller: Viewer, app: TheApp) -> Page[AnswerOut]:
    """The five questions about an agent, each answered from evidence, or with what is missing."""
    found = await answers(app, agent, tenant=caller.tenant)
    return Page[AnswerOut](
        items=[
            AnswerOut(
                question=each.question,
                state=each.state,
                said=each.said,
                evidence=[EvidenceOut(what=e.what, value=e.value, command=e.command) for e in each.evidence],
                todo=each.todo,
            )
            for each in found
        ]
    )
