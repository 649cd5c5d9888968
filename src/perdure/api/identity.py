"""`/identity`, `/jwks`: under which names the agents are known, and by which keys receivers check their tokens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException

from ..app import App
from ..client.models import AgentIdentity, Json, TrustDomain
from .callers import TheApp, Viewer
from .routes import GatedRoute, OpenRoute

if TYPE_CHECKING:
    from ..identity.broker import Broker

__all__ = ["public", "router"]

router = APIRouter(tags=["identity"], route_class=GatedRoute)
public = APIRouter(tags=["identity"], route_class=OpenRoute)


def _broker(app: App) -> Broker:
    if app.identity_settings.trust_domain is None:
        raise HTTPException(
            404,
            "the agents have no identity here: `trust_domain` in the table [identity] of perdure.toml gives them one",
        )
    from ..identity.broker import Broker

    return Broker.open(app.identity_settings, clock=app.clock)


@router.get("/identity")
async def identity(caller: Viewer, app: TheApp) -> TrustDomain:
    """The trust domain, and the names of the agents that this server has, in the caller's tenant."""
    broker = await asyncio.to_thread(_broker, app)
    return TrustDomain(
        trust_domain=app.identity_settings.trust_domain or "",
        issuer=broker.issuer_url,
        agents=[
            AgentIdentity(
                agent=name,
                version=version,
                spiffe_id=str(broker.owner(caller.tenant, name, version).agent),
            )
            for name, version in app.agents
        ],
    )


@public.get("/jwks")
async def jwks(app: TheApp) -> dict[str, Json]:
    """The public keys of the agents (RFC 7517). Anybody may read them."""
    from ..identity.broker import JWKS

    broker = await asyncio.to_thread(_broker, app)
    found: dict[str, Json] = (await asyncio.to_thread(broker.documents))[JWKS]
    return found
