"""What a fleet is made of, as stores see it: what a worker serves, who is there, and what waits for whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .state import WaitReason

__all__ = ["Demand", "Serves", "Session", "SessionRecord", "unserved"]


@dataclass(frozen=True, slots=True)
class Serves:
    """An agent's version that a worker can run, and how many runs of the agent may go on at once.

    The limits hold over all workers, and over all versions of the agent; None: no limit.
    """

    agent: str
    version: str
    limit: int | None = None
    limit_per_tenant: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A worker's registration. Its lease covers all runs that it has claimed."""

    id: str
    lease: int
    """microseconds"""
    label: str = ""
    """host and pid, for people"""
    agents: tuple[tuple[str, str], ...] = ()
    """agents and versions that it claims runs of"""
    labels: frozenset[str] = frozenset()
    """what it offers to runs that need it"""
    concurrency: int = 0
    """runs that it drives at once"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """A session as it stands. Times are microseconds on the store's clock."""

    id: str
    label: str
    agents: tuple[tuple[str, str], ...]
    labels: frozenset[str]
    concurrency: int
    since: int
    expires: int
    """when its lease ends, unless it is renewed"""
    runs: int
    """that it holds now"""


@dataclass(frozen=True, slots=True)
class Demand:
    """Runs of one kind that are due and wait for a worker: any that serves this version and has these labels."""

    agent: str
    version: str
    needs: tuple[str, ...] = ()
    runs: int | None = None
    """how many; None: not counted"""
    since: int | None = None
    """when the longest due of them came due; None: not counted"""


def unserved(demands: Iterable[Demand], sessions: Sequence[SessionRecord]) -> list[tuple[Demand, WaitReason]]:
    """The demands that no session serves, and why: nobody has the version, or nobody who has it has the labels."""
    found: list[tuple[Demand, WaitReason]] = []
    for demand in demands:
        able = [s for s in sessions if (demand.agent, demand.version) in s.agents]
        if not able:
            found.append((demand, WaitReason.NO_WORKER_FOR_VERSION))
        elif not any(s.labels.issuperset(demand.needs) for s in able):
            found.append((demand, WaitReason.NO_WORKER_FOR_NEEDS))
    return found
