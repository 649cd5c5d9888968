"""The application of `/api/v1`: its routers put together."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from .. import __version__
from ..access import Gate
from ..app import App
from ..views.hearing import Hearing
from ..views.watching import Watch
from . import (
    agents,
    alerts,
    approvals,
    audit,
    budgets,
    costs,
    events,
    health,
    hooks,
    identity,
    me,
    memory,
    policies,
    runs,
    series,
    steering,
    stops,
)
from .document import documented
from .limits import BodyLimit, Limits
from .problems import add_problems
from .routes import GatedRoute

__all__ = ["api"]

_ROUTERS: tuple[APIRouter, ...] = (
    runs.router,
    steering.router,
    events.router,
    approvals.router,
    stops.router,
    alerts.router,
    series.router,
    agents.router,
    budgets.router,
    costs.router,
    policies.router,
    memory.router,
    identity.router,
    identity.public,
    audit.router,
    me.router,
    hooks.router,
    health.router,
)


def api(
    app: App, gate: Gate, *, watch: Watch, hearing: Hearing | None = None, limits: Limits | None = None
) -> FastAPI:
    """The API of an app behind a gate, to be mounted under `/api/v1`.

    Whoever mounts it opens the app before, and closes it after: `perdure.server` does.
    """
    limits = limits or Limits()
    made = FastAPI(
        title="Perdure",
        summary="Runs of AI agents: start them, look at them, steer them, answer what they ask.",
        version=__version__,
        openapi_url="/openapi.json",
        docs_url=None,  # its page fetches scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    made.state.perdure = app
    made.state.gate = gate
    made.state.limits = limits
    made.state.watch = watch
    made.state.hearing = hearing or Hearing(app.store)
    add_problems(made)
    for router in _ROUTERS:
        made.include_router(router)
    made.add_middleware(BodyLimit, most=limits.body)
    public = frozenset(f"{route.path}" for route in _open_routes())

    def document() -> dict[str, Any]:
        if made.openapi_schema is None:
            made.openapi_schema = documented(made, public=public)
        return made.openapi_schema

    made.openapi = document
    return made


def _open_routes() -> list[APIRoute]:
    """What anybody may ask."""
    routes = [route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return [route for route in routes if not isinstance(route, GatedRoute)]
