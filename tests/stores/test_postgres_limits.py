"""On PostgreSQL claims run side by side: those within limits take turns, and nobody waits for a turn."""

from collections.abc import AsyncIterator

import pytest

from perdure.journal import Serves
from perdure.testing.conformance._scene import begin, enter

pytest.importorskip("psycopg", reason='no psycopg: `pip install "perdure[postgres]"`')

from perdure.db.fair import Rota
from perdure.db.postgres import PostgresStore
from perdure.db.postgres.claims import Claiming
from perdure.db.postgres.connection import Link


@pytest.fixture
async def store(postgres_url: str) -> AsyncIterator[PostgresStore]:
    made = PostgresStore(postgres_url)
    await made.open()
    yield made
    await made.close()


@pytest.mark.parametrize("end", ["commit", "rollback"])
@pytest.mark.parametrize("by", ["agent", "agent and tenant", "tenant"])
async def test_a_claim_under_way_keeps_others_from_the_last_place(
    store: PostgresStore, postgres_url: str, by: str, end: str
) -> None:
    limits = {"agent": (1, None, None), "agent and tenant": (None, 1, None), "tenant": (None, None, 1)}
    limit, limit_per_tenant, tenant_limit = limits[by]
    limited = [Serves("greeter", "1", limit, limit_per_tenant)]
    for n in range(3):
        await store.create(begin(f"r{n}"))
    for session in ("w0", "w1"):
        await enter(store, session)
    other = Link(postgres_url)
    other.execute("begin")
    under_way = Claiming(other, "w0", limited, labels=frozenset(), tenant_limit=tenant_limit, now=None)
    assert under_way.begin() is not None
    assert len(under_way.pick(Rota(), 9)) == 1
    seen = store.changes()

    assert await store.claim("w1", limited, limit=9, tenant_limit=tenant_limit) == []

    await store.changed(seen, within=30)
    assert store.changes() != seen, "nobody says that it should be tried again"
    other.execute(end)
    other.drop()
    claims = await store.claim("w1", limited, limit=9, tenant_limit=tenant_limit)
    assert len(claims) == (0 if end == "commit" else 1)


async def test_a_claim_without_limits_waits_for_no_turn(store: PostgresStore, postgres_url: str) -> None:
    await store.create(begin("r1"))
    await store.create(begin("r2", agent="free"))
    for session in ("w0", "w1"):
        await enter(store, session)
    other = Link(postgres_url)
    other.execute("begin")
    limited = Serves("greeter", "1", limit=1)
    under_way = Claiming(other, "w0", [limited], labels=frozenset(), tenant_limit=None, now=None)
    under_way.begin()

    claims = await store.claim("w1", [limited, Serves("free", "1")], limit=9)

    assert [claim.run.ref.id for claim in claims] == ["r2"]
    other.drop()
