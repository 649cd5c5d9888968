"""A store that seals keeps the contract of the store below it: of runs without a data subject, and of those of one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from perdure.core.ids import DEFAULT_TENANT
from perdure.db.memory import MemoryStore
from perdure.db.sealed import SealedStore, sealed
from perdure.db.sealed.store import PASSED_ON
from perdure.db.sqlite import SqliteStore
from perdure.db.working import working_of
from perdure.identity import MasterKeys
from perdure.journal import Store
from perdure.memory.working import Working
from perdure.testing import ManualClock
from perdure.testing.conformance import (
    StoreConformance,
    _scene,
    cells,
    claims,
    fleet,
    history,
    inbox,
    journal,
)
from tests.places import PostgresServer

SUBJECT = "customer:4711"
MASTER = MasterKeys.read(MasterKeys.new(), where="the test")


def about_a_person(*args: Any, **options: Any) -> Any:
    return _begin(*args, **{"subject": SUBJECT, **options})


_begin = _scene.begin


@pytest.fixture(params=["of nobody", "of a person"])
def whose(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the suite's runs have a data subject."""
    if request.param == "of a person":
        for module in (_scene, cells, claims, fleet, history, inbox, journal):
            if hasattr(module, "begin"):
                monkeypatch.setattr(module, "begin", about_a_person)
    if request.param == "of a person" and request.function.__name__.endswith("names_is_collected"):
        pytest.skip("what is sealed is never the same twice, so no blob is shared")
    return request.param


async def meet(store: SealedStore) -> None:
    """Keys of the people that the suite remembers something about: a run of theirs has made them."""
    for person in ("ann", "anna", "@desk"):
        await store.keys.get(DEFAULT_TENANT, person)


@pytest.mark.soak
@pytest.mark.usefixtures("whose")
class TestMemory(StoreConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock) -> AsyncIterator[Store]:
        store = sealed(MemoryStore(clock), lambda: MASTER)
        await store.open()
        await meet(store)
        yield store
        await store.close()


@pytest.mark.usefixtures("whose")
class TestSqlite(StoreConformance):
    @pytest.fixture
    async def store(self, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        store = sealed(SqliteStore(tmp_path / "store.db", clock=clock), lambda: MASTER)
        await store.open()
        await meet(store)
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, store: Store, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Store]:
        store = sealed(SqliteStore(tmp_path / "store.db", clock=clock), lambda: MASTER)
        await store.open()
        yield store
        await store.close()

    @pytest.fixture
    def working(self, store: Store) -> Working:
        return working_of(store)

    @pytest.fixture
    def working_of_another(self, other: Store) -> Working:
        return working_of(other)


@pytest.mark.soak
@pytest.mark.usefixtures("whose")
class TestPostgres(StoreConformance):
    @pytest.fixture
    async def store(
        self, clock: ManualClock, postgres: PostgresServer, postgres_url: str
    ) -> AsyncIterator[Store]:
        from perdure.db.postgres import PostgresStore

        store = sealed(PostgresStore(postgres_url, clock=clock), lambda: MASTER)
        await store.open()
        await meet(store)
        yield store
        await store.close()

    @pytest.fixture
    async def second(self, store: Store, clock: ManualClock, postgres_url: str) -> AsyncIterator[Store]:
        from perdure.db.postgres import PostgresStore

        store = sealed(PostgresStore(postgres_url, clock=clock), lambda: MASTER)
        await store.open()
        yield store
        await store.close()


def test_each_method_of_the_port_is_sealed_or_carries_nothing_that_is_to_be() -> None:
    port = {name for name in dir(Store) if not name.startswith("_")} | {"url"}
    looked_at = {name for name, _ in inspect.getmembers(SealedStore) if not name.startswith("_")} - {"seals"}
    assert not port - looked_at - PASSED_ON, (
        "say in `PASSED_ON` that it carries no payload, or seal what it carries"
    )
    assert not looked_at & PASSED_ON
    assert port >= PASSED_ON
