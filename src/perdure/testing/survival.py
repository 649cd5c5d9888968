"""Survival: a run that loses its worker comes to the same end, and does nothing twice.

    async def test_the_desk_survives() -> None:
        await survives(desk.app, desk.sell, Lead(name="Ada"))

This runs the agent once as it is, then once for each boundary of its journal with a worker that dies there and one
that goes on. It takes milliseconds a boundary: the store is in memory and the clock skips.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ..core.clock import Clock
from ..core.codec import arguments_bytes
from ..core.errors import RunFailed
from ..core.ids import RunRef
from ..db.memory import MemoryStore
from ..journal import Entry, Kind, RunQuery, RunStatus, Store, WaitReason, verify_chain
from ..runtime import Agent, Tool
from .clocks import SkippingClock
from .kills import Boundary, KillingStore

if TYPE_CHECKING:
    from .. import App, Handle

__all__ = ["Trial", "kill_at", "survives", "until_waiting", "with_store"]

Outside = Callable[["App", "Handle"], Awaitable[None]]
"""Plays the world: signals, answers. It is called once a trial, and outlives the worker."""

GRACE = timedelta(seconds=2)
"""What a killed worker had begun may take this long to end."""

SETTLE = 0.02
"""Seconds that the world has to answer before time is skipped."""


@dataclass(frozen=True, slots=True)
class Trial:
    """How one run went, with a kill or without."""

    boundary: Boundary | None
    reached: bool
    """whether the worker came to the boundary, and so died"""
    status: RunStatus
    result: Any
    """None where the run did not succeed"""
    error: str | None
    """type and message, where it did not"""
    calls: Mapping[str, int]
    """how often the function of each registered tool was called"""
    doubts: tuple[str, ...]
    """keys of the writes in doubt that nobody but this trial could settle; it knows what it saw happen"""
    entries: tuple[Entry, ...]
    """the journal"""


async def survives(
    app: App,
    agent: Agent | str,
    input: Any = None,
    *,
    setup: Callable[[], object] | None = None,
    outside: Outside | None = None,
    equal: Callable[[Any, Any], bool] = lambda a, b: a == b,
    limit: float = 30.0,
) -> list[Trial]:
    """Kill the agent's worker at every boundary of its journal; each time it must come to the same end.

    Checks, against a run without a kill: the same status and result (by `equal`), each `write` tool called as often,
    each step finished once, a journal that verifies. A write in doubt without a `verify` is settled as an operator
    would who saw everything. Returns the trials, the one without a kill first. Raises `AssertionError` that names the
    boundary, also where the run does not end within `limit` seconds.

    `setup` is called before each trial, to empty the mailbox and the like. `outside` sends the signals and answers that
    the agent waits for. Tools are counted where they are registered with the app, or called by a wrapped agent. What
    the agent takes from elsewhere than its run (the time of day, say) must not reach its result.
    """
    begin = setup or (lambda: None)
    begin()
    reference = await kill_at(app, agent, input, outside=outside, limit=limit)
    trials = [reference]
    while True:
        nth = len(trials) // 2 + 1
        for when in ("before", "after"):
            boundary = Boundary(when, nth=nth)
            begin()
            trial = await _trial(app, agent, input, boundary, outside=outside, limit=limit)
            if not trial.reached:
                return trials
            _compare(app, reference, trial, equal)
            trials.append(trial)


async def kill_at(
    app: App,
    agent: Agent | str,
    input: Any = None,
    boundary: Boundary | None = None,
    *,
    outside: Outside | None = None,
    limit: float = 30.0,
) -> Trial:
    """Run an agent on a store in memory, and kill its worker at one boundary; another goes on until the run has ended.

    Raises `AssertionError` where the run does not come to the boundary, or does not end within `limit` seconds.
    """
    trial = await _trial(app, agent, input, boundary, outside=outside, limit=limit)
    if boundary is not None and not trial.reached:
        there = ", ".join(f"{Kind(e.kind).name.lower()} `{e.key}`" for e in trial.entries)
        raise AssertionError(f"the run never came to {boundary}; its entries are: {there}")
    return trial


def with_store(app: App, store: Store | KillingStore, *, clock: Clock | None = None) -> App:
    """The agents and tools of `app` over another store: an app of its own, as a second process would have."""
    from .. import App

    made = App(cast("Store", store), tenant=app.tenant, clock=clock or app.clock)
    made.options, made.target, made.agents, made.tools = app.options, app.target, app.agents, app.tools
    made.effects = app.effects
    made.classifier, made.retry_policy, made.tenant_rate = app.classifier, app.retry_policy, app.tenant_rate
    made.approval_settings = app.approval_settings
    made.budget_settings, made.price_settings = app.budget_settings, app.price_settings
    made._models = app._models  # pyright: ignore[reportPrivateUsage]  # as they stand, and not loaded for this
    return made


async def until_waiting(app: App, run: Handle, reason: str) -> None:
    """Return when the run waits for that reason (`signal`, `approval`, `in_doubt`, ...). For `outside`."""
    store = app.store
    while True:
        seen = store.changes()
        record = await run.record()
        if record.status is RunStatus.WAITING and reason in record.reasons:
            return
        await store.changed(seen, within=1.0)


async def _trial(
    app: App,
    agent: Agent | str,
    input: Any,
    boundary: Boundary | None,
    *,
    outside: Outside | None,
    limit: float,
) -> Trial:
    clock = SkippingClock(settle=SETTLE)
    store = MemoryStore(clock)
    await store.open()
    world = with_store(app, store, clock=clock)
    handle = await world.start(agent, input, run_id="trial")
    play = asyncio.ensure_future(_nothing() if outside is None else outside(world, handle))
    operator = _Operator(world, handle)
    killing = KillingStore(store, boundary)
    where = f"killed {boundary}" if boundary is not None else "without a kill"
    try:
        with operator.watching():
            async with asyncio.timeout(limit):
                if not await _live(with_store(app, killing, clock=clock), operator, killing.killed):
                    for session in killing.registered:
                        await store.expire(session)
                    await _live(world, operator, asyncio.Event())
    except _NoReplay as error:
        raise AssertionError(f"{where}: {error}") from None
    except TimeoutError:
        record = await handle.record()
        why = f" for {', '.join(record.reasons)}" if record.reasons else ""
        raise AssertionError(
            f"{where}: after {limit:g} s the run is `{record.status}`{why}; where it waits for the world, send it what "
            "it needs with `outside=`"
        ) from None
    finally:
        play.cancel()
        await asyncio.gather(play, return_exceptions=True)
    if not play.cancelled():
        play.result()
    result = error = None
    try:
        result = await handle.result()
    except RunFailed as failed:
        error = str(failed).partition(": ")[2]
    for ref, entries in await operator.journals():
        _check_journal(where, ref, entries)
    return Trial(
        boundary=boundary,
        reached=killing.reached,
        status=await handle.status(),
        result=result,
        error=error,
        calls=dict(operator.calls),
        doubts=tuple(operator.doubts),
        entries=tuple(await handle.entries()),
    )


async def _live(app: App, operator: _Operator, killed: asyncio.Event) -> bool:
    """One worker's life: until the run has ended, or the worker is killed (False)."""
    store, ref = operator.store, operator.run.ref
    worker = app.new_worker(replace(app.options, grace=GRACE))
    task = asyncio.create_task(worker.run(), name="perdure trial")
    death = asyncio.create_task(killed.wait())
    try:
        while not killed.is_set():
            seen = store.changes()
            if await store.ended([ref]):
                return True
            if task.done():
                task.result()
            await operator.look()
            news = asyncio.create_task(store.changed(seen, within=1.0))
            await asyncio.wait({news, death, task}, return_when=asyncio.FIRST_COMPLETED)
            news.cancel()
        return False
    finally:
        death.cancel()
        if killed.is_set():
            task.cancel()
        else:
            worker.stop()
        await asyncio.gather(task, death, return_exceptions=True)


