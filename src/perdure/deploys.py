"""What an app does around a deploy: rehearse the runs that have not ended against its own code."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from . import __version__
from .core.ids import RunRef, check_id
from .journal import ENDINGS, Kind, RunQuery, RunRecord, RunStatus
from .runtime import Agent
from .runtime.behaviour import Behaviour, behaviour_of
from .runtime.rehearsal import LIMIT_SECONDS, Rehearsal, Verdict, rehearse

if TYPE_CHECKING:
    from .app import App

__all__ = ["Behaviours", "Broken", "CheckReport", "Deploys"]

PAGE = 200
AT_ONCE = 8
"""Journals in memory at a time. Replaying is work for one processor; more than a few only overlap the reading."""

MOST_LISTED = 1000
"""Runs of which a report says what is the matter; of the others it keeps the count."""

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

    def __init__(self, app: App) -> None:
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
            found = behaviour_of(agent, app.tools.values(), models=named, perdure=__version__)
            made = self._made[agent] = stamp, found
        return made[1]


class Deploys:
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
        app = cast("App", self)
        await app.open()
        if tenant is not None:
            check_id(tenant, what="a tenant")
        report = CheckReport()
        before: int | None = None
        while limit is None or report.checked < limit:
            size = PAGE if limit is None else min(PAGE, limit - report.checked)
            query = RunQuery(tenant=tenant, statuses=LIVE, agent=agent, limit=size, before=before)
            page = await app.store.find(query)
            if not page:
                break
            queue = list(reversed(page))
            found: dict[int, Rehearsal] = {}

            async def work(queue: list[RunRecord] = queue, found: dict[int, Rehearsal] = found) -> None:
                while queue:
                    record = queue.pop()
                    if (made := await _rehearsed(app, record, within)) is not None:
                        found[record.rid] = made
                    seen()

            async with asyncio.TaskGroup() as group:
                for _ in range(AT_ONCE):
                    group.create_task(work())
            for record in page:
                _note(app, report, record, found.get(record.rid))
            before = page[-1].rid
        return report


async def _rehearsed(app: App, record: RunRecord, within: float) -> Rehearsal | None:
    """None where there is no code, or where the run has ended meanwhile."""
    agent = app.agents.get((record.agent, record.version))
    if agent is None:
        return None
    entries = await app.store.read(record.ref, after=record.base - 1)
    if not entries or entries[-1].kind == Kind.ENDED:
        return None
    key = await app.store.tenant_key(record.ref.tenant)
    return await rehearse(
        agent, record, entries, key=key, now=app.store.now(), agents=app.find_agent, limit=within
    )


def _note(app: App, report: CheckReport, record: RunRecord, found: Rehearsal | None) -> None:
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
