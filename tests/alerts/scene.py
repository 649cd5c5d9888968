"""An app with alerts, and what looks for them, to be asked to look."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pydantic_core

from perdure import App
from perdure.core.alert_settings import AlertSettings
from perdure.core.contacts import Contacts
from perdure.core.ids import RunRef
from perdure.engines.alerts import Alerting, Alerts
from perdure.engines.messenger import Messenger
from perdure.engines.watching import Watching
from perdure.journal import Kind, verify_chain


class Scene:
    """Looks, delivers, and reads what the journal of alerts says."""

    def __init__(self, app: App, contacts: Contacts) -> None:
        self.app = app
        self.contacts = contacts
        settings = app.alert_settings or AlertSettings()
        self.alerts = Alerts(app.store, settings)
        self.alerting = Alerting(
            app.store, self.alerts, settings, app.treasury, tenant=app.tenant, name="here"
        )
        self.watching = Watching(
            app.store,
            app.watchers(),
            tenant=app.tenant,
            revocations=app.revocations,
            found=app.found,
            name="here",
        )
        self.messenger = Messenger(app.store, lambda: self.contacts, name="m")

    async def look(self) -> None:
        """At what has happened, and at how the store stands."""
        await self.watching.catch_up()
        await self.alerting.tick(whenever=True)

    async def open(self, tenant: str = "default") -> list[tuple[str, str, int]]:
        found = await self.app.alerts(tenant=tenant)
        return sorted((a.kind, a.about, a.count) for a in found)

    async def said(self, tenant: str = "default") -> list[tuple[str, str]]:
        """What the journal of the tenant's alerts says, which verifies."""
        found: list[tuple[str, str]] = []
        for record in await self.app.store.find(_logs(tenant)):
            entries = await self.app.store.read(record.ref)
            verify_chain(RunRef(tenant, record.ref.id), entries)
            assert record.status == "succeeded"
            for entry in entries:
                if entry.kind == Kind.ESCALATION:
                    told: dict[str, Any] = pydantic_core.from_json(entry.payload)
                    found.append((told["what"], entry.key or told.get("to") or ""))
        return found


def _logs(tenant: str) -> Any:
    from perdure.journal import RunQuery

    return RunQuery(tenant=tenant, agent="perdure-alerts")


@asynccontextmanager
async def watched(app: App, contacts: Contacts | None = None, *, work: bool = True) -> AsyncGenerator[Scene]:
    """The app at work; its own worker looks for nothing, and tells nobody."""
    app.watching = app.alerting = lambda: []  # type: ignore[method-assign]
    app.contacts = Contacts()
    scene = Scene(app, contacts or Contacts())
    if work:
        async with app:
            await scene.watching.catch_up()
            yield scene
        return
    await app.open()
    try:
        yield scene
    finally:
        await app.close()
