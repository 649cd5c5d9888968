"""What is added behind a run's end: it is kept and shown, and changes nothing of what the run was."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from perdure import App, Handle, NotDone, Run, RunFailed, RunStatus, UnknownStep, verify_chain
from perdure.cli.display.events import Teller
from perdure.core.ids import RunRef
from perdure.journal import Kind, write_export
from perdure.runtime import end_claimed
from perdure.runtime.replay.history import at_its_end
from perdure.testing import JournalBuilder, until_waiting
from perdure.views.story import story_of

ANNOTATIONS = 20
"""more than are read at once in search of an end"""


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(f"sqlite:///{tmp_path}/perdure.db", lease=timedelta(seconds=2)) as made:
        yield made


async def annotate(app: App, handle: Handle, times: int = 1) -> None:
    for n in range(times):
        kind = Kind.OUTCOME if n % 2 else Kind.ESCALATION
        assert await app.store.annotate(handle.ref, kind, b'{"met":false}', actor="ada") is not None


def fails_once(app: App) -> list[str]:
    done: list[str] = []

    def do(what: str) -> str:
        done.append(what)
        if what == "last" and done.count("last") == 1:
            raise NotDone("not yet")
        return what

    @app.agent("worker")
    async def worker(run: Run) -> str:
        return await run.step("first", do, "first") + await run.step("last", do, "last")

    return done


async def test_the_result_is_the_one_that_it_ended_with(app: App) -> None:
    @app.agent("worker")
    async def worker(run: Run) -> str:
        return "done"

    handle = await app.start("worker", run_id="r")
    assert await handle.result() == "done"
    await annotate(app, handle, ANNOTATIONS)

    assert await (await app.handle("r")).result() == "done"
    assert verify_chain(handle.ref, await handle.entries(), whole=True)[0] == (await handle.record()).head


async def test_a_retry_knows_nothing_of_it_and_is_the_same_one(app: App) -> None:
    done = fails_once(app)
    handle = await app.start("worker", run_id="r")
    with pytest.raises(RunFailed):
        await handle.result()
    retried = await app.retry("r")
    assert await retried.result() == "firstlast"
    await annotate(app, handle, 3)

    assert (await app.retry("r")).id == retried.id
    other = await app.retry("r", run_id="other")
    assert await other.result() == "firstlast"
    assert done == ["first", "last", "last", "last"]
    assert not {Kind.OUTCOME, Kind.ESCALATION} & {e.kind for e in await other.entries()}


async def test_a_fork_knows_nothing_of_it(app: App) -> None:
    fails_once(app)
    handle = await app.start("worker", run_id="r")
    with pytest.raises(RunFailed):
        await handle.result()
    assert await app.store.annotate(handle.ref, Kind.OUTCOME, b"{}", actor="ada", key="late") is not None

    fork = await app.fork("r", from_step="last", run_id="f")
    assert await fork.result() == "firstlast"
    assert Kind.OUTCOME not in {e.kind for e in await fork.entries()}
    with pytest.raises(UnknownStep):
        await app.fork("r", from_step="late")


async def test_a_run_let_go_from_quarantine_replays_past_it(app: App) -> None:
    """Its fold ignores the end that was taken back, and what was added to it."""
    done: list[str] = []

    @app.agent("worker")
    async def worker(run: Run) -> str:
        first = await run.step("first", lambda: done.append("first") or "first")
        return first + await run.receive("word", str)

    handle = await app.start("worker", run_id="r")
    await until_waiting(app, handle, "signal")
    claim = await app.store.seize(handle.ref)
    assert claim is not None
    await end_claimed(app.store, claim, status=RunStatus.QUARANTINED, reason="a test", actor="test")
    await annotate(app, handle, 2)
    assert at_its_end(await handle.entries())
    await app.store.wake(handle.ref, reset=True)
    again = await app.handle("r")
    await until_waiting(app, again, "signal")
    assert not at_its_end(await handle.entries())
    await app.signal("r", "word", "word")

    assert await again.result() == "firstword"
    assert done == ["first"]


async def test_what_was_in_its_inbox_is_there_when_it_goes_on(app: App) -> None:
    @app.agent("worker")
    async def worker(run: Run) -> list[str]:
        return [await run.receive("word", str), await run.receive("word", str)]

    handle = await app.start("worker", run_id="r")
    await until_waiting(app, handle, "signal")
    claim = await app.store.seize(handle.ref)
    assert claim is not None
    await app.signal("r", "word", "one")
    await app.signal("r", "word", "two")
    await end_claimed(app.store, claim, status=RunStatus.QUARANTINED, reason="a test", actor="test")
    ended = [e for e in await handle.entries() if e.kind in (Kind.MESSAGE, Kind.ENDED)]
    assert json.loads(ended[-1].payload)["undelivered"] == [e.seq for e in ended[:-1]]

    await app.store.wake(handle.ref, reset=True)
    assert await (await app.handle("r")).result() == ["one", "two"]


def test_every_kind_is_told_and_lengthens_no_story() -> None:
    """Also with payloads that say nothing, and behind the end."""
    builder = JournalBuilder(RunRef("default", "r"))
    entries = [
        builder.entry(Kind.STARTED, payload=b'{"input":1}', at=1_000),
        builder.entry(Kind.ENDED, payload=b'{"status":"succeeded","result":2}', at=2_000),
        *(builder.entry(kind, "step", b"{}", at=9_000_000) for kind in Kind if kind >= Kind.ATTEMPT),
    ]
    console = Console(file=io.StringIO(), width=100)
    teller = Teller(console, verbose=True)

    lines = [teller.line(entry) for entry in entries]
    story = story_of(entries)
    written = io.StringIO()
    write_export(entries, written)

    assert all(line is not None for line in lines)
    assert (story.began, story.last, story.result) == (1_000, 2_000, 2)
    assert [json.loads(line)["kind"] for line in written.getvalue().splitlines()] == [e.kind for e in entries]
