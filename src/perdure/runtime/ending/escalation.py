"""The notice by which a human hears that a run was handed to them. It is written in the transaction of the ending."""

from __future__ import annotations

import hashlib
from typing import Any

import pydantic_core

from ...governance.notices import Notice, new_notice
from ...journal import Amendment, RunStatus
from ..replay.recorder import Recorder
from .conclusion import Conclusion

__all__ = ["escalation"]

MOST_LINES = 8
"""Of each list, in a notice: the journal has them all."""
MOST_CONTEXT = 4000
MOST_BLOCK = 2900
"""Slack takes 3,000 characters in a section."""


def escalation(
    recorder: Recorder, agent: str, ending: Conclusion, told: dict[str, Any]
) -> tuple[Amendment, ...]:
    """The notice of a run that ends escalated, or that could not be undone; none for another. `told` is its ENDED."""
    left: list[dict[str, Any]] = (ending.undone or {}).get("left") or []
    if ending.status is not RunStatus.ESCALATED and not left:
        return ()
    run = recorder.ref.id
    why = ending.reason or "it could not be undone"
    subject = f"{agent}: {why}"[:200].replace("\n", " ") + f" ({run})"
    tried: dict[str, Any] = told.get("tried") or {}
    parts = [
        ("Context", [] if ending.context is None else [_json(ending.context)]),
        ("Could not be undone", [f"{item['step']}: {item['error']}" for item in left]),
        (
            "In doubt",
            [f"{d['step']}: {d['tool']}({d['arguments']})" for d in tried.get("in_doubt") or ()],
        ),
        ("Done", [f"{d['step']}: {d['tool']}({d['arguments']})" for d in tried.get("done") or ()]),
        ("Failed", [f"{f['step']}: {f['error']}" for f in tried.get("failed") or ()]),
        ("Decided", [f"{d['step']}: {d['choice']} {d['reason']}" for d in tried.get("decided") or ()]),
    ]
    parts = [(title, lines[-MOST_LINES:]) for title, lines in parts if lines]
    commands = [f"perdure runs show {run}", f"perdure escalations ack {run}"]
    text = "\n\n".join("\n".join([f"{title}:", *(f"  {line}" for line in lines)]) for title, lines in parts)
    blocks: list[Any] = [
        {"type": "header", "text": {"type": "plain_text", "text": subject[:150]}},
        *(_section(f"*{title}*\n" + "\n".join(lines)) for title, lines in parts),
        _section("\n".join(f"`{command}`" for command in commands)),
    ]
    name = hashlib.sha256(f"{recorder.name}\0{recorder.epoch}".encode()).hexdigest()[:24]
    notice = Notice(
        kind="escalation",
        run=run,
        subject=subject,
        body="\n\n".join(part for part in (why, text, "\n".join(commands)) if part),
        blocks=blocks,
        to=ending.to,
        id=f"msg_{name}",
        ack=True,
    )
    return (new_notice(recorder.ref.tenant, f"escalation.{name}", notice),)


def _json(value: Any) -> str:
    text = pydantic_core.to_json(value, indent=2).decode()
    return text if len(text) <= MOST_CONTEXT else text[: MOST_CONTEXT - 1] + "…"


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:MOST_BLOCK]}}
