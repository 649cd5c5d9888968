"""One run through the chamber: worker after worker, until the run has ended or its time is up."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ...core.errors import NotDone, RunEnded, RunFailed, StoreError
from ...core.ids import RunRef
from ...engines import WorkerOptions
from ...engines.worker import NotBegun
from ...journal import ENDINGS, Claim, Entry, RunQuery, RunStatus, Store
from ...runtime import Agent
from ..clocks import SkippingClock
from ..kills import Killed
from ..survival import with_store
from ..witness import Mishap, NoReplay, Witness
from .models import FaultyModels, ServedModels
from .schedule import Hit, Schedule
from .struck import Places, StruckStore
from .world import World

if TYPE_CHECKING:
    from ... import App, Handle

__all__ = ["Outcome", "Setting", "run_trial"]

GRACE = timedelta(seconds=2)
"""What a killed worker had begun may take this long to end."""

Outside = Callable[["App", "Handle"], Awaitable[None]]
"""Plays the world: signals and answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is the same in all trials of one torture."""

    app: App
    agent: Agent
    input: Any
    open_store: Callable[[SkippingClock], Awaitable[Store]]
    outside: Outside | None
    setup: Callable[[], object]
    observe: Callable[[], object]
    limit: float
    settle: float
    served: ServedModels | None
    name: str
    """what the tenants of its trials begin with: nobody else has it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one run under one schedule."""

    schedule: Schedule
    reached: bool
    """whether all that the schedule has did strike"""
    status: RunStatus
    result: Any = None
    error: str | None = None
    """type and message, where it did not succeed"""
    why: str = ""
    """where it did not end: why it cannot go on"""
    nondeterministic: str | None = None
    observed: Any = None
    calls: Mapping[str, int] = field(default_factory=dict[str, int])
    effects: Mapping[tuple[str, bytes], int] = field(default_factory=dict[tuple[str, bytes], int])
    """how often each write was done, by tool and arguments"""
    doubts: tuple[str, ...] = ()
    """keys of the writes that somebody had to settle"""
    turns: int = 0
    """turns of models that were asked for"""
    places: Places = field(default_factory=Places)
    journals: tuple[tuple[RunRef, list[Entry]], ...] = ()

    @property
    def entries(self) -> list[Entry]:
        """The journal of the run itself."""
        return self.journals[0][1] if self.journals else []


async def run_trial(setting: Setting, schedule: Schedule, *, number: int) -> Outcome:
    """Run the agent once under a schedule. Raises what `outside` raises."""
    clock = SkippingClock(settle=setting.settle)
    store = await setting.open_store(clock)
    trial = _Trial(setting, schedule, store, clock, number)
    setting.setup()
    if setting.served is not None:
        setting.served.begin([hit for hit in schedule.hits if hit.kind == "model"])
    try:
        return await trial.play()
    finally:
        await store.close()


class _Life:
    """One worker, from its beginning to its end."""

    def __init__(self, app: App, store: StruckStore) -> None:
        self.app = app
        self.store = store
        self.worker = app.new_worker(replace(app.options, grace=GRACE), isolate=self._alone)
        self.task = asyncio.create_task(self.worker.run(), name="perdure trial")

    async def _alone(self, claim: Claim, session: str, stop: asyncio.Event) -> NotBegun | None:
        """What would go into a process of its own stays in this one: its deaths are of the schedule."""
        options = WorkerOptions(
            lease=self.app.options.lease, grace=GRACE, only=claim.run.ref, session=session
        )
        worker = self.app.new_worker(options)
        task = asyncio.create_task(worker.run())
        try:
            await asyncio.wait(
                {task, struck := asyncio.create_task(self.store.struck.wait())},
                return_when=asyncio.FIRST_COMPLETED,
            )
            struck.cancel()
        finally:
            task.cancel() if self.store.struck.is_set() else worker.stop()
            await asyncio.gather(task, return_exceptions=True)
        return None

    async def leave(self) -> None:
        """Stop in good order."""
        self.worker.stop()
        await asyncio.gather(self.task, return_exceptions=True)

    async def die(self) -> None:
        """Be gone, as after a kill."""
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


class _Trial:
    def __init__(
        self, setting: Setting, schedule: Schedule, store: Store, clock: SkippingClock, number: int
    ) -> None:
        self.setting = setting
        self.schedule = schedule
        self.store = store
        self.clock = clock
        self.hits = deque(schedule.placed)
        self.waiting = {(h.name, h.nth): h.how for h in schedule.hits if h.kind == "tool"}
        own = [h for h in schedule.hits if h.kind == "model"] if setting.served is None else []
        self.models = FaultyModels(setting.app, own, clock)
        self.tenant = f"{setting.name}-{number}"
        self.world_app = self._app(store)
        self.zombies: list[_Life] = []
        self.first: StruckStore | None = None
        self.stop_wanted = asyncio.Event()
        self.stopped = asyncio.Event()
        self.go_on = asyncio.Event()
        self.lives: list[_Life] = []

    def _app(self, store: Any) -> App:
        made = with_store(self.setting.app, store, clock=self.clock)
        made.tenant = self.tenant
        if made.approval_settings.signing is not None:  # who answers in a scenario has no key
            made.approval_settings = made.approval_settings.model_copy(update={"signatures": "optional"})
        made._models = self.models  # pyright: ignore[reportPrivateUsage]  # its faults are the trial's
        return made

    def _mishap(self, tool: str, nth: int) -> Mishap | None:
        how = self.waiting.pop((tool, nth), None)
        if how is None:
            return None
        if how == "permanent":
            refused = NotDone(f"`{tool}` refuses, as the schedule says")
            refused.__cause__ = ValueError("refused")
            return Mishap(refused)
        if how == "transient":
            return Mishap(ConnectionRefusedError(f"`{tool}` is away for a moment, as the schedule says"))
        if how == "hangs":
            declared = self.setting.app.tools.get(tool)
            if declared is not None and declared.timeout is not None:
                self.clock.advance(declared.timeout.total_seconds())
        text = f"`{tool}` did not answer in its time, as the schedule says"
        return Mishap(TimeoutError(text), done=how == "lost")

    async def play(self) -> Outcome:
        """All of it."""
        setting = self.setting
        handle = await self.world_app.start(setting.agent, setting.input, run_id="run")
        how = next((h.how for h in self.schedule.hits if h.kind == "answer"), "")
        world = World(self.world_app, late=self._while_nobody_works if how == "late" else None,
                      twice=how == "twice")  # fmt: skip
        play = None if setting.outside is None else asyncio.ensure_future(setting.outside(world.app, handle))
        witness = Witness(self.world_app, handle, mishap=self._mishap)
        nondeterministic, why = None, ""
        try:
            with witness.watching():
                try:
                    async with asyncio.timeout(setting.limit):
                        await self._live(witness, play)
                except NoReplay as error:
                    nondeterministic = str(error)
                except TimeoutError:
                    record = await handle.record()
                    reasons = f" for {', '.join(record.reasons)}" if record.reasons else ""
                    why = f"after {setting.limit:g} s it is `{record.status}`{reasons}"
                finally:
                    await self._end()
        finally:
            if play is not None:
                play.cancel()
                await asyncio.gather(play, return_exceptions=True)
        if play is not None and not play.cancelled():
            play.result()
        return await self._outcome(handle, witness, nondeterministic, why)

    async def _outcome(
        self, handle: Handle, witness: Witness, nondeterministic: str | None, why: str
    ) -> Outcome:
        result = error = None
        status = await handle.status()
        if not why and nondeterministic is None:
            try:
                result = await handle.result()
            except RunFailed as failed:
                error = str(failed).partition(": ")[2]
        journals = await witness.journals()
        journals.sort(key=lambda pair: pair[0] != handle.ref)
        await self._sweep()
        return Outcome(
            schedule=self.schedule,
            reached=self._all_struck(),
            status=status,
            result=result,
            error=error,
            why=why,
            nondeterministic=nondeterministic,
            observed=self.setting.observe(),
            calls=dict(Counter(witness.calls)),
            effects=dict(Counter(witness.effects)),
            doubts=tuple(witness.doubts),
            turns=self.models.turns if self.setting.served is None else self.setting.served.turns,
            places=self.first.places if self.first is not None else [],
            journals=tuple(journals),
        )

    async def _sweep(self) -> None:
        """End what has not ended: the next trial's workers would drive it too."""
        for record in await self.store.find(RunQuery(tenant=self.tenant, limit=100_000)):
            if record.status not in ENDINGS:
                try:
                    await self.world_app.cancel(record.ref.id, reason="the trial is over", terminate=True)
                except RunEnded:
                    continue

    def _all_struck(self) -> bool:
        served = self.setting.served
        models = not self.models.waiting if served is None else not served.waiting
        return not self.hits and not self.waiting and models

    # workers ---------------------------------------------------------------------------------------------------

    def _begin(self, hits: deque[Hit]) -> _Life:
        seen = StruckStore(self.store, hits)
        if self.first is None:
            self.first = seen
        life = _Life(self._app(seen), seen)
        self.lives.append(life)
        return life

    async def _live(self, witness: Witness, play: asyncio.Future[None] | None) -> None:
        if any(hit.kind == "worker" for hit in self.schedule.hits):
            self._begin(deque())
            self.first = None  # the other one's places count
        while True:
            life = self._begin(self.hits)
            if await self._until_struck(life, witness, play):
                return
            if life.store.killed.is_set():
                await life.die()
                await self._expire(life)
                self.lives.remove(life)
            elif life.store.frozen.is_set():
                self.lives.remove(life)
                self.zombies.append(life)
                self.clock.advance(3 * self.setting.app.options.lease.total_seconds())
                await self._expire(life)
            else:
                for each in self.lives:
                    await each.leave()
                self.lives.clear()
                self.stopped.set()
                await self.go_on.wait()
                self.stop_wanted.clear()

    async def _expire(self, life: _Life) -> None:
        for session in life.store.registered:
            await self.store.expire(session)

    async def _until_struck(self, life: _Life, witness: Witness, play: asyncio.Future[None] | None) -> bool:
        """Until the run has ended (True), or the worker's life has, or all are to leave."""
        store, ref = self.store, witness.run.ref
        events = [asyncio.create_task(e.wait()) for e in (life.store.struck, self.stop_wanted)]
        try:
            while not any(event.done() for event in events):
                seen = store.changes()
                if await store.ended([ref]):
                    return True
                if life.task.done():
                    if isinstance(
                        life.task.exception(), Killed
                    ):  # and whoever waits for that hears of it next
                        return False
                    life.task.result()
                if play is not None and play.done():
                    play.result()
                await witness.look()
                news = asyncio.create_task(store.changed(seen, within=1.0))
                await asyncio.wait({news, *events, life.task}, return_when=asyncio.FIRST_COMPLETED)
                news.cancel()
            return False
        finally:
            for event in events:
                event.cancel()

    async def _while_nobody_works(self, send: Callable[[], Awaitable[Any]]) -> Any:
        self.stopped.clear()
        self.go_on.clear()
        self.stop_wanted.set()
        await self.stopped.wait()
        try:
            return await send()
        finally:
            self.go_on.set()

    async def _end(self) -> None:
        for life in self.zombies:
            life.store.thaw()
        for life in [*self.lives, *self.zombies]:
            try:
                await life.leave()
            except StoreError:
                continue
