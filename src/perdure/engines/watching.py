"""Watchers at work: each is driven by one worker at a time, under a lease, from a cursor in the audit log.

    audit log ─► facts behind the cursor ─► watcher ─► what follows ─► cursor, and what it keeps, in one transaction

So a fact reaches a watcher at least once, and what it has learned of it is kept once: who dies in between is followed
by another, which begins where that was written down. What follows of a finding is done again then, and is the same: a
stop that is there already, a ring that is narrow already.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pydantic_core

from ..audit import Facts
from ..audit.fact import Fact
from ..audit.feed import Cursor, Feed
from ..audit.follower import Follower
from ..core.errors import ConfigError, StoreCorrupt, StoreError
from ..core.ids import DEFAULT_TENANT, RunRef
from ..governance.revocations import Revocations, Who
from ..governance.watching import Finding, Watch, Watcher
from ..journal import Cell, CellKey, RunRecord, Store

__all__ = ["CURSOR", "Watching"]

log = logging.getLogger("perdure.watchers")

CURSOR = "watcher"
"""The kind of the cells with who watches, and how far; one for each watcher."""
STATE = "watcher_state"
"""The kind of the cells with what watchers keep."""

LOOK_SECONDS = 0.5
RETRY_SECONDS = 5.0
LEASE_MICROS = 15_000_000
AT_ONCE = 500
"""Facts between two transactions."""
PATIENCE_SECONDS = 10.0
"""How long a watcher may look at one fact."""
LONGEST_STATE = 64_000
"""Bytes under one key."""

OnFound = Callable[[Watcher, Finding], Awaitable[None]]
OnCorrupt = Callable[[StoreCorrupt], Awaitable[None]]


class Watching:
    """Drives watchers. `found` lets follow what is configured; `name` is of this process."""

    def __init__(
        self,
        store: Store,
        watchers: Sequence[Watcher],
        *,
        tenant: str,
        revocations: Revocations,
        found: OnFound,
        name: str,
        corrupt: OnCorrupt | None = None,
    ) -> None:
        """`corrupt` is told where the audit log, or a journal, is not what was written."""
        self._store = store
        self._corrupt = corrupt
        self._posts = [_Post(store, w, tenant, revocations, found, name) for w in watchers]

    async def run(self) -> None:
        """Look, think, rest; for as long as the worker works."""
        while True:
            pause = LOOK_SECONDS
            seen = self._store.changes()
            for post in self._posts:
                if not await self._tick(post):
                    pause = RETRY_SECONDS
            await asyncio.sleep(pause)
            await self._store.changed(seen, within=LEASE_MICROS / 3e6)

    async def _tick(self, post: _Post) -> bool:
        """Let it look. Whether that went well."""
        name = post.watcher.name
        try:
            try:
                await post.tick()
            except StoreCorrupt as error:
                log.critical("watcher `%s`: %s", name, error)
                if self._corrupt is not None:
                    await self._corrupt(error)
                return False
        except StoreError as error:
            log.warning("watcher `%s`: %s; trying again later", name, error)
            return False
        except Exception:
            log.exception("a fault around the watcher `%s`; it goes on", name)
            return False
        return True

    async def catch_up(self) -> None:
        """Let each watcher that this process may drive look at all there is."""
        for post in self._posts:
            await post.tick()


class _Post:
    """One watcher, as this process drives it: also the rights that it has."""

    def __init__(
        self,
        store: Store,
        watcher: Watcher,
        tenant: str,
        revocations: Revocations,
        found: OnFound,
        name: str,
    ) -> None:
        self.watcher = watcher
        self._store = store
        self._tenant = tenant
        self._revocations = revocations
        self._found = found
        key = CellKey(DEFAULT_TENANT, CURSOR, watcher.name)
        self._follower = Follower(store, key, holder=name, lease=LEASE_MICROS)
        self._feed: Feed | None = None
        self._until = 0
        """of the lease, the store's time"""
        self._states: dict[CellKey, dict[str, Any]] = {}
        self._before: dict[CellKey, bytes] = {}

    async def tick(self) -> None:
        """Look at what is new, if it is ours to look at."""
        feed = self._feed
        if feed is None or self._until <= self._store.now():
            feed = await self._take()
            if feed is None:
                return
        done, at = 0, feed.cursor
        async for sent in feed.facts():
            if sent is None:
                break
            await self._look(sent.fact)
            done += 1
            if (
                done >= AT_ONCE and sent.cursor != at
            ):  # only behind a whole leaf: nothing of it is looked at again
                done, at = 0, sent.cursor
                if not await self._keep(at):
                    return
        if done or feed.cursor != at or self._until - self._store.now() < LEASE_MICROS // 2:
            await self._keep(feed.cursor)

    # the lease -------------------------------------------------------------------------------------------------

    async def _take(self) -> Feed | None:
        """Begin where the last one has written down; None: somebody else watches."""
        self._feed = None
        end = await self._end()

        state = await self._follower.take({"cursor": str(end)})
        if state is None:
            return None
        self._until = self._store.now() + LEASE_MICROS // 2  # so much is left at least
        feed = self._from(Cursor.parse(state["cursor"]))
        try:
            await feed.check()
        except ConfigError as error:  # a store that was put back from a backup
            log.warning("watcher `%s` begins again at the end of the log: %s", self.watcher.name, error)
            feed = self._from(end)
        self._states, self._before = await self._kept(), {}
        self._before = {key: pydantic_core.to_json(state) for key, state in self._states.items()}
        self._feed = feed
        return feed

    def _from(self, cursor: Cursor) -> Feed:
        tenant = None if self.watcher.everywhere else self._tenant
        return Feed(self._store, tenant=tenant, since=cursor, quiet=self.watcher.quiet)

    async def _end(self) -> Cursor:
        """Where the log ends: what a new watcher has not seen begins here."""
        size = await self._store.log_size()
        leaves = await self._store.leaves(after=size - 2, limit=1) if size else []
        return Cursor.of(leaves[-1]) if leaves else Cursor()

    async def _kept(self) -> dict[CellKey, dict[str, Any]]:
        states: dict[CellKey, dict[str, Any]] = {}
        after: CellKey | None = None
        while page := await self._store.cells(STATE, prefix=f"{self.watcher.name}/", after=after):
            after = page[-1][0]
            states |= {key: pydantic_core.from_json(cell.data) for key, cell in page}
        return states

    async def _keep(self, cursor: Cursor) -> bool:
        """Write down how far it has read, and what it keeps. False: another has taken over."""
        changed: dict[CellKey, bytes] = {}
        for key, state in self._states.items():
            data = pydantic_core.to_json(state)
            if data == self._before.get(key, b"{}"):
                continue
            if len(data) > LONGEST_STATE:
                log.error(
                    "watcher `%s` keeps %d bytes under `%s`; what it has added is not kept: %d are the most",
                    self.watcher.name, len(data), key.name, LONGEST_STATE,
                )  # fmt: skip
                continue
            changed[key] = data

        beside = {key: None if data == b"{}" else Cell(data) for key, data in changed.items()}
        mine = await self._follower.keep({"cursor": str(cursor)}, beside=beside)
        if mine:
            self._until = self._store.now() + LEASE_MICROS
            self._before |= changed
        else:
            self._feed = None
        return mine

    # looking ---------------------------------------------------------------------------------------------------

    async def _look(self, fact: Fact) -> None:
        name = self.watcher.name
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self.watcher.look(Watch(name, fact, _Rights(self, fact.ref.tenant)), fact)
        except StoreError:
            raise
        except Exception:
            log.exception("watcher `%s` failed at entry %d of run %s; it goes on", name, fact.seq, fact.ref)

    async def facts(self, ref: RunRef, until: int | None) -> list[Fact]:
        """What a journal tells."""
        record = await self._store.get(ref)
        if record is None:
            return []
        entries = await self._store.read(ref, limit=None if until is None else until - 1)
        facts = Facts.of(record)
        return [facts.see(entry) for entry in entries]

    async def record(self, ref: RunRef) -> RunRecord | None:
        """The row of a run."""
        return await self._store.get(ref)

    async def suspend(self, tenant: str, who: Who, reason: str) -> bool:
        """Stop it."""
        log.warning("watcher `%s` stops %s of tenant `%s`: %s", self.watcher.name, who, tenant, reason)
        by = f"watcher:{self.watcher.name}"
        return await self._revocations.revoke(tenant, who, by=by, reason=reason, stop=True)

    async def found(self, finding: Finding) -> None:
        """Let follow what is configured."""
        await self._found(self.watcher, finding)

    def state(self, tenant: str, key: str) -> dict[str, Any]:
        """What it keeps of a tenant under a key."""
        return self._states.setdefault(CellKey(tenant, STATE, f"{self.watcher.name}/{key}"[:900]), {})


class _Rights:
    """What a watcher may do in one tenant, and nothing beside it."""

    __slots__ = ("__post", "__tenant")

    def __init__(self, post: _Post, tenant: str) -> None:
        self.__post = post
        self.__tenant = tenant

    async def run(self, run_id: str) -> RunRecord | None:
        return await self.__post.record(RunRef(self.__tenant, run_id))

    async def facts(self, run_id: str, *, until: int | None) -> Sequence[Fact]:
        return await self.__post.facts(RunRef(self.__tenant, run_id), until)

    async def suspend(self, who: Who, reason: str) -> bool:
        return await self.__post.suspend(self.__tenant, who, reason)

    async def report(self, finding: Finding) -> None:
        await self.__post.found(finding)

    def state(self, key: str) -> dict[str, Any]:
        return self.__post.state(self.__tenant, key)
