"""The built-in engine: claims due runs, drives them, keeps its lease, and leaves in good order."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from ..core.clock import Clock, to_micros
from ..core.errors import (
    ConfigError,
    StoreCorrupt,
    StoreError,
    StoreSealed,
    StoreTooNew,
    StoreUnavailable,
    Superseded,
)
from ..core.futures import Steady
from ..core.ids import RunRef, new_id
from ..core.labels import check_labels
from ..journal import ENDINGS, Append, Change, Claim, Demand, RunStatus, Serves, Session, Store, WaitReason
from ..runtime import Agent, Lease, Segment, SegmentEnd, Surroundings, end_claimed
from ..runtime.boundary.functions import THREADS
from .bookkeeping import Bookkeeping
from .heartbeat import Heartbeat
from .messenger import Messenger
from .retention import Retention
from .scheduler import Scheduler
from .stranded import Stranded

__all__ = ["Beside", "Isolate", "NotBegun", "Worker", "WorkerOptions"]

log = logging.getLogger("perdure.worker")


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A process in which a run was to go alone has not touched it."""

    why: str = ""
    """what is to be mended first; empty: it was only asked to stop"""


Isolate = Callable[[Claim, str, asyncio.Event], Awaitable[NotBegun | None]]
"""Run a claim alone, in a process of its own, under the session of that id; returns when that process has ended. When
the event is set, that process is to drain."""

MOST_UNCLEAN = 2
"""Unclean claims in a row after which a run goes alone."""

MOST_ALONE = 4
"""Runs that go alone at once: where a database went away again and again all of them may have to, and a process for
each would leave none of them the time to renew its lease."""

MOST_DEATHS = 3
"""Deaths alone after which it is quarantined."""

STARTING_MICROS = 60_000_000
"""What a run that goes alone gets on top of its lease until its own process renews it: importing an app may take longer
than a lease, and must not count as its death."""

HOUSEKEEPING_SECONDS = 1.0

LOOK_SECONDS = 0.02
"""Between two looks at a store that changes all the time."""


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """How a worker works."""

    concurrency: int = 256
    """runs driven at once"""
    lease: timedelta = timedelta(seconds=10)
    """after this without a heartbeat its runs are taken by others"""
    durable_steps: bool = False
    """every step waits for the disk, not only what must not be repeated"""
    grace: timedelta = timedelta(seconds=30)
    """how long steps under way may take when the worker is asked to stop"""
    labels: frozenset[str] = frozenset()
    """what this worker offers: runs that need more are left to others"""
    tenant_limit: int | None = None
    """runs of a tenant at once, over all agents and workers"""
    only: RunRef | None = None
    """drive this run alone, then end (isolation)"""
    session: str | None = None
    """take over this session instead of beginning one (isolation)"""

    def __post_init__(self) -> None:
        check_labels(self.labels, what="a label")
        if self.tenant_limit is not None and self.tenant_limit < 1:
            raise ConfigError(f"`tenant_limit={self.tenant_limit}` is not a number of runs from 1")


class Beside(Protocol):
    """What a worker does beside its runs."""

    async def run(self) -> None:
        """Go on for as long as the worker works."""
        ...


