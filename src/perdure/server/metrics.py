"""`/metrics`: what Prometheus scrapes, of the caller's tenant. A scraper shows a key or a token, as everybody does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from ..access import Gate, Role
from ..app import App
from ..core.errors import Forbidden, StoreError, Unauthenticated
from ..telemetry.metrics import exposed, read_metrics

__all__ = ["metrics_route"]


def metrics_route(app: App, gate: Gate) -> Route:
    """The route."""

    async def metrics(request: Request) -> Response:
        try:
            caller = await gate.caller_of(request)
            caller.require(Role.VIEWER)
            await app.open()
            reading = await read_metrics(app.store, tenant=caller.tenant)
        except Unauthenticated as error:
            return PlainTextResponse(f"{error}\n", 401, headers={"www-authenticate": "Bearer"})
        except Forbidden as error:
            return PlainTextResponse(f"{error}\n", 403)
        except StoreError:
            return PlainTextResponse("the store cannot be read; the server's log says more\n", 503)
        body, kind = exposed(reading, accept=request.headers.get("accept", ""))
        return Response(body, media_type=kind, headers={"cache-control": "no-store"})

    return Route("/metrics", metrics, methods=["GET"])
