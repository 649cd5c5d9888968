"""`/audit`: the search over what was done, and the state of the log that proves it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from ...access.callers import Role
from ...access.viewings import Viewings
from ...audit import Deed, Done, deeds_of, newest_checkpoint
from ...core.errors import ConfigError
from ...engines.exporter import exports
from ...journal import Store
from ..rooms import Page, Room
from ..visit import Visit
from .search import SINCE, Search

__all__ = ["AUDIT"]

MOST = 50
"""Calls on a page, or a run's worth more."""

TONES = {
    "ok": "good",
    "failed": "bad",
    "denied": "bad",
    "refused": "bad",
    "in doubt": "warn",
    "waiting": "warn",
    "under way": "live",
}
"""The colour of what came of a call."""


async def search(visit: Visit) -> Response:
    """`/audit`: what was done, the newest first, as the address asks for it."""
    asked = Search.of(visit.request.query_params)
    deeds: list[Deed] = []
    following: str | None = None
    if asked.given:
        await Viewings(visit.app).write_up(tenant=visit.tenant, all=True)  # looks are deeds, too
        deeds, following = await _found(visit, asked)
        await Viewings(visit.app).saw(visit.me, "step", *((deed.ref, deed.step) for deed in deeds))
    return await visit.page(
        "audit/search.html",
        asked=asked,
        deeds=deeds,
        tones=TONES,
        since=SINCE,
        agents=sorted({name for name, _ in visit.app.agents}),
        next=visit.url("/audit", **asked.told(before=following)) if following else None,
        first=visit.url("/audit", **asked.told(before="")) if asked.before else None,
        log=await _log(visit.store),
    )


async def _found(visit: Visit, asked: Search) -> tuple[list[Deed], str | None]:
    before: int | None = None
    if asked.before:
        record = await visit.store.get(visit.app.ref(asked.before, visit.tenant))
        if record is None:
            raise ConfigError(f"the page begins behind the run `{asked.before[:80]}`, which is not there")
        before = record.rid
    done = Done(tool=asked.action or "*", arguments=asked.arguments, reads=asked.reads)
    wanted = asked.selection(visit.tenant, now=visit.store.now())
    found: list[Deed] = []
    async for record, deeds in deeds_of(visit.store, done, wanted, before=before):
        found += deeds
        if len(found) >= MOST:
            return found, record.ref.id
    return found, None


async def _log(store: Store) -> dict[str, Any]:
    """How far the log has come, what was signed of it, and where that was sent."""
    size, lag = await store.log_size(), await store.log_lag()
    newest, sent = await newest_checkpoint(store), await exports(store)
    return {
        "size": size,
        "behind": lag.runs,
        "behind_for": max(0, store.now() - lag.since) if lag.runs and lag.since is not None else 0,
        "checkpoint": newest,
        "unsigned": None if newest is None else size - newest.size,
        "sent": [
            {"to": name, "size": told.get("size"), "at": told.get("at"), "error": told.get("error")}
            for name, told in sorted(sent.items())
        ],
    }


AUDIT = Room(
    title="Audit", path="/audit", key="u", pages=(Page(path="/audit", handler=search, role=Role.AUDITOR),)
)
"""What an auditor asks."""
