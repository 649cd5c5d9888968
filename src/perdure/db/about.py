"""What a session says of its worker, as it is kept: JSON."""

from __future__ import annotations

import json

from ..journal import Session, SessionRecord

__all__ = ["coded_about", "session_record"]


def coded_about(session: Session, since: int) -> str:
    """The session's own words. `since` is the store's time."""
    return json.dumps(
        {
            "agents": [list(pair) for pair in session.agents],
            "labels": sorted(session.labels),
            "concurrency": session.concurrency,
            "since": since,
        }
    )


def session_record(id: str, label: str, about: str, expires: int, runs: int) -> SessionRecord:
    """A row of the list of sessions."""
    told = json.loads(about)
    return SessionRecord(
        id=id,
        label=label,
        agents=tuple((agent, version) for agent, version in told.get("agents", ())),
        labels=frozenset(told.get("labels", ())),
        concurrency=told.get("concurrency", 0),
        since=told.get("since", 0),
        expires=expires,
        runs=runs,
    )
