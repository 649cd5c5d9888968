"""What follows a call whose first answer is not its last: a server that asks back, work that goes on elsewhere.

    tool ─► RESULT ─► its `follow`: steps of the run below the call's own (`tool/ask`, `tool/tool`) ─► the last answer

The first answer is recorded like any other. So a replay finds the steps that followed it, and whoever goes on with the
run begins where they end: a wait among them holds no worker, and no connection.
"""

from __future__ import annotations

from typing import Any

from ..replay.control import Unwind
from ..replay.recorder import Recorder
from ..replay.scope import Scope, reset_scope, set_scope
from .tool import Tool

__all__ = ["followed"]


async def followed(
    recorder: Recorder, scope: Scope, key: str, tool: Tool[..., Any], arguments: dict[str, Any], value: Any
) -> Any:
    """The last answer to a call (`key`), of which `value` is the first."""
    if tool.follow is None:
        return value
    below = Scope(recorder, f"{key}/", parent=scope, shielded=scope.shielded)
    recorder.open_scopes.add(below.path)
    token = set_scope(below)
    try:
        value = await tool.follow(arguments, value)
        if recorder.halted is not None:
            raise Unwind
        if recorder.unconsumed:
            recorder.check_frontier(below)
        return value
    finally:
        reset_scope(token)
        recorder.open_scopes.discard(below.path)
