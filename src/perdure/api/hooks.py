"""`/hooks/NAME`: signed webhooks of others, each of which starts a run or is a message to one, once.

The signature (Standard Webhooks) is who asks: there is no gate before it. A webhook that comes again, under the same
`webhook-id`, changes nothing.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any

from fastapi import APIRouter, HTTPException, Request

from ..client.models import Taken
from ..core.errors import BadSignature, ConfigError, RunEnded
from ..core.hook_settings import HookName, HookSettings
from ..core.principal import APP_ISSUER, Principal
from ..core.webhooks import verify_webhook
from .callers import TheApp
from .inputs import typed
from .routes import OpenRoute

__all__ = ["router"]

router = APIRouter(prefix="/hooks", tags=["hooks"], route_class=OpenRoute)


@router.post(
    "/{hook}",
    status_code=202,
    openapi_extra={"requestBody": {"content": {"application/json": {"schema": {}}}}},
)
async def come(hook: HookName, request: Request, app: TheApp) -> Taken:
    """Take a webhook. 401 where it is not signed with the hook's secret, or is older than five minutes."""
    settings = app.hooks.get(hook)
    if settings is None:
        raise HTTPException(404, f"there is no hook `{hook}`: `[hooks.{hook}]` in perdure.toml makes one")
    secret = os.environ.get(settings.secret_env)
    if not secret:
        raise ConfigError(f"hook `{hook}`: the variable `{settings.secret_env}` is not set")
    try:
        body: Any = verify_webhook(secret, dict(request.headers), await request.body())
    except ValueError:
        raise BadSignature(f"what came to hook `{hook}` is signed, and no JSON") from None
    said = hashlib.sha256(f"{hook}\0{request.headers['webhook-id']}".encode()).hexdigest()[:24]
    run = None if settings.run is None else _at(body, settings.run)
    if run is not None and not isinstance(run, str | int):
        raise HTTPException(422, f"hook `{hook}`: `{settings.run}` is no id of a run")
    value = body if settings.payload is None else _at(body, settings.payload)
    return await _taken(app, hook, settings, None if run is None else str(run), value, said)


async def _taken(
    app: Any, hook: str, settings: HookSettings, run: str | None, value: Any, said: str
) -> Taken:
    by = Principal(subject=f"system:hook-{hook}", issuer=APP_ISSUER)
    if settings.start is not None:
        agent = app.find_agent(settings.start)
        handle = await app.start(agent, typed(agent, value), run_id=run or f"hook-{said}", on_behalf_of=by)
        return Taken(run=handle.id, fresh=handle.fresh)
    if run is None:
        raise HTTPException(422, f"hook `{hook}`: the body has no `{settings.run}`, which names the run")
    try:
        fresh = await app.signal(run, settings.signal, value, message_id=said, sender=by.subject)
    except RunEnded:
        return Taken(run=run, fresh=False)  # its sender cannot help it, and would only send it again
    return Taken(run=run, fresh=fresh)


def _at(body: Any, path: str) -> Any:
    """What stands at a path of names in a JSON value; None: nothing does."""
    for name in path.split("."):
        if not isinstance(body, dict):
            return None
        body = body.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return body  # pyright: ignore[reportUnknownVariableType]
