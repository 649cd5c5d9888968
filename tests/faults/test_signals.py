"""F9 and F17: messages that arrive while a claim is being released, and messages that arrive more than once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Handle, Run, RunEnded, WaitTimeout, open_store
from perdure.core.futures import Steady
from perdure.journal import Append, Post, RunStatus, Store
from perdure.testing import ManualClock
from tests.faults.processes import Site, kinds, until
from tests.faults.programs import mail
from tests.places import Place


class Crossing:
    """A store in which an outsider acts at each release: right before it is written, or right after."""

    def __init__(self, inner: Store, when: str, act: Callable[[Append], Awaitable[None]]) -> None:
        self.inner = inner
        self.when = when
        self.act = act
        self.refused = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def append(self, append: Append) -> asyncio.Future[bool]:
        if append.change is None or append.change.status is None:
            return self.inner.append(append)
        outer: Steady[bool] = Steady()
        task = asyncio.ensure_future(self._cross(append, outer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return outer

    async def _cross(self, append: Append, outer: Steady[bool]) -> None:
        if self.when == "before":
            await self.act(append)
        written = await self.inner.append(append)
        self.refused += not written
        if self.when == "after":
            await self.act(append)
        outer.set_result(written)


class Office:
    """An app over a crossing store, and an outsider with a connection of its own."""

    def __init__(self, url: str, when: str) -> None:
        self.store = Crossing(open_store(url), when, self.act)
        self.outside = open_store(url)
        self.app = App(self.store)  # type: ignore[arg-type]  # a proxy
        self.letters: list[str] = []
        self.status = RunStatus.WAITING
        """the kind of release that is crossed"""
        self.errors: list[Exception] = []

    async def act(self, append: Append) -> None:
        assert append.change is not None
        if append.change.status is not self.status or not self.letters:
            return
        letter = self.letters.pop(0)
        ref = self.app.ref("r1")
        body = json.dumps(letter).encode()
        try:
            await self.outside.post(
                Post(ref=ref, kind="signal", name="letter", id=letter, sender="ada", body=body)
            )
        except RunEnded as error:
            self.errors.append(error)


@pytest.fixture
async def office(store_url: str, when: str) -> AsyncIterator[Office]:
    made = Office(store_url, when)
    async with made.app:
        await made.outside.open()
        yield made
        await made.outside.close()


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_signal_that_crosses_a_release_is_never_lost(office: Office, when: str) -> None:
    office.letters = ["one", "two", "three"]
    run = await office.app.start(mail.register(office.app), 3, run_id="r1")

    async with asyncio.timeout(30):
        assert await run.result() == ["one", "two", "three"]

    assert office.store.refused == (3 if when == "before" else 0)
    # Refused, the worker never let go of the run; let go, it claimed it again.
    assert kinds(await run.entries()).count("suspended") == (0 if when == "before" else 3)
    assert kinds(await run.entries()).count("message") == 3


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_signal_that_crosses_the_end_is_journaled_or_refused(office: Office, when: str) -> None:
    office.status = RunStatus.SUCCEEDED
    office.letters = ["too late"]
    run = await office.app.start(mail.register(office.app), 0, run_id="r1")

    async with asyncio.timeout(30):
        assert await run.result() == []
        await until(lambda: not office.letters, "the outsider has acted")

    entries = await run.entries()
    ending = json.loads(entries[-1].payload)
    if when == "before":
        assert kinds(entries) == ["started", "claimed", "message", "ended"]
        assert ending["undelivered"] == [3]
    else:
        assert kinds(entries) == ["started", "claimed", "ended"]
        assert "takes no more messages" in str(office.errors[0])


async def test_signals_of_four_processes_all_arrive_once_and_in_order(site: Site) -> None:
    senders = ["ann", "ben", "cat", "dan"]
    count = len(senders) * mail.EACH
    await site.app.start(mail.register(site.app), count, run_id="r1")
    await site.worker("mail")
    sending = [await site.worker("mail", SENDER=sender) for sender in senders]

    for process in sending:
        assert await process.death() == 0, process.said
    await site.ended("r1")

    letters = json.loads((await site.entries("r1"))[-1].payload)["result"]
    assert len(letters) == count
    for sender in senders:
        assert [w for w in letters if w.startswith(sender)] == [f"{sender} {n}" for n in range(mail.EACH)]


async def test_a_signal_sent_five_times_is_applied_once(site: Site) -> None:
    """F17: before the run takes it, after, and from several processes' connections."""
    run = await site.app.start(mail.register(site.app), 2, run_id="r1")
    others = [App(site.url) for _ in range(4)]
    early = [await app.signal("r1", "letter", "hello", message_id="m1") for app in (site.app, *others)]
    await site.worker("mail")
    await site.waits_for("r1", "signal")

    late = [await app.signal("r1", "letter", "hello", message_id="m1") for app in (site.app, *others)]
    assert (early, late) == ([True, False, False, False, False], [False] * 5)
    await site.app.signal("r1", "letter", "bye", message_id="m2")
    await site.ended("r1")

    assert await run.result() == ["hello", "bye"]
    assert kinds(await run.entries()).count("message") == 2
    for app in others:
        await app.close()


async def waits(run: Handle) -> bool:
    return await run.status() == "waiting"


@pytest.mark.parametrize("question", ["receive", "ask"])
async def test_an_answer_that_came_in_time_counts_although_no_worker_was_there(
    store_url: str, question: str
) -> None:
    """The worker was down when the answer came, and comes back after the time was over."""
    clock = ManualClock()

    def new_app() -> App:
        app = App(store_url, clock=clock)

        @app.agent("patient")
        async def patient(run: Run) -> str:
            if question == "ask":
                answer = await run.ask("well?", timeout=timedelta(hours=1))
                return "expired" if answer.expired else str(answer.approved)
            try:
                return await run.receive("word", str, timeout=timedelta(hours=1))
            except WaitTimeout:
                return "expired"

        return app

    first = new_app()
    run = await first.start("patient", run_id="r1")
    worker = first.new_worker()
    task = asyncio.create_task(worker.run())
    await until(lambda: waits(run), "the run waits")
    worker.stop()
    await task
    if question == "ask":
        await first.answer("r1", "ask", approved=True, by="ann")
    else:
        await first.signal("r1", "word", "True")
    await first.close()
    clock.advance(7200)

    async with new_app() as app:
        assert await (await app.handle("r1")).result() == "True"


async def test_a_signal_is_kept_while_its_run_waits_for_another_version(place: Place, store_url: str) -> None:
    """A worker that cannot read the journal sets the run aside, and leaves the inbox to one that can."""
    app = App(store_url)
    run = await app.start(mail.register(app), 1, run_id="r1")
    await app.signal("r1", "letter", "hello")
    place.sql(store_url, "update entries set format = 2 where seq = 1")  # as a later release would write it

    async with app:
        await until(lambda: waits(run), "the run is set aside")
        assert "no_worker_for_version" in (await run.record()).reasons
        place.sql(store_url, "update entries set format = 1 where seq = 1")  # as if this were that release
        await app.store.wake(run.ref)
        async with asyncio.timeout(10):
            assert await run.result() == ["hello"]
        assert kinds(await run.entries()).count("message") == 1
