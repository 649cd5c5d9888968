"""`/budgets`: what may be used, what is left of it, and what people do about that."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from fastapi import APIRouter

from ..client.models import BudgetOut, Page, RaiseBudget, RunBudget, RunId, SetBudget, Taken
from ..core.errors import ConfigError
from ..governance import Standing, budget_of
from ..governance.budgets import decimal_limits
from .callers import Operator, PolicyEditor, TheApp, Viewer
from .routes import GatedRoute
from .runs import record_of

__all__ = ["router"]

router = APIRouter(tags=["budgets"], route_class=GatedRoute)


def _out(standing: Standing) -> BudgetOut:
    account = standing.account
    return BudgetOut(
        scope=standing.shared.scope,
        period=standing.shared.period.name,
        source=standing.source,
        limits=_decimals(standing.limits),
        used=_decimals(account.spent.to_json()),
        held=_decimals(account.held.to_json()),
        history=[dict(each) for each in standing.history],
    )


def _decimals(limits: Mapping[str, int]) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in decimal_limits(limits).items()}


@router.get("/budgets")
async def ls(caller: Viewer, app: TheApp) -> Page[BudgetOut]:
    """The budgets that the tenant's runs share, as they stand."""
    found = await app.budgets.ls(tenant=caller.tenant)
    return Page[BudgetOut](items=[_out(standing) for standing in found])


@router.put("/budgets")
async def put(asked: SetBudget, caller: PolicyEditor, app: TheApp) -> Page[BudgetOut]:
    """Set a shared budget, on every worker at once; null lets the configuration hold again."""
    budget = None if asked.budget is None else budget_of(asked.budget)
    await app.budgets.set(asked.scope, budget, by=caller.subject, reason=asked.reason, tenant=caller.tenant)
    return await ls(caller, app)


@router.post("/budgets/raise")
async def more(asked: RaiseBudget, caller: PolicyEditor, app: TheApp) -> BudgetOut:
    """Add to a shared budget, in its present period. Runs that wait for it look again."""
    standing = await app.budgets.raise_(
        asked.scope, budget_of(asked.more), by=caller.subject, reason=asked.reason, tenant=caller.tenant
    )
    return _out(standing)


@router.post("/runs/{run}/budget", status_code=202)
async def of_run(run: RunId, asked: RunBudget, caller: Operator, app: TheApp) -> Taken:
    """Give a run more, or, with `more` null, let one that waits for its budget end."""
    await record_of(app, run, caller)
    said: dict[str, Any] = {"by": caller.subject, "reason": asked.reason, "tenant": caller.tenant}
    if "more" not in asked.model_fields_set:
        raise ConfigError("say `more`: what it gets, or null for nothing")
    if asked.more is None:
        await app.budgets.stop_run(run, **said)
    else:
        await app.budgets.raise_run(run, budget_of(asked.more), **said)
    return Taken(run=run, fresh=True)
