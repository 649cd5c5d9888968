"""`/health` and `/ready`: for whoever watches the process. Anybody may ask; neither says anything about runs."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response

from .. import __version__
from ..client.models import Health, Readiness
from ..core.errors import StoreError
from .callers import TheApp
from .routes import OpenRoute

__all__ = ["router"]

router = APIRouter(tags=["health"], route_class=OpenRoute)

LOOK_SECONDS = 2.0
"""A store that says nothing for so long counts as gone."""


@router.get("/health")
async def health() -> Health:
    """The process lives and answers."""
    return Health(version=__version__)


@router.get("/ready", responses={503: {"model": Readiness, "description": "It is not ready"}})
async def ready(app: TheApp, response: Response) -> Readiness:
    """Whether the server can do what it is asked for: its store answers."""
    try:
        async with asyncio.timeout(LOOK_SECONDS):
            await app.open()
            await app.store.log_size()
        store = "ok"
    except TimeoutError:
        store = f"no answer within {LOOK_SECONDS:.0f} s"
    except StoreError:
        store = "it cannot be read; the server's log says more"
    if store != "ok":
        response.status_code = 503
    return Readiness(status="ready" if store == "ok" else "unready", checks={"store": store})
