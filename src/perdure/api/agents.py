"""`/agents`, `/tools`, `/workers`: what is registered, and who has it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from ..app import App
from ..client.models import (
    AgentOut,
    CapabilityOut,
    Page,
    ReviewedToolOut,
    RunId,
    ToolOut,
    WaitingOut,
    WorkerOut,
)
from ..core.clock import from_micros
from ..governance.policy.capabilities import capabilities, in_rings
from ..journal import Demand, unserved
from ..runtime import Agent, Tool
from .callers import Operator, TheApp, Viewer
from .policies import book_of
from .routes import GatedRoute
from .shapes import time_of

__all__ = ["router"]

router = APIRouter(tags=["agents"], route_class=GatedRoute)


@router.get("/agents")
async def agents(caller: Viewer, app: TheApp) -> Page[AgentOut]:
    """Every version of every agent that this server has."""
    return Page[AgentOut](items=[_agent(app, made) for made in app.agents.values()])


@router.get("/agents/{agent}")
async def agent(agent: RunId, caller: Viewer, app: TheApp) -> AgentOut:
    """The version of an agent that new runs get."""
    return _agent(app, app.find_agent(agent))


@router.get("/agents/{agent}/capabilities")
async def may(agent: RunId, caller: Viewer, app: TheApp) -> Page[CapabilityOut]:
    """What an agent may do at all, by the policies that hold and how far it is trusted."""
    found = app.find_agent(agent)
    told = capabilities((await book_of(app, caller.tenant)).policies, found.name)
    told = in_rings(told, await app.trust.rings(found.name, [c.tool for c in told], tenant=caller.tenant))
    return Page[CapabilityOut](items=[CapabilityOut.model_validate(each.model_dump()) for each in told])


@router.get("/tools")
async def tools(caller: Viewer, app: TheApp) -> Page[ToolOut]:
    """The registered tools, and what each does to the world."""
    return Page[ToolOut](items=[_tool(made) for made in app.tools.values()])


@router.get("/tools/reviewed")
async def reviewed(caller: Viewer, app: TheApp) -> Page[ReviewedToolOut]:
    """The tools of MCP servers and OpenAPI documents, as somebody has let them pass. No source is asked."""
    items = [
        ReviewedToolOut(
            kind=sources.kind,
            source=pinned.source,
            tool=pinned.review.definition.name,
            offered=pinned.offered,
            effect=pinned.effect,
            description=pinned.review.definition.description,
            digest=pinned.review.digest,
            by=pinned.review.by,
            at=from_micros(pinned.review.at),
        )
        for sources in (app.mcp, app.openapi)
        for pinned in await sources.let_pass(tenant=caller.tenant)
    ]
    return Page[ReviewedToolOut](items=items)


@router.get("/workers")
async def workers(caller: Operator, app: TheApp) -> Page[WorkerOut]:
    """Who works on this store. Workers serve all tenants."""
    await app.open()
    found = await app.store.sessions()
    return Page[WorkerOut](
        items=[
            WorkerOut(
                session=s.id,
                label=s.label,
                agents=list(s.agents),
                labels=sorted(s.labels),
                concurrency=s.concurrency,
                since=from_micros(s.since),
                expires=from_micros(s.expires),
                runs=s.runs,
            )
            for s in found
        ]
    )


@router.get("/workers/waiting")
async def waiting(caller: Operator, app: TheApp) -> Page[WaitingOut]:
    """What is due and waits for a worker, and whether one will come."""
    await app.open()
    demands = await app.store.demands()
    left = {d: reason for d, reason in unserved(demands, await app.store.sessions())}
    return Page[WaitingOut](items=[_waiting(d, left.get(d)) for d in demands])


def _waiting(demand: Demand, reason: str | None) -> WaitingOut:
    return WaitingOut(
        agent=demand.agent,
        version=demand.version,
        needs=list(demand.needs),
        runs=demand.runs,
        since=time_of(demand.since),
        unserved=reason,
    )


def _agent(app: App, made: Agent) -> AgentOut:
    return AgentOut(
        agent=made.name,
        version=made.version,
        newest=app.find_agent(made.name) is made,
        takes=None if made.input is None else made.input.schema(),
        returns=made.output.schema(),
        tasks=sorted(made.tasks),
        zones=None if made.zones is None else sorted(made.zones),
        needs=list(made.needs),
        requires=sorted(made.requires),
        priority=made.priority,
        limit=made.limit,
        limit_per_tenant=made.limit_per_tenant,
        behaviour=app.behaviours.of(made).digest,
    )


def _tool(made: Tool[..., Any]) -> ToolOut:
    return ToolOut(
        tool=made.name,
        effect=made.effect,
        declared=made.declared,
        verify=made.verify is not None,
        compensate=made.compensate is not None,
        zone=made.terms.zone,
        labels=sorted(made.terms.labels),
        clearance=sorted(made.terms.clearance),
    )
