"""What an app does with alerts: raise them, list them, acknowledge them, try whether they arrive."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core.alert_settings import AlertSettings
from ..core.errors import ConfigError, StoreCorrupt
from ..core.ids import DEFAULT_TENANT, check_id, new_id
from ..governance.watching import Finding, Watcher
from .base import AppBase

if TYPE_CHECKING:
    from ..engines.alerts import Alert, Alerts
    from ..engines.worker import Beside

__all__ = ["Alarms"]


class Alarms(AppBase):
    """The part of `App` that tells people what they have not asked."""

    alert_settings: AlertSettings | None = None
    """who is told of what; the table `[alerts]`. None: nobody is. Set it before a worker is made"""

    @property
    def alarms(self) -> Alerts:
        """The alerts of the store, as they are kept."""
        from ..engines.alerts import Alerts

        return Alerts(self.store, self.alert_settings or AlertSettings())

    async def alerts(self, *, tenant: str | None = None) -> list[Alert]:
        """Alerts that are open, or acknowledged and not over; of this app's tenant, or another. The newest first."""
        await self.open()
        return await self.alarms.ls(
            tenant=self.tenant if tenant is None else check_id(tenant, what="a tenant")
        )

    async def acknowledge_alert(
        self, alert_id: str, *, by: str, note: str = "", tenant: str | None = None
    ) -> Alert:
        """Say that somebody has taken an alert: nobody else is told. The journal of alerts says who.

        Raises `UnknownAlert`.
        """
        await self.open()
        whose = self.tenant if tenant is None else check_id(tenant, what="a tenant")
        return await self.alarms.acknowledge(whose, alert_id, by=by, note=note)

    async def test_alerts(self, *, by: str = "", tenant: str | None = None) -> dict[str, str | None]:
        """Send an alert that is marked as a test to every contact of `[alerts]`, now, by the way that a real one goes.

        By the contact's name: None where it arrived, else why not. Raises `ConfigError` where a contact is missing.
        """
        from ..engines.channels import send
        from ..governance.notices import Notice

        settings = self.alert_settings or AlertSettings()
        await self.open()
        whose = self.tenant if tenant is None else check_id(tenant, what="a tenant")
        names: set[str] = set()
        for to in (settings.to, *settings.routes.values()):
            found = self.contacts.find(to)
            if found is None:
                what = "no contact is configured" if to is None else f"there is no contact `{to}`"
                raise ConfigError(f"{what}: add it to [contacts] in perdure.toml")
            names.add(found[0])
        at = self.store.now()
        notice = Notice(
            kind="alert.test",
            run="none",
            subject="Alert: this is a test, and there is nothing to do",
            body=f"Sent by {by or '`perdure alerts test`'}. Runbooks: {settings.runbooks}",
            id=f"msg_test{new_id()[:16]}",
            created=at,
        )
        told: dict[str, str | None] = {}
        for name in sorted(names):
            try:
                await asyncio.to_thread(send, self.contacts, name, notice, tenant=whose, at=at)
            except Exception as error:
                told[name] = f"{type(error).__name__}: {error}"
            else:
                told[name] = None
        return told

    def alerting(self) -> Sequence[Beside]:
        """What looks for alerts, in each worker and each server; one of those does."""
        from ..engines.alerts import Alerting

        settings = self.alert_settings
        if settings is None:
            return []
        name = f"a-{new_id()[:12]}"
        made = Alerting(self.store, self.alarms, settings, self.treasury, tenant=self.tenant, name=name)
        return [made]

    def alert_watchers(self) -> Sequence[Watcher]:
        """The watcher that raises alerts of what has happened."""
        from ..engines.alerts import Endings

        if self.alert_settings is None:
            return []
        return [Watcher(name="perdure-alerts", look=Endings(self.alarms), everywhere=True)]

    async def raise_corrupt(self, error: StoreCorrupt) -> None:
        """Let people know that the audit log is not what was written."""
        from ..engines.alerts import Occurrence

        if self.alert_settings is None:
            return
        why = str(error)
        await self.alarms.raise_(
            Occurrence(
                kind="chain_broken",
                tenant=DEFAULT_TENANT,
                about="audit log",
                subject="the audit log, or a journal under it, is not what was written",
                why=why,
                cause=hashlib.sha256(why.encode()).hexdigest()[:16],
            )
        )

    async def raise_finding(self, finding: Finding) -> None:
        """Let people know what a watcher has found."""
        from ..engines.alerts import Occurrence

        if self.alert_settings is None:
            return
        await self.alarms.raise_(
            Occurrence(
                kind="watcher_finding",
                tenant=finding.tenant,
                about=f"{finding.watcher}/{finding.what}/{finding.agent}",
                subject=f"watcher `{finding.watcher}`, agent `{finding.agent}`: {finding.why}",
                why=finding.what,
                runs=(finding.run,),
                cause=finding.cause,
            )
        )

    async def raise_changed(self, kind: str, source: str, tool: str, changed: str, digest: str) -> None:
        """Let people know that a tool is not what was reviewed. `kind` is that of its source (`mcp`)."""
        from ..engines.alerts import Occurrence

        if self.alert_settings is None:
            return
        await self.alarms.raise_(
            Occurrence(
                kind="tool_changed",
                tenant=self.tenant,
                about=f"{kind}/{source}/{tool}",
                subject=f"`{tool}` of `{source}` is not what was reviewed ({changed}); its calls are refused",
                why=f"`perdure {kind} diff {source}` shows what is different",
                cause=digest[:16],
            )
        )
