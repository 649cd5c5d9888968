"""`breakers ls|close`: what an operator sees of a breaker that a worker opened, and how it is closed by hand."""

from __future__ import annotations

import asyncio

from perdure import Breaker, Diagnosis, FailureClass, open_store
from perdure.core.clock import SystemClock
from perdure.governance import Admitted, Breakers

from .conftest import Cli

POLICY = Breaker(failures=2)


def broken(cli: Cli, tenant: str = "default", failures: int = 2) -> None:
    """A worker of a tenant fails so often at a model."""

    async def fail() -> None:
        store = open_store(cli.store)
        await store.open()
        breakers = Breakers(store, SystemClock())
        for n in range(failures):
            admitted = await breakers.admit(tenant, "model:m", POLICY, by=f"r/{n}")
            assert isinstance(admitted, Admitted)
            await breakers.failed(admitted, Diagnosis(FailureClass.OVERLOADED, why="HTTP 503: away"))
        await store.close()

    asyncio.run(fail())


def test_an_open_breaker_is_listed_and_closed(cli: Cli) -> None:
    broken(cli)
    (told,) = cli("breakers", "ls", "--json").json
    assert (told["tenant"], told["breaker"], told["state"]) == ("default", "model:m", "open")
    assert (told["failures"], told["why"]) == (2, "HTTP 503: away")
    assert told["since"] < told["probe_due"]
    shown = cli("breakers", "ls", columns="200").stdout
    assert "model:m" in shown and "open" in shown and "HTTP 503: away" in shown

    assert cli("breakers", "close", "model:m", "--json").json["state"] == "closed"
    assert cli("breakers", "ls", "--json").json == []
    again = cli("breakers", "close", "model:m")
    assert again.code == 5
    assert "closed already" in again.stderr


def test_one_that_has_counted_failures_is_listed_as_closed(cli: Cli) -> None:
    broken(cli, failures=1)
    (told,) = cli("breakers", "ls", "--json").json
    assert (told["state"], told["failures"], told["since"]) == ("closed", 1, None)


def test_of_every_tenant(cli: Cli) -> None:
    broken(cli, tenant="acme")
    assert cli("breakers", "ls", "--json").json == []
    assert [b["tenant"] for b in cli("breakers", "ls", "--all-tenants", "--json").json] == ["acme"]
    assert "acme: model:m" in cli("breakers", "ls", "--all-tenants", columns="200").stdout
