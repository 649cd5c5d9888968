"""`client.stops`, `client.alerts`: what is held, and what somebody has to look at."""

from __future__ import annotations

from typing import Literal

from ..models import AcknowledgeAlert, AlertOut, DeliveryOut, Lifted, Page, Stop, StopOut, Stopped
from .link import Link

__all__ = ["Alerts", "Stops"]

What = Literal["agent", "run", "user", "tenant", "everything"]


class Stops:
    """Agents, runs, users, the tenant or everything, held before their next effect."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[StopOut]:
        """What is held, by whom and why."""
        return (await self._link.ask("GET", "/stops", Page[StopOut])).items

    async def stop(self, what: What, name: str | None = None, *, reason: str = "") -> Stopped:
        """Hold it: once this has returned, no effect of it begins any more, on any worker."""
        asked = Stop(what=what, name=name, reason=reason)
        return await self._link.ask("POST", "/stops", Stopped, body=asked, repeatable=True)

    async def lift(self, what: What, name: str | None = None, *, reason: str = "") -> Lifted:
        """Let it go on where it was held. Raises `RunConflict` for what is not stopped."""
        asked = Stop(what=what, name=name, reason=reason)
        return await self._link.ask("POST", "/stops/lift", Lifted, body=asked)


class Alerts:
    """What people are told without having asked."""

    def __init__(self, link: Link) -> None:
        self._link = link

    async def list(self) -> list[AlertOut]:
        """Those that are open, or acknowledged and not over; the newest first."""
        return (await self._link.ask("GET", "/alerts", Page[AlertOut])).items

    async def acknowledge(self, alert: str, *, note: str = "") -> AlertOut:
        """Say that you have taken it: nobody else is told, unless it goes on. Raises `UnknownAlert`."""
        asked = AcknowledgeAlert(note=note)
        return await self._link.ask("POST", f"/alerts/{alert}/acknowledge", AlertOut, body=asked)

    async def test(self) -> list[DeliveryOut]:
        """Send one that is marked as a test to every contact; whether it arrived."""
        return (await self._link.ask("POST", "/alerts/test", Page[DeliveryOut])).items
