"""`/agents`, and `/agents/NAME` with the five answers."""

from __future__ import annotations

from starlette.responses import Response

from ...core.errors import UnknownAgent
from ...views.agents import Interval, agent_lines, agent_page
from ...views.answers import answers
from ..rooms import Page, Room
from ..stops import held, told
from ..visit import Visit

__all__ = ["AGENTS"]

TONES = {"yes": "good", "partly": "warn", "not yet": "bad"}


async def ls(visit: Visit) -> Response:
    """All of them."""
    lines = await agent_lines(visit.store, tenant=visit.tenant)
    return await visit.page(
        "agents/agents.html", lines=[line for line in lines if line.started or line.workers], share=_share
    )


async def show(visit: Visit) -> Response:
    """One of them."""
    name: str = visit.request.path_params["agent"]
    page = await agent_page(visit.store, name, tenant=visit.tenant)
    try:
        found = await answers(visit.app, name, tenant=visit.tenant)
    except UnknownAgent:
        if not page.versions:
            raise
        found = []
    return await visit.page(
        "agents/agent.html",
        agent=page,
        answers=found,
        tones=TONES,
        share=_share,
        stopped=await held(visit, agent=name),
        **told(visit),
    )


def _share(found: Interval | None) -> dict[str, str] | None:
    """A share in words, with what is known of it."""
    if found is None:
        return None
    return {
        "share": f"{found.share:.0%}",
        "sure": f"{found.low:.0%} to {found.high:.0%} of {found.of:,}",
    }


AGENTS = Room(
    title="Agents",
    path="/agents",
    key="n",
    pages=(Page(path="/agents", handler=ls), Page(path="/agents/{agent}", handler=show)),
)
"""What has run, and how well."""
