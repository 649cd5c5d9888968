"""What an app does around a deploy: rehearse the runs that have not ended against its own code."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .. import __version__
from ..core.errors import RunConflict, RunEnded, UnknownAgent, UnknownRun
from ..core.ids import RunRef, check_id, new_id
from ..journal import (
    ENDINGS,
    Append,
    Change,
    Claim,
    RunQuery,
    RunRecord,
    RunStatus,
    Serves,
    Session,
    Store,
    WaitReason,
)
from ..runtime import Agent
from ..runtime.replay.acceptance import Acceptance, accepted_entry, plan_acceptance
from ..runtime.replay.behaviour import Behaviour, behaviour_of
from ..runtime.replay.history import at_its_end
from ..runtime.replay.rehearsal import LIMIT_SECONDS, Rehearsal, Verdict, rehearse
from .base import AppBase

__all__ = ["Behaviours", "Broken", "CheckReport", "Deploys"]

log = logging.getLogger("perdure.run")

PAGE = 200
AT_ONCE = 8
"""Journals in memory at a time. Replaying is work for one processor; more than a few only overlap the reading."""

MOST_LISTED = 1000
"""Runs of which a report says what is the matter; of the others it keeps the count."""

ACCEPT_MICROS = 120_000_000
"""For how long an acceptance may hold its run."""

LIVE = frozenset(RunStatus) - ENDINGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A run that this code would not carry on."""

    ref: RunRef
    agent: str
    version: str
    status: RunStatus
    rehearsal: Rehearsal


@dataclass(slots=True)
class CheckReport:
    """What `App.check` found."""

    checked: int = 0
    """runs that have not ended, those without code here included"""
    replays: int = 0
    breaks: int = 0
    stuck: int = 0
    broken: list[Broken] = field(default_factory=list[Broken])
    """those that break or are stuck, the newest first, at most 1,000"""
    absent: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    """runs of agents and versions that this app does not have, by `(agent, version)`"""
    old_ways: Counter[str] = field(default_factory=Counter[str])
    """runs to which `run.patched` says False, by the patch's name; 0 for a patch that all have taken"""

    @property
    def ok(self) -> bool:
        """Every run for which there is code goes on with it; `absent` is yours to judge."""
        return not (self.breaks or self.stuck)


class Behaviours:
    """What the agents of an app do, as digests; made when first needed, and again where tools or providers came."""

    def __init__(self, app: AppBase) -> None:
        self._app = app
        self._made: dict[Agent, tuple[object, Behaviour]] = {}

    def of(self, agent: Agent) -> Behaviour:
        """The behaviour of a registered agent."""
        app = self._app
        models = app.registered_models()
        stamp = (len(app.tools), len(models))
        made = self._made.get(agent)
        if made is None or made[0] != stamp:
            named = [f"{prefix}={kind}" for prefix, kind in models.items()]
            try:
                found = behaviour_of(agent, app.tools.values(), models=named, perdure=__version__)
            except Exception:  # it is there to be looked at: no run may stop for it
                log.warning("the behaviour of agent `%s` cannot be told", agent.name, exc_info=True)
                found = Behaviour("unknown", {"perdure": __version__})
            made = self._made[agent] = stamp, found
        return made[1]


class Deploys(AppBase):
    """The part of `App` that answers what a deploy of it would do."""

    async def check(
        self,
        *,
        agent: str | None = None,
        tenant: str | None = None,
        limit: int | None = None,
        within: float = LIMIT_SECONDS,
        seen: Callable[[], None] = lambda: None,
    ) -> CheckReport:
        """Replay every run that has not ended against this app's code, without an effect and without writing.

        Of one `agent`, of one `tenant` (default: of all), the newest `limit`. A replay that takes longer than `within`
        seconds counts as stuck. `seen` is called after each run. Memory is bounded: a few journals at a time.
        """
        await self.open()
        if tenant is not None:
            check_id(tenant, what="a tenant")
        report = CheckReport()
        before: int | None = None
        while limit is None or report.checked < limit:
            size = PAGE if limit is None else min(PAGE, limit - report.checked)
            query = RunQuery(tenant=tenant, statuses=LIVE, agent=agent, limit=size, before=before)
            page = await self.store.find(query)
            if not page:
                break
            queue = list(reversed(page))
            found: dict[int, Rehearsal] = {}

            async def work(queue: list[RunRecord] = queue, found: dict[int, Rehearsal] = found) -> None:
                while queue:
                    record = queue.pop()
                    if (made := await _rehearsed(self, record, within)) is not None:
                        found[record.rid] = made
                    seen()

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
            for record in page:
                _note(self, report, record, found.get(record.rid))
            before = page[-1].rid
        return report

    async def accept(
        self,
        run_id: str,
        *,
        by: str = "operator",
        even_writes: bool = False,
        tenant: str | None = None,
        within: float = LIMIT_SECONDS,
    ) -> Acceptance:
        """Let a run that waits as `nondeterministic` go on with this app's code, from what was recorded.

        The recorded steps that stand in its way are set aside, and its journal says which, and who said so; all others
        are kept, and none of them runs again. What is set aside the code may do anew, so steps that have done something
        (writes, idempotent effects, children) are refused, unless `even_writes`. Raises `UnknownRun`, `UnknownAgent`,
        `RunEnded`, and `RunConflict` with the reason.
        """
        await self.open()
        ref = self.ref(run_id, tenant)
        agent = await _acceptable(self, ref)
        store = self.store
        session = Session(id=f"accept-{new_id()[:12]}", lease=ACCEPT_MICROS, label=f"accept, by {by}"[:200])
        await store.register(session)
        try:
            serves = [Serves(agent.name, agent.version)]
            claims = await store.claim(session.id, serves, limit=1, only=ref)
            if not claims:
                raise RunConflict(
                    f"run `{ref}`: a worker has it at the moment; look again with `perdure runs show`"
                )
            claim = claims[0]
            try:
                plan = await plan_acceptance(
                    agent, claim, now=store.now(), agents=self.find_agent, limit=within
                )
                _refuse(ref, plan, even_writes=even_writes)
            except BaseException:
                await _put_back(store, claim)
                raise
            entry = accepted_entry(claim, plan, at=store.now(), by=by, even_writes=even_writes)
            change = Change(
                status=RunStatus.PENDING, next_wake=store.now(), guarded=False, closed=plan.questions
            )
            await store.append(Append(claim.run.rid, claim.run.epoch, claim.run.head, (entry,), 0, change))
            return plan
        finally:
            await store.deregister(session.id)


