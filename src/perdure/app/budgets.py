"""Budgets as an app has them: how they stand, and what operators do to them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pydantic_core

from ..core.ids import check_id
from ..governance import Budget, Standing, Treasury
from ..journal import RunQuery, RunStatus, WaitReason

if TYPE_CHECKING:
    from .steering import Steering

__all__ = ["Budgets"]


class Budgets:
    """`app.budgets`. A *scope* is `tenant` or `agent/NAME`; runs have their budgets apart."""

    def __init__(self, app: Steering) -> None:
        self._app = app

    @property
    def treasury(self) -> Treasury:
        """Where prices and accounts are looked up."""
        return self._app.treasury

    async def ls(self, *, tenant: str | None = None) -> list[Standing]:
        """How the shared budgets of a tenant stand in their present periods."""
        await self._app.open()
        return await self.treasury.standings(self._tenant(tenant))

    async def set(
        self, scope: str, budget: Budget | None, *, by: str, reason: str = "", tenant: str | None = None
    ) -> Budget | None:
        """Set a shared budget; it goes before the configuration, on every worker. None: the configuration holds again.

        What an operator had set before. Runs that wait for it look again. Raises `ConfigError`.
        """
        await self._app.open()
        before = await self.treasury.set(self._tenant(tenant), scope, budget, by=by, reason=reason)
        await self._wake(self._tenant(tenant))
        return before

    async def raise_(
        self, scope: str, more: Budget, *, by: str, reason: str = "", tenant: str | None = None
    ) -> Standing:
        """Add `more` to a shared budget, in its present period. Runs that wait for it look again."""
        await self._app.open()
        standing = await self.treasury.raise_(self._tenant(tenant), scope, more, by=by, reason=reason)
        await self._wake(self._tenant(tenant))
        return standing

    async def raise_run(
        self, run_id: str, more: Budget, *, by: str, reason: str = "", tenant: str | None = None
    ) -> None:
        """Add `more` to the budget of one run. Raises `UnknownRun` and `RunEnded`."""
        body: dict[str, object] = {"raise": more.limits, **({"reason": reason} if reason else {})}
        await self._tell(run_id, body, by, tenant)

    async def stop_run(self, run_id: str, *, by: str, reason: str = "", tenant: str | None = None) -> None:
        """Let a run that waits for its budget end with `BudgetExceeded` rather than get more."""
        await self._tell(run_id, {"stop": True, **({"reason": reason} if reason else {})}, by, tenant)

    async def _tell(self, run_id: str, body: dict[str, object], by: str, tenant: str | None) -> None:
        await self._app.post(run_id, "budget", "", pydantic_core.to_json(body), None, by, tenant)

    async def _wake(self, tenant: str) -> None:
        """Runs that wait for a budget look at it again."""
        before: int | None = None
        while True:
            found = await self._app.store.find(
                RunQuery(
                    tenant=tenant,
                    statuses=frozenset({RunStatus.WAITING}),
                    reason=WaitReason.BUDGET,
                    before=before,
                )
            )
            for record in found:
                await self._app.store.wake(record.ref)
            if len(found) < RunQuery().limit:
                return
            before = found[-1].rid

    def _tenant(self, tenant: str | None) -> str:
        return self._app.tenant if tenant is None else check_id(tenant, what="a tenant")
