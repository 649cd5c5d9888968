"""Taking an alert. The alerts themselves stand on `/fleet`."""

from __future__ import annotations

from starlette.responses import Response

from ...access.callers import Role
from ..rooms import Page
from ..visit import Visit

__all__ = ["ALERTS"]


async def acknowledge(visit: Visit) -> Response:
    """Say that the reader has taken it: nobody else is told."""
    name: str = visit.request.path_params["alert"]
    await visit.app.acknowledge_alert(name, by=visit.by, note=visit.given("note"), tenant=visit.tenant)
    return visit.to("/fleet", done="taken")


ALERTS = (Page(path="/alerts/{alert}/acknowledge", handler=acknowledge, role=Role.OPERATOR, method="POST"),)
"""The forms' addresses."""
