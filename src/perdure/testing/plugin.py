"""The pytest plugin: fixtures for tests of agents. Nothing of Perdure is loaded before a fixture is used.

    async def test_a_no_is_heard(perdure_app) -> None:
        app = perdure_app(desk.app)            # the desk's agents and tools; in memory, and time skips
        async with app:
            run = await app.start(desk.sell, Lead(name="Ada"))
            assert await run.result() == "nobody answered in three days"

    async def test_one_mail(kill_at) -> None:
        trial = await kill_at(desk.app, desk.sell, lead, Boundary("before", "result", step="send_email"))
        assert trial.calls["send_email"] == 1

    async def test_survives(torture) -> None:
        await torture(desk.app, desk.sell, lead)

Coroutine tests need a plugin that runs them, as pytest-asyncio does with `asyncio_mode = "auto"`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .. import App
    from ..core.clock import Clock
    from ..runtime import Agent
    from .survival import Trial
    from .torture import Report

__all__ = ["kill_at", "perdure_app", "torture"]


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


@pytest.fixture
def torture() -> Callable[..., Any]:
    """Runs an agent under every schedule of faults (`perdure.testing.torture.torture`); fails where one breaks it.

    `await torture(app, agent, input)`, or in a test that is no coroutine `torture(app, agent, input)`. An app with one
    agent needs no `agent`, and an agent that an app has registered needs no app: `torture(agent, input)`.
    """
    from .torture.chamber import torture as tortured

    async def run(app: App, agent: Agent | str | None, input: Any, options: dict[str, Any]) -> Report:
        report = await tortured(app, agent, input, **options)
        if not report.ok:
            raise AssertionError(str(report))
        return report

    def torture(app: App | Agent, *arguments: Any, **options: Any) -> Awaitable[Report] | Report:
        given = _arguments(app, arguments)
        work = run(*given, options)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(work)
        return work

    return torture


def _arguments(app: App | Agent, arguments: tuple[Any, ...]) -> tuple[App, Agent | str | None, Any]:
    from .. import App
    from ..runtime import Agent

    if isinstance(app, App):
        agent, input, *_ = (*arguments, None, None)
        if len(app.agents) == 1 and len(arguments) == 1 and not isinstance(agent, Agent):
            return app, None, agent
        return app, agent, input
    owner = next((a for a in _apps() if app in a.agents.values()), None)
    if owner is None:
        raise TypeError(f"agent `{app.name}` belongs to no app that is there: `torture(app, agent, input)`")
    return owner, app, arguments[0] if arguments else None


def _apps() -> list[App]:
    """The apps of this process: an agent does not know its own."""
    import gc

    from .. import App

    return [found for found in gc.get_objects() if isinstance(found, App)]
