from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from perdure import open_store
from perdure.journal import Store
from perdure.testing import ManualClock

OpenStore = Callable[[], Awaitable[Store]]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def opening(
    request: pytest.FixtureRequest, clock: ManualClock, tmp_path: Path
) -> AsyncIterator[OpenStore]:
    """Opens the same store again and again, each time as another process would; in memory there is one."""
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'store.db'}"}.get(request.param)
    made: list[Store] = []

    async def opened() -> Store:
        if request.param == "memory" and made:
            return made[0]
        store = open_store(url or request.getfixturevalue("postgres_url"), clock=clock)
        await store.open()
        made.append(store)
        return store

    if url is None:
        request.getfixturevalue("postgres_url")  # before the test's loop is busy
    yield opened
    for store in made:
        await store.close()
