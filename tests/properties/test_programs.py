"""Random programs, killed at random: the same result, each finished effect once, and a replay without any effect."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import App, RunFailed, Superseded
from perdure.core.futures import Steady
from perdure.core.ids import RunRef
from perdure.db.memory import MemoryStore
from perdure.db.sqlite import SqliteStore
from perdure.journal import Append, Claim, Entry, Kind, Message, RunStatus, Session, Store, verify_chain
from perdure.runtime import Lease, Segment, Surroundings
from perdure.testing import SkippingClock
from tests.properties.programs import Node, World, build, programs, receives

REF = RunRef("default", "r1")


class Dying:
    """A store as one worker sees it, until it dies: then nothing that it appends comes back, or is written."""

    def __init__(self, inner: Store, world: World, worker: int, *, appends: int, written: bool) -> None:
        self._inner = inner
        self._world = world
        self._worker = worker
        self._left = appends
        self._written = written
        """whether the last append reaches the disk before the worker dies"""
        self.dead = asyncio.Event()
        self._buried = False
        self._never: list[Steady[bool]] = []

    def bury(self) -> None:
        """Let the tasks of the dead worker go: in a real death the process takes them along."""
        self._buried = True
        for future in self._never:
            _refuse(future)

    def _nothing(self) -> asyncio.Future[bool]:
        future: Steady[bool] = Steady()
        if self._buried:
            _refuse(future)
        else:
            self._never.append(future)
        return future

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def close(self) -> None:
        """The inner store is shared."""

    async def register(self, session: Session) -> None:
        """A dead worker does not begin anew."""
        if self.dead.is_set():
            await asyncio.Event().wait()
        await self._inner.register(session)

    async def claim(self, *args: Any, **kwargs: Any) -> list[Claim]:
        """Nor does it claim."""
        if self.dead.is_set():
            await asyncio.Event().wait()
        return await self._inner.claim(*args, **kwargs)

    def append(self, append: Append) -> asyncio.Future[bool]:
        if self.dead.is_set():
            return self._nothing()
        if self._left == 0:
            self._world.alive.discard(self._worker)
            self.dead.set()
            if self._written:
                self._inner.append(append)
            return self._nothing()
        self._left -= 1
        return self._inner.append(append)


def _refuse(future: asyncio.Future[bool]) -> None:
    future.set_exception(Superseded("the worker is dead"))
    future.exception()  # marked as seen


async def execute(
    program: Node,
    store: Store,
    clock: SkippingClock,
    kills: list[tuple[int, bool]],
    *,
    deployed: Node | None = None,
    after: int = 0,
) -> tuple[Any, World]:
    """Run `program`, with a worker that dies after so many appends for each of `kills`, and one that does not.

    From the worker number `after` on the code is `deployed`.
    """
    world = World()
    await store.open()
    plan = [*kills, (1_000_000, True)]
    workers: list[Any] = []
    stores: list[Dying] = []
    started = False
    for number, (appends, written) in enumerate(plan):
        world.alive.add(number)
        dying = Dying(store, world, number, appends=appends, written=written)
        stores.append(dying)
        app = App(dying, clock=clock)  # pyright: ignore[reportArgumentType]  # a proxy
        agent = build(app, world, number, program if deployed is None or number < after else deployed)
        if not started:
            await app.start(agent, run_id=REF.id)
            for n in range(receives(program)):
                await app.signal(REF.id, "news", n, message_id=f"m{n}")
            started = True
        await app.open()
        worker = app.new_worker()
        task = asyncio.create_task(worker.run())
        workers.append(task)
        dead = asyncio.create_task(dying.dead.wait())
        ended = asyncio.create_task(app.endings.wait(REF))
        done, _ = await asyncio.wait({dead, ended, task}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        if not done:
            record = await store.get(REF)
            world.buried.set()
            for corpse in stores:
                corpse.bury()
            journal = [(e.seq, Kind(e.kind).name, e.key) for e in await store.read(REF)]
            raise AssertionError(f"stuck: {record} {journal}")
        dead.cancel()
        if ended in done:
            await ended
            if not dying.dead.is_set():
                worker.stop()
                await task
            break
        ended.cancel()
        # The process is gone; its lease runs out at once, so that the test need not wait for it.
        record = await store.get(REF)
        assert record is not None
        if record.session is not None:
            await store.expire(record.session)
            await store.recover()
            await store.wake(REF, reset=True)  # deaths without progress are wanted here: no quarantine
    record = await store.get(REF)
    assert record is not None
    try:
        result = ("result", await (await app.handle(REF.id)).result())
    except RunFailed as error:
        result = ("failed", str(error.failure.message))  # pyright: ignore
    world.buried.set()
    for corpse in stores:
        corpse.bury()
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return result, world


class Paper:
    """A store that takes every append and keeps it in a list."""

    def __init__(self, clock: SkippingClock) -> None:
        self.written: list[Entry] = []
        self.now = clock.micros

    def append(self, append: Append) -> asyncio.Future[bool]:
        self.written.extend(append.entries)
        future: Steady[bool] = Steady()
        asyncio.get_running_loop().call_soon(future.set_result, True)
        return future

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        return []


async def replay(program: Node, claim: Claim, clock: SkippingClock) -> bytes:
    """The recorded journal, without its ending, gives the same ending and touches nothing."""
    app = App("memory://", clock=clock)
    agent = build(app, World(alive={0}, forbidden=True), 0, program)
    paper: Any = Paper(clock)
    segment = Segment(
        claim,
        agent,
        store=paper,
        lease=Lease(Session(id="replay", lease=10**15), clock),
        clock=clock,
        surroundings=Surroundings(agent=app.find_agent, models=None),
        durable_steps=False,
    )
    async with asyncio.timeout(20):
        end = await segment.drive()
    kinds = [Kind(e.kind).name for e in paper.written]
    assert kinds == ["CLAIMED", "ENDED"], (end, [(e.key, e.payload) for e in paper.written])
    return paper.written[-1].payload


def without_traceback(payload: bytes) -> dict[str, Any]:
    ending = json.loads(payload)
    if ending.get("failure"):
        del ending["failure"]["traceback"]
    return ending


def check(entries: list[Any], world: World) -> None:
    """What must hold of every journal, however its workers died."""
    verify_chain(REF, entries)
    finals: dict[str, int] = {}
    for e in entries:
        if e.kind in (Kind.RESULT, Kind.FAILED, Kind.VALUE, Kind.DECISION, Kind.PROGRESS):
            assert e.key not in finals, f"step `{e.key}` finished twice: entries {finals[e.key]} and {e.seq}"
            finals[e.key] = e.seq
        if e.kind == Kind.INTENT:
            assert e.key not in finals, f"step `{e.key}` was tried again after it had finished"
    assert all(count == 1 for count in world.applied.values()), world.applied


async def once(program: Node, make: Any, kills: list[tuple[int, bool]]) -> None:
    clock = SkippingClock(settle=0.0)
    store = make(clock)
    result, world = await execute(program, store, clock, kills)
    entries = await store.read(REF)
    record = await store.get(REF)
    assert record is not None and record.status in (RunStatus.SUCCEEDED, RunStatus.FAILED)
    key = await store.tenant_key(REF.tenant)
    await store.close()
    check(entries, world)
    recorded = entries[:-1]
    run = replace(record, head=recorded[-1].seq, head_hash=recorded[-1].hash, epoch=record.epoch + 1)
    ending = await replay(program, Claim(run=run, entries=recorded, tenant_key=key), clock)
    assert without_traceback(ending) == without_traceback(entries[-1].payload), result


kill_plans = st.lists(st.tuples(st.integers(0, 12), st.booleans()), max_size=4)
quick = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@quick
@given(program=programs, kills=kill_plans)
def test_random_programs_in_memory(program: Node, kills: list[tuple[int, bool]]) -> None:
    asyncio.run(asyncio.wait_for(once(program, MemoryStore, kills), 60))


@pytest.mark.soak
@settings(quick, max_examples=25)
@given(program=programs, kills=kill_plans)
def test_random_programs_on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, program: Node, kills: list[tuple[int, bool]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("programs")
    asyncio.run(
        asyncio.wait_for(once(program, lambda clock: SqliteStore(folder / "p.db", clock=clock), kills), 60)
    )


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(quick, max_examples=20_000)
@given(program=programs, kills=kill_plans)
def test_many_random_programs_in_memory(program: Node, kills: list[tuple[int, bool]]) -> None:
    asyncio.run(asyncio.wait_for(once(program, MemoryStore, kills), 60))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(quick, max_examples=3_000)
@given(program=programs, kills=kill_plans)
def test_many_random_programs_on_sqlite(
    tmp_path_factory: pytest.TempPathFactory, program: Node, kills: list[tuple[int, bool]]
) -> None:
    folder: Path = tmp_path_factory.mktemp("programs")
    asyncio.run(
        asyncio.wait_for(once(program, lambda clock: SqliteStore(folder / "p.db", clock=clock), kills), 60)
    )
