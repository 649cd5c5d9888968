"""Alerts that somebody has to look at, each with its runbook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..app import App
from ..core.alert_settings import ALERTS, AlertSettings
from ..engines.alerts import Alert

__all__ = ["AlertLine", "alert_line", "alert_lines"]

_TOLD_BY_CODE = frozenset({"watcher_finding"})
"""Kinds whose subject is in the words of somebody's code, which has seen what calls were given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLine:
    """One alert. Times are microseconds."""

    id: str
    kind: str
    says: str
    """what all alerts of its kind say"""
    about: str
    subject: str
    why: str | None
    """None: the reader does not see payloads, and a reason may hold what one said"""
    runs: Sequence[str]
    count: int
    state: Literal["open", "acknowledged"]
    by: str | None
    """who has taken it"""
    note: str
    first: int
    last: int
    told: int
    runbook: str
    """where the page is that says what to do"""


async def alert_lines(app: App, *, tenant: str, payloads: bool) -> list[AlertLine]:
    """Those of a tenant that are open, or acknowledged and not over; the newest first."""
    return [alert_line(app, one, payloads=payloads) for one in await app.alerts(tenant=tenant)]


def alert_line(app: App, alert: Alert, *, payloads: bool) -> AlertLine:
    """One, for a reader who sees payloads, or does not."""
    says = ALERTS.get(alert.kind, alert.kind)
    settings = app.alert_settings or AlertSettings()
    return AlertLine(
        id=alert.id,
        kind=alert.kind,
        says=says,
        about=alert.about,
        subject=says if alert.kind in _TOLD_BY_CODE and not payloads else alert.subject,
        why=alert.why if payloads else None,
        runs=alert.runs,
        count=alert.count,
        state=alert.state,
        by=alert.by,
        note=alert.note,
        first=alert.first,
        last=alert.last,
        told=alert.told,
        runbook=settings.runbook(alert.kind),
    )
