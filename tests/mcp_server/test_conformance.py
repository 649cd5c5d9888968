"""What the conformance suite looks at, asked by the SDK's client in this process: see test_public_suites.py."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CreateMessageResult, JSONRPCNotification, TextContent

from perdure.mcp_server.sessions import MOST_EVENTS, Heard
from tests.api.transport import StreamingTransport
from tests.mcp_server.clients import HOST, Person
from tests.mcp_server.everything import EverythingDoor, application
from tests.mcp_server.test_http import HEADERS, INITIALIZE


@asynccontextmanager
async def everything() -> AsyncIterator[httpx2.AsyncClient]:
    made = application(EverythingDoor)
    async with (
        made.life,
        httpx2.AsyncClient(transport=StreamingTransport(made), base_url=HOST, timeout=20) as http,
    ):
        yield http


async def test_a_session_carries_questions_progress_and_logs_to_its_client() -> None:
    person = Person({"response": "blue"})
    logged: list[str] = []
    moved: list[float] = []

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text="four"), model="m")

    async def log(params: Any) -> None:
        logged.append(params.data)

    async def move(progress: float, total: float | None, message: str | None) -> None:
        moved.append(progress)

    async with (
        everything() as http,
        Client(
            streamable_http_client(f"{HOST}/mcp", http_client=http),
            mode="legacy",
            elicitation_callback=person,  # pyright: ignore[reportArgumentType]
            sampling_callback=sample,
            logging_callback=log,
        ) as client,
    ):
        asked = await client.call_tool("test_elicitation", {"message": "Which colour?"})
        sampled = await client.call_tool("test_sampling", {"prompt": "2 + 2"})
        await client.call_tool("test_tool_with_logging", {})
        await client.call_tool("test_tool_with_progress", {}, progress_callback=move)
        failed = await client.call_tool("test_error_handling", {})

    assert "blue" in asked.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
    assert "four" in sampled.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
    assert logged == ["Tool execution started", "Tool processing data", "Tool execution completed"]
    assert moved == [0, 50, 100]
    assert failed.is_error


async def test_whoever_lost_a_stream_hears_what_followed_and_only_their_own() -> None:
    async with everything() as http:
        begun = [await http.post("/mcp", json=INITIALIZE, headers=HEADERS) for _ in range(2)]
        mine, other = (
            {**HEADERS, "mcp-session-id": one.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
            for one in begun
        )
        call = {"jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": {"name": "test_reconnection"}}
        broken = await http.post("/mcp", json=call, headers=mine)
        (event,) = re.findall(r"id: (\w+)", broken.text)
        async with http.stream("GET", "/mcp", headers={**mine, "last-event-id": event}) as again:
            lines = again.aiter_lines()
            heard = ""
            while "Reconnection test completed" not in heard:
                heard += await anext(lines)
        theirs = await http.get("/mcp", headers={**other, "last-event-id": event})

    assert "Reconnection test completed" not in broken.text
    assert "retry: 1000" in broken.text
    assert theirs.status_code != 200 or "Reconnection" not in theirs.text


async def test_what_is_kept_of_a_session_is_bounded() -> None:
    heard = Heard()
    told: list[str] = []

    async def tell(event: Any) -> None:
        told.append(event.message.method)

    first = await heard.store_event("1", None)
    for n in range(3):
        await heard.store_event("1" if n else "2", JSONRPCNotification(jsonrpc="2.0", method=f"n/{n}"))
    assert await heard.replay_events_after(first, tell) == "1"
    assert told == ["n/1", "n/2"]

    for _ in range(MOST_EVENTS):
        await heard.store_event("1", None)
    assert await heard.replay_events_after(first, tell) is None


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80"])
async def test_under_another_name_nothing_is_answered(host: str) -> None:
    async with everything() as http:
        refused = await http.post("/mcp", json=INITIALIZE, headers={**HEADERS, "host": host})
    assert refused.status_code == 421
