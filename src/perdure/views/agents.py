"""Agents as a team looks at them: their versions, how their runs end, which steps go wrong, what they spend."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..journal import OWN_AGENTS, Kind, RunQuery, Store, TallyColumn, TallyQuery
from ..telemetry import NO_TALLY, Tally, tallied

__all__ = [
    "AgentLine",
    "AgentPage",
    "BehaviourLine",
    "Interval",
    "StepLine",
    "agent_lines",
    "agent_page",
    "wilson",
]

ENDINGS = ("succeeded", "partial", "escalated", "failed", "cancelled", "quarantined")

_Z = 1.959963984540054  # of a two-sided 95 %

LAST_RUNS = 50
"""Of so many runs of a version it is looked up with which behaviour they began."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A share with what is known of it: 95 % of such intervals hold the true one."""

    share: float
    low: float
    high: float
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLine:
    """One version of an agent, over all time. Money is nano-dollars, times are microseconds."""

    agent: str
    version: str
    started: int
    ended: Mapping[str, int]
    """by status"""
    under_way: int
    met: int
    """runs of which it was said that they met their goal"""
    not_met: int
    money: int
    unpriced: int
    tokens: int
    active_median: int | None
    active_p95: int | None
    """the time that a worker held a run that succeeded"""
    refusals: int
    approvals: int
    """questions to a human that were answered, or not in time"""
    deaths: int
    """times that a worker died with one of its runs, and another went on"""
    workers: int
    """that serve it now"""

    @property
    def over(self) -> int:
        """Runs that ended."""
        return sum(self.ended.values())

    @property
    def success(self) -> Interval | None:
        """Of the runs that ended, and were not cancelled, those that succeeded."""
        return wilson(self.ended.get("succeeded", 0), self.over - self.ended.get("cancelled", 0))

    @property
    def goals(self) -> Interval | None:
        """Of the runs of which anything was said, those that met their goal."""
        return wilson(self.met, self.met + self.not_met)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One step, tool or model of an agent. Times are microseconds, money is nano-dollars."""

    what: str
    """`model` or `step`"""
    name: str
    calls: int
    errors: int
    """attempts that failed, whatever followed"""
    median: int | None
    p95: int | None
    money: int
    escalations: int
    """runs that were escalated after it had failed"""

    @property
    def error_rate(self) -> Interval | None:
        """Of its calls those that failed."""
        return wilson(min(self.errors, self.calls), self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class BehaviourLine:
    """What decides the agent's behaviour, as its last runs recorded it: code, prompts, models, tools, policies."""

    version: str
    digest: str
    parts: Mapping[str, str]
    policies: str | None
    """the digest of the policies by which it was judged; None: by none"""
    first: int
    """when a segment began with it, of those that were looked at: microseconds"""
    last: int
    segments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPage:
    """Everything about one agent."""

    agent: str
    versions: Sequence[AgentLine]
    steps: Sequence[StepLine]
    guards: Mapping[str, int]
    """what the boundary said, by stage and verdict: `policy.deny`"""
    failures: Mapping[str, int]
    """by class"""
    waits: Mapping[str, Tally]
    """by reason: how often, and how long"""
    behaviours: Sequence[BehaviourLine]
    """the newest first"""


async def agent_lines(store: Store, *, tenant: str | None, agent: str | None = None) -> list[AgentLine]:
    """Every version of every agent that has run, or of one; by name, the newest version first as names sort.

    Not those under whose names Perdure writes for itself, but where one is named.
    """
    found = await _tallies(
        store,
        tenant,
        agent,
        ("agent", "version", "what", "name", "outcome"),
        ("run", "standing", "model", "step", "human", "guard", "wait", "claim"),
    )
    by_version: dict[tuple[str, str], list[tuple[str, str, str, Tally]]] = {}
    for (name, version, what, kind, outcome), tally in found:
        if agent is None and name in OWN_AGENTS:
            continue
        by_version.setdefault((name, version), []).append((what, kind, outcome, tally))
    serving: dict[tuple[str, str], int] = {}
    for session in await store.sessions():
        for key in session.agents:
            serving[key] = serving.get(key, 0) + 1
    for key in serving:
        if agent in (None, key[0]):
            by_version.setdefault(key, [])
    lines = [_line(key, rows, serving.get(key, 0)) for key, rows in by_version.items()]
    lines.sort(key=lambda line: line.version, reverse=True)
    return sorted(lines, key=lambda line: line.agent)


async def agent_page(store: Store, agent: str, *, tenant: str | None) -> AgentPage:
    """Everything about one agent."""
    versions = await agent_lines(store, tenant=tenant, agent=agent)
    whats = ("model", "step", "escalation", "guard", "failure", "wait")
    found = await _tallies(store, tenant, agent, ("what", "name"), whats)
    of: dict[str, dict[str, Tally]] = {what: {} for what in whats}
    for (what, name), tally in found:
        of[what][name] = tally
    escalations = {name: tally.n for name, tally in of["escalation"].items()}
    steps = [
        StepLine(
            what=what,
            name=name,
            calls=tally.calls,
            errors=tally.errors,
            median=tally.quantile(0.5),
            p95=tally.quantile(0.95),
            money=tally.money,
            escalations=escalations.get(name, 0) if what == "step" else 0,
        )
        for what in ("model", "step")
        for name, tally in of[what].items()
    ]
    return AgentPage(
        agent=agent,
        versions=versions,
        steps=sorted(steps, key=lambda s: (-s.errors, -s.calls, s.name)),
        guards={name: tally.n for name, tally in of["guard"].items()},
        failures={name or "unknown": tally.n for name, tally in of["failure"].items()},
        waits=of["wait"],
        behaviours=await _behaviours(store, agent, [v.version for v in versions], tenant),
    )


