"""The watcher of violations: runs that go on trying what they may not, and those that reach outside of their scope."""

from __future__ import annotations

from collections import OrderedDict

from ...audit.fact import Fact
from ...core.ids import RunRef
from .watcher import Watch

__all__ = ["Violations"]

RUNS = 5000
"""that are remembered at once"""

DENIED = frozenset({"policy.deny", "scope.denied"})


class Violations:
    """Reports a run with so many denied calls, and one that calls a tool outside of its agent's zones at once.

    One denial is nothing to wake somebody for: an agent that is told no is to look for another way, and most do.
    """

    def __init__(self, *, denials: int) -> None:
        self._most = denials
        self._seen: OrderedDict[RunRef, int] = OrderedDict()

    async def __call__(self, watch: Watch, fact: Fact) -> None:
        """Look at one fact."""
        if fact.what == "run.ended":
            self._seen.pop(fact.ref, None)
        if fact.what not in DENIED or fact.taken_over:
            return
        known = self._seen.pop(fact.ref, None)
        if known is None:  # or another worker has watched it until now
            before = await watch.facts(until=fact.seq)
            known = sum(1 for f in before if f.what in DENIED and not f.taken_over)
        count = self._seen[fact.ref] = known + 1
        if len(self._seen) > RUNS:
            self._seen.popitem(last=False)
        if fact.what == "scope.denied" and "zone" in fact.contents:
            await watch.report("outside", f"it called `{fact.tool}`, which is none of its agent's tools")
        elif count >= self._most:
            last = f", last `{fact.tool}`" if fact.tool else ""
            await watch.report("denied", f"{count} of its calls were denied{last}")
