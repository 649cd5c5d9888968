"""Rate limits that all workers of a store share: a place in a queue, taken in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import pydantic_core

from ..core.clock import from_micros, to_micros
from ..core.errors import ConfigError, LimitFull
from ..journal import Amendment, Cell, CellKey, Store
from .rate import Rate, place

__all__ = ["Limits", "Take"]

KIND = "rate"


@dataclass(frozen=True, slots=True)
class Take:
    """What a call takes of one limit."""

    name: str
    """of the limit: `tool:pay`, `model:openai:gpt-5`, `tenant`"""
    rate: Rate
    cost: int = 1
    tenant: str | None = None
    """whose limit; None: of the tenant that takes"""


class Limits:
    """The limits of a store. Holds no state of its own."""

    def __init__(self, store: Store, *, most_wait: timedelta = timedelta(hours=1)) -> None:
        self._store = store
        self._most = to_micros(most_wait)

    async def take(self, tenant: str, name: str, rate: Rate, *, cost: int = 1) -> int | None:
        """Take a place under one limit. See `take_all`."""
        return await self.take_all(tenant, [Take(name, rate, cost)])

    async def take_all(self, tenant: str, takes: Sequence[Take]) -> int | None:
        """Take a place under several limits at once, all or none.

        None: go now. Else the store's time (microseconds) at which the place has come, under the slowest of them: wait
        until then and go, without asking again. A limit that is not the slowest counts the call where it would have
        let it go. Raises `LimitFull`, and takes nothing, where that is more than `most_wait` away.
        """
        named: dict[CellKey, Take] = {}
        for take in takes:
            key = CellKey(take.tenant or tenant, KIND, take.name)
            if key in named:
                raise ConfigError(f"limit `{take.name}` is named twice in one take: add up what it costs")
            if type(take.cost) is not int or take.cost < 1:
                raise ConfigError(f"cost `{take.cost}` of a take is not a count: give 1 or more")
            named[key] = take
        if not named:
            return None

        def change(
            cells: Mapping[CellKey, Cell], now: int
        ) -> tuple[Mapping[CellKey, Cell | None], int | None]:
            latest, slowest, written = now * 1000, "", dict[CellKey, Cell | None]()
            for key, take in named.items():
                used = pydantic_core.from_json(cells[key].data)["used_until"] if key in cells else None
                at, after = place(used, take.rate, now * 1000, take.cost)
                if at > latest:
                    latest, slowest = at, take.name
                written[key] = Cell(b'{"used_until":%d}' % after, _micros(after))
            due = _micros(latest)
            if due - now > self._most:
                raise LimitFull(
                    f"limit `{slowest}` has a queue until {from_micros(due):%Y-%m-%d %H:%M:%S} UTC, which is longer "
                    f"than the {timedelta(microseconds=self._most)} that a call waits; raise the limit, or start less",
                    until=due,
                    retry_after=(due - now - self._most) / 1e6,
                )
            return written, None if due <= now else due

        return await self._store.amend(Amendment(list(named), change))


def _micros(nanos: int) -> int:
    """Rounded up: a place never comes too early."""
    return -(-nanos // 1000)
