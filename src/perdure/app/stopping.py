"""Stopping an agent, a run, a user's runs, a tenant or all of a store, and letting them go on where they were."""

from __future__ import annotations

from ..core.errors import ConfigError
from ..core.ids import check_id
from ..governance import EVERYTHING, Revocation, Who, wake_held
from .changes import record_change
from .revocations import Revoking

__all__ = ["Stopping"]


class Stopping(Revoking):
    """The part of `App` by which runs are held, and go on."""

    async def stop(
        self,
        *,
        agent: str | None = None,
        run: str | None = None,
        user: str | None = None,
        whole_tenant: bool = False,
        everything: bool = False,
        by: str = "operator",
        reason: str = "",
        tenant: str | None = None,
    ) -> bool:
        """Hold all runs of an agent, one run, all that is done for a user, a whole tenant, or all tenants of the store.

        No effect begins any more once this has returned, on no worker of the store; model calls, plain reads and
        steps within half a second. No call fails: the runs wait with the reason `stopped` until `go_on`. What was under
        way ends, and is recorded. False: it was stopped already. Raises `ConfigError`.
        """
        whose = _tenant(self, tenant)
        who = _who(whose, agent, run, user, whole_tenant=whole_tenant, everything=everything)
        await self.open()
        fresh = await self.revocations.revoke(whose, who, by=by, reason=reason, stop=True)
        if fresh:
            await record_change(self.store, whose, "stop", {**who._asdict(), "reason": reason}, by=by)
        return fresh

    async def go_on(
        self,
        *,
        agent: str | None = None,
        run: str | None = None,
        user: str | None = None,
        whole_tenant: bool = False,
        everything: bool = False,
        by: str = "operator",
        reason: str = "",
        tenant: str | None = None,
    ) -> int | None:
        """Lift such a stop: the runs that it has met go on where they were, and say by whom. How many were told.

        None: it was not stopped. Done again it tells those that a first time, cut short, has left. Raises
        `ConfigError`.
        """
        whose = _tenant(self, tenant)
        who = _who(whose, agent, run, user, whole_tenant=whole_tenant, everything=everything)
        await self.open()
        lifted = await self.revocations.restore(whose, who, stop=True)
        if lifted:
            await record_change(self.store, whose, "go_on", {**who._asdict(), "reason": reason}, by=by)
        woken = await wake_held(self.store, whose, who, by=by, reason=reason)
        return woken if lifted or woken else None

    async def stopped(self, *, tenant: str | None = None) -> list[Revocation]:
        """What is stopped in a tenant, by whom and why; with what is stopped of all tenants."""
        await self.open()
        whose = _tenant(self, tenant)
        found = await self.revocations.ls(whose, stop=True)
        everything = (await self.revocations.look(whose)).stopped([EVERYTHING])
        return found if everything is None or everything in found else [everything, *found]


def _tenant(app: Revoking, tenant: str | None) -> str:
    return app.tenant if tenant is None else check_id(tenant, what="a tenant")


def _who(
    tenant: str,
    agent: str | None,
    run: str | None,
    user: str | None,
    *,
    whole_tenant: bool,
    everything: bool,
) -> Who:
    if sum((agent is not None, run is not None, user is not None, whole_tenant, everything)) != 1:
        raise ConfigError("name one of an agent, a run, a user, the whole tenant and everything")
    if everything:
        return EVERYTHING
    if whole_tenant:
        return Who("tenant", tenant)
    return Who.of(agent=agent, run=run, user=user)
