"""Fair claims: which lanes a claim serves, and how many runs it takes of each. The same for every store.

A *lane* is an agent, a version, needs and a tenant; its runs wait in one queue, by priority, then by age. A claim goes
round the lanes, so that 10,000 runs of one tenant do not hold up the one run of another, whatever their priority.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from ..journal import Serves

__all__ = ["Ask", "Lane", "Places", "Rota", "can_serve", "pick", "stretches"]

T = TypeVar("T")

FEW = 4
"""Lanes that are looked at however little room there is: the next one may be full."""

MOST_LANES = 1024
"""Lanes that one claim looks at: where more than these are full, the next claim goes on behind them."""


class Lane(NamedTuple):
    """Where runs queue. `needs` are labels in order, with spaces between."""

    agent: str
    version: str
    needs: str
    tenant: str


class Ask(NamedTuple):
    """Up to so many runs of a lane."""

    lane: Lane
    runs: int


class Rota:
    """Where the last claim of a store object stopped."""

    def __init__(self) -> None:
        self.last: Lane | None = None


class Places:
    """How many more runs may go on, by the limits of agents and tenants and by what runs now.

    `running` counts runs by agent and tenant; it may leave out what no limit concerns.
    """

    def __init__(
        self, serves: Sequence[Serves], tenant_limit: int | None, running: Mapping[tuple[str, str], int]
    ) -> None:
        self._agents: dict[str, int] = {}
        self._pairs: dict[str, int] = {}
        for of in serves:
            if of.limit is not None:
                self._agents[of.agent] = min(of.limit, self._agents.get(of.agent, of.limit))
            if of.limit_per_tenant is not None:
                self._pairs[of.agent] = min(
                    of.limit_per_tenant, self._pairs.get(of.agent, of.limit_per_tenant)
                )
        self._tenant_limit = tenant_limit
        self._by_agent: dict[str, int] = {}
        self._by_tenant: dict[str, int] = {}
        self._by_pair: dict[tuple[str, str], int] = {}
        for (agent, tenant), runs in running.items():
            self._add(agent, tenant, runs)

    @staticmethod
    def limited(serves: Sequence[Serves], tenant_limit: int | None) -> bool:
        """Whether there is anything to count."""
        return tenant_limit is not None or any(
            of.limit is not None or of.limit_per_tenant is not None for of in serves
        )

    def open(self, agent: str) -> bool:
        """Whether the agent's own limit leaves any place."""
        return self._by_agent.get(agent, 0) < self._agents.get(agent, 1 << 62)

    def left(self, lane: Lane) -> int:
        """How many more runs of the lane may go on; large where nothing limits them."""
        agent, tenant = lane.agent, lane.tenant
        left = 1 << 62
        if (most := self._agents.get(agent)) is not None:
            left = most - self._by_agent.get(agent, 0)
        if (most := self._pairs.get(agent)) is not None:
            left = min(left, most - self._by_pair.get((agent, tenant), 0))
        if self._tenant_limit is not None:
            left = min(left, self._tenant_limit - self._by_tenant.get(tenant, 0))
        return max(left, 0)

    def take(self, lane: Lane, runs: int) -> None:
        """Count runs that go on from now; fewer than none gives places back."""
        self._add(lane.agent, lane.tenant, runs)

    def _add(self, agent: str, tenant: str, runs: int) -> None:
        self._by_agent[agent] = self._by_agent.get(agent, 0) + runs
        self._by_tenant[tenant] = self._by_tenant.get(tenant, 0) + runs
        self._by_pair[agent, tenant] = self._by_pair.get((agent, tenant), 0) + runs


def pick(
    limit: int,
    *,
    rota: Rota,
    places: Places,
    walk: Callable[[Lane | None, int], Sequence[Lane]],
    take: Callable[[Sequence[Ask]], Sequence[Sequence[T]]],
) -> list[T]:
    """At most `limit` runs, an equal share of each lane, in the order in which they were taken.

    `walk` gives so many lanes that have ready runs and can be served, in a circle behind the one it is given; fewer
    than it was asked for where that is all of them. `take` takes runs, for each ask at most as many as it says.
    """
    picked: list[T] = []
    seen: set[Lane] = set()
    while len(picked) < limit and len(seen) < MOST_LANES:
        room = limit - len(picked)
        count = max(room, FEW)
        walked = walk(rota.last, count)
        fresh = [lane for lane in dict.fromkeys(walked) if lane not in seen]
        offered: list[Lane] = []
        for lane in fresh:
            seen.add(lane)
            rota.last = lane
            if places.left(lane):
                offered.append(lane)
                if len(offered) == room:
                    break
        picked += _shared(room, offered, places, take)
        if not fresh or (len(walked) < count and rota.last == fresh[-1]):
            break  # the circle is closed
    return picked


def _shared(
    room: int,
    lanes: list[Lane],
    places: Places,
    take: Callable[[Sequence[Ask]], Sequence[Sequence[T]]],
) -> list[T]:
    """An equal share of each lane, then of those that have more, until there is no room or no more."""
    picked: list[T] = []
    while lanes and room:
        share = max(1, room // len(lanes))
        asks: list[Ask] = []
        rest: list[Lane] = []
        for lane in lanes:
            runs = min(share, room, places.left(lane))
            if runs:
                asks.append(Ask(lane, runs))
                places.take(lane, runs)
                room -= runs
            elif not room:
                rest.append(lane)  # its turn comes where others have less than they were asked for
        if not asks:
            break
        for (lane, runs), taken in zip(asks, take(asks), strict=True):
            picked += taken
            if len(taken) == runs:
                rest.append(lane)
            else:
                places.take(lane, len(taken) - runs)
                room += runs - len(taken)
        lanes = rest
    return picked


def can_serve(needs: str, labels: frozenset[str]) -> bool:
    """Whether a worker with these labels has what a lane needs."""
    return labels.issuperset(needs.split())


def stretches(serves: Sequence[Serves], after: Lane | None) -> list[Lane]:
    """The circle in stretches: for each agent and version in order, the lane behind which its lanes begin.

    The stretch in which `after` lies comes first, and again at the end, from its beginning.
    """
    pairs = sorted({(of.agent, of.version) for of in serves})
    if after is None:
        return [Lane(*pair, "", "") for pair in pairs]
    here = after[:2]
    behind = [Lane(*pair, "", "") for pair in pairs if pair > here]
    before = [Lane(*pair, "", "") for pair in pairs if pair < here]
    own = [after] if here in pairs else []
    return [*own, *behind, *before, *(Lane(*lane[:2], "", "") for lane in own)]
