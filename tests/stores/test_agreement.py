"""The same operations on the store in memory and on SQLite: whatever one shows, the other shows.

The suite tests what was thought of; here chance does, and finds where a fake has drifted from the real one.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from perdure.core.errors import PerdureError
from perdure.core.ids import RunRef
from perdure.db.memory import MemoryStore
from perdure.journal import (
    Append,
    Approval,
    Change,
    Claim,
    Demand,
    Entry,
    Kind,
    NewRun,
    Post,
    RunQuery,
    RunRecord,
    RunStatus,
    Serves,
    Session,
    Store,
    seal,
)
from perdure.testing import JournalBuilder, ManualClock

sqlite = pytest.importorskip("perdure.db.sqlite", reason="the SQLite store is not there yet")

AGENTS = [("a", "1"), ("b", "1")]
NEEDS = [(), (), ("gpu",), ("eu", "gpu")]
REFS = [RunRef(tenant, f"r{n}") for tenant in ("default", "acme") for n in range(3)]
SESSIONS = ["w1", "w2", "alone"]
STATUSES = [*RunStatus, RunStatus.WAITING, RunStatus.WAITING, RunStatus.PENDING]

Act = Callable[[Store], Awaitable[object]]


class Chance:
    """Draws operations. What it knows of the runs comes from the store in memory; both stores number them alike."""

    def __init__(self, seed: int, clock: ManualClock) -> None:
        self.random = random.Random(seed)
        self.clock = clock
        self.posts = 0

    def ref(self) -> RunRef:
        return self.random.choice(REFS)

    def flip(self, chance: float = 0.5) -> bool:
        return self.random.random() < chance

    def post(self) -> Post:
        self.posts += 1
        n = self.random.randrange(max(1, self.posts - 4), self.posts + 1)
        return Post(ref=self.ref(), kind="signal", name="go", id=f"m{n}", sender="x", body=b"%d" % self.posts)

    async def append(self, memory: Store) -> Act:
        record = await memory.get(self.ref())
        if record is None:
            return self.create()
        epoch = record.epoch + self.random.choice([0, 0, 0, 0, 0, 0, -1, 1])
        head = record.head + self.random.choice([0, 0, 0, 0, 0, 0, -1, 1])
        entries: list[Entry] = []
        last = record.head_hash
        for i in range(self.random.randrange(4)):
            size = self.random.choice([0, 1, 9, 50_000])
            entries.append(
                seal(last, Kind.RESULT, head + 1 + i, max(epoch, 0), 1, 0, "s", "w", b"", bytes(size))
            )
            last = entries[-1].hash
        results = self.random.choice([0, len(entries)])
        change = self.change(record.ref, record.inbox_seq) if self.flip(0.7) or not entries else None
        return lambda store: store.append(Append(record.rid, epoch, head, entries, results, change))

    def change(self, ref: RunRef, inbox_seq: int) -> Change:
        steps = ["s1", "s2", "s3"]
        now = self.clock.micros()
        opened = [
            Approval(ref=ref, step=s, question="?", opened_at=now, due=None, agent="a", show=b"{}")
            for s in steps
            if self.flip(0.2)
        ]
        return Change(
            status=self.random.choice([s for s in STATUSES if s is not RunStatus.RUNNING])
            if self.flip()
            else None,
            reasons=("timer",) if self.flip() else (),
            next_wake=now + self.random.randrange(-5, 50) * 1_000_000 if self.flip() else None,
            drained=inbox_seq - self.random.choice([0, 0, 0, 1]) if self.flip() and inbox_seq else None,
            progress=str(now) if self.flip(0.3) else None,
            opened=opened,
            closed=[s for s in steps if self.flip(0.2)],
            posts=[self.post() for _ in range(self.random.choice([0, 0, 1, 2]))],
        )

    def create(self) -> Act:
        agent, version = self.random.choice(AGENTS)
        ref = self.ref()
        new = NewRun(
            ref=ref,
            agent=agent,
            version=version,
            entries=[JournalBuilder(ref).entry(Kind.STARTED, payload=b"{}")],
            labels={"l": self.random.choice("xy")},
            due=self.clock.micros() + self.random.randrange(-5, 50) * 1_000_000,
            priority=self.random.randrange(-1, 3),
            needs=self.random.choice(NEEDS),
        )
        return lambda store: store.create(new)

    async def hand_over(self, memory: Store) -> Act:
        record = await memory.get(self.ref())
        if record is None:
            return self.create()
        epoch, session = record.epoch - self.flip(0.2), self.random.choice(SESSIONS)
        return lambda store: store.hand_over(record.rid, epoch, session)

    def claim(self) -> Act:
        session = self.random.choice(SESSIONS)
        serves = [
            Serves(*pair, self.random.choice([None, 1, 2]), self.random.choice([None, 1]))
            for pair in self.random.sample(AGENTS, self.random.randrange(3))
        ]
        labels = frozenset(self.random.choice(NEEDS))
        tenant_limit = self.random.choice([None, None, 1, 2])
        limit, only = self.random.randrange(4), self.ref() if self.flip() else None

        async def act(store: Store) -> object:
            worker = Session(id=session, lease=30_000_000)
            if not await asyncio.wrap_future(store.renew(worker)):
                await store.register(worker)
            return await store.claim(
                session, serves, limit=limit, labels=labels, tenant_limit=tenant_limit, only=only
            )

        return act

    async def draw(self, memory: Store) -> Act:
        session, ref, post, reset = self.random.choice(SESSIONS), self.ref(), self.post(), self.flip()
        act = self.random.choice(["append"] * 6 + ["claim"] * 4 + ["create", "hand_over"] + list("psweodrnl"))
        match act:
            case "append":
                return await self.append(memory)
            case "claim":
                return self.claim()
            case "create":
                return self.create()
            case "hand_over":
                return await self.hand_over(memory)
            case "p":
                return lambda store: store.post(post)
            case "s":
                return lambda store: store.seize(ref)
            case "w":
                return lambda store: store.wake(ref, reset=reset)
            case "e":
                return lambda store: store.expire(session)
            case "d":
                return lambda store: store.deregister(session)
            case "n":
                return lambda store: store.next_timer()
            case "l":
                demand = Demand(*self.random.choice(AGENTS), self.random.choice(NEEDS))
                return lambda store: store.strand(demand, ("no_worker_for_needs", "why"), limit=2)
            case _:
                self.clock.advance(self.random.choice([0, 1, 20, 40, 70]))
                return lambda store: store.recover()


async def outcome(act: Act, store: Store) -> object:
    """What came of it; of an error only the type, as each store has its own words."""
    try:
        result = await act(store)
    except PerdureError as error:
        return type(error)
    return plain(result)


def plain(result: object) -> object:
    """Without the tenants' keys, which are random, and `updated_at`, on which only `recover` decides."""
    if isinstance(result, list | tuple):
        return [plain(item) for item in result]
    if isinstance(result, Claim):
        return plain(result.run), list(result.entries)
    return replace(result, updated_at=0) if isinstance(result, RunRecord) else result


async def shown(store: Store) -> object:
    """Everything that can be seen of a store."""
    runs = await store.find(RunQuery())
    return (
        plain(runs),
        {run.ref: await store.read(run.ref) for run in runs},
        {run.ref: await store.inbox(run.rid, after=0) for run in runs},
        await store.approvals(),
        await store.demands(),
        await store.demands(counted=True),
        await store.sessions(),
        await store.ended(REFS),
        {session: sorted(await store.stirred(session)) for session in SESSIONS},
    )


@pytest.mark.parametrize("seed", range(8))
async def test_both_show_the_same(seed: int, tmp_path: Path) -> None:
    clock = ManualClock()
    memory = MemoryStore(clock)
    real: Store = sqlite.SqliteStore(tmp_path / "store.db", clock=clock)
    await memory.open()
    await real.open()
    chance = Chance(seed, clock)
    try:
        for n in range(150):
            act = await chance.draw(memory)
            assert await outcome(act, real) == await outcome(act, memory), f"operation {n}"
            assert await shown(real) == await shown(memory), f"after operation {n}"
    finally:
        await real.close()
