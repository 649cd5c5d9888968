"""`/passkeys`: those that one has registered, one more, and one less."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import JSONResponse, Response

from ...access.callers import Role
from ...access.passkeys import FRESH, Ceremonies
from ...core.errors import InvalidInput, UnknownKey
from ...core.people import person
from ...governance.passkeys import Passkey
from ..rooms import Page
from ..visit import Visit

__all__ = ["PASSKEYS", "passkeys_of"]

MOST_BYTES = 65_536

_DONE = {
    "registered": "Registered. From now on it signs your answers.",
    "revoked": "Revoked. It signs nothing any more.",
}


async def passkeys_of(visit: Visit) -> Sequence[Passkey] | None:
    """Those by which the visitor signs; None: there are no passkeys at this server."""
    ceremonies = Ceremonies(visit.app)
    if ceremonies.settings is None:
        return None
    found = await ceremonies.passkeys.ls(tenant=visit.tenant, owner=visit.by)
    return [passkey for passkey in found if passkey.revoked_at is None]


async def show(visit: Visit) -> Response:
    """`/passkeys`: one's own."""
    ceremonies = Ceremonies(visit.app)
    since = visit.me.proved_at
    return await visit.page(
        "passkeys/passkeys.html",
        settings=ceremonies.settings,
        passkeys=await ceremonies.passkeys.ls(tenant=visit.tenant, owner=visit.by),
        fresh=since is not None and visit.store.now() - since <= FRESH,
        done=_DONE.get(visit.given("done")),
    )


async def begin(visit: Visit) -> Response:
    """What a browser needs to make one."""
    return JSONResponse(await Ceremonies(visit.app).begin(visit.me))


async def register(visit: Visit) -> Response:
    """What the browser has made."""
    made = visit.given("passkey")
    if not made or len(made) > MOST_BYTES:
        raise InvalidInput("the browser sent no passkey: load the page again, with JavaScript")
    await Ceremonies(visit.app).finish(visit.me, made, note=visit.given("note"))
    return visit.to("/passkeys", done="registered")


async def revoke(visit: Visit) -> Response:
    """End one of one's own."""
    passkeys, id = Ceremonies(visit.app).passkeys, visit.given("id")
    found = await passkeys.find(id, tenant=visit.tenant)
    if found is None or person(found.owner) != person(visit.by):
        raise UnknownKey("you have no such passkey")
    await passkeys.revoke(id, tenant=visit.tenant, by=visit.by)
    return visit.to("/passkeys", done="revoked")


PASSKEYS = (
    Page(path="/passkeys", handler=show, role=Role.VIEWER),
    Page(path="/passkeys", handler=register, role=Role.VIEWER, method="POST"),
    Page(path="/passkeys/options", handler=begin, role=Role.VIEWER, method="POST"),
    Page(path="/passkeys/revoke", handler=revoke, role=Role.VIEWER, method="POST"),
)
"""The pages of passkeys."""
