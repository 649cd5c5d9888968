"""A goal that was not met costs trust: in each action that the run carried out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...core.rings import Ring
from ...journal import Kind
from .keeping import Trust
from .records import TrustRecord

__all__ = ["goal_missed", "last_word"]

_PAGE = 1000


async def goal_missed(
    trust: Trust,
    ref: RunRef,
    rid: int,
    agent: str,
    *,
    start: Callable[[str], Ring | None],
    reason: str,
    by: str,
) -> list[TrustRecord]:
    """Narrow what the run did under a ring, by one each, once for each run. Raises `StoreError`.

    `start` says where an action began; None: nobody knows here, and it is the ring that the journal names.
    """
    if "outcome" not in trust.settings.narrow_on:
        return []
    held = {
        told["tool"]: Ring(told["ring"])
        for told in await _told(trust, Kind.VERDICT, rid)
        if told["stage"] == "trust" and told["ring"] != Ring.NONE
    }
    done = [
        tool
        for tool in dict.fromkeys(t["tool"] for t in await _told(trust, Kind.INTENT, rid))
        if tool in held
    ]
    made = [
        await trust.narrow(
            ref.tenant,
            agent,
            action,
            reason=f"{reason} (run {ref.id})",
            by=by,
            start=start(action) or held[action],
            cause=f"{ref.id}/outcome",
        )
        for action in done
    ]
    return [record for record in made if record is not None]


async def last_word(trust: Trust, rid: int) -> bool | None:
    """Whether a run has met its goal, as was said last; None: nobody has said anything."""
    said = await _told(trust, Kind.OUTCOME, rid)
    return bool(said[-1]["met"]) if said else None


async def _told(trust: Trust, kind: Kind, rid: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = (0, 0)
    while True:
        page = await trust.store.of_kind(kind, (rid,), after=after, limit=_PAGE)
        found += [pydantic_core.from_json(entry.payload) for _, entry in page if not entry.erased]
        if len(page) < _PAGE:
            return found
        after = page[-1][0], page[-1][1].seq
