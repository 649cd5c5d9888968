"""Runs that clients start: on behalf of whoever asks, and once, however often they ask."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import pydantic_core

from ..app.handle import Handle
from ..core.errors import InvalidInput
from ..runtime import Agent
from .asking import Asking

__all__ = ["KEY", "accepted"]

KEY = "perdure.dev/idempotency-key"
"""In `_meta` of a call: the same key of the same caller is the same run."""
LABEL = "via"


async def accepted(
    asking: Asking,
    agent: Agent,
    given: Any,
    *,
    key: str | None = None,
    run_id: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> Handle:
    """Accept a run of `given`, as JSON has it. Raises what `App.start` raises."""
    caller = asking.caller
    loaded = agent.load_input(pydantic_core.to_json(given))
    return await asking.app.start(
        agent,
        loaded[0] if loaded else None,
        run_id=run_id or _named_by(agent, key or _key(asking), asking),
        labels={LABEL: "mcp", **(labels or {})},
        tenant=caller.tenant,
        on_behalf_of=caller.principal,
    )


def _key(asking: Asking) -> str | None:
    key = asking.meta.get(KEY)
    if key is not None and (not isinstance(key, str) or not 1 <= len(key) <= 200):
        raise InvalidInput(f"`{KEY}` of `_meta` is a text of 1 to 200 characters")
    return key


def _named_by(agent: Agent, key: str | None, asking: Asking) -> str | None:
    """The run's id that follows from the key: the same for the same caller and agent, and nobody else's."""
    if key is None:
        return None
    told = f"{asking.caller.subject}\0{agent.name}\0{key}"
    return f"{agent.name[:100]}-{hashlib.sha256(told.encode()).hexdigest()[:24]}"
