"""What one claim of a run holds of shared accounts: slices, drawn when they are needed, given back with the claim."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ..core.ids import RunRef
from ..journal.cells import Amendment
from ..journal.store import Store
from .accounts import SLICE, Drawn, Held, Shared, Want, drawing, settling, slice_key
from .amounts import NOTHING, Amount
from .budgets import Exhausted
from .ledger import Ledger, used_of

__all__ = ["Purse"]


class Purse:
    """The slices of one claim. Used by one event loop only."""

    def __init__(self, store: Store, ref: RunRef, *, epoch: int, head: int, ledger: Ledger) -> None:
        """`head` is the last entry at the claim, `ledger` the fold up to there."""
        self._store = store
        self._ref = ref
        self._epoch = epoch
        self._head = head
        self._ledger = ledger
        self._loose = set(ledger.loose)
        """accounts of which a claim before this one may hold a part"""
        self._granted: dict[str, Amount] = {}
        self._taken: dict[str, Amount] = {}
        """of what was granted: used, or set aside for calls that are under way"""
        self._scopes: dict[str, str] = {}
        """the account of each scope that was drawn on last"""
        self.lock = asyncio.Lock()
        """held while slices are drawn: two that draw at once would both draw what both lack"""

    def lacks(self, shared: Shared, need: Amount) -> Amount | None:
        """What `need` takes beyond what is held of an account; None: it is held."""
        granted = self._granted.get(shared.name)
        missing = self._taken.get(shared.name, NOTHING) + need - (granted or NOTHING)
        limited = shared.budget.limits
        lacking = {n: m for n, m in missing.to_json().items() if m > 0 and n in limited and _of(need, n)}
        return None if granted is not None and not lacking else Amount.from_json(lacking)

    async def draw(
        self, shared: Sequence[Shared], need: Amount, *, last: bool = False
    ) -> Drawn | Exhausted | None:
        """Draw what `need` takes beyond what is held. None: the budgets have changed; look them up and ask again.

        Raises `Superseded` where a later claim has drawn.
        """
        wants = [Want(s, lacking, last) for s in shared if (lacking := self.lacks(s, need)) is not None]
        if not wants:
            return Drawn({})
        charges, head = tuple(self._ledger.charges), self._head
        known = self._loose - set(self._granted)
        change = drawing(
            self._ref,
            self._epoch,
            wants,
            known=known,
            head=head,
            used=lambda after: used_of(charges, after, head),
        )
        found: Drawn | Exhausted | None = await self._store.amend(change)
        if found is None:
            await self._look()
        if isinstance(found, Drawn):
            self._loose.clear()
            for want in wants:
                name = want.shared.name
                self._granted[name] = self._granted.get(name, NOTHING) + found.granted[name]
                self._scopes[want.shared.scope] = name
        return found

    def take(self, accounts: Sequence[str], amount: Amount) -> None:
        """So much is set aside of what is held; a negative amount comes back."""
        for name in accounts:
            self._taken[name] = self._taken.get(name, NOTHING) + amount

    def give_back(self, active_time: int) -> list[Amendment]:
        """The changes that settle what was used and free the rest; nothing where nothing is held.

        `active_time`: microseconds of this claim.
        """
        names = {*self._granted, *self._loose}
        if not names:
            return []
        charges = tuple(self._ledger.charges)
        timed = Amount(active_time=active_time)
        current = tuple(self._scopes.values())

        def used(after: int) -> dict[str, Amount]:
            found = used_of(charges, after)
            for name in current:
                found[name] = found.get(name, NOTHING) + timed
            return found

        every = {*names, *(name for line in charges for name in line.accounts if line.seq > self._head)}
        return [settling(self._ref, self._epoch, known=every, used=used)]

    async def _look(self) -> None:
        """Find out what a claim before this one held that its journal does not name."""
        key = slice_key(self._ref)
        for found, cell in await self._store.cells(SLICE, tenant=key.tenant, prefix=key.name):
            if found == key:
                self._loose |= set(Held.of(cell).accounts)
        self._loose |= self._ledger.accounts()


def _of(amount: Amount, name: str) -> int:
    return getattr(amount, name)