class Worker:
    """Drives the runs of the registered agents. Used within one event loop."""

    def __init__(
        self,
        store: Store,
        agents: Mapping[tuple[str, str], Agent],
        *,
        clock: Clock,
        surroundings: Surroundings,
        options: WorkerOptions | None = None,
        isolate: Isolate | None = None,
        on_end: Callable[[RunRef, bytes], None] = lambda ref, payload: None,
        schedules: Scheduler | None = None,
        retention: Retention | None = None,
        messenger: Messenger | None = None,
        bookkeeping: Bookkeeping | None = None,
        audit: Sequence[Beside] = (),
    ) -> None:
        self._store = store
        self._agents = agents
        self._clock = clock
        self._surroundings = surroundings
        self._options = options or WorkerOptions()
        self._isolate = isolate
        self._on_end = on_end
        self._schedules = schedules
        self._beside = [t for t in (retention, messenger, bookkeeping, *audit) if t is not None]
        self._segments: dict[int, Segment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._poke = asyncio.Event()
        self._stopping = False
        self._stop_alone = asyncio.Event()
        self._room_alone = asyncio.Semaphore(MOST_ALONE)
        self._threads: set[Steady[Any]] = set()
        self._lost = False
        self._housekeeping_due = True
        self._stranded = Stranded(store, clock, patience=self._options.lease.total_seconds())
        self._unended: str | None = None
        """a session that could not be ended because the store was not there: its runs are let go once it is"""
        self.driven = 0
        """runs claimed so far"""

    @property
    def busy(self) -> int:
        """Runs that are being driven now."""
        return len(self._tasks)

    def stop(self) -> None:
        """Stop claiming; finish or release what is under way; then `run` returns. Safe to call twice."""
        self._stopping = True
        self._stop_alone.set()
        for segment in self._segments.values():
            segment.drain()
        self._poke.set()

    def abandon(self) -> None:
        """After `run`: let go of steps in threads that have outlived the grace, so that the loop can be closed.

        Their threads cannot be stopped; what comes of them is not recorded any more.
        """
        if self._threads:
            count = len(self._threads)
            what = (
                "1 step still runs in a thread, and is" if count == 1 else f"{count} steps still run, and are"
            )
            log.warning("%s abandoned; other workers take over", what)
        for step in list(self._threads):
            step.set_exception(asyncio.CancelledError())

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Work until `stop`. A store that cannot be written is waited for, with a clear message in the log."""
        beside = [asyncio.create_task(self._watch())]
        if self._options.only is None:
            beside += [asyncio.create_task(task.run()) for task in self._beside]
        try:
            while not self._stopping:
                try:
                    await self._session(ready)
                except StoreUnavailable as error:
                    log.error("the store cannot be used now: %s; trying again", error)
                    self._poke.clear()
                    await self._wait_busy(within=HOUSEKEEPING_SECONDS)
                if self._options.only is not None:
                    return
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _session(self, ready: asyncio.Event | None) -> None:
        """One registration, from its beginning to its loss or the worker's end."""
        options = self._options
        session = Session(
            id=options.session or f"w-{new_id()[:12]}",
            lease=to_micros(options.lease),
            label=f"{socket.gethostname()}:{os.getpid()}",
            agents=() if options.only else tuple(sorted(self._agents)),
            labels=options.labels,
            concurrency=1 if options.only else options.concurrency,
        )
        self._lost = False
        loop = asyncio.get_running_loop()
        lease = Lease(session, self._clock)
        await self._store.register(session)
        if self._unended is not None:
            await self._store.deregister(self._unended)
            self._unended = None
        heartbeat = Heartbeat(self._store, lease, self._clock, self._lose_from_thread(loop))
        heartbeat.start()
        try:
            if self._schedules is not None and options.only is None:
                await self._schedules.begin(session.id)
            if ready is not None:
                ready.set()
            if options.only is not None:
                await self._take(lease, options.only)
                await self._finish()
            else:
                await self._work(lease)
                await self._finish()
        finally:
            heartbeat.stop()
            for segment in self._segments.values():
                segment.supersede()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=options.grace.total_seconds())
            self._segments.clear()
            try:
                await self._store.deregister(session.id)
            except StoreError as error:
                self._unended = session.id
                log.warning("the session %s could not be ended in good order: %s", session.id, error)

    async def _work(self, lease: Lease) -> None:
        while not self._stopping and not self._lost:
            self._poke.clear()
            if not lease.valid():
                await self._renew(lease)
                if self._lost:
                    return
            housekeeping, self._housekeeping_due = self._housekeeping_due, False
            if housekeeping:
                if await self._store.recover():
                    log.info("took over runs of workers whose lease ran out")
                await self._stranded.look()
            firing = None if self._schedules is None else await self._schedules.tick(afresh=housekeeping)
            for rid in await self._store.stirred(lease.session.id):
                if rid in self._segments:
                    self._segments[rid].stir()
            room = self._options.concurrency - len(self._tasks)
            claims: list[Claim] = []
            if room > 0:
                claims = await self._store.claim(
                    lease.session.id,
                    self._serves(),
                    limit=room,
                    labels=self._options.labels,
                    tenant_limit=self._options.tenant_limit,
                )
                for claim in claims:
                    self._start(claim, lease)
                if len(claims) == room:
                    continue
                due = await self._store.next_timer()
            else:
                due = None
            if firing is not None and (due is None or firing < due):
                due = firing
            if due is not None and due <= self._store.now():
                if (
                    not claims
                ):  # somebody else is about to make it ready, or this session is gone: do not spin
                    await self._wait_busy(within=LOOK_SECONDS)
                continue
            if self._tasks:
                await self._wait_busy(until=due)
            else:
                # `due` is in the store's time, which the clock's may be hours away from
                until = None if due is None else self._clock.micros() + due - self._store.now()
                await self._clock.wait(self._poke, until=until)

    async def _take(self, lease: Lease, ref: RunRef) -> None:
        for claim in await self._store.claim(lease.session.id, self._serves(), limit=1, only=ref):
            self._start(claim, lease, alone=True)

    def serves(self, demand: Demand) -> bool:
        """Whether this worker could run what waits there."""
        known = (demand.agent, demand.version) in self._agents
        return known and self._options.labels.issuperset(demand.needs)

    def _serves(self) -> list[Serves]:
        """By the agents as they are now: a program may register more while it works."""
        return [
            Serves(name, version, agent.limit, agent.limit_per_tenant)
            for (name, version), agent in self._agents.items()
        ]

    async def _finish(self) -> None:
        """Wait for what is under way: steps end, then their runs are released."""
        if self._options.only is None:
            for segment in self._segments.values():
                segment.drain()
        if self._tasks:
            grace = None if self._options.only is not None else self._options.grace.total_seconds()
            await asyncio.wait(self._tasks, timeout=grace)

    async def _renew(self, lease: Lease) -> None:
        asked_at = self._clock.monotonic()
        if await asyncio.wrap_future(self._store.renew(lease.session)):
            lease.renewed(asked_at)
        else:
            self._lose()

    def _lose_from_thread(self, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        def tell() -> None:
            loop.call_soon_threadsafe(self._lose)

        return tell

    def _lose(self) -> None:
        log.warning("the lease was lost: other workers have this one's runs now; it begins anew")
        self._lost = True
        self._poke.set()

    async def _watch(self) -> None:
        """Poke the worker when the store has changed, and now and then for housekeeping."""
        loop = asyncio.get_running_loop()
        last = loop.time()
        seen = -1
        while True:
            try:
                await self._store.changed(seen, within=HOUSEKEEPING_SECONDS)
                seen = self._store.changes()  # before the worker looks: what comes while this rests is news
            except StoreError:
                await asyncio.sleep(HOUSEKEEPING_SECONDS)
            if loop.time() - last >= HOUSEKEEPING_SECONDS:
                last = loop.time()
                self._housekeeping_due = True
            self._poke.set()
            await asyncio.sleep(LOOK_SECONDS)

    async def _wait_busy(self, *, until: int | None = None, within: float | None = None) -> None:
        seconds = within if until is None else (until - self._store.now()) / 1e6
        try:
            async with asyncio.timeout(seconds):
                await self._poke.wait()
        except TimeoutError:
            return

    # driving ---------------------------------------------------------------------------------------------------

    def _start(self, claim: Claim, lease: Lease, *, alone: bool = False) -> None:
        self.driven += 1
        task = asyncio.create_task(self._drive(claim, lease, alone=alone), name=f"run {claim.run.ref}")
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if len(self._tasks) >= self._options.concurrency:
            self._poke.set()  # there is room again
        self._tasks.discard(task)
        if not self._tasks:
            self._poke.set()

    async def _drive(self, claim: Claim, lease: Lease, *, alone: bool) -> None:
        run = claim.run
        THREADS.set(self._threads)
        try:
            if run.unclean >= MOST_UNCLEAN and not alone:
                await self._drive_alone(claim, lease)
                return
            end = await self._segment(claim, lease)
        except StoreCorrupt as error:
            log.error("%s", error)
            await self._set_aside(claim, WaitReason.CORRUPT, str(error))
        except StoreTooNew as error:
            log.error("%s", error)
            await self._set_aside(claim, WaitReason.NO_WORKER_FOR_VERSION, str(error))
        except StoreSealed as error:
            log.error("%s", error)
            await self._set_aside(claim, WaitReason.SEALED, str(error))
        except Superseded as error:
            log.warning("run %s: this worker stands down: %s", run.ref, error)
        except StoreError as error:
            log.error("run %s: %s", run.ref, error)
            self._lose()
        except Exception:
            log.exception("run %s: a fault in the runtime; the run is tried again", run.ref)
            await self._set_aside(claim, None, "a fault in the runtime")
        else:
            if end.status is not None and end.status in ENDINGS:
                self._on_end(run.ref, end.payload)
            elif isinstance(end.error, StoreUnavailable):
                self._lose()
            elif isinstance(end.error, StoreCorrupt):
                log.error("run %s: %s", run.ref, end.error)
                await self._set_aside(claim, WaitReason.CORRUPT, str(end.error))
            elif end.status is None:
                # This process thought that its lease was over, say. Where nobody took the run, nobody ever would, for
                # the session lives on.
                await self._set_aside(claim, None, "the claim was not lost after all")

    async def _segment(self, claim: Claim, lease: Lease) -> SegmentEnd:
        run = claim.run
        segment = Segment(
            claim,
            self._agents[run.agent, run.version],
            store=self._store,
            lease=lease,
            clock=self._clock,
            surroundings=replace(self._surroundings, deadline=run.deadline),
            durable_steps=self._options.durable_steps,
        )
        self._segments[run.rid] = segment
        if self._stopping:
            segment.drain()
        try:
            return await segment.drive()
        finally:
            if self._segments.get(run.rid) is segment:
                del self._segments[run.rid]

    async def _drive_alone(self, claim: Claim, lease: Lease) -> None:
        """A run whose workers died: alone in a process, so that its neighbours live; in the end, quarantine."""
        run = claim.run
        if run.alone_deaths >= MOST_DEATHS or self._isolate is None:
            where = (
                f"{run.alone_deaths} times alone in a process of its own"
                if run.alone_deaths
                else "with its worker"
            )
            reason = (
                f"the process died {where} ({run.unclean} times in a row without a new result); look at its last step, "
                f"then `perdure runs resume {run.ref} --reset`"
            )
            log.error("run %s is quarantined: %s", run.ref, reason)
            status = RunStatus.QUARANTINED
            payload = await end_claimed(
                self._store, claim, status=status, reason=reason, actor=lease.session.id
            )
            self._on_end(run.ref, payload)
            return
        async with self._room_alone:
            if self._stopping or self._lost:
                await self._set_aside(claim, None, "it waited to go alone")
            else:
                await self._go_alone(claim, lease)

    async def _go_alone(self, claim: Claim, lease: Lease) -> None:
        assert self._isolate is not None
        run = claim.run
        log.warning("run %s goes alone: its worker died %s times in a row", run.ref, run.unclean)
        session = Session(
            id=f"a-{new_id()[:12]}",
            lease=lease.session.lease + STARTING_MICROS,
            label=f"alone, from {lease.session.label}",
        )
        await self._store.register(session)
        await self._store.hand_over(run.rid, run.epoch, session.id)
        try:
            not_begun = await self._isolate(claim, session.id, self._stop_alone)
            if not_begun is not None:
                if not_begun.why:
                    log.error("run %s is set aside: %s", run.ref, not_begun.why)
                    await self._set_aside(claim, WaitReason.NOT_IMPORTABLE, not_begun.why)
                await self._store.deregister(session.id)  # it counts as no death
        finally:
            # Its process is gone: what it still holds need not wait for the lease to run out.
            await self._store.expire(session.id)
            await self._store.recover()

    async def _set_aside(self, claim: Claim, reason: WaitReason | None, text: str) -> None:
        """Release a run without a word in its journal: nothing is built on what cannot be trusted."""
        if reason is None:
            change = Change(status=RunStatus.PENDING, next_wake=self._store.now() + 1_000_000, guarded=False)
        else:
            change = Change(status=RunStatus.WAITING, reasons=(reason, text[:300]), guarded=False)
        try:
            while True:
                run = await self._store.get(claim.run.ref)
                if run is None or run.epoch != claim.run.epoch or run.status is not RunStatus.RUNNING:
                    return
                try:
                    await self._store.append(Append(run.rid, run.epoch, run.head, (), 0, change))
                    return
                except Superseded:
                    continue  # an append that was under way came first
        except StoreError as error:
            log.warning("run %s could not be set aside: %s", claim.run.ref, error)
