"""The raw clients of OpenAI and Anthropic in a run, against a provider on loopback."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, OpenAI

from perdure import App, Budget, ConfigError, OutsideRun, OutsideStep, Run, RunFailed
from perdure.adapters.clients.clients import ORIGIN
from perdure.journal import Kind
from perdure.testing import FaultRule, ModelServer, Turns, survives, until_waiting
from perdure.testing.model_server import Fault, Reply, asks, call, says

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "pay",
            "parameters": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
        },
    }
]


class Clients:
    """Those of one test; no certificates are read for loopback."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def http(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(verify=False)

    def openai(self, server: ModelServer) -> AsyncOpenAI:
        client = AsyncOpenAI(base_url=server.openai_url, api_key="sk-secret", http_client=self.http())
        self.made.append(client)
        return client

    def anthropic(self, server: ModelServer) -> AsyncAnthropic:
        client = AsyncAnthropic(base_url=server.anthropic_url, api_key="sk-secret", http_client=self.http())
        self.made.append(client)
        return client


@pytest.fixture
async def clients() -> Any:
    found = Clients()
    yield found
    for client in found.made:
        await client.close()


def payloads(entries: Any, kind: Kind, key: str = "") -> list[Any]:
    return [json.loads(e.payload) for e in entries if e.kind == kind and key in e.key]


async def loop(run: Run, client: AsyncOpenAI, pay: Any, task: str) -> str:
    """What teams write by hand."""
    messages: list[Any] = [{"role": "user", "content": task}]
    while True:
        reply = await client.chat.completions.create(model="gpt-5", messages=messages, tools=TOOLS)  # type: ignore[call-overload]
        said = reply.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        if not said.tool_calls:
            return said.content or ""
        for called in said.tool_calls:
            result = await run.call(pay, **json.loads(called.function.arguments))
            messages.append({"role": "tool", "tool_call_id": called.id, "content": result})


async def test_a_loop_by_hand_survives(clients: Clients) -> None:
    app = App("memory://")

    @app.tool
    async def pay(n: int) -> str:
        return f"paid {n}"

    script = Turns([Reply(calls=(call("pay", n=1), call("pay", n=1))), asks("pay", n=2), says("done")])
    with ModelServer(script) as server:
        client = clients.openai(server)

        @app.agent("payer")
        async def payer(run: Run, task: str) -> str:
            return await loop(run, run.wrap(client), pay, task)

        trials = await survives(app, payer, "go")
    assert trials[0].result == "done"
    assert trials[0].calls == {"pay": 3}
    keys = [e.key for e in trials[0].entries if e.kind == Kind.RESULT and e.key.endswith("/turn")]
    assert keys == ["openai/turn", "openai:2/turn", "openai:3/turn"]
    first = payloads(trials[0].entries, Kind.RESULT, "openai/turn")[0]
    assert (first["usage"]["input_tokens"], first["finish_reason"]) == (10, "tool_calls")
    decision = payloads(trials[0].entries, Kind.DECISION)[0]
    assert (decision["options"], decision["choice"]) == (["pay"], ["pay", "pay"])
    assert not [e for e in trials[0].entries if b"sk-secret" in e.payload]


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
@pytest.mark.parametrize("streamed", [False, True])
async def test_each_protocol_is_recorded_once_and_told_again(
    clients: Clients, protocol: str, streamed: bool
) -> None:
    app = App("memory://")
    told: list[tuple[str, str]] = []

    async def ask(run: Run, client: Any) -> tuple[str, str]:
        asked: list[Any] = [{"role": "user", "content": "go"}]
        if protocol == "chat":
            create, given = client.chat.completions.create, {"messages": asked}
        elif protocol == "responses":
            create, given = client.responses.create, {"input": asked}
        else:
            create, given = client.messages.create, {"messages": asked, "max_tokens": 99}
        if streamed and protocol == "chat":
            given["stream_options"] = {"include_usage": True}
        found = await create(model="m-1", stream=streamed, **given)
        if not streamed:
            return text_of(found), "whole"
        origin = found.response.headers[ORIGIN]
        return "".join([piece async for event in found if (piece := piece_of(event))]), origin

    with ModelServer(Turns([Reply(text="one two three four five", tokens=(120, 30))])) as server:
        client: Any = clients.anthropic(server) if protocol == "messages" else clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            told.append(await ask(run, run.wrap(client)))
            return await run.receive("go", str)

        async with app:
            run = await app.start(asker, "x")
            await until_waiting(app, run, "signal")
            await run.signal("go", "on")
            assert await run.result() == "on"
            entries = await run.entries()
        assert len(server.requests) == 1
    assert [text for text, _ in told] == ["one two three four five"] * 2
    if streamed:
        assert [origin for _, origin in told] == ["live", "recorded"]
    turn = payloads(entries, Kind.RESULT, "/turn")[0]
    assert (turn["usage"]["input_tokens"], turn["usage"]["output_tokens"]) == (120, 30)
    assert turn["model"] == "m-1"
    assert turn["finish_reason"]
    charged = payloads(entries, Kind.CHARGED, "/turn")[0]
    assert (charged["usage"]["input_tokens"], charged["usage"]["output_tokens"]) == (120, 30)


