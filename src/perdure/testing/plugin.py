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

    def test_the_price(cassette) -> None:       # cassettes/test_shop/test_the_price.json; `pytest --record` makes it
        assert shop.ask("Price of a lamp?") == "40"

Coroutine tests need a plugin that runs them, as pytest-asyncio does with `asyncio_mode = "auto"`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .. import App
    from ..core.clock import Clock
    from ..runtime import Agent
    from .cassette import Deck
    from .survival import Trial
    from .torture import Report

__all__ = ["cassette", "kill_at", "perdure_app", "torture"]

_PASSED = pytest.StashKey[bool]()
"""whether the body of a test has passed"""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record`."""
    parser.getgroup("perdure").addoption(
        "--record",
        action="store_true",
        dest="perdure_record",
        help="tests with the fixture `cassette` ask real model providers, and record what those answer",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The marker `cassette`."""
    config.addinivalue_line(
        "markers",
        "cassette(path=None, redact=(), upstreams=None, failures=True): of the fixture `cassette`: its file, as seen "
        "from that of the test; expressions to leave out; addresses of providers; whether overcome errors are played",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed leaves its cassette as it was."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


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


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Generator[Deck]:
    """Clients of model providers that are made in the test get the answers of a cassette: no network, and no key.

    With `pytest --record` they get those of the real providers, which are kept, without secrets, if the test passes.
    `with cassette.tools(app):` does the same for the tools of an app. Options go into the marker `cassette`.
    """
    marker = request.node.get_closest_marker("cassette")
    options: dict[str, Any] = {} if marker is None else marker.kwargs
    yield from _deck(request, **options)


def _deck(
    request: pytest.FixtureRequest,
    *,
    path: str | None = None,
    redact: Iterable[str] = (),
    upstreams: Mapping[str, str] | None = None,
    failures: bool = True,
) -> Generator[Deck]:
    from .cassette.deck import playing, recording

    file = request.path.parent / (path or _file_of(request.path, request.node.nodeid))
    if not request.config.getoption("perdure_record"):
        with playing(file, again=f"pytest --record '{request.node.nodeid}'", failures=failures) as deck:
            yield deck
        return
    try:
        with recording(file, redact=redact, upstreams=upstreams or {}) as deck:
            yield deck
            if not request.node.stash.get(_PASSED, False):
                raise _Failed
    except _Failed:
        pass


class _Failed(Exception):
    """The test did not pass: its recording is thrown away."""


def _file_of(test: Path, node: str) -> str:
    """`cassettes/test_shop/test_it.json`, below the folder of the test's file."""
    name = "-".join(node.split("::")[1:])
    return f"cassettes/{test.stem}/{re.sub(r'[^A-Za-z0-9_.-]+', '-', name).strip('-')}.json"


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
