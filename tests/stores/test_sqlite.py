"""The SQLite store keeps the contract, alone and with a second process's connection on the same file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure.db.working import working_of
from perdure.journal import Store
from perdure.memory.working import Working
from perdure.testing import ManualClock
from perdure.testing.conformance import KnowledgeConformance, StoreConformance

sqlite = pytest.importorskip("perdure.db.sqlite", reason="the SQLite store is not there yet")


class TestSqlite(StoreConformance, KnowledgeConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        store = sqlite.SqliteStore(tmp_path / "store.db", clock=clock)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        """Opened after `store`, so that only one of them makes the file."""
        store = sqlite.SqliteStore(tmp_path / "store.db", clock=clock)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def working(self, store: Store) -> Working:
        return working_of(store)

    @pytest.fixture
    def working_of_another(self, other: Store) -> Working:
        return working_of(other)
