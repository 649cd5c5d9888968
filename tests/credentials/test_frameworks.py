"""A framework's own tools, which cannot be annotated: the user's account and a client are at hand in their bodies."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import App, OutsideRun, Run, RunFailed, credential, declare, http_client
from tests.credentials.echo import echoing
from tests.credentials.wallet import ANN, Wallet, until_wanted

pytest.importorskip("pydantic_ai")

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

SECRET = "ghp-canary-4711"


def once(tool: str) -> FunctionModel:
    """A model that calls the tool, and then says what it gave."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert [list(t.parameters_json_schema["properties"]) for t in info.function_tools] == [["title"]]
        if len(messages) == 1:
            return ModelResponse([ToolCallPart(tool, {"title": "broken"})])
        return ModelResponse([TextPart(str(messages[-1].parts[0].content))])  # type: ignore[union-attr]

    return FunctionModel(answer)


async def test_the_users_account_is_at_hand_and_waited_for(store_url: str) -> None:
    wallet = Wallet()
    app = wallet.app = App(store_url, credentials=wallet)
    agent = Agent(once("open_issue"), name="helper")
    sent: list[str] = []

    @agent.tool_plain
    @declare("write", credential="github")
    async def open_issue(title: str) -> str:
        sent.append(credential().reveal())
        return f"{title} by {credential().subject}"

    @app.agent("desk")
    async def desk(run: Run) -> Any:
        return (await run.wrap(agent)("go")).output

    async with app:
        run = await app.start(desk, on_behalf_of=ANN)
        await until_wanted(app)
        await wallet.connect(SECRET)
        assert await run.result() == "broken by user:ann"
        assert all(SECRET.encode() not in e.payload for e in await run.entries())
    assert sent == [SECRET]


async def test_a_client_is_at_hand(store_url: str) -> None:
    wallet = Wallet()
    app = wallet.app = App(store_url, credentials=wallet)
    wallet.keep(SECRET)
    agent = Agent(once("look"), name="helper")
    with echoing() as echo:

        @agent.tool_plain
        @declare("read", credential="github", hosts=[echo.url], allow_private=["127.0.0.0/8"])
        async def look(title: str) -> str:
            return str((await http_client().get(f"{echo.url}/{title}")).status_code)

        @app.agent("desk")
        async def desk(run: Run) -> Any:
            return (await run.wrap(agent)("go")).output

        async with app:
            assert await (await app.start(desk, on_behalf_of=ANN)).result() == "200"
        assert echo.carried() == [f"Bearer {SECRET}"]


async def test_what_was_not_declared_is_not_at_hand() -> None:
    app = App("memory://")
    agent = Agent(once("look"), name="helper")

    @agent.tool_plain
    @declare("read")
    async def look(title: str) -> str:
        with pytest.raises(OutsideRun, match="not declared to reach"):
            http_client()
        return credential().reveal()

    @app.agent("desk")
    async def desk(run: Run) -> Any:
        return (await run.wrap(agent)("go")).output

    async with app:
        with pytest.raises(RunFailed, match="not declared to use an account"):
            await (await app.start(desk, on_behalf_of=ANN)).result()
    with pytest.raises(OutsideRun, match="no tool of a wrapped agent"):
        credential()