def wilson(hits: int, of: int) -> Interval | None:
    """The share of hits with its 95 % interval (Wilson 1927), which holds at small numbers too; None: of nothing."""
    if of <= 0:
        return None
    share, z2 = hits / of, _Z * _Z
    middle = (share + z2 / (2 * of)) / (1 + z2 / of)
    half = _Z * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of)) / (1 + z2 / of)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), of)


async def _tallies(
    store: Store, tenant: str | None, agent: str | None, by: Sequence[TallyColumn], whats: Sequence[str]
) -> list[tuple[tuple[str, ...], Tally]]:
    where: dict[TallyColumn, Sequence[str]] = {"what": whats}
    if tenant is not None:
        where["tenant"] = [tenant]
    if agent is not None:
        where["agent"] = [agent]
    found = await tallied(store, TallyQuery(by=by, where=where))
    return [(tuple(str(value) for value in group), tally) for group, tally in found]


def _line(key: tuple[str, str], rows: Sequence[tuple[str, str, str, Tally]], workers: int) -> AgentLine:
    ended: dict[str, int] = {}
    active = NO_TALLY
    n: dict[str, int] = {}
    for what, name, outcome, tally in rows:
        if what == "run" and name == "started":
            n["started"] = n.get("started", 0) + tally.n
        elif what == "run":
            ended[name] = ended.get(name, 0) + tally.n
            if name == "succeeded":
                active = _added(active, tally)
            if outcome:
                n[outcome] = n.get(outcome, 0) + tally.n
        elif what == "standing":
            n["under way"] = n.get("under way", 0) + tally.n
        elif (
            what == "guard"
            and name.rpartition(".")[2] in ("deny", "denied")
            and not name.startswith("approval")
        ):
            n["refusals"] = n.get("refusals", 0) + tally.n
        elif what == "wait" and name == "approval":
            n["approvals"] = n.get("approvals", 0) + tally.n
        elif what == "claim" and name == "after a death":
            n["deaths"] = n.get("deaths", 0) + tally.n
    spent = [tally for what, _, _, tally in rows if what in ("model", "step", "human")]
    return AgentLine(
        agent=key[0],
        version=key[1],
        started=n.get("started", 0),
        ended=dict(sorted(ended.items())),
        under_way=n.get("under way", 0),
        met=n.get("met", 0),
        not_met=n.get("not-met", 0),
        money=sum(t.money for t in spent),
        unpriced=sum(t.unpriced for t in spent),
        tokens=sum(t.input_tokens + t.output_tokens for t in spent),
        active_median=active.quantile(0.5),
        active_p95=active.quantile(0.95),
        refusals=n.get("refusals", 0),
        approvals=n.get("approvals", 0),
        deaths=n.get("deaths", 0),
        workers=workers,
    )


def _added(one: Tally, other: Tally) -> Tally:
    """Two tallies of what was timed, as one."""
    buckets = tuple(a + b for a, b in zip(one.buckets, other.buckets, strict=True))
    return Tally(
        n=one.n + other.n, calls=one.calls + other.calls, micros=one.micros + other.micros, buckets=buckets
    )


async def _behaviours(
    store: Store, agent: str, versions: Sequence[str], tenant: str | None
) -> list[BehaviourLine]:
    """What segments of the last runs of each version recorded."""
    found: dict[tuple[str, str, str | None], BehaviourLine] = {}
    parts_of: dict[str, Mapping[str, str]] = {}
    for version in versions:
        runs = await store.find(RunQuery(tenant=tenant, agent=agent, version=version, limit=LAST_RUNS))
        for _, entry in await store.of_kind(Kind.CLAIMED, [run.rid for run in runs]):
            told: dict[str, Any] = {}
            if entry.payload and not entry.erased:
                told = pydantic_core.from_json(entry.payload)
            behaviour: dict[str, Any] = told.get("behaviour") or {}
            digest, policies = behaviour.get("digest"), told.get("policies")
            if not digest:
                continue
            if behaviour.get("parts"):  # a segment that begins as the one before names only the digest
                parts_of[digest] = behaviour["parts"]
            key = (version, digest, policies)
            before = found.get(key)
            found[key] = BehaviourLine(
                version=version,
                digest=digest,
                parts=parts_of.get(digest, {}),
                policies=policies,
                first=entry.at if before is None else min(before.first, entry.at),
                last=entry.at if before is None else max(before.last, entry.at),
                segments=1 if before is None else before.segments + 1,
            )
    return sorted(found.values(), key=lambda b: (-b.last, b.digest))
