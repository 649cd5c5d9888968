"""`/fleet`: who works, what waits, what is broken, and how far the figures are behind."""

from __future__ import annotations

from starlette.responses import Response

from ...journal import SessionRecord
from ...views.alerts import alert_lines
from ...views.health import health
from ..rooms import Page, Room
from ..stops import held, told
from ..visit import Visit

__all__ = ["HEALTH"]


async def show(visit: Visit) -> Response:
    """The page."""
    found = await health(visit.app, tenant=visit.tenant)
    return await visit.page(
        "health/health.html",
        health=found,
        stopped=await held(visit),
        alerts=await alert_lines(visit.app, tenant=visit.tenant, payloads=visit.me.sees_payloads),
        alert_done="It is yours: nobody else is told." if visit.given("done") == "taken" else None,
        **told(visit),
        serves={worker.id: _served(worker) for worker in found.workers},
        held=sum(worker.runs for worker in found.workers),
        room=sum(worker.concurrency for worker in found.workers),
        states=[
            (name.partition(":")[0], name.partition(":")[2].replace("_", " "), name.partition(":")[2], n)
            for name, n in sorted(found.standing.items())
        ],
    )


def _served(worker: SessionRecord) -> str:
    return ", ".join(f"{agent}@{version}" for agent, version in worker.agents)


# Not `/health`: there whoever watches the process asks.
HEALTH = Room(title="Health", path="/fleet", key="h", pages=(Page(path="/fleet", handler=show),))
"""How the fleet is."""
