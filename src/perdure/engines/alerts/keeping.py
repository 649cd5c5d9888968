"""Raising alerts, telling of them, acknowledging them: each change is one transaction of cell, notice and entry.

    occurrence ─┬─ none like it is open ─► alert, notice, ESCALATION `raised`
                ├─ told of late, or counted already ─► counted, or nothing
                └─ told long ago ─► notice again, ESCALATION `raised`

Whoever dies in between has done all of it or nothing, so an alert is raised once and told at least once. Notices are
delivered by messengers, and passed on where nobody acknowledges.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pydantic_core

from ...core.alert_settings import ALERTS, AlertSettings
from ...core.clock import from_micros, to_micros
from ...core.errors import RunNotEnded, RunPruned, UnknownAlert
from ...core.lookalikes import visible
from ...governance.notices import KIND as NOTICE
from ...governance.notices import Notice, drop_notice, new_notice
from ...journal import Amendment, Cell, CellKey, Kind, Store
from .alert import KIND, Alert, Occurrence
from .journal import log_of

__all__ = ["Alerts"]

TRIES = 20


class _Moved(Exception):
    """Somebody else has changed the cell meanwhile."""


class Alerts:
    """The alerts of a store. `by` is who acts, for the journal."""

    def __init__(self, store: Store, settings: AlertSettings, *, by: str = "alerts") -> None:
        self._store = store
        self._settings = settings
        self._by = by

    async def ls(self, *, tenant: str | None = None) -> list[Alert]:
        """Those that are open or acknowledged, of a tenant or of all; the newest first."""
        found: list[Alert] = []
        after: CellKey | None = None
        while page := await self._store.cells(KIND, tenant=tenant, after=after):
            after = page[-1][0]
            found += [Alert.of(key, cell) for key, cell in page]
        return sorted(found, key=lambda a: a.last, reverse=True)

    # raising ---------------------------------------------------------------------------------------------------

    async def raise_(self, seen: Occurrence) -> Alert | None:
        """Let people know, as configured. None: nobody wants to hear of it."""
        if seen.kind in self._settings.off:
            return None
        for _ in range(TRIES):
            now = self._store.now()
            before = await self._read(seen.key)
            after = Alert.new(seen, now) if before is None else before.with_another(seen, now)
            if after is before:
                return before
            if before is not None and not self._is_to_be_told(before, after, now):
                if await self._store.amend(_replaced(before, after)):
                    return after
                continue
            told = replace(
                after,
                state="open",
                told=after.told + 1,
                told_at=now,
                told_count=after.count,
                notice=f"alert.{after.id}.{after.told + 1}",
            )
            dropped = [] if before is None else self._without_notice(before)
            amendments = [_replaced(before, told, raises=True), *dropped, self._notice(told, now)]
            try:
                await self._say(told, {"what": "raised", **self._told(told)}, amendments)
            except _Moved:
                continue
            return told
        raise _Moved

    async def hold(self, conditions: Sequence[Occurrence]) -> None:
        """What holds now: raise it; what is open and does not hold any more is over."""
        keys = {seen.key for seen in conditions}
        for seen in conditions:
            await self.raise_(seen)
        now = self._store.now()
        for alert in await self.ls():
            if alert.causes is None:
                gone = alert.key not in keys
            else:
                gone = now - alert.last > to_micros(self._settings.forget)
            if gone:
                await self._end(alert)

    def _is_to_be_told(self, before: Alert, after: Alert, now: int) -> bool:
        """Again, where it goes on: not too often, and of a condition only where it concerns more."""
        if now - before.told_at < to_micros(self._settings.repeat):
            return False
        return after.causes is not None or after.count > before.told_count

    # what people do --------------------------------------------------------------------------------------------

    async def acknowledge(self, tenant: str, id: str, *, by: str, note: str = "") -> Alert:
        """Say that somebody has taken it: nobody else is told, until it goes on. Raises `UnknownAlert`."""
        for _ in range(TRIES):
            alert = next((a for a in await self.ls(tenant=tenant) if a.id == id), None)
            if alert is None:
                raise UnknownAlert(
                    f"there is no alert `{id}` that is not over; `perdure alerts ls` lists those"
                )
            taken = replace(alert, state="acknowledged", by=by, note=note[:1000], notice=None)
            amendments = [_replaced(alert, taken, raises=True), *self._without_notice(alert)]
            said = {"what": "acknowledged", "alert": id, "by": by, **({"why": note} if note else {})}
            try:
                await self._say(taken, said, amendments, by=by)
            except _Moved:
                continue
            return taken
        raise _Moved

    async def _end(self, alert: Alert) -> None:
        """It is over."""
        amendments = [_replaced(alert, None, raises=True), *self._without_notice(alert)]
        if alert.state == "open" and alert.causes is None:
            amendments.append(self._over(alert))
        try:
            await self._say(alert, {"what": "over", "alert": alert.id}, amendments)
        except _Moved:
            return  # it has changed: the next look says what is to be done

    # writing ---------------------------------------------------------------------------------------------------

    async def _read(self, key: CellKey) -> Alert | None:
        for found, cell in await self._store.cells(KIND, tenant=key.tenant, prefix=key.name, limit=1):
            if found == key:
                return Alert.of(key, cell)
        return None

    async def _say(
        self,
        alert: Alert,
        told: Mapping[str, Any],
        amendments: Sequence[Amendment],
        *,
        by: str | None = None,
    ) -> None:
        """One entry of the tenant's journal of alerts, with the cells that it is about."""
        log = await log_of(self._store, alert.tenant, self._store.now())
        payload = pydantic_core.to_json(told)
        try:
            await self._store.annotate(
                log, Kind.ESCALATION, payload, actor=by or self._by, key=alert.kind, amendments=amendments
            )
        except (RunPruned, RunNotEnded):  # the month was pruned, by hand: people are told all the same
            for amendment in amendments:
                await self._store.amend(amendment)

    def _told(self, alert: Alert) -> dict[str, Any]:
        to = self._settings.contact(alert.kind)
        return {
            "alert": alert.id,
            "kind": alert.kind,
            "about": alert.about,
            "subject": alert.subject,
            "why": alert.why,
            "runs": list(alert.runs),
            "count": alert.count,
            "notice": f"msg_{alert.id}.{alert.told}",
            **({} if to is None else {"to": to}),
        }

    def _without_notice(self, alert: Alert) -> list[Amendment]:
        return [] if alert.notice is None else [drop_notice(CellKey(alert.tenant, NOTICE, alert.notice))]

    def _notice(self, alert: Alert, now: int) -> Amendment:
        more = f" ({alert.count} times so far)" if alert.causes is not None and alert.count > 1 else ""
        subject = f"{visible(alert.subject)[:200]}{more}"
        lines = [visible(alert.why, lines=True)] if alert.why else []
        lines += [f"tenant: {alert.tenant}"]
        lines += [f"perdure runs show {run}" for run in alert.runs[-3:]]
        lines += [
            f"runbook: {self._settings.runbook(alert.kind)}",
            f"perdure alerts ack {alert.id}",
        ]
        body = "\n".join([ALERTS.get(alert.kind, alert.kind), "", *lines])
        assert alert.notice is not None
        notice = Notice(
            kind=f"alert.{alert.kind}",
            run=alert.runs[-1] if alert.runs else "none",
            subject=f"Alert: {subject}",
            body=body,
            blocks=_blocks(f"Alert: {subject}", lines),
            to=self._settings.contact(alert.kind),
            id=f"msg_{alert.id}.{alert.told}",
            ack=True,
            log=f"alerts-{from_micros(now):%Y%m}",
        )
        return new_notice(alert.tenant, alert.notice, notice)

    def _over(self, alert: Alert) -> Amendment:
        subject = f"Over: {visible(alert.subject)[:200]}"
        notice = Notice(
            kind="alert.over",
            run=alert.runs[-1] if alert.runs else "none",
            subject=subject,
            body=subject,
            blocks=_blocks(subject, []),
            to=self._settings.contact(alert.kind),
            id=f"msg_{alert.id}.over",
        )
        return new_notice(alert.tenant, f"alert.{alert.id}.over", notice)


def _replaced(before: Alert | None, after: Alert | None, *, raises: bool = False) -> Amendment:
    """The cell as it is to be, where it is still as it was. The result: whether it was; `raises`: or else `_Moved`."""
    alert = before or after
    assert alert is not None
    key = alert.key

    def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
        cell = there.get(key)
        if (None if cell is None else Alert.of(key, cell)) != before:
            if raises:
                raise _Moved
            return {}, False
        return {key: None if after is None else Cell(after.data())}, True

    return Amendment([key], change)


def _blocks(title: str, lines: Sequence[str]) -> list[Any]:
    """The same as Slack draws it; nothing of it becomes a link, a mention or a command."""
    blocks: list[Any] = [
        {"type": "header", "text": {"type": "plain_text", "text": title.replace("`", "")[:150]}}
    ]
    if lines:
        text = "\n".join(lines).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        blocks.append({"type": "section", "text": {"type": "mrkdwn", "text": text[:2900]}})
    return blocks
