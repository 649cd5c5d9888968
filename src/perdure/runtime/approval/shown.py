"""What an approver is shown, and the digest that binds the answer to exactly that.

    digest = SHA-256 of the canonical JSON of {tool, effect, schema, arguments, requester, agent, run, step}
    (`core.statements.digest_of`)

`run` is the run's full name with its generation, so that nothing carries over to a fork or to another run; `schema` is
the digest of the tool's parameters, so that an answer given before a deploy does not let a changed tool through.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pydantic_core
from pydantic import PydanticUserError

if TYPE_CHECKING:
    from ..boundary.call import Call
    from ..boundary.tool import Tool

__all__ = ["Shown", "shown_of"]

Shown = dict[str, Any]


def shown_of(call: Call, tool: Tool[..., Any], agent: str, *, data: bytes | None = None) -> Shown:
    """What is asked: the call as the agent wants it, or with the arguments `data` (JSON)."""
    recorder = call.recorder
    return {
        "tool": tool.name,
        "effect": tool.effect,
        "schema": _schema_digest(tool),
        "arguments": pydantic_core.from_json(call.proposed if data is None else data),
        "requester": recorder.principal or f"agent:{agent}",
        "agent": agent,
        "run": recorder.name,
        "step": call.key,
    }


def _schema_digest(tool: Tool[..., Any]) -> str:
    try:
        form: Any = tool.schema()
    except PydanticUserError:  # parameters that JSON cannot describe
        form = str(tool.signature)
    return hashlib.sha256(json.dumps(form, sort_keys=True, default=str).encode()).hexdigest()
