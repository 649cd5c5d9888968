"""Accounts: budgets that many runs share, over all workers of a store.

    account  tenant/2026-11-25        limit ─ spent ─ held = what is left
                 │  draw (as much as is needed, and some more)        ▲
                 ▼                                                    │ settle: used → spent, the rest comes back
    slice    of one run ── reserve ─► call ─► charge ── … ── release ─┘ in the transaction of that release

A run takes a *slice* of each account that it spends from, reserves its calls within it, and gives back what is left
when it waits or ends. An account is never overdrawn: a draw is one transaction over all accounts that it touches, and
takes nothing where one of them does not hold enough.

What a slice was used for stands in the run's journal. So a slice whose worker died is settled by whoever has the run
next, from the journal, up to the entry at which it was settled last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ..core.errors import Superseded
from ..core.ids import RunRef
from ..journal.cells import Amendment, Cell, CellKey
from .amounts import DIMENSIONS, NOTHING, Amount
from .budgets import Budget, Exhausted, exhausted_by, passed
from .periods import Period, period_at, zone

__all__ = [
    "ACCOUNT",
    "LIMIT",
    "SLICE",
    "Account",
    "Drawn",
    "Held",
    "Shared",
    "Want",
    "account_key",
    "budget_in",
    "drawing",
    "limit_key",
    "settling",
    "slice_key",
]

ACCOUNT = "budget"
"""Kind of the cells that hold accounts: one for each scope and period."""

LIMIT = "budget_limit"
"""Kind of the cells that hold what an operator has set."""

SLICE = "budget_slice"
"""Kind of the cells that say what a run holds."""

AHEAD = 16
"""A slice is drawn for so many calls of the size that asked for it."""

SHARE = 8
"""It takes at most this part of what is left: near its end an account is drawn call by call."""

LOOK_AGAIN = 300_000_000
"""Microseconds until a run looks again at an account of which other runs hold a part that may come back."""

KEPT = 400 * 86_400_000_000
"""Microseconds for which an account stays after its period, for reports."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A budget that a run shares with others, and the period that it stands in now."""

    scope: str
    """`tenant`, or `agent/NAME`"""
    budget: Budget
    period: Period

    @property
    def name(self) -> str:
        """Of its account."""
        return f"{self.scope}/{self.period.name}"

    @property
    def whose(self) -> str:
        """For people."""
        return self.scope.replace("/", " ")

    @classmethod
    def at(cls, scope: str, budget: Budget, now: int) -> Shared:
        """As it stands at a time."""
        return cls(scope, budget, period_at(budget.per, now, zone(budget.timezone)))


@dataclass(frozen=True, slots=True)
class Account:
    """What has become of a shared budget in one period."""

    spent: Amount = NOTHING
    held: Amount = NOTHING
    """set aside in slices of runs that are under way"""
    raised: Mapping[str, int] = field(default_factory=dict[str, int])
    """what an operator has added to the limits for this period"""
    history: Sequence[Mapping[str, Any]] = ()
    """who raised it, when, by how much, from what"""

    @property
    def used(self) -> Amount:
        """Spent or held."""
        return self.spent + self.held

    def limits(self, budget: Budget) -> dict[str, int]:
        """Those of the budget, as they were raised."""
        return {name: most + self.raised.get(name, 0) for name, most in budget.limits.items()}

    @classmethod
    def of(cls, cell: Cell | None) -> Account:
        """From its cell, or a new one."""
        told: dict[str, Any] = {} if cell is None else pydantic_core.from_json(cell.data)
        return cls(
            spent=Amount.from_json(told.get("spent")),
            held=Amount.from_json(told.get("held")),
            raised=told.get("raised", {}),
            history=told.get("history", ()),
        )

    def cell(self, due: int | None) -> Cell:
        """Its cell."""
        told: dict[str, Any] = {"spent": self.spent.to_json(), "held": self.held.to_json()}
        if self.raised:
            told["raised"] = dict(self.raised)
        if self.history:
            told["history"] = list(self.history)
        return Cell(pydantic_core.to_json(told), due)

    def with_(self, *, spent: Amount | None = None, held: Amount | None = None) -> Account:
        """The same with other sums."""
        return Account(
            spent=self.spent if spent is None else spent,
            held=self.held if held is None else held,
            raised=self.raised,
            history=self.history,
        )


