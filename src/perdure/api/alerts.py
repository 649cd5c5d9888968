"""`/alerts`: what people were told without having asked, who has taken it, whether it arrives."""

from __future__ import annotations

from fastapi import APIRouter

from ..client.models import AcknowledgeAlert, AlertId, AlertOut, DeliveryOut, Page
from ..core.clock import from_micros
from ..views.alerts import AlertLine, alert_line, alert_lines
from .callers import Operator, TheApp, Viewer
from .routes import GatedRoute

__all__ = ["router"]

router = APIRouter(prefix="/alerts", tags=["alerts"], route_class=GatedRoute)


@router.get("")
async def ls(caller: Viewer, app: TheApp) -> Page[AlertOut]:
    """Alerts of the caller's tenant that are open, or acknowledged and not over; the newest first."""
    found = await alert_lines(app, tenant=caller.tenant, payloads=caller.sees_payloads)
    return Page[AlertOut](items=[_out(line) for line in found])


@router.post("/{alert}/acknowledge")
async def acknowledge(
    alert: AlertId, caller: Operator, app: TheApp, asked: AcknowledgeAlert | None = None
) -> AlertOut:
    """Say that you have taken it: nobody else is told, unless it goes on. The journal of alerts says who."""
    note = "" if asked is None else asked.note
    taken = await app.acknowledge_alert(alert, by=caller.subject, note=note, tenant=caller.tenant)
    return _out(alert_line(app, taken, payloads=caller.sees_payloads))


@router.post("/test")
async def test(caller: Operator, app: TheApp) -> Page[DeliveryOut]:
    """Send an alert that is marked as a test to whoever is told of alerts, now; whether it arrived."""
    found = await app.test_alerts(by=caller.subject, tenant=caller.tenant)
    return Page[DeliveryOut](
        items=[DeliveryOut(to=name, delivered=why is None, error=why) for name, why in found.items()]
    )


def _out(line: AlertLine) -> AlertOut:
    return AlertOut(
        alert=line.id,
        kind=line.kind,
        about=line.about,
        subject=line.subject,
        why=line.why,
        runs=list(line.runs),
        count=line.count,
        state=line.state,
        by=line.by,
        note=line.note,
        first_at=from_micros(line.first),
        last_at=from_micros(line.last),
        told=line.told,
        runbook=line.runbook,
    )
