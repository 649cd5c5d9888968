"""Spending: what one segment of a run may use, sets aside and pays.

    estimate ─► reserve ─► RESERVED ─► call ─► CHARGED with its RESULT
                   │                     │
                   │                     └─ the worker dies: the next one charges the whole reservation, as estimated
                   └─ a budget does not hold it: ask │ finish │ stop

Everything is a fold of the run's journal, but for the slices of budgets that it shares (`governance.accounts`), which
only a live call touches: a replay reserves nothing. Where no budget applies nothing is reserved, and what a model turn
cost is written with its result all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.errors import BudgetExceeded, BudgetFinished
from ..governance.amounts import Amount
from ..governance.budgets import Budget, Exhausted, exhausted_by, passed
from ..governance.ledger import Ledger, Line, What
from ..governance.prices import Charge, TokenCounts
from ..governance.purse import Purse
from ..governance.treasury import Treasury
from ..journal import Entry, Kind
from .messages import Usage

if TYPE_CHECKING:
    from ..journal.cells import Amendment
    from .recorder import Recorder

__all__ = ["Reservation", "Spending"]

Part = tuple[int, str, bytes, bytes]
"""An entry to be written: kind, key, payload, fingerprint."""

log = logging.getLogger("perdure.budget")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """So much is set aside for one attempt at a call."""

    seq: int
    """of the RESERVED entry"""
    key: str
    mark: bytes
    what: What
    name: str
    amount: Amount
    accounts: tuple[str, ...] = ()
    last: bool = False
    """the last call, from what was held back: whoever makes it should ask for an answer, and offer no tools"""


Ask = Callable[[Exhausted], Awaitable[None]]
"""Waits until the owner has said something, or `until` has come."""


class Spending:
    """The budgets of one segment. Used by one event loop only."""

    def __init__(
        self,
        recorder: Recorder,
        entries: Iterable[Entry],
        *,
        treasury: Treasury,
        agent: str,
        budget: Budget | None,
    ) -> None:
        """`entries`: the journal as it was claimed. `budget`: of this run."""
        self._recorder = recorder
        self._treasury = treasury
        self._agent = agent
        self.budget = budget
        self.ledger = Ledger(entries)
        self._began = recorder.store.now()
        self._lost = list(self.ledger.open.values())
        self._purse = Purse(
            recorder.store, recorder.ref, epoch=recorder.epoch, head=recorder.head, ledger=self.ledger
        )

    # estimates -------------------------------------------------------------------------------------------------

    def estimate(self, model: str, *, prompt: int, output: int | None = None) -> Charge:
        """What a turn of a model uses at most: see `Prices.estimate`."""
        return self._treasury.prices.estimate(model, self._recorder.now(), prompt=prompt, output=output)

    def fee(self, tool: str) -> Charge:
        """What a call of a tool costs."""
        return self._treasury.prices.fee(tool)

    def applies(self) -> bool | None:
        """Whether any budget applies; None: that must be looked up (`reserve` does)."""
        if self.budget is not None:
            return True
        recorder = self._recorder
        shared = self._treasury.known(recorder.ref.tenant, self._agent, recorder.now())
        return None if shared is None else bool(shared)

    # before a call ---------------------------------------------------------------------------------------------

    async def reserve(
        self, key: str, mark: bytes, what: What, name: str, estimate: Charge, *, ask: Ask
    ) -> Reservation | None:
        """Set aside what a call may use; None where no budget applies.

        The RESERVED entry is written and not awaited: it must be on disk before the call is made. Where a budget does
        not hold it, its owner decides: `ask` is awaited and the budgets are looked at again, or this raises
        `BudgetExceeded` or `BudgetFinished`.
        """
        recorder, tenant = self._recorder, self._recorder.ref.tenant
        fresh = False
        while True:
            shared = self._treasury.known(tenant, self._agent, recorder.now())
            if shared is None or fresh:
                shared = await self._treasury.shared(tenant, self._agent, fresh=fresh)
            fresh = False
            if self.budget is None and not shared:
                return None
            budgets = [b for b in (self.budget, *(s.budget for s in shared)) if b is not None]
            if estimate.unpriced and not all(b.allow_unpriced for b in budgets):
                raise BudgetExceeded(
                    f"{what} `{name}` has no price, and the budget does not allow what is unpriced: give it one under "
                    f'`[prices.{what}s."{name}"]` in perdure.toml'
                )
            if self.ledger.stopped:
                raise BudgetExceeded(f"the budget was not raised: stopped by {self.ledger.stopped}")
            found = await self._try(key, mark, what, name, estimate, shared, last=False)
            if isinstance(found, Exhausted) and found.on_limit == "finish" and what == "model":
                found = await self._finish(key, mark, what, name, estimate, shared, found)
            if isinstance(found, Reservation):
                return found
            if found is None:
                fresh = True
            elif found.on_limit == "ask":
                log.warning("run %s waits: %s. `perdure budget raise`, or `--stop`", recorder.ref, found)
                await ask(found)
                fresh = True
            elif found.on_limit == "finish":
                raise BudgetFinished(str(found))
            else:
                raise BudgetExceeded(str(found))

    async def _finish(
        self,
        key: str,
        mark: bytes,
        what: What,
        name: str,
        estimate: Charge,
        shared: list[Any],
        found: Exhausted,
    ) -> Reservation | Exhausted | None:
        """The last call, once."""
        if self.ledger.finishing:
            return found
        return await self._try(key, mark, what, name, estimate, shared, last=True)

    async def _try(
        self, key: str, mark: bytes, what: What, name: str, estimate: Charge, shared: list[Any], *, last: bool
    ) -> Reservation | Exhausted | None:
        need, purse = estimate.amount, self._purse
        if not shared:
            return self._own(need, last=last) or self._set_aside(
                key, mark, what, name, estimate, (), (), last
            )
        async with purse.lock:
            found = self._own(need, last=last)
            if found is not None:
                return found
            drawn = await purse.draw(shared, need, last=last)
            if drawn is None or isinstance(drawn, Exhausted):
                return drawn
            accounts = tuple(s.name for s in shared)
            return self._set_aside(key, mark, what, name, estimate, accounts, drawn.warned, last)

    def _own(self, need: Amount, *, last: bool) -> Exhausted | None:
        """Whether the run's own budget holds it."""
        budget = self.budget
        if budget is None:
            return None
        limits = self.limits()
        if self.ledger.finishing and budget.on_limit == "finish":
            back = limits  # nothing more, whatever is left
        else:
            back = {} if last else budget.held_back(limits)
        open_ = {name: most - back.get(name, 0) for name, most in limits.items()}
        used = self.ledger.spent + self.ledger.reserved
        if "active_time" in limits:
            used += Amount(active_time=self.active_time())
        found = exhausted_by(open_, used, need)
        if found is None and "wall_clock" in limits:
            passed_ = self._recorder.now() - self._recorder.created_at
            if passed_ >= limits["wall_clock"]:
                found = ("wall_clock", limits["wall_clock"], passed_, 0)
        if found is None:
            return None
        dimension, _, had, needs = found
        return Exhausted("run", dimension, limits[dimension], had, needs, on_limit=budget.on_limit)

    def _set_aside(
        self,
        key: str,
        mark: bytes,
        what: What,
        name: str,
        estimate: Charge,
        accounts: tuple[str, ...],
        warned: Iterable[Any],
        last: bool,
    ) -> Reservation:
        recorder, amount = self._recorder, estimate.amount
        told: dict[str, Any] = {"what": what, "name": name, "amount": amount.to_json()}
        if accounts:
            told["accounts"] = accounts
        if last:
            told["last"] = True
        warned = list(warned)
        if warned:
            told["warned"] = warned
            self._warn(warned)
        recorder.write(Kind.RESERVED, key, pydantic_core.to_json(told), fingerprint=mark)
        seq = recorder.head
        self._purse.take(accounts, amount)
        line = Line(
            seq=seq, at=recorder.now(), step=key, what=what, name=name, amount=amount, accounts=accounts
        )
        self.ledger.reserve(line, last=last)
        return Reservation(
            seq=seq, key=key, mark=mark, what=what, name=name, amount=amount, accounts=accounts, last=last
        )

    # after it --------------------------------------------------------------------------------------------------

    def charge_model(
        self, reservation: Reservation | None, key: str, mark: bytes, model: str, usage: Usage
    ) -> list[Part]:
        """What a turn cost, to be written with its result."""
        counts = TokenCounts(
            input=usage.input_tokens,
            output=usage.output_tokens,
            cached=usage.cached_tokens,
            cache_write=usage.cache_write_tokens,
        )
        otherwise = None if reservation is None else reservation.amount
        charge = self._treasury.prices.charge(model, self._recorder.now(), counts, otherwise=otherwise)
        told = {name: n for name, n in usage.model_dump().items() if n is not None}
        return [self._charge(reservation, key, mark, "model", model, charge, usage=told)]

    def charge_tool(self, reservation: Reservation | None, key: str, mark: bytes, tool: str) -> list[Part]:
        """What a call of a tool cost; nothing where it is free and no budget counts it."""
        charge = self.fee(tool)
        if reservation is None and charge.source is None:
            return []
        return [self._charge(reservation, key, mark, "tool", tool, charge)]

    def charge_failed(self, reservation: Reservation | None, *, unused: bool) -> list[Part]:
        """The end of an attempt without a result: `unused` where it is known that nothing was used, but for the call.

        Else nobody knows what it used, and the whole reservation is charged, as estimated.
        """
        if reservation is None:
            return []
        amount = reservation.amount
        if unused:
            charge = Charge(amount=Amount(model_calls=amount.model_calls, tool_calls=amount.tool_calls))
        else:
            charge = Charge(amount=amount, estimated=True)
        r = reservation
        return [self._charge(r, r.key, r.mark, r.what, r.name, charge)]

    def charge_human(self, key: str, mark: bytes, who: str, micros: int) -> list[Part]:
        """What a human's attention cost; nothing where nobody has said what a minute costs."""
        charge = self._treasury.prices.human(micros)
        return [] if charge is None else [self._charge(None, key, mark, "human", who, charge)]

    def charge_child(
        self, reservation: Reservation | None, key: str, mark: bytes, run: str, spent: Any
    ) -> list[Part]:
        """What a child run spent, as its ending says; the rest of what was carved out for it is free again."""
        if reservation is None and not spent:
            return []
        return [self._charge(reservation, key, mark, "child", run, Charge(amount=Amount.from_json(spent)))]

    def lost(self) -> list[Part]:
        """Charges of the calls that were under way when the worker before this one died, once, at the beginning."""
        lost, self._lost = self._lost, []
        parts: list[Part] = []
        for line in lost:
            if line.what == "child":
                continue  # it is still under way
            charge = Charge(amount=line.amount, estimated=True)
            reservation = Reservation(
                seq=line.seq,
                key=line.step,
                mark=line.mark,
                what=line.what,
                name=line.name,
                amount=line.amount,
                accounts=line.accounts,
            )
            r = reservation
            parts.append(self._charge(r, r.key, r.mark, r.what, r.name, charge, offset=len(parts)))
            self._purse.take(line.accounts, line.amount)  # a draw now holds for it, too
        return parts

    def _charge(
        self,
        reservation: Reservation | None,
        key: str,
        mark: bytes,
        what: What,
        name: str,
        charge: Charge,
        *,
        usage: dict[str, Any] | None = None,
        offset: int = 0,
    ) -> Part:
        accounts = () if reservation is None else reservation.accounts
        line = Line(
            seq=self._recorder.head + 1 + offset,
            at=self._recorder.now(),
            step=key,
            what=what,
            name=name,
            amount=charge.amount,
            accounts=accounts,
            source=charge.source,
            version=charge.version,
            unpriced=charge.unpriced,
            estimated=charge.estimated,
        )
        before = self.ledger.spent
        self.ledger.charge(line, 0 if reservation is None else reservation.seq)
        if reservation is not None:
            self._purse.take(accounts, charge.amount - reservation.amount)
        told: dict[str, Any] = {"what": what, "name": name, "amount": charge.amount.to_json()}
        if usage:
            told["usage"] = usage
        if charge.source is not None:
            told["price"] = {"source": charge.source, "version": charge.version}
        if charge.unpriced:
            told["unpriced"] = True
        if charge.estimated:
            told["estimated"] = True
        if accounts:
            told["accounts"] = accounts
        if reservation is not None:
            told["reserved"] = reservation.seq
        if self.budget is not None:
            warned = passed("run", self.budget, self.limits(), before, self.ledger.spent)
            if warned:
                told["warned"] = warned
                self._warn(warned)
        return (int(Kind.CHARGED), key, pydantic_core.to_json(told), mark)

    # children --------------------------------------------------------------------------------------------------

    async def carve(
        self, key: str, mark: bytes, run: str, wanted: Budget | None, *, ask: Ask
    ) -> tuple[Budget | None, Reservation | None]:
        """Take a child's budget out of this run's: that budget, and what is set aside for it here.

        What `wanted` does not say is a share of what is left (`Budget.children`). A run without a budget carves
        nothing: then the child has what it wants.
        """
        if self.budget is None:
            return wanted, None
        budget = self.budget
        given = {} if wanted is None else wanted.limits
        while True:
            limits = self.limits()
            used = self.ledger.spent + self.ledger.reserved
            left = {name: most - _get(used, name) for name, most in limits.items() if name != "wall_clock"}
            carved = {
                # 1 where nothing is left: that does not fit
                name: given[name] if name in given else max(1, int(n * budget.children))
                for name, n in left.items()
            }
            need = Amount.from_json(carved)
            found = self._own(need, last=False)
            if found is None:
                break
            if found.on_limit != "ask":
                raise (BudgetFinished if found.on_limit == "finish" else BudgetExceeded)(str(found))
            await ask(found)
            if self.ledger.stopped:
                raise BudgetExceeded(f"the budget was not raised: stopped by {self.ledger.stopped}")
        if not carved and not given:
            return None, None
        policy = wanted or budget
        theirs = Budget.from_json({**policy.to_json(), "limits": {**given, **carved}})
        reservation = self._set_aside(key, mark, "child", run, Charge(amount=need), (), (), False)
        return theirs, reservation

    # the segment -----------------------------------------------------------------------------------------------

    def limits(self) -> dict[str, int]:
        """Of this run, as its owner has raised them."""
        limits = {} if self.budget is None else self.budget.limits
        return {name: most + self.ledger.raised.get(name, 0) for name, most in limits.items()}

    def hear(self, message: Entry) -> None:
        """The owner raised the budget, or stops the run."""
        self.ledger.see(message)

    def active_time(self) -> int:
        """Microseconds in which a worker has held the run, up to now."""
        return self.ledger.active_time() + self._recorder.now() - self._began

    def spent(self) -> dict[str, int]:
        """All that the run has spent, its children included; for its ending, and for the next generation."""
        return (self.ledger.spent + Amount(active_time=self.active_time())).to_json()

    def give_back(self) -> list[Amendment]:
        """What goes into the transaction of a release: slices are settled, the rest of them is free again.

        Called anew for each try at a release, with nothing under way.
        """
        return self._purse.give_back(self._recorder.now() - self._began)

    def _warn(self, warned: Iterable[Any]) -> None:
        for w in warned:
            log.warning(
                "run %s: %.0f%% of the %s of its %s's budget are used (%s of %s)",
                self._recorder.ref,
                w["share"] * 100,
                w["dimension"].replace("_", " "),
                w["whose"],
                w["used"],
                w["limit"],
            )


def _get(amount: Amount, name: str) -> int:
    return getattr(amount, name)
