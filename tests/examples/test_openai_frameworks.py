"""The examples of the OpenAI Agents SDK and of a loop by hand, against a provider on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from pydantic_core import from_json

from examples.frameworks import openai_agents_customer_service as airline
from examples.frameworks import plain_openai_loop as plain
from perdure import App, Handle
from perdure.testing import ModelServer, Turns, survives, until_waiting
from perdure.testing.model_server import Reply, asks, call, says


@pytest.fixture
async def connections() -> AsyncIterator[None]:
    """The SDK keeps one HTTP client for the process; here each test has a loop of its own."""
    from agents.models import openai_provider

    openai_provider._http_client = httpx2.AsyncClient(verify=False)
    yield
    await openai_provider._http_client.aclose()
    openai_provider._http_client = None


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Any:
    def serve(*turns: Reply) -> ModelServer:
        server = ModelServer(Turns(list(turns)))
        server.start()
        started.append(server)
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        return server

    started: list[ModelServer] = []
    yield serve
    for server in started:
        server.stop()


async def test_a_seat_is_changed_whenever_the_worker_dies(served: Any, connections: None) -> None:
    served(
        asks("transfer_to_seat_agent"),
        asks("update_seat", confirmation="ABC123", seat="12A"),
        says("You sit in 12A."),
    )
    trials = await survives(airline.app, airline.desk, "seat 12A, ABC123")
    assert trials[0].result == {
        "said": "You sit in 12A.",
        "by": "Seat agent",
        "flight": "PD-204",
        "confirmation": "ABC123",
        "seat": "12A",
        "refunded": 0,
    }


async def test_a_refund_waits_for_a_human_who_pays_less(served: Any, connections: None) -> None:
    server = served(
        asks("transfer_to_refund_agent"), asks("refund", confirmation="ABC123", amount=500), says("Done.")
    )

    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        (asked,) = await app.open_approvals(run.id)
        digest = from_json(asked.show)["digest"]
        edited = {"confirmation": "ABC123", "amount": 50}
        await app.answer(run.id, asked.step, approved=True, by="boss", digest=digest, arguments=edited)

    trials = await survives(airline.app, airline.desk, "my money back", outside=boss)
    assert trials[0].result["refunded"] == 50
    assert trials[0].calls["refund"] == 1
    assert any("Paid back 50" in request.last for request in server.requests)


async def test_a_loop_by_hand_survives(served: Any) -> None:
    served(
        Reply(calls=(call("weather", city="Oslo"), call("weather", city="Rome"))),
        asks("book_table", people=2),
        says("It rains in Oslo; I booked a table for two."),
    )
    trials = await survives(plain.app, plain.loop, "Oslo?")
    assert trials[0].result == "It rains in Oslo; I booked a table for two."
    assert trials[0].calls["book_table"] == 1
