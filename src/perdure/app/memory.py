"""The memory of an app's agents: its backends by the table `[memory]`, for runs and for people."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..core.errors import ConfigError
from ..core.memory_settings import MemorySettings
from ..db.working import working_of
from ..journal import Store
from ..memory import CellSessions, Knowledge, Ledger, Memories, Remembered, Sessions, ledger_of
from ..memory.knowledge import KNOWLEDGE
from ..memory.working import Working
from .memory_governance import MemoryGovernance

if TYPE_CHECKING:
    from ..db.falkordb import FalkorLedger
    from ..db.redis import RedisLink, RedisSessions
    from ..db.sealed import SealedStore
    from .base import AppBase

__all__ = ["AppMemory"]


class AppMemory(MemoryGovernance):
    """`app.memory`: what its agents remember, on the backends that its settings name."""

    def __init__(self, app: AppBase, settings: MemorySettings) -> None:
        self._app = app
        self.settings = settings
        self._redis: RedisSessions | None = None
        self._cells: tuple[Store, CellSessions] | None = None
        """one for all runs of the process: it remembers which number comes next"""
        self._graph: FalkorLedger | None = None

    @property
    def backends(self) -> Memories:
        """What runs are handed. Raises `ConfigError` where a backend cannot be made."""
        settings = self.settings
        return Memories(
            sessions=self._made_sessions(),
            working=working_of,
            embeddings=settings.embeddings,
            knowledge=self._knowledge,
            knowledge_in_store=self.settings.knowledge == "store",
            review=settings.review,
            shared=settings.shared,
            retention=settings.retention.rules(),
        )

    def _made_sessions(self) -> Callable[[Store], Sessions]:
        if self.settings.sessions == "store":
            return self._in_cells
        redis = self._sessions_server()
        return lambda store: _sealed(redis, store)

    def _knowledge(self, store: Store) -> Knowledge:
        ledger = ledger_of(store) if self.settings.knowledge == "store" else self._graph_sealed(store)
        return Knowledge(ledger, functional=self.settings.one_at_a_time)

    def _graph_sealed(self, store: Store) -> Ledger:
        if self._graph is None:
            try:
                from ..db.falkordb import FalkorLedger
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] not in ("falkordb", "redis"):
                    raise
                raise ConfigError('knowledge on FalkorDB needs `pip install "perdure[falkordb]"`') from None
            settings = self.settings
            password = _password("knowledge_password", settings.knowledge_password)
            self._graph = FalkorLedger(settings.knowledge, password=password)
        from ..db.sealed import SealedLedger

        return SealedLedger(self._graph, cast("SealedStore", store).keys)

    def _in_cells(self, store: Store) -> CellSessions:
        if self._cells is None or self._cells[0] is not store:
            self._cells = store, CellSessions(store)
        return self._cells[1]

    @property
    def sessions(self) -> Sessions:
        """Conversations and cases; the app must be open."""
        return self.backends.sessions(self._app.store)

    def _layers(self) -> list[Remembered]:
        return self.backends.remembered(self._app.store)

    @property
    def working(self) -> Working:
        """Notes, documents and results of tools; the app must be open."""
        return self.backends.working(self._app.store)

    @property
    def server(self) -> RedisLink | None:
        """The way to the server of sessions; None: they are in the store."""
        return None if self.settings.sessions == "store" else self._sessions_server().link

    def _sessions_server(self) -> RedisSessions:
        if self._redis is None:
            try:
                from ..db.redis import RedisLink, RedisSessions
            except ModuleNotFoundError as error:
                if (error.name or "").partition(".")[0] != "redis":
                    raise
                raise ConfigError('sessions on a server need `pip install "perdure[redis]"`') from None
            from ..db.sealed import LONGEST_SEALED

            link = RedisLink(
                self.settings.sessions,
                password=_password("sessions_password", self.settings.sessions_password),
            )
            self._redis = RedisSessions(link, longest=LONGEST_SEALED)
        return self._redis

    async def erase_beside(self, tenant: str, subject: str) -> None:
        """Take away what is kept of a data subject in no cell, and beside the store. Raises `StoreUnavailable`."""
        if self.settings.sessions != "store":
            await self._sessions_server().forget(tenant, subject)
        for layer in self._layers():
            if layer.layer == KNOWLEDGE:
                await layer.forget(tenant, subject)

    @property
    def knowledge(self) -> Knowledge:
        """Dated facts; the app must be open."""
        return self.backends.knowledge(self._app.store)

    async def close(self) -> None:
        """End the connections to backends of their own."""
        if self._redis is not None:
            redis, self._redis = self._redis, None
            await redis.link.close()
        if self._graph is not None:
            graph, self._graph = self._graph, None
            await graph.close()


def _sealed(sessions: Sessions, store: Store) -> Sessions:
    from ..db.sealed import SealedSessions

    return SealedSessions(sessions, cast("SealedStore", store).keys)


def _password(setting: str, where: str | None) -> str | None:
    if where is None:
        return None
    variable = where.partition(":")[2]
    if variable not in os.environ:
        raise ConfigError(
            f"the server of {setting.partition('_')[0]} is to be told the password in the environment variable "
            f"`{variable}`, which is not set: set it, or take `{setting}` out of `[memory]`"
        )
    return os.environ[variable]
