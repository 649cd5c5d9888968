"""What policies decided, as the journals hold it; and what a candidate that ran beside them would have decided."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ..core.ids import RunRef
from ..governance import pages
from ..governance.policy.trials import Recorded
from ..journal import Entry, Kind, RunQuery, Store

__all__ = ["Differing", "Instance", "differing", "recorded"]

_PAGE = 1000
MOST_EXAMPLES = 5
"""Of each kind of difference."""


async def recorded(
    store: Store, tenant: str, *, since: int | None = None, agent: str | None = None
) -> AsyncIterator[Recorded]:
    """The decisions in the journals of a tenant, the newest runs first. `since`: of runs that began then or later."""
    async for ref, entry in _verdicts(store, tenant, since=since, agent=agent):
        found = Recorded.of(ref.tenant, ref.id, entry.key, pydantic_core.from_json(entry.payload))
        if found is not None:
            yield found


@dataclass(frozen=True, slots=True)
class Instance:
    """One call about which a candidate said something else."""

    run: str
    step: str
    at: int
    why: str
    """the candidate's"""


@dataclass(slots=True)
class Differing:
    """Calls of one tool on which a candidate differs in the same way, by the same policies."""

    tool: str
    version: str
    """the candidate's"""
    before: str
    after: str
    policies: tuple[str, ...]
    """by which the candidate decides; none: no policy of it permits the call"""
    calls: int = 0
    agents: Counter[str] = field(default_factory=Counter[str])
    examples: list[Instance] = field(default_factory=list[Instance])

    def to_json(self) -> dict[str, Any]:
        """For a program."""
        return {
            "tool": self.tool,
            "version": self.version,
            "before": self.before,
            "after": self.after,
            "policies": list(self.policies),
            "calls": self.calls,
            "agents": dict(self.agents),
            "examples": [
                {"run": one.run, "step": one.step, "at": one.at, "why": one.why} for one in self.examples
            ],
        }


async def differing(
    store: Store,
    tenant: str,
    *,
    since: int | None = None,
    agent: str | None = None,
    version: str | None = None,
) -> list[Differing]:
    """What candidates that ran beside would have decided otherwise, by tool and policies, the most frequent first.

    `version`: only of the candidate whose digest begins so.
    """
    found: dict[tuple[Any, ...], Differing] = {}
    async for ref, entry in _verdicts(store, tenant, since=since, agent=agent):
        if b'"shadow"' not in entry.payload:
            continue
        told: dict[str, Any] = pydantic_core.from_json(entry.payload)
        said = told.get("shadow")
        if said is None or not str(said["version"]).startswith(version or ""):
            continue
        policies = tuple(sorted(said["policies"]))
        place = told["tool"], said["version"], told["verdict"], said["decision"], policies
        group = found.setdefault(place, Differing(*place))
        group.calls += 1
        group.agents[told["call"]["agent"]] += 1
        if len(group.examples) < MOST_EXAMPLES:
            group.examples.append(Instance(ref.id, entry.key, entry.at, str(said.get("why", ""))))
    return sorted(found.values(), key=lambda one: (-one.calls, one.tool, one.policies))


async def _verdicts(
    store: Store, tenant: str, *, since: int | None, agent: str | None
) -> AsyncIterator[tuple[RunRef, Entry]]:
    query = RunQuery(tenant=tenant, agent=agent, since=since, limit=_PAGE)
    async for runs in pages(store, query):
        refs = {run.rid: run.ref for run in runs}
        after = (0, 0)
        while found := await store.of_kind(Kind.VERDICT, tuple(refs), after=after, limit=_PAGE):
            for rid, entry in found:
                if not entry.erased:
                    yield refs[rid], entry
            after = found[-1][0], found[-1][1].seq
