"""How often a store on SQLite looks at its file: lazily where nobody else writes, quickly where somebody does."""

import asyncio
from pathlib import Path

from perdure.db.sqlite import SqliteStore
from perdure.db.sqlite.store import LAZY_SECONDS, POLL_SECONDS, pause_after
from perdure.journal import Session
from perdure.testing.conformance._scene import begin


async def test_others_and_news_make_it_quick_and_its_own_heartbeat_does_not(tmp_path: Path) -> None:
    one, two = (SqliteStore(tmp_path / "store.db") for _ in range(2))
    await one.open()
    await two.open()
    mine, others = Session(id="w1", lease=10_000_000), Session(id="w2", lease=10_000_000)
    await one.register(mine)
    await two.register(others)

    now = asyncio.get_running_loop().time()
    assert one.quiet_for(now) == 0
    assert one.quiet_for(now + 5) == 5
    await asyncio.wrap_future(one.renew(mine))
    assert one.quiet_for(now + 7) == 7
    await asyncio.wrap_future(two.renew(others))
    assert one.quiet_for(now + 10) == 0
    assert one.quiet_for(now + 11) == 1
    await one.create(begin())
    assert one.quiet_for(now + 12) == 0

    await one.close()
    await two.close()


def test_the_pause_grows_and_is_bounded() -> None:
    pauses = [pause_after(quiet) for quiet in (0, 0.4, 1, 2, 4, 1000)]
    assert pauses == [POLL_SECONDS, POLL_SECONDS, 0.05, 0.1, LAZY_SECONDS, LAZY_SECONDS]


async def test_what_another_process_writes_is_seen_by_one_that_has_grown_lazy(tmp_path: Path) -> None:
    one, two = (SqliteStore(tmp_path / "store.db") for _ in range(2))
    await one.open()
    await two.open()
    one.quiet_for(-1000)  # as if nobody had written for long
    seen = one.changes()
    waiting = asyncio.create_task(one.changed(seen, within=60))
    await two.create(begin())
    async with asyncio.timeout(30):
        await waiting
    assert one.changes() != seen
    await one.close()
    await two.close()
