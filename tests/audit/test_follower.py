"""Who follows the audit log: one at a time, from where the last one has written down that it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from perdure.audit.follower import Follower
from perdure.db.memory import MemoryStore
from perdure.journal import Amendment, Cell, CellKey, Store
from perdure.testing import SkippingClock

KEY = CellKey("default", "span_export", "otlp")
BESIDE = CellKey("default", "watcher_state", "one/key")
LEASE = 10_000_000


class World:
    """A store whose time only the test moves, and followers of two processes."""

    def __init__(self) -> None:
        self.now = 1_000_000_000_000
        self.store: Store = MemoryStore(SkippingClock())
        self.store.now = lambda: self.now  # type: ignore[method-assign]

    def follower(self, holder: str) -> Follower:
        return Follower(self.store, KEY, holder=holder, lease=LEASE)

    async def put(self, told: Mapping[str, Any], due: int | None = None) -> None:
        cell = Cell(json.dumps(told).encode(), due)
        await self.store.amend(Amendment([KEY], lambda there, now: ({KEY: cell}, None)))


@pytest.fixture
async def world() -> World:
    made = World()
    await made.store.open()
    return made


async def test_one_reads_on_until_its_lease_ends_or_it_lets_go(world: World) -> None:
    one, two = world.follower("one"), world.follower("two")

    assert await one.take({"place": -1}) == {"place": -1}
    assert await two.take({"place": -1}) is None
    assert await one.keep({"place": 7}, beside={BESIDE: Cell(b"{}")})
    assert not await two.keep({"place": 8}, beside={BESIDE: Cell(b'{"of": "two"}')})
    assert [cell.data for _, cell in await world.store.cells(BESIDE.kind)] == [b"{}"]

    await one.release()
    assert await two.take({"place": -1}) == {"place": 7} == await one.state()
    assert not await one.keep({"place": 9})

    world.now += LEASE + 1
    assert await one.take({"place": -1}) == {"place": 7}


async def test_what_nobody_takes_is_not_tried_again_before_its_time(world: World) -> None:
    one = world.follower("one")
    await one.take({"cursor": "0"})
    await one.keep({"cursor": "0", "failed": 1}, lease=5_000_000)
    await one.release()

    assert await one.take({"cursor": "0"}) is None
    world.now += 5_000_001
    assert await one.take({"cursor": "0"}) == {"cursor": "0", "failed": 1}


@pytest.mark.parametrize("how", ["watcher", "spans"])
async def test_what_an_earlier_release_has_written_down_is_gone_on_with(world: World, how: str) -> None:
    until = world.now + LEASE
    if how == "watcher":
        await world.put({"by": "old", "cursor": "3.00"}, due=until)
    else:
        await world.put({"place": 3, "holder": "old", "until": until})
    new = world.follower("new")

    assert await new.take({}) is None
    world.now = until + 1
    assert await new.take({}) == ({"cursor": "3.00"} if how == "watcher" else {"place": 3})
