"""What speaks for a wider ring: runs in which an agent did, or would have done, the action, and how those were judged.

A run counts where something could have told: an outcome, the check of the run or of the tool, a person who answered, a
policy that denied. In one that nobody has looked at nothing has failed, and that says nothing. Calls of one run hang
together, so the bound goes by runs.

    failures    a denial by a policy, a `check` that did not pass, a person's no, a goal that was not met
    rate        the success rate of which n runs with k failures make sure, one-sided at 95 %: exact
                (C. Clopper and E. Pearson, 1934); without failures 29 runs give 90 %, 59 give 95 %, 299 give 99 %
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ...core.rings import ANY_ACTION
from ...journal import ENDINGS, Entry, Kind, RunQuery, RunRecord, Store
from ..costs import pages

__all__ = ["CONFIDENCE", "Evidence", "gathered", "lower_bound", "runs_needed"]

CONFIDENCE = 0.95

_KINDS = (Kind.INTENT, Kind.VERDICT, Kind.OUTCOME, Kind.ENDED)
_PAGE = 1000


def lower_bound(runs: int, failures: int = 0, *, confidence: float = CONFIDENCE) -> float:
    """The success rate that `runs` with `failures` rule out to be lower: exact, one-sided.

    The rate at which so few failures, or fewer, would be seen with a probability of `1 - confidence`.
    """
    if not 0 <= failures <= runs:
        raise ValueError(f"{failures} failures in {runs} runs")
    if failures == runs:
        return 0.0
    if failures == 0:
        return (1 - confidence) ** (1 / runs)
    low, high = 0.0, 1.0
    for _ in range(60):  # halved until nothing of a double is left
        rate = (low + high) / 2
        if _at_most(failures, runs, rate) > 1 - confidence:
            high = rate
        else:
            low = rate
    return low


def _at_most(failures: int, runs: int, rate: float) -> float:
    """The probability of at most so many failures, where each run succeeds at `rate`."""
    total = 0.0
    for k in range(failures + 1):
        ways = math.lgamma(runs + 1) - math.lgamma(k + 1) - math.lgamma(runs - k + 1)
        total += math.exp(ways + k * math.log1p(-rate) + (runs - k) * math.log(rate)) if 0 < rate < 1 else 0.0
    return total


def runs_needed(rate: float, *, confidence: float = CONFIDENCE) -> int:
    """How many runs without a failure make sure of a success rate."""
    if rate <= 0:
        return 0
    return math.ceil(math.log(1 - confidence) / math.log(rate) - 1e-9)


@dataclass(slots=True)
class Evidence:
    """What was found in the journals of an agent."""

    agent: str
    action: str
    since: int | None = None
    """microseconds: only runs that began from then on"""
    runs: int = 0
    """that have ended, and in which the action was done or would have been, and that were judged"""
    failures: int = 0
    """of those"""
    unjudged: int = 0
    """the same, but nobody and nothing has looked at what they did"""
    calls: int = 0
    """of the action, in the runs that were judged"""
    why: Counter[str] = field(default_factory=Counter[str])
    """what failed: `denied`, `check`, `rejected`, `outcome`; a run may have several"""
    versions: Counter[str] = field(default_factory=Counter[str])
    """of the agent, in the runs that were judged"""
    failed: list[str] = field(default_factory=list[str])
    """ids of some runs that failed"""

    @property
    def rate(self) -> float:
        """The success rate that is sure at 95 %, rounded down to four digits."""
        return 0.0 if self.runs == 0 else math.floor(lower_bound(self.runs, self.failures) * 1e4) / 1e4

    def told(self) -> dict[str, Any]:
        """As it is cited, and signed."""
        return {
            "runs": self.runs,
            "failures": self.failures,
            "calls": self.calls,
            "unjudged": self.unjudged,
            "rate": self.rate,
            "confidence": CONFIDENCE,
            "since": self.since,
            "why": dict(sorted(self.why.items())),
            "versions": dict(sorted(self.versions.items())),
            "failed": self.failed[:20],
        }

    def see(self, run: RunRecord, signs: _Signs) -> None:
        """Count one run."""
        if not signs.calls:
            return
        if not signs.judged:
            self.unjudged += 1
            return
        self.runs += 1
        self.calls += len(signs.calls)
        self.versions[run.version] += 1
        if signs.failures:
            self.failures += 1
            self.why.update(signs.failures)
            self.failed.append(run.ref.id)


@dataclass(slots=True)
class _Signs:
    """What the journal of one run says of the action."""

    calls: set[str] = field(default_factory=set[str])
    """keys of the steps that did it, or would have"""
    judged: bool = False
    failures: set[str] = field(default_factory=set[str])
    met: bool | None = None

    def add(self, entry: Entry, action: str) -> None:
        if entry.erased:
            return
        told: dict[str, Any] = pydantic_core.from_json(entry.payload)
        match entry.kind:
            case Kind.OUTCOME:
                self.met = bool(told["met"])
            case Kind.ENDED:
                check: Mapping[str, Any] | None = told.get("check")
                if check is not None:
                    self.judge(None if check.get("passed") else "outcome")
            case _ if action not in (ANY_ACTION, told.get("tool")):
                pass
            case Kind.INTENT:
                self.calls.add(entry.key)
            case _:
                self._verdict(entry.key, told)

    def _verdict(self, key: str, told: Mapping[str, Any]) -> None:
        match told.get("stage"), told.get("verdict"):
            case "trust", "observed" | "drafted":
                self.calls.add(key)
            case "policy", "deny":
                self.calls.add(key)
                self.judge("denied")
            case "approval", "approved" if told.get("by"):
                self.judge(None)
            case "approval", "denied" if told.get("by"):
                self.calls.add(key)
                self.judge("rejected")
            case "check", verdict:
                self.judge(None if verdict == "passed" else "check")
            case _:
                pass

    def judge(self, failure: str | None) -> None:
        self.judged = True
        if failure is not None:
            self.failures.add(failure)

    def close(self) -> None:
        if self.met is not None:
            self.judge(None if self.met else "outcome")


async def gathered(
    store: Store, tenant: str, agent: str, action: str, *, since: int | None = None
) -> Evidence:
    """Look through the runs of an agent. Raises `StoreError`."""
    found = Evidence(agent, action, since)
    query = RunQuery(tenant=tenant, agent=agent, statuses=ENDINGS, since=since, pruned=False, limit=200)
    async for page in pages(store, query):
        signs = await _signs(store, tuple(run.rid for run in page), action)
        for run in page:
            found.see(run, signs[run.rid])
    return found


async def _signs(store: Store, rids: tuple[int, ...], action: str) -> dict[int, _Signs]:
    signs = {rid: _Signs() for rid in rids}
    for kind in _KINDS if rids else ():
        after = (0, 0)
        while True:
            page = await store.of_kind(kind, rids, after=after, limit=_PAGE)
            for rid, entry in page:
                signs[rid].add(entry, action)
            if len(page) < _PAGE:
                break
            after = page[-1][0], page[-1][1].seq
    for found in signs.values():
        found.close()
    return signs
