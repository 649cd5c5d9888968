"""What an app does with escalations and other notices: list them, acknowledge them, pass them on, try the contacts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pydantic_core

from ..core.contacts import Contacts
from ..core.errors import ConfigError, RunNotEnded, RunPruned, UnknownRun
from ..core.ids import new_id
from ..governance.notices import KIND, Notice, change_notice, drop_notice
from ..journal import Amendment, CellKey, Kind
from .base import AppBase

__all__ = ["Escalations", "Open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A notice that is under way, or waits to be acknowledged."""

    tenant: str
    due: int | None
    """when somebody is to look at it again, microseconds"""
    notice: Notice
    key: CellKey


class Escalations(AppBase):
    """The part of `App` that reaches people. Contacts come from `perdure.toml`, or are set as `app.contacts`."""

    contacts = Contacts()
    """whom notices go to; see `perdure.Contact`"""

    async def escalations(self, *, tenant: str | None = None, run_id: str | None = None) -> list[Open]:
        """Escalations that nobody has acknowledged yet, the oldest first; of this app's tenant, or another."""
        await self.open()
        found = await self.store.cells(KIND, tenant=tenant or self.tenant, prefix="escalation.")
        listed = [
            Open(tenant=key.tenant, due=cell.due, notice=Notice.of(key, cell), key=key) for key, cell in found
        ]
        mine = [o for o in listed if run_id is None or o.notice.run == run_id]
        return sorted(mine, key=lambda o: o.notice.created)

    async def acknowledge(
        self, run_id: str, *, by: str, note: str = "", tenant: str | None = None
    ) -> list[Notice]:
        """Say that somebody has taken a run's escalation; nobody else is told any more. What was open.

        The run's journal says who. Raises `UnknownRun` where the run has no open escalation.
        """
        said = {"what": "acknowledged", "by": by, **({"why": note} if note else {})}
        return [
            await self._note(o, drop_notice(o.key), {**said, "to": o.notice.to}, by)
            for o in await self._open_of(run_id, tenant)
        ]

    async def pass_on(
        self, run_id: str, *, to: str | None, by: str, tenant: str | None = None
    ) -> list[Notice]:
        """Hand a run's escalation to the contact `to`, or, without it, to who is next. What was open.

        Raises `UnknownRun` where the run has no open escalation, and `ConfigError` where there is no such contact.
        """
        passed: list[Notice] = []
        for o in await self._open_of(run_id, tenant):
            found = self.contacts.find(o.notice.to)
            following = to or (found[1].then if found is not None else None)
            if following is None or self.contacts.find(following) is None:
                known = ", ".join(f"`{name}`" for name in self.contacts.by_name) or "none"
                raise ConfigError(
                    f"there is no contact `{following or 'after this one'}`; there are: {known}"
                )

            def make(notice: Notice, now: int, to: str = following) -> tuple[Notice, int]:
                had = notice.passed if notice.to is None else (*notice.passed, notice.to)
                return replace(notice, to=to, passed=had, state="open", attempts=0, holder=None), now

            said = {"what": "passed", "to": following, "by": by}
            passed.append(await self._note(o, change_notice(o.key, make), said, by))
        return passed

    async def _open_of(self, run_id: str, tenant: str | None) -> list[Open]:
        found = await self.escalations(tenant=tenant, run_id=run_id)
        if not found:
            raise UnknownRun(
                f"run `{self.ref(run_id, tenant)}` has no open escalation; `perdure escalations ls` shows those"
            )
        return found

    async def _note(self, o: Open, amendment: Amendment, said: Mapping[str, object], by: str) -> Notice:
        told = pydantic_core.to_json({**said, "notice": o.notice.id})
        ref = self.ref(o.notice.run, o.tenant)
        try:
            entry = await self.store.annotate(ref, Kind.ESCALATION, told, actor=by, amendments=[amendment])
        except (RunPruned, RunNotEnded):
            entry = None
        if entry is None:
            await self.store.amend(amendment)
        return o.notice

    async def try_contacts(self) -> dict[str, str | None]:
        """Send every contact a notice that is marked as a test: what went wrong, by name; None: it was taken."""
        from ..engines.channels import send

        at = self.clock.micros()

        async def one(name: str) -> str | None:
            notice = Notice(
                kind="test",
                run="none",
                subject=f"Test: Perdure can reach the contact `{name}`",
                body="This is a test, sent by `perdure doctor --contacts`. There is nothing to do.",
                id=f"msg_test{new_id()[:16]}",
                created=at,
            )
            try:
                await asyncio.to_thread(send, self.contacts, name, notice, tenant=self.tenant, at=at)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return None

        names = list(self.contacts.by_name)
        return dict(zip(names, await asyncio.gather(*(one(name) for name in names)), strict=True))