async def _acceptable(app: AppBase, ref: RunRef) -> Agent:
    record = await app.store.get(ref)
    if record is None:
        raise UnknownRun(f"no run `{ref}`; `perdure runs ls` shows what there is")
    if record.status in ENDINGS:
        raise RunEnded(f"run `{ref}` has ended ({record.status})")
    if record.status is not RunStatus.WAITING or WaitReason.NONDETERMINISTIC not in record.reasons:
        why = f" for {', '.join(record.reasons)}" if record.reasons else ""
        raise RunConflict(
            f"run `{ref}` is {record.status}{why}: only one that does not replay needs accepting"
        )
    agent = app.agents.get((record.agent, record.version))
    if agent is None:
        raise UnknownAgent(
            f"agent `{record.agent}` version `{record.version}` is not registered here; run `{ref}` needs its code"
        )
    return agent


def _refuse(ref: RunRef, plan: Acceptance, *, even_writes: bool) -> None:
    if not plan.steps:
        raise RunConflict(f"run `{ref}` replays with this code as it is: `perdure runs resume {ref.id}`")
    if plan.done and not even_writes:
        steps = ", ".join(f"`{step}`" for step in plan.done)
        raise RunConflict(
            f"run `{ref}`: {steps} would be set aside, and have done something that this code might do again. Fork the "
            "run from a step after them, or put what is new behind `run.patched`; if you know better: `--even-writes`"
        )


async def _put_back(store: Store, claim: Claim) -> None:
    """As it was; where a message came meanwhile, a worker is to look at it."""
    run = claim.run
    waits = Change(status=RunStatus.WAITING, reasons=(WaitReason.NONDETERMINISTIC,), drained=run.drained_seq)
    if not await store.append(Append(run.rid, run.epoch, run.head, (), 0, waits)):
        again = Change(status=RunStatus.PENDING, next_wake=store.now(), guarded=False)
        await store.append(Append(run.rid, run.epoch, run.head, (), 0, again))


async def _rehearsed(app: AppBase, record: RunRecord, within: float) -> Rehearsal | None:
    """None where there is no code, or where the run has ended meanwhile."""
    agent = app.agents.get((record.agent, record.version))
    if agent is None:
        return None
    entries = await app.store.read(record.ref, after=record.base - 1)
    if not entries or at_its_end(entries):
        return None
    key = await app.store.tenant_key(record.ref.tenant, subject=record.subject)
    return await rehearse(
        agent, record, entries, key=key, now=app.store.now(), agents=app.find_agent, limit=within
    )


def _note(app: AppBase, report: CheckReport, record: RunRecord, found: Rehearsal | None) -> None:
    code = (record.agent, record.version)
    if found is None:
        if code not in app.agents:
            report.checked += 1
            report.absent[code] += 1
        return
    report.checked += 1
    for patch, taken in found.patches.items():
        report.old_ways[patch] += not taken
    match found.verdict:
        case Verdict.REPLAYS:
            report.replays += 1
            return
        case Verdict.BREAKS:
            report.breaks += 1
        case Verdict.STUCK:
            report.stuck += 1
    if len(report.broken) < MOST_LISTED:
        report.broken.append(
            Broken(
                ref=record.ref,
                agent=record.agent,
                version=record.version,
                status=record.status,
                rehearsal=found,
            )
        )
