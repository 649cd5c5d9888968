"""What agents remember, as the command line, the API and the dashboard tell it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .words import iso, one_line, pretty, safe

if TYPE_CHECKING:
    from ..app.memory_governance import Explained, FoundItem
    from ..app.memory_spread import Spread
    from ..memory import Hold, Proposal

__all__ = ["explained_told", "gist", "hold_told", "item_told", "proposal_told", "spread_told"]

_GIST = 200


def gist(content: Any, *, limit: int = _GIST) -> str:
    """What an item says, in a line: a text without its quotes, a message with its role."""
    if isinstance(content, dict) and content.keys() == {"role", "content"}:  # pyright: ignore[reportUnknownMemberType]
        return f"{safe(str(content['role']))}: {gist(content['content'], limit=limit)}"  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(content, str):
        return pretty(content, limit=limit)
    text = one_line(content)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def item_told(found: FoundItem) -> dict[str, Any]:
    """As JSON."""
    item = found.item
    return {
        "id": item.id,
        "layer": item.layer,
        "kind": item.kind,
        "place": item.place,
        "subject": item.whose.subject,
        "agent": item.whose.agent,
        "content": item.content,
        "at": iso(item.at),
        "run": item.origin.run,
        "step": item.origin.step,
        "labels": list(item.origin.labels),
        "withdrawn": None if found.hold is None else hold_told(found.hold),
    }


def hold_told(hold: Hold) -> dict[str, Any]:
    """As JSON."""
    return {"target": hold.target, "by": hold.by, "why": hold.why, "at": iso(hold.at)}


def proposal_told(proposal: Proposal) -> dict[str, Any]:
    """As JSON."""
    write = proposal.write
    return {
        "id": proposal.id,
        "layer": write.layer,
        "tool": write.tool,
        "arguments": dict(write.arguments),
        "subject": write.whose.subject,
        "agent": write.whose.agent,
        "run": write.origin.run,
        "step": write.origin.step,
        "labels": list(write.origin.labels),
        "at": iso(proposal.at),
        "state": "waits" if proposal.state == "accepting" else proposal.state,
        "by": proposal.by,
        "why": proposal.why,
    }


def explained_told(told: Explained) -> dict[str, Any]:
    """As JSON."""
    run = told.run
    return {
        "id": told.id,
        "item": None
        if told.item is None
        else {k: v for k, v in item_told(_found(told)).items() if k != "withdrawn"},
        "proposal": None if told.proposal is None else proposal_told(told.proposal),
        "withdrawn": None if told.hold is None else hold_told(told.hold),
        "run": None
        if run is None
        else {
            "id": run.ref.id,
            "agent": run.agent,
            "version": run.version,
            "status": str(run.status),
            "started_by": run.principal,
        },
        "tool": None if told.written is None else told.written.tool,
        "read": [
            {"step": r.step, "at": iso(r.at), "recalled": list(r.recalled), "labels": list(r.labels)}
            for r in told.read
        ],
        "recalls": [
            {
                "run": r.run,
                "agent": r.agent,
                "step": r.step,
                "at": iso(r.at),
                "rank": r.rank,
                "score": r.score,
            }
            for r in told.recalls
        ],
        "looked": told.looked,
        "complete": told.complete,
    }


def spread_told(told: Spread) -> dict[str, Any]:
    """As JSON."""
    return {
        "runs": list(told.runs),
        "writes": [
            {"id": w.id, "agent": w.agent, "tool": w.tool, "over": w.over, "at": iso(w.at)}
            for w in told.writes
        ],
        "looked": told.looked,
        "complete": told.complete,
    }


def _found(told: Explained) -> FoundItem:
    from ..app.memory_governance import FoundItem

    assert told.item is not None
    return FoundItem(item=told.item, hold=told.hold)
