"""Schedules of the store in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..core.ids import RunRef
from ..journal.fleet import SessionRecord
from ..journal.schedule import ScheduleRecord
from ..journal.store import NewRun, Post, RunRecord
from ._memory_run import MemoryRun

__all__ = ["MemorySchedules"]


class MemorySchedules:
    """The part of `MemoryStore` that keeps schedules."""

    if TYPE_CHECKING:
        _lock: threading.RLock
        _sessions: dict[str, SessionRecord]

        def now(self) -> int: ...
        def _run(self, ref: RunRef) -> MemoryRun | None: ...
        def _accept(self, new: NewRun) -> RunRecord: ...
        def _deliver(self, post: Post) -> None: ...
        def _tell(self) -> None: ...

    def __init__(self) -> None:
        self._schedules: dict[tuple[str, str], ScheduleRecord] = {}
        self._declared: dict[tuple[str, str], dict[str, str]] = {}
        """by session and tenant"""

    async def schedules(self, *, tenant: str | None = None) -> list[ScheduleRecord]:
        """All schedules, of one tenant or of all, by tenant and name."""
        with self._lock:
            return [row for key, row in sorted(self._schedules.items()) if tenant in (None, key[0])]

    async def write_schedule(
        self, record: ScheduleRecord, *, runs: Sequence[NewRun] = (), posts: Sequence[Post] = ()
    ) -> bool:
        """Write the row where its revision is still that of `record`, accept runs and deliver posts with it."""
        with self._lock:
            key = (record.tenant, record.name)
            stored = self._schedules.get(key)
            if record.revision != (0 if stored is None else stored.revision):
                return False
            self._schedules[key] = replace(record, revision=record.revision + 1)
            for new in runs:
                if self._run(new.ref) is None:
                    self._accept(new)
            for post in posts:
                self._deliver(post)
            self._tell()
            return True

    async def remove_schedule(self, tenant: str, name: str) -> bool:
        """Delete the row. False: there was none."""
        with self._lock:
            return self._schedules.pop((tenant, name), None) is not None

    async def declare_schedules(self, session: str, tenant: str, digests: Mapping[str, str]) -> None:
        """What the code of this session declares from now on."""
        with self._lock:
            self._declared[session, tenant] = dict(digests)
            for gone in [key for key in self._declared if key[0] not in self._sessions]:
                del self._declared[gone]

    async def declared_schedules(self, tenant: str) -> dict[str, frozenset[str]]:
        """The digests that sessions declare whose lease has not run out."""
        with self._lock:
            now = self.now()
            found: dict[str, set[str]] = {}
            for (session, of), digests in self._declared.items():
                owner = self._sessions.get(session)
                if of == tenant and owner is not None and owner.expires > now:
                    for name, digest in digests.items():
                        found.setdefault(name, set()).add(digest)
            return {name: frozenset(digests) for name, digests in found.items()}
