"""The PostgreSQL store keeps the contract, alone and with a second process's connections on the same database."""

from collections.abc import AsyncIterator

import pytest

from perdure.db.working import working_of
from perdure.journal import Store
from perdure.memory.working import Working
from perdure.testing import ManualClock
from perdure.testing.conformance import KnowledgeConformance, StoreConformance

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.postgres import PostgresStore


class TestPostgres(StoreConformance, KnowledgeConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock, postgres_url: str) -> AsyncIterator[PostgresStore]:
        store = PostgresStore(postgres_url, clock=clock)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    async def second(
        self, store: PostgresStore, clock: ManualClock, postgres_url: str
    ) -> AsyncIterator[PostgresStore]:
        other = PostgresStore(postgres_url, clock=clock)
        await other.open()
        yield other
        await other.close()

    @pytest.fixture
    def working(self, store: Store) -> Working:
        return working_of(store)

    @pytest.fixture
    def working_of_another(self, other: Store) -> Working:
        return working_of(other)