@dataclass(frozen=True, slots=True)
class Held:
    """What a run holds of shared accounts."""

    epoch: int = 0
    """of the claim under which it was drawn"""
    settled: int = 0
    """entries of the run's journal up to here are in the accounts' sums"""
    accounts: Mapping[str, Amount] = field(default_factory=dict[str, Amount])

    @classmethod
    def of(cls, cell: Cell | None) -> Held:
        """From its cell; nothing, where there is none."""
        if cell is None:
            return cls()
        told: dict[str, Any] = pydantic_core.from_json(cell.data)
        accounts = {name: Amount.from_json(amount) for name, amount in told["accounts"].items()}
        return cls(told["epoch"], told["settled"], accounts)

    def cell(self) -> Cell:
        """Its cell."""
        accounts = {name: amount.to_json() for name, amount in self.accounts.items()}
        told = {"epoch": self.epoch, "settled": self.settled, "accounts": accounts}
        return Cell(pydantic_core.to_json(told))


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a draw has granted of each account, and the thresholds that it passed."""

    granted: Mapping[str, Amount]
    warned: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Want:
    """What a run needs of one account beyond what it holds of it."""

    shared: Shared
    need: Amount
    last: bool = False
    """the last call, which may use what `finish` holds back"""


Used = Callable[[int], Mapping[str, Amount]]
"""What the journal says was used of each account, in the entries after the given one."""


def account_key(tenant: str, name: str) -> CellKey:
    """Where an account is."""
    return CellKey(tenant, ACCOUNT, name)


def limit_key(tenant: str, scope: str) -> CellKey:
    """Where an operator's limits of a scope are."""
    return CellKey(tenant, LIMIT, scope)


def slice_key(ref: RunRef) -> CellKey:
    """Where it stands what a run holds."""
    return CellKey(ref.tenant, SLICE, ref.id)


def budget_in(cell: Cell | None) -> Budget | None:
    """The budget that an operator has set."""
    told = None if cell is None else pydantic_core.from_json(cell.data).get("budget")
    return None if told is None else Budget.from_json(told)


def drawing(
    ref: RunRef,
    epoch: int,
    wants: Sequence[Want],
    *,
    known: Iterable[str],
    head: int,
    used: Used,
) -> Amendment:
    """The change that draws slices: its result is `Drawn`, `Exhausted`, or None.

    None: the budgets are not what `wants` says any more; look them up and ask again. `known` names the accounts of
    which the run held a part at its claim, `head` the last entry then: what a claim before this one held is settled at
    the same time, from the journal (`used`).

    Raises `Superseded` where a later claim has drawn.
    """
    slice_ = slice_key(ref)
    names = {want.shared.name: want for want in wants}
    keys = [slice_, *(account_key(ref.tenant, name) for name in {*names, *known})]
    keys += [limit_key(ref.tenant, want.shared.scope) for want in wants]

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[dict[CellKey, Cell | None], Any]:
        held = Held.of(cells.get(slice_))
        if held.epoch > epoch:
            raise Superseded(f"run `{ref}` was claimed anew: its budget is another worker's")
        writes: dict[CellKey, Cell | None] = {}
        accounts = {n: Account.of(cells.get(account_key(ref.tenant, n))) for n in {*names, *known}}
        if slice_ not in cells:
            held = Held(epoch, head)
        elif held.epoch < epoch:
            were_used = used(held.settled)
            if any(name not in accounts for name in {*held.accounts, *were_used}):
                return {}, None
            accounts.update(_settled(accounts, held, were_used))
            held = Held(epoch, head)
        granted: dict[str, Amount] = {}
        warned: list[dict[str, Any]] = []
        for name, want in names.items():
            account, shared = accounts[name], want.shared
            budget = budget_in(cells.get(limit_key(ref.tenant, shared.scope))) or shared.budget
            if (budget.per, budget.timezone) != (shared.budget.per, shared.budget.timezone):
                return {}, None
            limits = account.limits(budget)
            back = {} if want.last else budget.held_back(limits)
            open_ = {dimension: most - back.get(dimension, 0) for dimension, most in limits.items()}
            spoken = exhausted_by(open_, account.used, want.need)
            if spoken is not None:
                dimension, _, had, needs = spoken
                return {}, Exhausted(
                    shared.whose,
                    dimension,
                    limits[dimension],
                    had,
                    needs,
                    until=_until(account, shared.period, now),
                    on_limit=budget.on_limit,
                )
            grant = _grant(open_, account.used, want.need)
            granted[name] = grant
            accounts[name] = account.with_(held=account.held + grant)
            warned += passed(shared.whose, budget, limits, account.used, accounts[name].used)
        mine = dict(held.accounts)
        for name, grant in granted.items():
            mine[name] = mine.get(name, NOTHING) + grant
        for name, account in accounts.items():
            ends = names[name].shared.period.ends if name in names else None
            writes[account_key(ref.tenant, name)] = account.cell(
                _due(ends, cells.get(account_key(ref.tenant, name)))
            )
        writes[slice_] = Held(epoch, held.settled, mine).cell()
        return writes, Drawn(granted, warned)

    return Amendment(tuple(dict.fromkeys(keys)), change)


