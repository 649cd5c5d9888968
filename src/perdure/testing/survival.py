"""Survival: a run that loses its worker comes to the same end, and does nothing twice.

    async def test_the_desk_survives() -> None:
        await survives(desk.app, desk.sell, Lead(name="Ada"))

This runs the agent once as it is, then once for each boundary of its journal with a worker that dies there and one
that goes on. It takes milliseconds a boundary: the store is in memory and the clock skips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from ..core.clock import Clock
from ..core.errors import RunFailed
from ..core.policy_settings import PolicySettings
from ..core.principal import Principal
from ..db.memory import MemoryStore
from ..journal import ENDINGS, Entry, Kind, RunStatus, Store
from ..runtime import Agent
from .clocks import SkippingClock
from .kills import Boundary, KillingStore
from .witness import NoReplay, Witness, check_journal

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
    by: str | Principal | None = None,
    subject: str | None = None,
) -> list[Trial]:
    """Kill the agent's worker at every boundary of its journal; each time it must come to the same end.

    Checks, against a run without a kill: the same status and result (by `equal`), each `write` tool called as often,
    each step finished once, a journal that verifies. A write in doubt without a `verify` is settled as an operator
    would who saw everything. Returns the trials, the one without a kill first. Raises `AssertionError` that names the
    boundary, also where the run does not end within `limit` seconds.

    `setup` is called before each trial, to empty the mailbox and the like. `outside` sends the signals and answers that
    the agent waits for. Tools are counted where they are registered with the app, or called by a wrapped agent. What
    the agent takes from elsewhere than its run (the time of day, say) must not reach its result. `by`: on whose behalf
    it runs: a name (`user:ann`), or a principal. `subject`: whose data it handles; that takes a master key.
    """
    begin = setup or (lambda: None)
    begin()
    reference = await kill_at(app, agent, input, outside=outside, limit=limit, by=by, subject=subject)
    trials = [reference]
    while True:
        nth = len(trials) // 2 + 1
        for when in ("before", "after"):
            boundary = Boundary(when, nth=nth)
            begin()
            trial = await _trial(
                app, agent, input, boundary, outside=outside, limit=limit, by=by, subject=subject
            )
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
    by: str | Principal | None = None,
    subject: str | None = None,
) -> Trial:
    """Run an agent on a store in memory, and kill its worker at one boundary; another goes on until the run has ended.

    Raises `AssertionError` where the run does not come to the boundary, or does not end within `limit` seconds.
    """
    trial = await _trial(app, agent, input, boundary, outside=outside, limit=limit, by=by, subject=subject)
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
    made.policies.settings = PolicySettings(
        folder=app.policies.folder
    )  # others than the app has are not on trial
    made.classifier, made.retry_policy, made.tenant_rate = app.classifier, app.retry_policy, app.tenant_rate
    # a trial has no key, and settles what it has seen happen
    made.approval_settings = app.approval_settings.model_copy(update={"signed_settlements": False})
    made.credentials, made.identity_settings = app.credentials, app.identity_settings
    made.approver_proof = app.approver_proof
    made.trust.given = app.trust.given
    made.memory.settings = app.memory.settings
    made.budget_settings, made.price_settings = app.budget_settings, app.price_settings
    made._models = app._models  # pyright: ignore[reportPrivateUsage]  # as they stand, and not loaded for this
    return made


async def until_waiting(app: App, run: Handle, reason: str) -> None:
    """Return when the run waits for that reason (`signal`, `approval`, `in_doubt`, ...). For `outside`.

    Raises `AssertionError` where the run ends instead, and says how.
    """
    store = app.store
    while True:
        seen = store.changes()
        record = await run.record()
        if record.status is RunStatus.WAITING and reason in record.reasons:
            return
        if record.status in ENDINGS:
            why = f": {'; '.join(record.reasons)}" if record.reasons else ""
            raise AssertionError(
                f"run `{record.ref}` ended `{record.status}` and never waited for `{reason}`{why}"
            )
        await store.changed(seen, within=1.0)


async def _trial(
    app: App,
    agent: Agent | str,
    input: Any,
    boundary: Boundary | None,
    *,
    outside: Outside | None,
    limit: float,
    by: str | Principal | None,
    subject: str | None,
) -> Trial:
    clock = SkippingClock(settle=SETTLE)
    store = MemoryStore(clock)
    await store.open()
    world = with_store(app, store, clock=clock)
    whose = by if isinstance(by, Principal) else None if by is None else Principal(subject=by)
    handle = await world.start(agent, input, run_id="trial", on_behalf_of=whose, subject=subject)
    play = asyncio.ensure_future(_nothing() if outside is None else outside(world, handle))
    operator = Witness(world, handle)
    killing = KillingStore(store, boundary)
    dying = with_store(app, killing, clock=clock)
    where = f"killed {boundary}" if boundary is not None else "without a kill"
    try:
        with operator.watching():
            async with asyncio.timeout(limit):
                if not await _live(dying, operator, killing.killed):
                    for session in killing.registered:
                        await store.expire(session)
                    await _live(world, operator, asyncio.Event())
    except NoReplay as error:
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
        for made in (dying, world):  # a process that is gone holds no connection
            await made.mcp.close()
            await made.memory.close()
    if not play.cancelled():
        play.result()
    result = error = None
    try:
        result = await handle.result()
    except RunFailed as failed:
        error = str(failed).partition(": ")[2]
    for ref, entries in await operator.journals():
        check_journal(ref, entries, where=where)
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


async def _live(app: App, operator: Witness, killed: asyncio.Event) -> bool:
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


async def _nothing() -> None:
    """A world that sends nothing."""
