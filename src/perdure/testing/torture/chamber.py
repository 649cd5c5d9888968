"""The chamber: every schedule in turn, each held to what must hold, and the smallest that breaks it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.clock import Clock
from ...core.errors import ConfigError, InvalidInput
from ...core.ids import new_id
from ...db.memory import MemoryStore
from ...journal import RunQuery, RunStatus, Store
from ...runtime import Agent
from ..clocks import SkippingClock
from .invariants import Violation, violations
from .models import ServedModels
from .plan import every_boundary, random_schedules, smaller, with_kills
from .report import Report, Row
from .schedule import KINDS, KindName, Schedule
from .trial import Outcome, Outside, Setting, run_trial

if TYPE_CHECKING:
    from ... import App
    from ..model_server import Script

__all__ = ["Progress", "torture"]

Progress = Callable[[int, int, str], None]
"""Called before each schedule: how many are done, how many there are so far, and which comes."""

SETTLE = 0.02
"""Seconds that the world has to answer before time is skipped."""

_LEAST_LIMIT = 2.0
_TIMES_LONGEST = 10

MOST_SHRUNK = 8
"""Violations of one invariant whose schedules are made smaller; of the others only the first are looked at."""


async def torture(
    app: App,
    agent: Agent | str | None = None,
    input: Any = None,
    *,
    schedules: Sequence[Schedule | str] | None = None,
    random: int | None = None,
    seed: int = 0,
    faults: Collection[KindName] = tuple(KINDS),
    outside: Outside | None = None,
    setup: Callable[[], object] | None = None,
    observe: Callable[[], object] | None = None,
    equal: Callable[[Any, Any], bool] = lambda a, b: a == b,
    models: Script | ServedModels | None = None,
    store: str | None = None,
    limit: float = 30.0,
    progress: Progress = lambda done, total, schedule: None,
) -> Report:
    """Run an agent again and again, each time under another schedule of faults, and tell what did not hold.

    Without `schedules` and `random` every boundary of its journal is tried; `random` draws so many schedules by `seed`.
    `faults` are the kinds that are tried (`KINDS`). `outside` sends the signals and answers that the agent waits for,
    `setup` makes the world new before each run, and `observe` returns what is to be seen of it after each, to be the
    same as when the run is left alone. `equal` compares results. `models` is what a `ModelServer` answers from; its
    `environ` is set meanwhile, and of a `Cassette` the tools answer too. `store`: a real one by its URL, with no
    unfinished run of anybody's in it; without it runs are in memory, and time skips. `limit` is in seconds, for a run.

    Raises `ConfigError` for what cannot be tried at all: the run that is left alone must end, and replay. Where it
    ends other than well, the report's `alone` says how: nothing beyond that point was tried.
    """
    served = models if models is None or isinstance(models, ServedModels) else ServedModels(models)
    if served is None:
        return await _Chamber(
            app, agent, input, schedules=schedules, random=random, seed=seed, faults=faults, outside=outside,
            setup=setup, observe=observe, equal=equal, served=None, store=store, limit=limit, progress=progress,
        ).run()  # fmt: skip
    async with served.here(app):
        return await _Chamber(
            app, agent, input, schedules=schedules, random=random, seed=seed, faults=faults, outside=outside,
            setup=setup, observe=observe, equal=equal, served=served, store=store, limit=limit, progress=progress,
        ).run()  # fmt: skip


class _Chamber:
    def __init__(
        self,
        app: App,
        agent: Agent | str | None,
        input: Any,
        *,
        schedules: Sequence[Schedule | str] | None,
        random: int | None,
        seed: int,
        faults: Collection[KindName],
        outside: Outside | None,
        setup: Callable[[], object] | None,
        observe: Callable[[], object] | None,
        equal: Callable[[Any, Any], bool],
        served: ServedModels | None,
        store: str | None,
        limit: float,
        progress: Progress,
    ) -> None:
        unknown = sorted(set(faults) - set(KINDS))
        if unknown:
            raise ConfigError(f"`{unknown[0]}` is no kind of fault: {', '.join(KINDS)}")
        self.agent = _agent(app, agent)
        self.given = None if schedules is None else [_read(s) for s in schedules]
        self.random, self.seed, self.faults = random, seed, faults
        self.equal = equal
        self.progress = progress
        self.store = store
        self.setting = Setting(
            app=app,
            agent=self.agent,
            input=_input(self.agent, input),
            open_store=_opener(store),
            outside=outside,
            setup=setup or (lambda: None),
            observe=observe or (lambda: None),
            limit=limit,
            settle=SETTLE if outside is not None else 0.005,
            served=served,
            name=f"torture-{new_id()[:8]}",
        )
        self.references: dict[Schedule, Outcome] = {}
        self.report = Report(agent=self.agent.name, store=store or "memory://", random=random, seed=seed)
        self.number = 0
        self.longest = 0.0
        """seconds that a run took which ended; what takes far longer will not end"""
        self.done = 0
        self.total = 1

    async def run(self) -> Report:
        began = time.monotonic()
        if self.store is not None:
            await _refuse_busy(self.store)
        alone = await self._alone()
        served = self.setting.served is not None
        if self.given is not None:
            plan = list(self.given)
        elif self.random is not None:
            plan = random_schedules(alone, self.faults, served=served, count=self.random, seed=self.seed)
        else:
            plan = every_boundary(alone, self.faults, served=served)
        self.report.boundaries = 2 * len(alone.places)
        self.total = len(plan)
        while plan:
            schedule = plan.pop(0)
            self.progress(self.done, self.total, str(schedule))
            outcome = await self._try(schedule)
            self.done += 1
            more = self._more(schedule, outcome)
            plan += more
            self.total += len(more)
        await self._shrink()
        self.report.seconds = time.monotonic() - began
        self.progress(self.done, self.total, "")
        return self.report

    def _more(self, schedule: Schedule, outcome: Outcome) -> list[Schedule]:
        """What only this outcome shows: where to kill a run whose tool has failed."""
        whole = self.given is None and self.random is None and "kill" in self.faults
        if not whole or schedule.world != schedule or len(schedule.hits) != 1 or not outcome.reached:
            return []
        return with_kills(outcome)

    async def _alone(self) -> Outcome:
        alone = await self._run(Schedule())
        if alone.nondeterministic is not None:
            raise ConfigError(
                f"agent `{self.agent.name}` does not replay, even when it is left alone: {alone.nondeterministic}"
            )
        if alone.why:
            raise ConfigError(
                f"agent `{self.agent.name}` does not come to an end when it is left alone: {alone.why}; where it waits "
                "for the world, say what it is to be sent"
            )
        served = self.setting.served
        if served is not None and served.unanswered:
            raise ConfigError(
                f"agent `{self.agent.name}` asks for what was not recorded, when it is left alone: {served.unanswered}"
            )
        self.references[Schedule()] = alone
        if alone.status is not RunStatus.SUCCEEDED:
            self.report.alone = f"`{alone.status}`" + (f" ({alone.error})" if alone.error else "")
        found = violations(alone, [], equal=self.equal, budget=self.agent.budget)
        self.report.add(
            Row(Schedule(), reached=True, violations=found, doubts=len(alone.doubts), ending=alone.status)
        )
        return alone

    async def _run(self, schedule: Schedule) -> Outcome:
        self.number += 1
        began = time.monotonic()
        limit = (
            min(self.setting.limit, max(_LEAST_LIMIT, _TIMES_LONGEST * self.longest))
            if self.longest
            else None
        )
        setting = self.setting if limit is None else replace(self.setting, limit=limit)
        outcome = await run_trial(setting, schedule, number=self.number)
        if not outcome.why:
            self.longest = max(self.longest, time.monotonic() - began)
        return outcome

    async def _try(self, schedule: Schedule) -> Outcome:
        outcome = await self._run(schedule)
        found = await self._judge(outcome)
        row = Row(
            schedule,
            reached=outcome.reached,
            violations=found,
            doubts=len(outcome.doubts),
            ending=outcome.status,
        )
        self.report.add(row)
        return outcome

    async def _judge(self, outcome: Outcome) -> list[Violation]:
        world = outcome.schedule.world
        alone = self.references[Schedule()]
        if world == outcome.schedule:
            self.references.setdefault(world, outcome)
            references: list[Outcome] = []  # nothing to be compared with: a tool that fails may be the end
        else:
            if world not in self.references:
                self.references[world] = await self._run(world)
            references = [self.references[world], alone]
        return violations(outcome, references, equal=self.equal, budget=self.agent.budget)

    async def _shrink(self) -> None:
        """Of the violations of each invariant, the smallest schedule that shows it."""
        tried: dict[Schedule, list[Violation]] = {}
        for row in self.report.rows:
            tried.setdefault(row.schedule, row.violations)
        for invariant, found in self.report.by_invariant().items():
            smallest = min(found, key=lambda v: len(v.schedule.hits))
            for violation in found[:MOST_SHRUNK]:
                for candidate in smaller(violation.schedule):
                    if len(candidate.hits) >= len(smallest.schedule.hits):
                        break
                    if candidate not in tried:
                        tried[candidate] = await self._judge(await self._run(candidate))
                    same = [v for v in tried[candidate] if v.invariant == invariant]
                    if same:
                        smallest = same[0]
                        break
            self.report.smallest[invariant] = smallest


def _agent(app: App, agent: Agent | str | None) -> Agent:
    if agent is not None:
        return app.find_agent(agent)
    names = sorted({name for name, _ in app.agents})
    if len(names) != 1:
        raise ConfigError(
            f"the app has {len(names)} agents ({', '.join(names) or 'none'}): name the one that is meant"
        )
    return app.find_agent(names[0])


def _input(agent: Agent, given: Any) -> Any:
    """The input as the agent takes it, where it was given as a file or a command line has it: as JSON."""
    if agent.input is None or not isinstance(given, dict | list):
        return given
    try:
        return agent.input.load(pydantic_core.to_json(given))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"agent `{agent.name}` cannot take this input: {error}") from None


def _read(schedule: Schedule | str) -> Schedule:
    return Schedule.parse(schedule) if isinstance(schedule, str) else schedule


def _opener(url: str | None) -> Callable[[Clock], Awaitable[Store]]:
    async def opened(clock: SkippingClock) -> Store:
        if url is None:
            store: Store = MemoryStore(clock)
        else:
            from ... import open_store

            store = open_store(url, clock=clock)
        await store.open()
        return store

    return opened  # type: ignore[return-value]


async def _refuse_busy(url: str) -> None:
    """A trial's workers would drive other runs of the store too."""
    from ... import open_store

    store = open_store(url)
    await store.open()
    try:
        statuses = frozenset({RunStatus.PENDING, RunStatus.RUNNING, RunStatus.WAITING})
        found = await store.find(RunQuery(statuses=statuses, limit=1))
    finally:
        await store.close()
    if found:
        raise ConfigError(
            f"run `{found[0].ref}` of the store has not ended, and the workers of the torture would drive it; give a "
            "store of its own, as `--store sqlite:///torture.db`"
        )