def settling(ref: RunRef, epoch: int, *, known: Iterable[str], used: Used) -> Amendment:
    """The change that gives slices back: what was used is spent, the rest is free again. Its result: how many accounts.

    `known` must name all accounts of which the run may hold a part, and those that `used` names.
    """
    slice_ = slice_key(ref)
    names = tuple(dict.fromkeys(known))
    keys = (slice_, *(account_key(ref.tenant, name) for name in names))

    def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[dict[CellKey, Cell | None], Any]:
        held = Held.of(cells.get(slice_))
        if slice_ not in cells or held.epoch > epoch:
            return {}, 0
        before = {n: Account.of(cells.get(account_key(ref.tenant, n))) for n in names}
        after = _settled(before, held, used(held.settled))
        writes: dict[CellKey, Cell | None] = {}
        for name, account in after.items():
            key = account_key(ref.tenant, name)
            writes[key] = account.cell(_due(None, cells.get(key)))
        left = {name: amount for name, amount in held.accounts.items() if name not in before}
        writes[slice_] = Held(held.epoch, held.settled, left).cell() if left else None
        return writes, len(after)

    return Amendment(keys, change)


def _settled(accounts: Mapping[str, Account], held: Held, used: Mapping[str, Amount]) -> dict[str, Account]:
    """Accounts after a run has given back what it held."""
    after: dict[str, Account] = {}
    for name, account in accounts.items():
        if name in held.accounts or name in used:
            after[name] = account.with_(
                spent=account.spent + used.get(name, NOTHING),
                held=(account.held - held.accounts.get(name, NOTHING)).no_less_than(NOTHING),
            )
    return after


def _grant(limits: Mapping[str, int], used: Amount, need: Amount) -> Amount:
    """As much as is needed, and some for the calls after it. What is not limited is not held."""
    granted: list[int] = []
    for name, had, wants in zip(DIMENSIONS, used.values, need.values, strict=True):
        most = limits.get(name)
        granted.append(0 if most is None else max(wants, min(wants * AHEAD, (most - had) // SHARE)))
    return Amount(*granted)


def _until(account: Account, period: Period, now: int) -> int | None:
    """When to look again: at the next period, or sooner where others hold what may come back."""
    soon = now + LOOK_AGAIN if account.held else None
    return min((t for t in (soon, period.ends) if t is not None), default=None)


def _due(ends: int | None, before: Cell | None) -> int | None:
    if ends is not None:
        return ends + KEPT
    return None if before is None else before.due
