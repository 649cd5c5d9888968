"""What a model says as it says it reaches whoever listens, through the server, and stands nowhere afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("pydantic_ai", reason='needs pydantic-ai: pip install "perdure[pydantic-ai]"')

from openai import AsyncOpenAI
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from perdure import App, AsyncClient, Run
from perdure.client.models import Event
from perdure.identity import MasterKeys
from perdure.journal import Kind, Store
from perdure.runtime.boundary.saying import LISTENING, SAID
from perdure.server import asgi
from perdure.testing import ModelServer, Turns
from perdure.testing.model_server import Fault, FaultRule, says
from tests.api.desk import HOST, BelievingGate
from tests.api.transport import StreamingTransport

WORDS = "one two three four five six seven eight"
STEP = "talker/turn"


def talking(app: App, url: str) -> App:
    @app.agent("talks")
    async def talks(run: Run) -> str:
        async with AsyncOpenAI(base_url=url, api_key="none") as client:
            model = OpenAIChatModel("gpt-5", provider=OpenAIProvider(openai_client=client))
            wrapped: Any = run.wrap(Agent(model, name="talker"))
            async with wrapped.run_stream("go") as answer:
                return await answer.get_output()

    return app


def stalls() -> ModelServer:
    """A model that says half of it, and the rest when it is released."""
    return ModelServer(Turns([says(WORDS)]), faults=[FaultRule(Fault("stalled"))])


@asynccontextmanager
async def serving(app: App) -> AsyncIterator[Any]:
    """Clients of the app's server, by what their keys say."""
    application = asgi(app, gate=BelievingGate(), worker=True)

    def client(key: str = "default/ann/admin") -> AsyncClient:
        return AsyncClient(HOST, key=key, transport=StreamingTransport(application))

    async with application.life:
        yield client


def shown(events: list[Event]) -> str:
    """The text of a step, as one who shows it has it."""
    text = ""
    for event in events:
        if event.name == "token":
            told = event.read()
            assert set(told) == {"step", "attempt", "at", "text"}
            assert told["step"] == STEP
            text = text[: told["at"]] + told["text"]
    return text


async def begun(client: AsyncClient, run: str, into: list[Event]) -> None:
    """Listen until a piece is there."""
    async for event in client.runs.events(run, tokens=True):
        into.append(event)
        if event.name == "token":
            return


async def test_a_message_is_heard_as_it_comes_and_then_stands_in_the_journal_alone() -> None:
    # given a model that stops in the middle of its answer
    with stalls() as server:
        app = talking(App("memory://"), server.openai_url)
        async with serving(app) as clients:
            client = clients()
            run = (await client.runs.start("talks")).run
            events: list[Event] = []
            # when somebody listens
            async with asyncio.timeout(20):
                async for event in client.runs.events(run, tokens=True):
                    events.append(event)
                    if event.name == "token":
                        server.release()
            # then they have heard the beginning before the answer was there, and nothing of it behind its end
            names = [e.name if e.name != "entry" else e.read()["kind"] for e in events]
            assert "token" in names
            assert names.index("token") < names.index("result")
            assert "token" not in names[names.index("result") :]
            assert WORDS.startswith(shown(events))
            assert (await client.runs.result(run)).result == WORDS
            # and what was heard is gone, but that it was
            await gone(app.store)
            assert "stream" in str([cell.data for _, cell in await app.store.cells("view")])


async def until(store: Store, kind: str) -> None:
    """Once there is a cell of a kind."""
    async with asyncio.timeout(10):
        while not await store.cells(kind):  # noqa: ASYNC110  # it is in a store
            await asyncio.sleep(0.01)


async def gone(store: Store) -> None:
    """Once nothing is being said any more."""
    async with asyncio.timeout(10):
        while await store.cells(SAID):  # noqa: ASYNC110  # it is in a store
            await asyncio.sleep(0.01)


async def test_the_journal_knows_nothing_of_who_listens() -> None:
    async def journal(*, tokens: bool) -> list[Any]:
        with stalls() as server:
            app = talking(App("memory://"), server.openai_url)
            async with serving(app) as clients:
                client = clients()
                run = (await client.runs.start("talks", run_id="r")).run
                if tokens:
                    await begun(client, run, [])
                else:
                    await server.wait_for(1)
                server.release()
                assert (await client.runs.result(run)).result == WORDS
                entries = await app.store.read((await app.handle(run)).ref)
                return [(Kind(e.kind), e.key) for e in entries]

    assert await journal(tokens=True) == await journal(tokens=False)


async def test_whoever_may_see_no_payloads_hears_nothing_and_is_heard_by_no_worker() -> None:
    with stalls() as server:
        app = talking(App("memory://"), server.openai_url)
        async with serving(app) as clients:
            run = (await clients().runs.start("talks")).run
            viewer = clients("default/vic/viewer")
            names: list[str] = []
            async for event in viewer.runs.events(run, tokens=True):
                names.append(event.name)
                if names == ["entry"]:
                    await server.wait_for(1)
                    server.release()
            assert "token" not in names
            assert names[-1] == "end"
            assert await app.store.cells(LISTENING) == []


async def test_of_a_persons_run_what_is_said_is_sealed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    with stalls() as server:
        app = talking(App("memory://"), server.openai_url)
        async with serving(app) as clients:
            client = clients()
            handle = await app.start("talks", subject="patient:4711")
            events: list[Event] = []
            async with asyncio.timeout(20):
                await begun(client, handle.id, events)
            # the one who may listen has heard it; in the store it cannot be read
            assert WORDS.startswith(shown(events))
            sealed: Any = app.store
            ((_, cell),) = await sealed.inner.cells(SAID)
            assert b"one" not in cell.data
            assert b'"sealed"' in cell.data
            server.release()
            assert await handle.result() == WORDS


@pytest.mark.parametrize("model", ["openai-chat:gpt-5", "openai:gpt-5"])
async def test_a_turn_of_the_runs_own_is_heard_and_costs_the_same(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an agent that asks a model itself, twice: once before anybody can listen
    app = App("memory://")

    @app.agent("asks")
    async def asks(run: Run) -> list[str]:
        first = await run.model(model, "unheard")
        await run.receive("go", str)
        return [first, await run.model(model, "heard", name="again")]

    with ModelServer(Turns([says(WORDS)]), faults=[FaultRule(Fault("stalled"), skip=1)]) as server:
        for name, value in server.environ().items():
            monkeypatch.setenv(name, value)
        async with serving(app) as clients:
            client = clients()
            run = (await client.runs.start("asks")).run
            handle = await app.handle(run)
            await server.wait_for(1)
            events: list[Event] = []
            # when somebody listens to the second
            async with asyncio.timeout(20):
                async for event in client.runs.events(run, tokens=True):
                    events.append(event)
                    if event.name == "run" and event.read()["reasons"] == ["signal"]:
                        await until(app.store, LISTENING)
                        await handle.signal("go", "1")
                    if event.name == "token":
                        server.release()
            assert await handle.result() == [WORDS, WORDS]
            # then it has been streamed, and only it; the journal tells both in the same way
            assert [r.stream for r in server.requests] == [False, True]
            tokens = [e.read() for e in events if e.name == "token"]
            assert {t["step"] for t in tokens} == {"again/turn"}
            one, two = (
                json.loads(e.payload)["reply"]
                for e in await app.store.read(handle.ref)
                if e.kind == Kind.RESULT and e.key.endswith("/turn")
            )
            assert one["usage"] == two["usage"]
            assert (one["text"], one["finish_reason"]) == (two["text"], two["finish_reason"])
