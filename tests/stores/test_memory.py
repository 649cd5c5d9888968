"""The store in memory keeps the contract of the databases."""

from collections.abc import AsyncIterator

import pytest

from perdure.db.memory import MemoryStore
from perdure.testing import ManualClock
from perdure.testing.conformance import KnowledgeConformance, StoreConformance


class TestMemory(StoreConformance, KnowledgeConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[MemoryStore]:
        store = MemoryStore(clock)
        await store.open()
        yield store
        await store.close()
