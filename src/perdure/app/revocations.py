"""Stopping an agent, a run, or all that is done on behalf of a user."""

from __future__ import annotations

from ..core.ids import check_id
from ..governance import Revocation, Revocations, Who
from .base import AppBase
from .changes import record_change

__all__ = ["Revoking"]


class Revoking(AppBase):
    """The part of `App` by which somebody may do nothing any more."""

    @property
    def revocations(self) -> Revocations:
        """Who may do nothing any more, as this app's workers look at it."""
        return Revocations(self.store, self.clock)

    async def revoke(
        self,
        *,
        agent: str | None = None,
        run: str | None = None,
        user: str | None = None,
        by: str = "operator",
        reason: str = "",
        tenant: str | None = None,
    ) -> bool:
        """Stop an agent (all its runs), a run, or all that is done on behalf of a user.

        Every effect, model call and use of an account that begins once this has returned is refused with `Revoked`, on
        every worker of the store, until `restore`. False: it was revoked already. Raises `ConfigError`.
        """
        who = Who.of(agent=agent, run=run, user=user)
        await self.open()
        whose = self._whose(tenant)
        fresh = await self.revocations.revoke(whose, who, by=by, reason=reason)
        if fresh:
            await record_change(self.store, whose, "revoke", {**who._asdict(), "reason": reason}, by=by)
        return fresh

    async def restore(
        self,
        *,
        agent: str | None = None,
        run: str | None = None,
        user: str | None = None,
        by: str = "operator",
        tenant: str | None = None,
    ) -> bool:
        """Let it go on. What was refused meanwhile stays refused. False: it was not revoked. Raises `ConfigError`."""
        who = Who.of(agent=agent, run=run, user=user)
        await self.open()
        whose = self._whose(tenant)
        done = await self.revocations.restore(whose, who)
        if done:
            await record_change(self.store, whose, "restore", who._asdict(), by=by)
        return done

    async def revoked(self, *, tenant: str | None = None) -> list[Revocation]:
        """Who is revoked in a tenant, and by whom."""
        await self.open()
        return await self.revocations.ls(self._whose(tenant))

    def _whose(self, tenant: str | None) -> str:
        return self.tenant if tenant is None else check_id(tenant, what="a tenant")
