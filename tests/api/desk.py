"""An app behind the API, asked over ASGI without a socket; and a gate that believes what a header says."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from pydantic import BaseModel
from starlette.requests import Request

from perdure import App, Run
from perdure.access import Caller, Role
from perdure.core.errors import Unauthenticated
from perdure.core.principal import Principal
from perdure.server import asgi
from tests.api.transport import StreamingTransport

HOST = "http://perdure.test"


class BelievingGate:
    """Whoever says who they are is believed: `Bearer TENANT/USER/ROLE,ROLE`."""

    async def caller_of(self, request: Request) -> Caller:
        kind, _, said = request.headers.get("authorization", "").partition(" ")
        parts = said.split("/")
        if kind != "Bearer" or len(parts) != 3:
            raise Unauthenticated("nobody has said who asks")
        tenant, user, roles = parts
        return Caller(
            principal=Principal(subject=f"user:{user}", issuer="test", tenant=tenant),
            tenant=tenant,
            roles=frozenset(Role(word) for word in roles.split(",")),
            via="test",
        )


def as_(*roles: str, tenant: str = "default", user: str = "ann") -> dict[str, str]:
    """The headers of somebody."""
    return {"authorization": f"Bearer {tenant}/{user}/{','.join(roles or ('admin',))}"}


class Order(BaseModel):
    item: str
    count: int = 1


def desk(store: str = "memory://", **options: Any) -> App:
    """Agents that do what the tests need."""
    app = App(store, **options)

    def price(order: Order) -> int:
        return order.count * 3

    @app.tool(effect="write", needs_approval=True)
    def refund(amount: int) -> str:
        return f"refunded {amount}"

    @app.agent("order")
    async def order(run: Run, order: Order) -> dict[str, int]:
        total = await run.step("price", price, order)
        run.progress("priced", done=1, total=1)
        return {"total": total}

    @app.agent("receives")
    async def receives(run: Run) -> str:
        return await run.receive("reply", str)

    @app.agent("refunds")
    async def refunds(run: Run, amount: int) -> str:
        return await run.call(refund, amount)

    @app.agent("asks")
    async def asks(run: Run) -> str:
        answer = await run.ask("Send it?", show={"to": "Ada"}, choices=["now", "later"])
        return f"{bool(answer)} {answer.by} {answer.value}"

    @app.agent("fails")
    async def fails(run: Run) -> None:
        def look() -> None:
            raise LookupError("no tea")

        await run.step("look", look)

    @app.tool
    async def send(to: str) -> str:
        raise TimeoutError(f"no answer from {to}")

    @app.agent("doubts")
    async def doubts(run: Run) -> str:
        return await run.call(send, to="Ada")

    return app


@asynccontextmanager
async def asked(app: App, *, worker: bool = False, **options: Any) -> AsyncGenerator[httpx2.AsyncClient]:
    """A client of the app's server, in this process."""
    application = asgi(app, gate=BelievingGate(), worker=worker, **options)
    async with application.life:
        transport = StreamingTransport(application)
        async with httpx2.AsyncClient(
            transport=transport, base_url=f"{HOST}/api/v1", headers=as_()
        ) as client:
            yield client


async def ended(client: httpx2.AsyncClient, run: str) -> Mapping[str, Any]:
    """The run's row, once it has ended."""
    return await until(client, run, lambda row: row["ended_at"] is not None)


async def until(client: httpx2.AsyncClient, run: str, holds: Any) -> Mapping[str, Any]:
    """The run's row, once `holds` says so of it; by the stream of its events."""
    import json

    async with client.stream("GET", f"/runs/{run}/events") as response:
        assert response.status_code == 200, await response.aread()
        name = ""
        async for line in response.aiter_lines():
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and name == "run":
                row = json.loads(line.removeprefix("data: "))
                if holds(row):
                    return row
    raise AssertionError(f"run {run} has ended otherwise")
