"""A shop whose tools say how often they were called, and what tests of the OpenAI Agents SDK share besides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from agents import Agent, function_tool

from perdure import App, Run
from perdure.journal import Kind
from perdure.testing import ModelServer
from perdure.testing.model_server import Reply, call, says


@pytest.fixture(autouse=True)
async def connections() -> AsyncIterator[None]:
    """The SDK keeps one HTTP client for the process; here each test has a loop of its own."""
    from agents.models import openai_provider

    openai_provider._http_client = None
    yield
    if openai_provider._http_client is not None:
        await openai_provider._http_client.aclose()
        openai_provider._http_client = None


@contextmanager
def serving(script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server


def keys(entries: Any, kind: Kind) -> list[str]:
    return [e.key for e in entries if e.kind == kind]


def make(app: App, agent: Agent[Any], **options: Any) -> Any:
    @app.agent("desk")
    async def desk(run: Run, task: str) -> Any:
        return (await run.wrap(agent)(task, **options)).final_output

    return desk


class Shop:
    """Tools that say how often they were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

        @function_tool
        async def price(item: str) -> int:
            self.calls.append(f"price {item}")
            return {"lamp": 40, "desk": 300}[item]

        @function_tool
        async def pay(amount: int) -> str:
            self.calls.append(f"pay {amount}")
            return f"paid {amount}"

        self.price, self.pay = price, pay

    def declared(self, app: App) -> App:
        app.effects.declare("read", "price")
        app.effects.declare("write", "pay")
        return app


BUY = [
    Reply(calls=(call("price", item="lamp"), call("price", item="desk"))),
    Reply(calls=(call("pay", amount=40), call("pay", amount=300))),
    says("bought both"),
]
