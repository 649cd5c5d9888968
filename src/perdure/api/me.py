"""`/me`: who the server takes the caller for."""

from __future__ import annotations

from fastapi import APIRouter

from ..client.models import Me
from .callers import Viewer
from .routes import GatedRoute

__all__ = ["router"]

router = APIRouter(tags=["identity"], route_class=GatedRoute)


@router.get("/me")
async def me(caller: Viewer) -> Me:
    """Who asks, in which tenant, with which roles, and how they have proved it."""
    return Me(
        subject=caller.subject,
        tenant=caller.tenant,
        roles=sorted(caller.roles),
        via=caller.via,
        sees_payloads=caller.sees_payloads,
    )
