"""The stage `scope`, as far as agents go: tools of other zones are not its own, nor are writes while it plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import Refused
from ...journal import Kind
from .call import Call, Way

if TYPE_CHECKING:
    from .tool import Tool

__all__ = ["holds", "let_pass", "let_plan", "no_child"]


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


def let_plan(call: Call, way: Way, *, planning: bool) -> None:
    """Return where the call only reads, or is part of no planning stage. Raises `Refused`, and the journal says so."""
    effect = call.effect if way.tool is None else way.tool.effect
    if not planning or effect == "read" or way.kind == "answer":
        return
    error, told = _planned(f"`{way.name}` was not called", tool=way.name, effect=effect)
    call.recorder.write(Kind.VERDICT, call.key, told, fingerprint=call.mark)
    raise error


def no_child(call: Call) -> tuple[Refused, bytes] | None:
    """Why an agent may not be started as a child here, and the verdict for the journal: its effects are its own."""
    if not call.recorder.boundary.planned(call.key):
        return None
    return _planned(f"agent `{call.name}` was not started", agent=call.name)


def _planned(what: str, **about: str) -> tuple[Refused, bytes]:
    why = f"{what}: this is a planning stage, in which nothing is done but read. Say in the plan what is to be done"
    return Refused(why), pydantic_core.to_json(
        {"stage": "planning", "verdict": "denied", **about, "why": why}
    )
