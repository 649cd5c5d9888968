"""The pytest plugin: fixtures for tests of agents. Nothing of Perdure is loaded before a fixture is used.

    async def test_a_no_is_heard(perdure_app) -> None:
        app = perdure_app(desk.app)            # the desk's agents and tools; in memory, and time skips
        async with app:
            run = await app.start(desk.sell, Lead(name="Ada"))
            assert await run.result() == "nobody answered in three days"

    async def test_one_mail(kill_at) -> None:
        trial = await kill_at(desk.app, desk.sell, lead, Boundary("before", "result", step="send_email"))
        assert trial.calls["send_email"] == 1

Coroutine tests need a plugin that runs them, as pytest-asyncio does with `asyncio_mode = "auto"`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .. import App
    from ..core.clock import Clock
    from .survival import Trial

__all__ = ["kill_at", "perdure_app"]


@pytest.fixture
def perdure_app() -> Callable[..., App]:
    """Makes apps on a store in memory whose time skips: `perdure_app()`, or `perdure_app(mine)` with mine's agents."""
    from .. import App
    from ..db.memory import MemoryStore
    from .clocks import SkippingClock
    from .survival import with_store

    def make(app: App | None = None, *, clock: Clock | None = None, **options: Any) -> App:
        clock = clock or SkippingClock()
        store = MemoryStore(clock)
        return App(store, clock=clock, **options) if app is None else with_store(app, store, clock=clock)

    return make


@pytest.fixture
def kill_at() -> Callable[..., Awaitable[Trial]]:
    """Runs an agent whose worker dies at a boundary of its journal: `perdure.testing.kill_at`."""
    from .survival import kill_at

    return kill_at