def text_of(found: Any) -> str:
    if hasattr(found, "choices"):
        return found.choices[0].message.content
    return found.output_text if hasattr(found, "output_text") else found.content[0].text


def piece_of(event: Any) -> str:
    if hasattr(event, "choices"):
        return (event.choices[0].delta.content or "") if event.choices else ""
    delta = getattr(event, "delta", None)
    if event.type == "response.output_text.delta":
        return delta
    return getattr(delta, "text", "") if event.type == "content_block_delta" else ""


async def test_a_stream_is_live(clients: Clients) -> None:
    """The server stops in the middle until a piece has come."""
    app = App("memory://")
    rule = FaultRule(Fault("stalled"))
    with ModelServer(Turns([says("one two three four five six")]), faults=[rule]) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            stream = await run.wrap(client).responses.create(model="m", input="go", stream=True)
            pieces: list[str] = []
            async for event in stream:
                if piece_of(event):
                    pieces.append(piece_of(event))
                    server.release()
            return "".join(pieces)

        async with app:
            run = await app.start(asker, "x")
            assert await run.result() == "one two three four five six"


async def test_what_the_provider_says_no_with_is_the_clients_own_error(clients: Clients) -> None:
    app = App("memory://")
    seen: list[Any] = []
    with ModelServer(Turns([Fault("bad_key")])) as server:
        client, other = clients.openai(server), clients.anthropic(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            try:
                await run.wrap(client).responses.create(model="m", input="go")
            except openai.AuthenticationError as error:
                seen.append((error.status_code, type(error.body)))
            try:
                await run.wrap(other).messages.create(
                    model="m", max_tokens=9, messages=[{"role": "user", "content": "go"}]
                )
            except anthropic.AuthenticationError as error:
                seen.append((error.status_code, type(error.body)))
            await run.step("note", str)
            return "told"

        trials = await survives(app, asker, "x")
    assert trials[0].result == "told"
    assert set(seen) == {(401, dict)}


async def test_the_run_says_how_often_is_tried(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([[Fault("overloaded"), says("here")]])) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            return (await run.wrap(client).responses.create(model="m", input="go")).output_text

        async with app:
            run = await app.start(asker, "x")
            assert await run.result() == "here"
            assert len(payloads(await run.entries(), Kind.ATTEMPT)) == 1
        assert len(server.requests) == 2


async def test_a_stream_that_breaks_after_it_was_seen_is_not_begun_again(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([[Fault("cut_off"), says("one two three four")]])) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            seen = ""
            try:
                async for event in await run.wrap(client).responses.create(
                    model="m", input="go", stream=True
                ):
                    seen += piece_of(event) or "."
            except (openai.APIError, httpx2.HTTPError) as error:
                return f"broken after {bool(seen)}: {type(error).__name__}"
            return seen

        async with app:
            result = await (await app.start(asker, "x")).result()
        assert len(server.requests) == 1
    assert result.startswith("broken after True")


async def test_a_client_that_is_not_async_works_in_a_thread(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([says("from a thread")])) as server:
        http = httpx2.Client(verify=False)
        client = OpenAI(base_url=server.openai_url, api_key="k", http_client=http)

        def by_hand(client: OpenAI) -> str:
            return client.responses.create(model="m", input="go").output_text

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            mine = run.wrap(client)
            with pytest.raises(OutsideRun, match="AsyncOpenAI"):
                by_hand(mine)
            return await asyncio.to_thread(by_hand, mine)

        trials = await survives(app, asker, "x")
        client.close()
    assert trials[0].result == "from a thread"


async def test_a_client_that_nobody_wrapped_is_stopped(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([says("unseen")])) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            run.wrap(client)
            if task == "in a step":
                return await run.step("ask", ask)
            return await ask()

        async def ask() -> str:
            return (await client.responses.create(model="m", input="go")).output_text

        async with app:
            with pytest.raises(RunFailed, match=rf"{OutsideStep.__name__}.*run\.wrap\(client\)"):
                await (await app.start(asker, "bare")).result()
            assert not server.requests
            assert await (await app.start(asker, "in a step")).result() == "unseen"
        assert await ask() == "unseen"


async def test_what_is_no_request_to_a_model_is_refused(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([says("x")])) as server:
        client, other = clients.openai(server), clients.anthropic(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            for listed in (run.wrap(client).models.list, run.wrap(other).models.list):
                with pytest.raises(ConfigError, match="asks no model"):
                    await listed()
            return "refused"

        async with app:
            assert await (await app.start(asker, "x")).result() == "refused"
        assert not server.requests


async def test_hosted_tools_are_refused_until_they_are_allowed(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(Turns([says("found")])) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> str:
            reply = await run.wrap(client).responses.create(
                model="m", input="go", tools=[{"type": "web_search"}]
            )
            return reply.output_text

        async with app:
            with pytest.raises(RunFailed, match=r"app\.effects\.allow"):
                await (await app.start(asker, "x")).result()
            app.effects.allow("web_search")
            run = await app.start(asker, "x")
            assert await run.result() == "found"
            (turn,) = payloads(await run.entries(), Kind.RESULT, "/turn")
    assert turn["uncovered"] == ["web_search"]


async def test_two_at_once_are_told_what_to_write(clients: Clients) -> None:
    app = App("memory://")
    with ModelServer(lambda request: says(f"to {request.last}")) as server:
        client = clients.openai(server)

        @app.agent("asker")
        async def asker(run: Run, task: str) -> list[str]:
            mine = run.wrap(client)

            async def ask(n: int) -> str:
                return (await mine.responses.create(model="m", input=str(n))).output_text

            works = [ask(1), ask(2)]
            return list(await (run.gather(*works) if task == "gather" else asyncio.gather(*works)))

        async with app:
            with pytest.raises(RunFailed, match=r"run\.gather"):
                await (await app.start(asker, "raw")).result()
            assert await (await app.start(asker, "gather")).result() == ["to 1", "to 2"]


async def test_a_budget_stops_a_loop_whatever_it_catches(clients: Clients) -> None:
    app = App("memory://")

    with ModelServer(lambda request: says("more")) as server:
        client = clients.openai(server)

        @app.agent("asker", budget=Budget(model_calls=2, on_limit="stop"))
        async def asker(run: Run, task: str) -> str:
            mine = run.wrap(client)
            while True:
                try:
                    await mine.responses.create(model="m", input="go")
                except openai.APIError:
                    return "swallowed"

        async with app:
            with pytest.raises(RunFailed, match="BudgetExceeded"):
                await (await app.start(asker, "x")).result()
        assert len(server.requests) == 2
