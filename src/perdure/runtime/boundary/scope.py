"""The stage `scope`, as far as agents go: tools outside of an agent's zones are not its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import Refused
from ...journal import Kind
from .call import Call, Way

if TYPE_CHECKING:
    from .tool import Tool

__all__ = ["holds", "let_pass"]


def holds(zones: frozenset[str] | None, tool: Tool[..., Any]) -> bool:
    """Whether a tool is in the agent's zones."""
    return zones is None or tool.exempt or tool.terms.zone in zones


def let_pass(call: Call, way: Way, zones: frozenset[str] | None) -> None:
    """Return where the tool is the agent's own; the journal says so where not. Raises `Refused`."""
    tool = way.tool
    if tool is None or holds(zones, tool):
        return
    assert zones is not None
    mine = ", ".join(f"`{zone}`" for zone in sorted(zones)) or "none"
    why = f"`{tool.name}` was not called: it is of zone `{tool.terms.zone}`, and this agent's tools are of {mine}"
    told = {"stage": "scope", "verdict": "denied", "tool": tool.name, "zone": tool.terms.zone, "why": why}
    call.recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(told), fingerprint=call.mark)
    raise Refused(why)
