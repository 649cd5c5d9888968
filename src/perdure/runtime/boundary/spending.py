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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.errors import BudgetExceeded, BudgetFinished
from ...governance.accounts import Shared
from ...governance.amounts import Amount
from ...governance.budgets import Budget, Exhausted, exhausted_by, passed, warning
from ...governance.ledger import Ledger, Line, What
from ...governance.prices import Charge, TokenCounts
from ...governance.purse import Purse
from ...governance.treasury import Treasury
from ...journal import Entry, Kind
from ..conversation.messages import Usage
from ..replay.control import Unwind
from .reservation import Ask, Asked, Part, Reservation

if TYPE_CHECKING:
    from ...journal.cells import Amendment
    from ..replay.recorder import Recorder

__all__ = ["Spending"]

_TIMES = ("wall_clock", "active_time")

log = logging.getLogger("perdure.budget")


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
        created_at: int,
        given: Budget | None = None,
    ) -> None:
        """`entries`: the journal as it was claimed. `budget`: of this run; `given`, where its start says so."""
        self._created_at = created_at
        self._recorder = recorder
        self._treasury = treasury
        self._agent = agent
        self.budget = budget
        self._given = given
        self.ledger = Ledger(entries)
        self._began = recorder.store.now()
        self._lost = list(self.ledger.open.items())
        self._number = 0
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

    def counts_tools(self) -> bool:
        """Whether calls of tools must be looked at; the hot path of tools asks."""
        return bool(self._treasury.prices.tools) or not self.unlimited()

    def unlimited(self) -> bool:
        """Whether no budget limits anything of this run, as far as is known without a look at the store."""
        if self.budget is not None:
            return False
        recorder = self._recorder
        return self._treasury.known(recorder.ref.tenant, self._agent, recorder.now()) == []

    # before a call ---------------------------------------------------------------------------------------------

    async def reserve(
        self, key: str, mark: bytes, what: What, name: str, estimate: Callable[[], Charge], *, ask: Ask
    ) -> Reservation | None:
        """Set aside what a call may use; None where no budget limits any of it.

        `part` of the reservation must be on disk before the call is made. Where a budget does not hold it, its owner
        decides: `ask` is awaited and the budgets are looked at again, or this raises `BudgetExceeded` or
        `BudgetFinished`.
        """
        recorder, tenant = self._recorder, self._recorder.ref.tenant
        fresh = False
        needed: Charge | None = None
        while True:
            shared = None if fresh else self._treasury.known(tenant, self._agent, recorder.now())
            if shared is None:
                shared = await self._treasury.shared(tenant, self._agent, fresh=fresh)
                _check_going_on(recorder)
            fresh = False
            if self.budget is None and not shared:
                return None
            needed = needed or estimate()
            budgets = [b for b in (self.budget, *(s.budget for s in shared)) if b is not None]
            if needed.unpriced and not all(b.allow_unpriced for b in budgets):
                raise BudgetExceeded(
                    f"{what} `{name}` has no price, and the budget does not allow what is unpriced: give it one under "
                    f'`[prices.{what}s."{name}"]` in perdure.toml'
                )
            if not any(_limits(b, needed.amount) for b in budgets):
                return None
            if self.ledger.stopped:
                raise BudgetExceeded(f"the budget was not raised: stopped by {self.ledger.stopped}")
            asked = Asked(key, mark, what, name, needed.amount)
            found = await self._try(asked, shared)
            if isinstance(found, Exhausted) and self._may_finish(found, what):
                found = await self._try(asked, shared, last=True)
            if isinstance(found, Reservation):
                return found
            fresh = True
            if isinstance(found, Exhausted):
                await self._at_limit(found, ask)

    async def _at_limit(self, found: Exhausted, ask: Ask) -> None:
        """Wait for the owner, or raise what ends the run."""
        if found.on_limit == "finish":
            raise BudgetFinished(str(found))
        if found.on_limit == "stop":
            raise BudgetExceeded(str(found))
        whose = self._recorder.ref.id if found.whose == "run" else found.whose.replace(" ", "/")
        log.warning(
            "run %s waits: %s. Raise it with `perdure budget raise %s`", self._recorder.ref, found, whose
        )
        await ask(found)

    def _may_finish(self, found: Exhausted, what: What) -> bool:
        """Whether there is one last call: of a model, which can say what there is."""
        return found.on_limit == "finish" and what == "model" and not self.ledger.finishing

    async def _try(
        self, asked: Asked, shared: Sequence[Shared], *, last: bool = False
    ) -> Reservation | Exhausted | None:
        purse = self._purse
        if not shared:
            return self._own(asked.need, last=last) or self._set_aside(asked, last=last)
        async with purse.lock:
            found = self._own(asked.need, last=last)
            if found is not None:
                return found
            drawn = await purse.draw(shared, asked.need, last=last)
            _check_going_on(self._recorder)
            if drawn is None or isinstance(drawn, Exhausted):
                return drawn
            accounts = tuple(s.name for s in shared)
            return self._set_aside(asked, accounts=accounts, warned=drawn.warned, last=last)

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
            passed_ = self._recorder.now() - self._created_at
            if passed_ >= limits["wall_clock"]:
                found = ("wall_clock", limits["wall_clock"], passed_, 0)
        if found is None:
            return None
        dimension, _, had, needs = found
        return Exhausted("run", dimension, limits[dimension], had, needs, on_limit=budget.on_limit)

    def _set_aside(
        self,
        asked: Asked,
        *,
        accounts: tuple[str, ...] = (),
        warned: Sequence[Mapping[str, Any]] = (),
        last: bool = False,
    ) -> Reservation:
        self._number += 1
        id_ = f"{self._recorder.epoch}.{self._number}"
        told: dict[str, Any] = {
            "id": id_,
            "what": asked.what,
            "name": asked.name,
            "amount": asked.need.to_json(),
        }
        part = self._recorder.part_of(asked.key)
        if part:
            told["part"] = part
        if accounts:
            told["accounts"] = accounts
        if last:
            told["last"] = True
        if warned:
            told["warned"] = warned
            self._warn(warned)
        line = Line(
            seq=0,
            at=self._recorder.now(),
            step=asked.key,
            what=asked.what,
            name=asked.name,
            amount=asked.need,
            accounts=accounts,
            part=part,
        )
        self._purse.take(accounts, asked.need)
        self.ledger.reserve(id_, line, last=last)
        return Reservation(
            id=id_,
            key=asked.key,
            mark=asked.mark,
            what=asked.what,
            name=asked.name,
            amount=asked.need,
            accounts=accounts,
            last=last,
            part=(int(Kind.RESERVED), asked.key, pydantic_core.to_json(told), asked.mark),
        )

    def drop(self, reservation: Reservation) -> None:
        """The call is not made after all, and nothing was written: what was set aside is free again."""
        if self.ledger.open.pop(reservation.id, None) is not None:
            self._purse.take(reservation.accounts, Amount() - reservation.amount)

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
        return [self._charge(reservation, key, mark, "model", model, charge, usage=usage.counted())]

    def charge_tool(self, reservation: Reservation | None, key: str, mark: bytes, tool: str) -> list[Part]:
        """What a call of a tool cost; nothing where it is free and no budget counts it."""
        charge = self.fee(tool)
        if reservation is None and charge.source is None:
            return []
        return [self._charge(reservation, key, mark, "tool", tool, charge)]

    def charge_failed(
        self, reservation: Reservation | None, *, unused: bool, made: bool = True
    ) -> list[Part]:
        """The end of an attempt without a result: `unused` where it is known that nothing was used, but for a call.

        And not even that where it was not `made`. Else nobody knows, and all of it is charged, as estimated.
        """
        if reservation is None:
            return []
        amount = reservation.amount
        if unused:
            call = Amount(model_calls=amount.model_calls, tool_calls=amount.tool_calls)
            charge = Charge(amount=call if made else Amount())
        else:
            charge = Charge(amount=amount, estimated=True)
        r = reservation
        return [self._charge(r, r.key, r.mark, r.what, r.name, charge)]

    def charge_human(self, key: str, mark: bytes) -> list[Part]:
        """What a human's answer cost, once for a step; nothing where nobody has said what a minute costs.

        It names nobody: charges outlive what a run recorded of people.
        """
        prices = self._treasury.prices
        charge = prices.human(int(prices.approval_minutes * 60_000_000))
        if charge is None or any(c.step == key and c.what == "human" for c in self.ledger.charges):
            return []
        return [self._charge(None, key, mark, "human", "approval", charge)]

    def charge_child(self, key: str, mark: bytes, run: str, spent: Any) -> list[Part]:
        """What a child run spent, as its ending says; the rest of what was carved out for it is free again."""
        found = next(
            ((i, o) for i, o in self.ledger.open.items() if o.step == key and o.what == "child"), None
        )
        if found is None and not spent:
            return []
        reservation = None
        if found is not None:
            id_, line = found
            reservation = Reservation(id=id_, key=key, mark=mark, what="child", name=run, amount=line.amount)
        return [self._charge(reservation, key, mark, "child", run, Charge(amount=Amount.from_json(spent)))]

    def lost(self) -> list[Part]:
        """Charges of the calls that were under way when the worker before this one died, once, at the beginning."""
        lost, self._lost = self._lost, []
        parts: list[Part] = []
        for id_, line in lost:
            if line.what == "child":
                continue  # it is still under way
            charge = Charge(amount=line.amount, estimated=True)
            reservation = Reservation(
                id=id_,
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
        aside = None if reservation is None else self.ledger.open.get(reservation.id)
        # Of a call that was lost, the function that began it has not come so far again.
        part = aside.part if aside is not None else self._recorder.part_of(key)
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
            part=part,
        )
        before = self.ledger.spent
        self.ledger.charge(line, "" if reservation is None else reservation.id)
        if reservation is not None:
            self._purse.take(accounts, charge.amount - reservation.amount)
        told: dict[str, Any] = {"what": what, "name": name, "amount": charge.amount.to_json()}
        if part:
            told["part"] = part
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
            told["reserved"] = reservation.id
        if self.budget is not None:
            warned = passed("run", self.budget, self.limits(), before, self.ledger.spent)
            if warned:
                told["warned"] = warned
                self._warn(warned)
        return (int(Kind.CHARGED), key, pydantic_core.to_json(told), mark)

    # children --------------------------------------------------------------------------------------------------

    async def carve(
        self, key: str, mark: bytes, run: str, wanted: Budget | None, *, asked_for: bool, ask: Ask
    ) -> tuple[Budget | None, Reservation | None]:
        """Take a child's budget out of this run's: that budget, and what is set aside for it here.

        What `wanted` does not say is a share of what is left (`Budget.children`); where it was not `asked_for` it is
        the child's usual one, and less where less is left. A run without a budget carves nothing: then the child has
        what it wants. Raises as `reserve` does.
        """
        budget = self.budget
        if budget is None:
            return wanted, None
        given = {} if wanted is None else wanted.limits
        for line in self.ledger.open.values():
            if line.step == key and line.what == "child":  # the worker died before the child was there
                return self._carved(wanted, {**given, **_dimensions(line.amount, budget)}), None
        while True:
            limits = self.limits()
            used = self.ledger.spent + self.ledger.reserved
            left = {name: most - _get(used, name) for name, most in limits.items() if name != "wall_clock"}
            share = {  # 1 where nothing is left: that does not fit
                name: max(1, min(n, given[name]) if name in given else int(n * budget.children))
                for name, n in left.items()
            }
            carved = {name: given[name] if asked_for and name in given else n for name, n in share.items()}
            need = Amount.from_json(carved)
            found = self._own(need, last=False)
            if found is None:
                break
            await self._at_limit(found, ask)
            if self.ledger.stopped:
                raise BudgetExceeded(f"the budget was not raised: stopped by {self.ledger.stopped}")
        reservation = self._set_aside(Asked(key, mark, "child", run, need)) if carved else None
        return self._carved(wanted, {**given, **carved}), reservation

    def _carved(self, wanted: Budget | None, limits: Mapping[str, int]) -> Budget | None:
        policy = wanted or self.budget
        if policy is None or not limits:
            return None
        return Budget.from_json({**policy.to_json(), "limits": limits})

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
        if self.budget is None and not self.ledger.spent:
            return {}
        return (self.ledger.spent + Amount(active_time=self.active_time())).to_json()

    def carried_on(self) -> dict[str, Any]:
        """What the next generation is to know: its journal begins behind the charges of this one."""
        told: dict[str, Any] = {"spent": spent} if (spent := self.spent()) else {}
        if self.ledger.raised:
            told["raised"] = self.ledger.raised
        if self._given is not None:
            told["budget"] = self._given.to_json()
        return told

    def give_back(self) -> list[Amendment]:
        """What goes into the transaction of a release: slices are settled, the rest of them is free again.

        Called anew for each try at a release, with nothing under way.
        """
        return self._purse.give_back(self._recorder.now() - self._began)

    def _warn(self, warned: Iterable[Any]) -> None:
        for one in warned:
            log.warning("run %s: %s", self._recorder.ref, warning(one))


def _get(amount: Amount, name: str) -> int:
    return getattr(amount, name)


def _dimensions(amount: Amount, budget: Budget) -> dict[str, int]:
    """Of an amount, what the budget limits."""
    return {name: n for name, n in amount.to_json().items() if name in budget.limits}


def _limits(budget: Budget, need: Amount) -> bool:
    """Whether the budget limits anything that a call needs; time every call needs."""
    return any(name in _TIMES or _get(need, name) for name in budget.limits)


def _check_going_on(recorder: Recorder) -> None:
    """After a wait for the store: the segment may have come to its end meanwhile."""
    if recorder.halted is not None:
        raise Unwind
