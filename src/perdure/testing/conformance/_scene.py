"""The `given` of the suite: its fixtures, and the few words in which its tests are told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from ...core.ids import DEFAULT_TENANT, RunRef
from ...journal.approvals import Approval
from ...journal.entry import Kind
from ...journal.fleet import Serves, Session
from ...journal.state import ENDINGS, RunStatus
from ...journal.store import Append, Change, Claim, NewRun, Post, RunRecord, Store
from ..clocks import ManualClock
from ..journals import JournalBuilder

__all__ = [
    "AGENTS",
    "LEASE",
    "Scene",
    "approval",
    "begin",
    "claimed",
    "enter",
    "mail",
    "names",
    "record_of",
    "release",
    "renewed",
    "run_ref",
    "started",
]

AGENTS = [Serves("greeter", "1")]
LEASE = 30.0
"""seconds"""


class Scene:
    """The fixtures. `store` has no default: the class that runs the suite gives it."""

    @pytest.fixture
    def clock(self) -> ManualClock:
        """The time of the store under test."""
        return ManualClock()

    @pytest.fixture
    def second(self) -> Store | None:
        """Another store object, opened on the data of `store`; None where the backend cannot share it."""
        return None

    @pytest.fixture
    def other(self, second: Store | None) -> Store:
        """`second`, or a skip that says why."""
        if second is None:
            pytest.skip(
                "this store belongs to one process; override the fixture `second` where it can be shared"
            )
        return second


def run_ref(name: str = "r1", *, tenant: str = DEFAULT_TENANT) -> RunRef:
    """The full name of a run of the suite."""
    return RunRef(tenant, name)


def begin(
    name: str = "r1",
    *,
    tenant: str = DEFAULT_TENANT,
    agent: str = "greeter",
    version: str = "1",
    labels: Mapping[str, str] | None = None,
    parent: str | None = None,
    due: int = 0,
    payload: bytes = b'{"input": 1}',
    priority: int = 0,
    needs: tuple[str, ...] = (),
    principal: str | None = None,
    subject: str | None = None,
) -> NewRun:
    """A run to be accepted."""
    ref = RunRef(tenant, name)
    return NewRun(
        ref=ref,
        agent=agent,
        version=version,
        entries=[JournalBuilder(ref).entry(Kind.STARTED, payload=payload)],
        labels=labels or {},
        parent=parent,
        due=due,
        priority=priority,
        needs=needs,
        principal=principal,
        subject=subject,
    )


async def started(store: Store, name: str = "r1", *, tenant: str = DEFAULT_TENANT, due: int = 0) -> RunRecord:
    """A run that was accepted: pending, due now or at `due`."""
    record, new = await store.create(begin(name, tenant=tenant, due=due))
    assert new, f"`{name}` was there before the test"
    return record


async def enter(store: Store, session: str = "w1", *, lease: float = LEASE) -> Session:
    """A session that was registered, with its lease in seconds."""
    made = Session(id=session, lease=round(lease * 1e6), label="suite")
    await store.register(made)
    return made


async def claimed(
    store: Store, name: str = "r1", *, session: str = "w1", tenant: str = DEFAULT_TENANT
) -> Claim:
    """A run that was accepted if need be, and claimed by a session that was registered if need be."""
    await store.create(begin(name, tenant=tenant))
    if not await renewed(store, session):
        await enter(store, session)
    claims = await store.claim(session, AGENTS, limit=1, only=RunRef(tenant, name))
    assert [c.run.ref for c in claims] == [RunRef(tenant, name)], f"`{name}` could not be claimed"
    return claims[0]


async def renewed(store: Store, session: str = "w1", *, lease: float = LEASE) -> bool:
    """Renew a session; whether it is still there."""
    return await asyncio.wrap_future(store.renew(Session(id=session, lease=round(lease * 1e6))))


def names(claims: Sequence[Claim]) -> list[str]:
    """The ids of the runs that were claimed, in order."""
    return [claim.run.ref.id for claim in claims]


async def record_of(store: Store, name: str = "r1", *, tenant: str = DEFAULT_TENANT) -> RunRecord:
    """The run's record; the run is there."""
    record = await store.get(RunRef(tenant, name))
    assert record is not None, f"`{name}` is gone"
    return record


async def release(
    store: Store,
    run: RunRecord,
    status: RunStatus,
    *,
    reasons: tuple[str, ...] = (),
    next_wake: int | None = None,
    drained: int | None = None,
    posts: Sequence[Post] = (),
) -> bool:
    """Append the entry of a release, and release; whether it was written."""
    change = Change(status=status, reasons=reasons, next_wake=next_wake, drained=drained, posts=posts)
    kind = Kind.ENDED if status in ENDINGS else Kind.SUSPENDED
    entry = JournalBuilder.of(run).entry(kind, payload=b"{}")
    return await store.append(Append(run.rid, run.epoch, run.head, [entry], change=change))


def mail(id: str = "m1", *, to: str = "r1", tenant: str = DEFAULT_TENANT, body: bytes = b"{}") -> Post:
    """A signal to a run."""
    return Post(ref=RunRef(tenant, to), kind="signal", name="go", id=id, sender="user:ada", body=body)


def approval(step: str, *, run: str = "r1", tenant: str = DEFAULT_TENANT, at: int = 1) -> Approval:
    """A question for a human."""
    return Approval(
        ref=RunRef(tenant, run),
        step=step,
        question=f"do `{step}`?",
        opened_at=at,
        due=None,
        agent="greeter",
        show=b"[1]",
    )
