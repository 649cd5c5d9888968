"""What a store keeps of schedules: one row each, and which workers declare it.

A row is changed by compare-and-set on its `revision`, and the runs that a firing starts are accepted in the same
transaction. So of all workers that see a firing come due one carries it out, and none of them can die between the two.
What the texts `spec` and `state` hold is the engine's business; a store keeps them as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .store import NewRun, Post

__all__ = ["ScheduleRecord", "ScheduleStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleRecord:
    """The row of a schedule. Times are microseconds since the epoch."""

    tenant: str
    name: str
    """unique in its tenant"""
    agent: str
    spec: str
    """JSON: when it fires and what it starts"""
    state: str = "{}"
    """JSON: counters, and what waits"""
    next: int | None = None
    """the nominal time of the next firing; None: it never fires again"""
    last: int | None = None
    """the nominal time of the last firing that started a run"""
    last_run: str | None = None
    """the id of that run"""
    paused: bool = False
    revision: int = 0
    """how often the row was written; 0: it is not there yet"""


class ScheduleStore(Protocol):
    """The part of the Store port that schedules need."""

    async def schedules(self, *, tenant: str | None = None) -> list[ScheduleRecord]:
        """All schedules, of one tenant or of all, by tenant and name."""
        ...

    async def write_schedule(
        self, record: ScheduleRecord, *, runs: Sequence[NewRun] = (), posts: Sequence[Post] = ()
    ) -> bool:
        """Write the row where the stored one still has `record.revision` (0: where there is none yet), one higher.

        In the same transaction `runs` are accepted, each once per id as by `create`, and `posts` delivered; a message
        to a run that is gone or has ended is dropped. False: somebody else was first, and nothing was written.
        """
        ...

    async def remove_schedule(self, tenant: str, name: str) -> bool:
        """Delete the row. False: there was none."""
        ...

    async def declare_schedules(self, session: str, tenant: str, digests: Mapping[str, str]) -> None:
        """What the code of this session declares from now on: the digest of its spec, by the schedule's name.

        Forgotten with the session.
        """
        ...

    async def declared_schedules(self, tenant: str) -> dict[str, frozenset[str]]:
        """The digests that sessions declare whose lease has not run out, by the schedule's name."""
        ...
