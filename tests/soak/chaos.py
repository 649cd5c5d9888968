"""A soak: worker processes at work on one store, a monkey among them, and an audit when it has gone.

Its seed makes what the monkey does, and when, the same again; what the workers are just doing then is chance.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from perdure import RunEnded, StoreError, UnknownStep
from perdure.journal import Entry, Kind, RunQuery, RunRecord, RunStatus, WaitReason
from perdure.runtime.boundary.settling import standing_doubts
from tests.faults.processes import Nursery, Process, Site, until
from tests.faults.programs import varied
from tests.places import Place, PostgresPlace, database_of, fill
from tests.soak.audit import Audit, Task, audit
from tests.stores.proxy import Proxy

T = TypeVar("T")

WORKERS = 3
MOST_RUNS = 60
"""at once"""
CALM = 120.0
"""Seconds that what is left may take once the monkey has gone."""

ALL = ("kill", "stop", "term", "crash", "cut", "full")


@dataclass
class Soak:
    """What is to be done."""

    place: Place
    folder: Path
    seed: int = 0
    seconds: float = 20.0
    actions: tuple[str, ...] = ALL
    disk: Path | None = None
    """a small disk, where the store is to be; without it none gets full"""
    pause: tuple[float, float] = (0.2, 1.5)
    """between two acts of the monkey"""
    tell: Callable[[str], None] = lambda line: None
    lease: float = 1.0


@dataclass
class Report:
    """What was done, and what was found."""

    store: str
    seed: int
    seconds: float
    acts: Counter[str] = field(default_factory=Counter[str])
    found: Audit = field(default_factory=Audit)

    @property
    def problems(self) -> list[str]:
        return self.found.problems

    def as_json(self) -> dict[str, Any]:
        return {
            "store": self.store,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "acts": dict(sorted(self.acts.items())),
            "counts": dict(sorted(self.found.counts.items())),
            "problems": self.problems,
        }


async def soak(plan: Soak) -> Report:
    """Begin, let the monkey in, wait for calm, and look."""
    began = time.monotonic()
    report = Report(plan.place.kind, plan.seed, 0.0)
    async with _site(plan) as (site, proxy):
        (site.folder / "ledger").mkdir()
        crew = _Crew(plan, site, proxy, report)
        world = _World(plan, site, report)
        monkey = _Monkey(plan, site, crew, proxy, report)
        tasks = [
            asyncio.create_task(t) for t in (crew.keep(), world.play(), world.start(), _tell(plan, world))
        ]
        try:
            await _first_of(monkey.play(plan.seconds), tasks)
            world.closing = True
            await _first_of(world.calm(), tasks)
        finally:
            await monkey.leave()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        report.found = await audit(site.store, world.tasks, site.ledger)
        report.problems.extend(crew.problems())
    report.seconds = time.monotonic() - began
    return report


async def _first_of(main: Any, others: list[asyncio.Task[None]]) -> None:
    """Wait for the one; the others only end by failing."""
    task = asyncio.create_task(main)
    done, _ = await asyncio.wait({task, *others}, return_when=asyncio.FIRST_COMPLETED)
    try:
        for each in done:
            each.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def _site(plan: Soak) -> AsyncIterator[tuple[Site, Proxy | None]]:
    place, proxy = plan.place, None
    if isinstance(place, PostgresPlace):
        tablespace = "pg_default"
        if plan.disk is not None:
            tablespace = f"small_{next(place.server.numbers)}"
            place.server.own(plan.disk)
            place.server.sql(f"create tablespace {tablespace} location '{plan.disk}'")
        url = place.url(plan.folder, tablespace=tablespace)
        proxy = Proxy(place.server.address)
    else:
        url = place.url(plan.disk or plan.folder)
    try:
        async with Nursery() as nursery, Site(plan.folder, nursery, url=url, lease=plan.lease) as site:
            varied.register(site.app)
            yield site, proxy
    finally:
        if proxy is not None:
            proxy.close()
        place.close()
        if isinstance(place, PostgresPlace) and plan.disk is not None:
            place.server.sql(f"drop tablespace {tablespace}")


class _Crew:
    """Keeps worker processes at work, as a supervisor does. The first is behind the proxy, where there is one."""

    def __init__(self, plan: Soak, site: Site, proxy: Proxy | None, report: Report) -> None:
        self._site = site
        self._proxy = proxy
        self._report = report
        self._plan = plan
        self.alive: dict[int, Process] = {}
        self._all: list[Process] = []

    async def keep(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._slot(number))

    async def _slot(self, number: int) -> None:
        site = self._site
        environ: dict[str, Any] = {}
        if number == 0 and self._proxy is not None:
            environ["STORE"] = self._proxy.url(database_of(site.url))
        while True:
            process = await site.worker("varied", **environ)
            self._all.append(process)
            self.alive[number] = process
            status = await process.death(within=1e6)
            del self.alive[number]
            self._report.acts[f"workers that ended with {status}"] += 1
            await asyncio.sleep(0.2)

    def problems(self) -> list[str]:
        """What the workers said that none should."""
        found: list[str] = []
        for process in self._all:
            said = process.said
            unavailable = said.rstrip().rpartition("\n")[2].startswith("perdure.core.errors.StoreUnavailable")
            if "a fault in the runtime" in said:
                found.append(f"{process.log}: a fault in the runtime")
            status = process.died.result() if process.dead else 0
            # One that is born while the store is away ends at once: its supervisor tries again.
            if status not in (0, -signal.SIGKILL, -signal.SIGTERM) and not unavailable:
                found.append(f"{process.log}: it ended by itself, with {status}")
        return found


class _Monkey:
    def __init__(self, plan: Soak, site: Site, crew: _Crew, proxy: Proxy | None, report: Report) -> None:
        self._plan = plan
        self._site = site
        self._crew = crew
        self._proxy = proxy
        self._report = report
        self._random = random.Random(plan.seed)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._actions: dict[str, Callable[[], Awaitable[None]]] = {
            "kill": self._kill,
            "stop": self._stop,
            "term": self._term,
        }
        if isinstance(plan.place, PostgresPlace):
            self._actions |= {"crash": self._crash, "cut": self._cut}
        if plan.disk is not None:
            self._actions["full"] = self._full

    async def play(self, seconds: float) -> None:
        """Do what comes to its mind, one after the other, and some at once."""
        names = [n for n in self._plan.actions if n in self._actions]
        loop = asyncio.get_running_loop()
        over = loop.time() + seconds
        first = self._random.sample(names, len(names))  # each has its turn, also in a short soak
        while loop.time() < over:
            await asyncio.sleep(self._random.uniform(*self._plan.pause))
            name = first.pop() if first else self._random.choice(names)
            under_way = self._under_way.get(name)
            if under_way is not None:
                if not under_way.done():
                    continue
                under_way.result()
            self._under_way[name] = asyncio.ensure_future(self._actions[name]())
        await self.leave()

    async def leave(self) -> None:
        """Let what is under way end: all is as it was."""
        await asyncio.gather(*self._under_way.values())

    def _victim(self) -> Process | None:
        alive = self._crew.alive
        return alive[self._random.choice(sorted(alive))] if alive else None

    async def _kill(self) -> None:
        victim = self._victim()
        if victim is not None:
            self._report.acts["kill"] += 1
            victim.send(signal.SIGKILL)

    async def _term(self) -> None:
        victim = self._victim()
        if victim is not None:
            self._report.acts["term"] += 1
            victim.send(signal.SIGTERM)

    async def _stop(self) -> None:
        victim = self._victim()
        if victim is not None:
            self._report.acts["stop"] += 1
            victim.send(signal.SIGSTOP)
            await asyncio.sleep(self._plan.lease * self._random.uniform(0.5, 3))
            victim.send(signal.SIGCONT)

    async def _crash(self) -> None:
        place = self._plan.place
        assert isinstance(place, PostgresPlace)
        self._report.acts["crash"] += 1
        pause = self._random.choice([0, 0, 0.5, self._plan.lease * 2])
        await asyncio.to_thread(place.server.crash)
        await asyncio.sleep(pause)
        await asyncio.to_thread(place.server.start)

    async def _cut(self) -> None:
        assert self._proxy is not None
        self._report.acts["cut"] += 1
        self._proxy.cut(silent=self._random.random() < 0.5)
        await asyncio.sleep(self._plan.lease * self._random.uniform(0.3, 3))
        self._proxy.heal()

    async def _full(self) -> None:
        assert self._plan.disk is not None
        self._report.acts["full"] += 1
        taken = await asyncio.to_thread(
            fill, self._plan.disk, leave=self._random.choice([0, 20_000, 100_000])
        )
        await asyncio.sleep(self._random.uniform(0.2, 1.5))
        taken.unlink()


class _World:
    """Starts runs, sends what they wait for, and settles what is in doubt: it does not give up, whatever breaks."""

    def __init__(self, plan: Soak, site: Site, report: Report) -> None:
        self._plan = plan
        self._site = site
        self._report = report
        self._random = random.Random(plan.seed + 1)
        self.tasks: dict[str, Task] = {}
        """the runs that were accepted"""
        self._open: set[str] = set()
        self._settled: set[tuple[str, int]] = set()
        self._sending: set[asyncio.Task[None]] = set()
        self.closing = False

    @property
    def state(self) -> str:
        return f"{len(self.tasks)} runs, {len(self._open)} open"

    async def start(self) -> None:
        """A stream of runs, no more at once than can be worked on; never returns."""
        while not self.closing:
            if len(self._open) >= MOST_RUNS:
                await asyncio.sleep(0.05)
                continue
            number = len(self.tasks)
            agent = self._random.choice(["clerk", "clerk", "reader", "endless", "boss", "sleeper"])
            input = {
                "clerk": f"book{number}",
                "reader": 4,
                "endless": (3, []),
                "boss": f"deal{number}",
                "sleeper": 3,
            }[agent]
            id = f"{agent}{number}"
            letters = {"clerk": 1, "reader": 4, "endless": 4}.get(agent, 0)
            task = Task(agent, input, [f"{id}-{n}" for n in range(letters)])
            await self._persist(self._site.app.start, agent, input, run_id=id)
            self.tasks[id] = task
            self._open.add(id)
            sending = asyncio.create_task(self._send(id, task))
            self._sending.add(sending)
            sending.add_done_callback(self._sending.discard)
            await asyncio.sleep(self._random.uniform(0, 0.1))
        await asyncio.Event().wait()

    async def _send(self, id: str, task: Task) -> None:
        name = "word" if task.agent == "clerk" else "letter"
        for letter in task.letters:
            await asyncio.sleep(self._random.uniform(0, 0.5))
            for _ in range(2):  # as one does who is not sure that it arrived
                await self._persist(self._site.app.signal, id, name, letter, message_id=letter)

    async def _persist(self, function: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> T | None:
        while True:
            try:
                return await function(*args, **options)
            except (RunEnded, UnknownStep):
                return None
            except StoreError:
                self._report.acts["calls that found no store"] += 1
                await asyncio.sleep(0.1)

    async def play(self) -> None:
        """Be the people whom the runs wait for."""
        store = self._site.store
        while True:
            waiting = RunQuery(
                statuses=frozenset({RunStatus.WAITING, RunStatus.QUARANTINED}), limit=10 * MOST_RUNS
            )
            for record in await self._persist(store.find, waiting) or ():
                await self._attend(record)
            if self._open:
                ids = sorted(self._open)
                refs = [self._site.app.ref(id) for id in ids]
                for ref in await self._persist(store.ended, refs) or ():
                    record = await self._persist(store.get, ref)
                    if record is not None and record.status is not RunStatus.QUARANTINED:
                        self._open.discard(ref.id)
            await asyncio.sleep(0.1)

    async def _attend(self, record: RunRecord) -> None:
        app, id = self._site.app, record.ref.id
        if record.status is RunStatus.QUARANTINED:
            self._report.acts["runs let out of quarantine"] += 1
            await self._persist(app.resume, id, reset=True)
        elif WaitReason.APPROVAL in record.reasons:
            await self._persist(app.answer, id, "ask", approved=True, by="ann")
        elif WaitReason.IN_DOUBT in record.reasons:
            entries = await self._persist(self._site.store.read, record.ref) or []
            for key in standing_doubts(record.ref, entries):
                await self._settle(id, key, entries)

    async def _settle(self, id: str, key: str, entries: list[Entry]) -> None:
        """By what the ledger says."""
        doubt = max(e.seq for e in entries if e.key == key and e.kind == Kind.WAITING)
        if (id, doubt) in self._settled:
            return
        self._settled.add((id, doubt))
        self._report.acts["doubts settled by hand"] += 1
        file = self._site.ledger / id
        happened = file.exists() and f"mail {id}/{key}" in file.read_text().splitlines()
        to = "moon" if id.startswith("sleeper") else "ada"
        result = f"mailed {to}" if happened else None
        await self._persist(self._site.app.settle, id, key, happened=happened, result=result)

    async def calm(self) -> None:
        """Return when all has ended, or there is no more hope: the audit says which."""
        with contextlib.suppress(AssertionError):
            await until(lambda: not (self._open or self._sending), "all has ended", within=CALM)


async def _tell(plan: Soak, world: _World) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(10)
        plan.tell(f"{plan.place.kind} {time.monotonic() - began:4.0f} s: {world.state}")
