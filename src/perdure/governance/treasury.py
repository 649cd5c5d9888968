"""The treasury of an app: which budgets a run shares, what operators have set, and what has become of the accounts.

An operator's limits go before those of the configuration; they live in cells, so that every worker of the store keeps
to them. Workers look them up again after five seconds at most.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ..core.errors import ConfigError
from ..core.ids import RunRef, check_id
from ..core.spending_settings import BudgetSettings
from ..journal.cells import Amendment, Cell, CellKey
from ..journal.state import ENDINGS
from ..journal.store import RunRecord, Store
from .accounts import (
    ACCOUNT,
    KEPT,
    LIMIT,
    SLICE,
    Account,
    Held,
    Shared,
    account_key,
    budget_in,
    limit_key,
    settling,
)
from .budgets import Budget, budget_of
from .ledger import Ledger
from .periods import period_at, zone
from .prices import Prices

__all__ = ["Standing", "Treasury"]

KNOWN_FOR = 5_000_000
"""Microseconds for which what operators have set is not looked up again."""

REMEMBERED = 50
"""So many changes of a limit are kept with it."""

log = logging.getLogger("perdure.budget")


@dataclass(frozen=True, slots=True)
class Standing:
    """How a shared budget stands in its present period."""

    tenant: str
    shared: Shared
    account: Account
    source: str
    """`configuration` or `operator`"""
    history: Sequence[Mapping[str, Any]] = field(default=())
    """who set the limit, when, and what it was before; who raised it in this period"""

    @property
    def limits(self) -> dict[str, int]:
        """What is limited, as it was raised for this period."""
        return self.account.limits(self.shared.budget)


class Treasury:
    """Prices, configured budgets, and the store's accounts."""

    def __init__(
        self, store: Store, *, prices: Prices | None = None, settings: BudgetSettings | None = None
    ) -> None:
        """Raises `ConfigError` for a configured budget that cannot mean anything."""
        settings = settings or BudgetSettings()
        self.store = store
        self.prices = prices or Prices()
        self._tenant = (
            None if settings.tenant is None else budget_of(settings.tenant).for_all("[budget.tenant]")
        )
        self._tenants = {
            n: budget_of(b).for_all(f"[budget.tenants.{n}]") for n, b in settings.tenants.items()
        }
        self._agents = {n: budget_of(b).for_all(f"[budget.agents.{n}]") for n, b in settings.agents.items()}
        self.run = None if settings.run is None else budget_of(settings.run).for_run("[budget.run]")
        """of a run whose agent says no other"""
        self._unset = self._tenant is None and not self._tenants and not self._agents
        """the configuration limits nothing that is shared"""
        self._set: dict[str, tuple[int, dict[str, Budget]]] = {}

    # what applies ----------------------------------------------------------------------------------------------

    def known(self, tenant: str, agent: str, now: int) -> list[Shared] | None:
        """The budgets that a run shares; None: what operators have set must be looked up first."""
        found = self._set.get(tenant)
        if found is None or not 0 <= now - found[0] < KNOWN_FOR:
            return None
        if self._unset and not found[1]:
            return []
        return [Shared.at(scope, budget, now) for scope, (budget, _) in self._apply(tenant, agent, found[1])]

    async def shared(self, tenant: str, agent: str, *, fresh: bool = False) -> list[Shared]:
        """The budgets that a run of `agent` shares with others, in the periods that they stand in now."""
        now = self.store.now()
        known = None if fresh else self.known(tenant, agent, now)
        if known is None:
            cells = await self.store.cells(LIMIT, tenant=tenant)
            found = {key.name: b for key, cell in cells if (b := budget_in(cell)) is not None}
            self._set[tenant] = (now, found)
            known = self.known(tenant, agent, now) or []
        return known

    def configured(self, tenant: str, scope: str) -> Budget | None:
        """What the configuration says of `tenant` or `agent/NAME`."""
        if scope == "tenant":
            return self._tenants.get(tenant, self._tenant)
        return self._agents.get(scope.removeprefix("agent/"))

    def _apply(
        self, tenant: str, agent: str, set_: Mapping[str, Budget]
    ) -> list[tuple[str, tuple[Budget, str]]]:
        found: list[tuple[str, tuple[Budget, str]]] = []
        for scope in ("tenant", f"agent/{agent}"):
            if scope in set_:
                found.append((scope, (set_[scope], "operator")))
            elif (budget := self.configured(tenant, scope)) is not None:
                found.append((scope, (budget, "configuration")))
        return found

    # operators -------------------------------------------------------------------------------------------------

    async def standings(self, tenant: str) -> list[Standing]:
        """How every shared budget of a tenant stands: configured, set by operators, or of which something was used."""
        now = self.store.now()
        set_ = dict(await self._all(LIMIT, tenant))
        accounts = dict(await self._all(ACCOUNT, tenant))
        scopes = {"tenant", *(f"agent/{name}" for name in self._agents), *set_}
        found: list[Standing] = []
        for scope in sorted(scopes, key=lambda s: (s != "tenant", s)):
            operator = budget_in(set_.get(scope))
            budget = operator or self.configured(tenant, scope)
            if budget is None:
                continue
            shared = Shared.at(scope, budget, now)
            account = Account.of(accounts.get(shared.name))
            told = _history(set_.get(scope))
            source = "configuration" if operator is None else "operator"
            found.append(Standing(tenant, shared, account, source, (*told, *account.history)))
        return found

    async def set(
        self, tenant: str, scope: str, budget: Budget | None, *, by: str, reason: str = ""
    ) -> Budget | None:
        """Set the budget of `tenant` or `agent/NAME` in a tenant; None: what the configuration says holds again.

        What was set before. Raises `ConfigError`.
        """
        _check_scope(scope)
        if budget is not None:
            budget.for_all(f"budget `{scope}`")
        key = limit_key(tenant, scope)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[dict[CellKey, Cell | None], Any]:
            before = budget_in(cells.get(key))
            told: dict[str, Any] = {
                "by": by,
                "at": now,
                "before": None if before is None else before.to_json(),
                "after": None if budget is None else budget.to_json(),
            }
            if reason:
                told["reason"] = reason
            history = [*_history(cells.get(key)), told][-REMEMBERED:]
            data = {"budget": told["after"], "history": history}
            return {key: Cell(pydantic_core.to_json(data))}, before

        before: Budget | None = await self.store.amend(Amendment((key,), change))
        self._set.pop(tenant, None)
        return before

    async def raise_(
        self, tenant: str, scope: str, by_how_much: Budget, *, by: str, reason: str = ""
    ) -> Standing:
        """Add to a shared budget, in its present period only. Raises `ConfigError` where there is no such budget."""
        _check_scope(scope)
        now = self.store.now()
        (cell,) = [
            c for k, c in await self.store.cells(LIMIT, tenant=tenant, prefix=scope) if k.name == scope
        ] or [None]
        operator = budget_in(cell)
        budget = operator or self.configured(tenant, scope)
        if budget is None:
            raise ConfigError(
                f"there is no budget `{scope}` in tenant `{tenant}` to be raised; `perdure budget set` makes one"
            )
        more = by_how_much.limits
        for name in more:
            if name not in budget.limits:
                raise ConfigError(f"the budget `{scope}` does not limit `{name}`, so that cannot be raised")
        shared = Shared(scope, budget, period_at(budget.per, now, zone(budget.timezone)))
        key = account_key(tenant, shared.name)

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[dict[CellKey, Cell | None], Any]:
            account = Account.of(cells.get(key))
            raised = dict(account.raised)
            for name, n in more.items():
                raised[name] = raised.get(name, 0) + n
            told: dict[str, Any] = {
                "by": by,
                "at": now,
                "before": dict(account.limits(budget)),
                "raised": more,
            }
            if reason:
                told["reason"] = reason
            after = Account(account.spent, account.held, raised, [*account.history, told][-REMEMBERED:])
            ends = shared.period.ends
            return {key: after.cell(None if ends is None else ends + KEPT)}, after

        account: Account = await self.store.amend(Amendment((key,), change))
        return Standing(
            tenant, shared, account, "configuration" if operator is None else "operator", account.history
        )

    # upkeep ----------------------------------------------------------------------------------------------------

    async def sweep(self, *, tenant: str | None = None) -> int:
        """Settle the slices of runs that have ended or wait, and hold some because their worker died. How many.

        A run that is under way settles what an earlier claim held by itself.
        """
        settled = 0
        for key, cell in await self._all_keys(SLICE, tenant):
            ref = RunRef(key.tenant, key.name)
            record = await self.store.get(ref)
            held = Held.of(cell)
            if record is not None and not _over(record, held):
                continue
            ledger = Ledger([] if record is None else await self.store.read(ref))
            if ledger.open:
                if record is None or record.status not in ENDINGS:
                    continue  # the next claim charges the calls that were lost, and settles
                ledger.close()
            names = {*held.accounts, *ledger.accounts()}
            change = settling(ref, held.epoch, known=names, used=ledger.used_of)
            settled += 1 if await self.store.amend(change) else 0
        await self.store.forget_cells(ACCOUNT, before=self.store.now())
        if settled:
            log.info("settled what %d runs held of shared budgets and did not give back", settled)
        return settled

    async def _all(self, kind: str, tenant: str) -> list[tuple[str, Cell]]:
        return [(key.name, cell) for key, cell in await self._all_keys(kind, tenant)]

    async def _all_keys(self, kind: str, tenant: str | None) -> list[tuple[CellKey, Cell]]:
        found: list[tuple[CellKey, Cell]] = []
        while page := await self.store.cells(kind, tenant=tenant, after=found[-1][0] if found else None):
            found += page
        return found


def _over(record: RunRecord, held: Held) -> bool:
    """Whether nobody will give back what was held: its claim is over and no other has begun."""
    if record.status in ENDINGS:
        return True
    return record.session is None and record.epoch >= held.epoch


def _check_scope(scope: str) -> None:
    kind, slash, name = scope.partition("/")
    if scope != "tenant":
        if kind != "agent" or not slash:
            raise ConfigError(f"`{scope}` names no shared budget: write `tenant` or `agent/NAME`")
        check_id(name, what="an agent's name")


def _history(cell: Cell | None) -> list[Mapping[str, Any]]:
    return [] if cell is None else pydantic_core.from_json(cell.data).get("history", [])