class _NoReplay(Exception):
    """The run waits for a program that replays it."""


class _Operator:
    """Sees what the tools do, and settles the writes in doubt by that."""

    def __init__(self, app: App, run: Handle) -> None:
        self.app = app
        self.store = app.store
        self.run = run
        self.calls: Counter[str] = Counter()
        self.doubts: list[str] = []
        self._results: dict[tuple[str, bytes], list[bytes]] = {}
        """what the calls of a tool with these arguments returned, as JSON"""
        self._settled: set[tuple[RunRef, int]] = set()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Have the calls of registered tools noted."""
        before = {tool: tool.function for tool in self.app.tools.values()}
        for tool in before:
            tool.function = self._noting(tool)
        self.app.effects.watch = self._noting  # of the tools of wrapped agents
        try:
            yield
        finally:
            self.app.effects.watch = None
            for tool, function in before.items():
                tool.function = function

    def _noting(self, tool: Tool[..., Any]) -> Callable[..., Any]:
        function = tool.function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def noted_async(*args: Any, **kwargs: Any) -> Any:
                self.calls[tool.name] += 1
                value = await function(*args, **kwargs)
                self._note(tool, kwargs, value)
                return value

            return noted_async

        @functools.wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            self.calls[tool.name] += 1
            value = function(*args, **kwargs)
            self._note(tool, kwargs, value)
            return value

        return noted

    def _note(self, tool: Tool[..., Any], arguments: dict[str, Any], value: Any) -> None:
        data = arguments_bytes(tool.bind((), arguments))[1:-1]  # steps give a tool its arguments by name
        self._results.setdefault((tool.name, data), []).append(tool.shape.round_trip(value)[0])

    async def look(self) -> None:
        """Where a run waits in doubt, say what was seen; where one waits for another program, give up."""
        waiting = await self.store.find(RunQuery(statuses=frozenset({RunStatus.WAITING})))
        for record in waiting:
            if WaitReason.NONDETERMINISTIC in record.reasons:
                entries = await self.store.read(record.ref)
                told = next(e.payload.decode() for e in reversed(entries) if e.kind == Kind.MISMATCH)
                raise _NoReplay(
                    f"run `{record.ref}` does not replay, for its agent is not deterministic: {told}"
                )
            if WaitReason.IN_DOUBT in record.reasons:
                await self._settle(record.ref)

    async def _settle(self, ref: RunRef) -> None:
        doubt = _open_doubt(await self.store.read(ref))
        if doubt is None or (ref, doubt.seq) in self._settled:
            return
        self._settled.add((ref, doubt.seq))
        self.doubts.append(doubt.key)
        call = _call_of(doubt)
        results = self._results.get(call, [])
        recorded = sum(found == call for found in await self._recorded())
        happened = len(results) > recorded
        result = pydantic_core.from_json(results[recorded]) if happened else None
        await self.app.settle(ref.id, doubt.key, happened=happened, result=result, by="trial")

    async def _recorded(self) -> list[tuple[str, bytes]]:
        """The calls that have a result in the journal of any run."""
        found: list[tuple[str, bytes]] = []
        for _, entries in await self.journals():
            for own in _generations(entries):
                finished = {e.key for e in own if e.kind == Kind.RESULT}
                intents = {e.key: e for e in own if e.kind == Kind.INTENT and e.key in finished}
                found += [_call_of(e) for e in intents.values()]
        return found

    async def journals(self) -> list[tuple[RunRef, list[Entry]]]:
        """Of all runs: the one that was started, and its children."""
        records = await self.store.find(RunQuery(limit=100_000))
        return [(record.ref, await self.store.read(record.ref)) for record in records]


def _generations(entries: list[Entry]) -> list[list[Entry]]:
    """The journal, cut where the run was continued as new: steps of each have keys of their own."""
    cuts = [i for i, e in enumerate(entries) if e.kind == Kind.CONTINUED]
    return [entries[a:b] for a, b in zip([0, *cuts], [*cuts, len(entries)], strict=True)]


def _open_doubt(entries: list[Entry]) -> Entry | None:
    """The WAITING entry of a write that waits to be settled."""
    entries = _generations(entries)[-1]
    settled = {e.key: e.seq for e in entries if e.kind == Kind.SETTLED}
    for entry in reversed(entries):
        if entry.kind != Kind.WAITING or settled.get(entry.key, 0) > entry.seq:
            continue
        if pydantic_core.from_json(entry.payload)["on"] == WaitReason.IN_DOUBT:
            return entry
    return None


def _call_of(entry: Entry) -> tuple[str, bytes]:
    """The tool, and its arguments as JSON, that an INTENT or a doubt is about."""
    told: dict[str, Any] = pydantic_core.from_json(entry.payload)
    return told["tool"], pydantic_core.to_json(told["arguments"])


def _compare(app: App, reference: Trial, trial: Trial, equal: Callable[[Any, Any], bool]) -> None:
    """Raise `AssertionError` where the kill shows in what came of the run."""
    where = f"killed {trial.boundary}"
    if trial.status is not reference.status or trial.error != reference.error:
        raise AssertionError(
            f"{where}: the run ended `{trial.status}` ({trial.error}), without the kill `{reference.status}` "
            f"({reference.error})"
        )
    if not equal(trial.result, reference.result):
        raise AssertionError(
            f"{where}: the result is `{trial.result!r}`, without the kill `{reference.result!r}`"
        )
    for tool in app.tools.values():
        times, expected = trial.calls.get(tool.name, 0), reference.calls.get(tool.name, 0)
        if tool.effect == "write" and times != expected:
            raise AssertionError(
                f"{where}: the write `{tool.name}` was called {times} times, without the kill {expected} times"
            )


def _check_journal(where: str, ref: RunRef, entries: list[Entry]) -> None:
    """Raise `AssertionError` where a step was finished twice, `StoreCorrupt` where the chain does not verify."""
    verify_chain(ref, entries)
    for own in _generations(entries):
        for key, times in Counter(e.key for e in own if e.kind in (Kind.RESULT, Kind.FAILED)).items():
            if times > 1:
                raise AssertionError(f"{where}: step `{key}` of run `{ref}` was finished {times} times")


async def _nothing() -> None:
    """A world that sends nothing."""
