"""The watcher of anomalies: runs that call more, spend more or try something else than runs of their agent do."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from ...audit.fact import Fact
from ...core.ids import RunRef
from ..money import dollars
from .habits import learn, novel, unusual
from .watcher import Watch

__all__ = ["Anomalies"]

RUNS = 5000
"""that are remembered at once"""

CALLS = frozenset({"tool.called", "model.answered", "step.done"})


@dataclass(slots=True)
class _Count:
    """What a run has done so far."""

    calls: int = 0
    spent: int = 0
    """nano-dollars"""
    told: set[str] = field(default_factory=set[str])
    """what was reported of it: it is no example of what is usual"""

    def add(self, fact: Fact) -> None:
        """One more fact."""
        if fact.taken_over:
            return
        if fact.what in CALLS:
            self.calls += 1
        elif fact.what == "cost.charged":
            amount = fact.details.get("amount")
            if isinstance(amount, Mapping):
                self.spent += int(cast("Mapping[str, Any]", amount).get("money", 0))


class Anomalies:
    """Learns what is usual for each agent of a tenant, and reports what is not. See `habits`."""

    def __init__(self, *, learn: int, one_in: int) -> None:
        self._after = learn
        self._one_in = one_in
        self._runs: OrderedDict[RunRef, _Count] = OrderedDict()

    async def __call__(self, watch: Watch, fact: Fact) -> None:
        """Look at one fact."""
        count = self._runs.pop(fact.ref, None)
        if count is None:
            count = _Count()
            if fact.seq > 1:  # another worker has watched it until now
                for before in await watch.facts(until=fact.seq):
                    count.add(before)
        count.add(fact)
        habits = watch.state(fact.agent)
        if fact.what == "run.ended":
            await self._ended(watch, fact, count, habits)
            return
        self._runs[fact.ref] = count
        if len(self._runs) > RUNS:
            self._runs.popitem(last=False)
        if fact.what in CALLS and not fact.taken_over:
            await self._look(watch, count, "rate", habits.setdefault("calls", {}), count.calls)
            await self._new(watch, fact, count, habits.setdefault("seen", {}))
        elif fact.what == "cost.charged":
            await self._look(watch, count, "spend", habits.setdefault("spent", {}), count.spent)

    async def _look(self, watch: Watch, count: _Count, what: str, habit: dict[str, Any], value: int) -> None:
        if what in count.told:
            return
        usual = unusual(habit, value, after=self._after, one_in=self._one_in)
        if usual is None:
            return
        count.told.add(what)
        if what == "rate":
            why = f"it has made {value:,} calls; runs of its agent make about {usual:.0f}"
        else:
            why = f"it has spent {dollars(value)}; runs of its agent spend about {dollars(int(usual))}"
        await watch.report(what, f"{why} ({habit['n']} runs known)")

    async def _new(self, watch: Watch, fact: Fact, count: _Count, seen: dict[str, int]) -> None:
        name, kind = _kind(fact)
        if novel(seen, kind) and "novel" not in count.told:
            count.told.add("novel")
            calls = sum(seen.values())
            await watch.report(
                "novel", f"no run of its agent has called `{name}` like this before, in {calls:,} calls"
            )

    async def _ended(self, watch: Watch, fact: Fact, count: _Count, habits: dict[str, Any]) -> None:
        for what, name, value in (("rate", "calls", count.calls), ("spend", "spent", count.spent)):
            if what in count.told or not value:
                continue
            habit = habits.setdefault(name, {})
            if learn(habit, value, after=self._after, one_in=self._one_in):
                does = "make more calls" if what == "rate" else "spend more"
                await watch.report(
                    "drift", f"runs of its agent {does} than they did ({habit['n']} runs known)"
                )


def _kind(fact: Fact) -> tuple[str, str]:
    """The name of what was called, and a short digest of it with the shape of its arguments."""
    name = fact.tool or str(fact.details.get("model") or "") or fact.step.rpartition("/")[2].partition(":")[0]
    shape = _shape(fact.contents.get("arguments"), 0) if fact.what == "tool.called" else ""
    return name, hashlib.sha256(f"{fact.what}\0{name}\0{shape}".encode()).hexdigest()[:10]


def _shape(value: Any, depth: int) -> str:
    """Names and types, without any value."""
    match value:
        case dict() if depth < 3:
            found = cast("dict[str, Any]", value)
            return "{" + ",".join(f"{k}:{_shape(found[k], depth + 1)}" for k in sorted(found)) + "}"
        case list() if depth < 3:
            return "[" + ",".join(sorted({_shape(v, depth + 1) for v in cast("list[Any]", value)})) + "]"
        case _:
            return type(value).__name__
