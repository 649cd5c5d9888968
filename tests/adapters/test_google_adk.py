"""What is particular to agents of Google's ADK: what a tool leaves behind, one session over calls, what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("google.adk", reason='the ADK is not installed: pip install "perdure[google-adk]"')

from google.adk.agents import BaseAgent, LlmAgent
from google.adk.code_executors import UnsafeLocalCodeExecutor
from google.adk.models import Gemini
from google.adk.tools import ToolContext, google_search
from google.genai import Client
from google.genai.types import HttpOptions

from perdure import App, Run
from perdure.journal import Kind
from perdure.testing import ModelServer, Turns, kill_at, survives
from perdure.testing.model_server import asks, says

Actor = Callable[..., LlmAgent]


@pytest.fixture
def app() -> App:
    made = App("memory://", lease=timedelta(seconds=2))
    made.effects.declare("write", "keep")
    return made


@pytest.fixture
async def actor() -> AsyncIterator[Actor]:
    clients: list[Client] = []

    def make(server: ModelServer, *tools: Any) -> LlmAgent:
        clients.append(Client(api_key="scripted", http_options=HttpOptions(base_url=server.gemini_url)))
        model = Gemini(model="gemini-2.5-flash", client=clients[-1])
        return LlmAgent(name="actor", model=model, tools=list(tools))

    yield make
    for client in clients:
        await client.aio.aclose()
        client.close()


async def keep(item: str, tool_context: ToolContext) -> str:
    """Keep an item."""
    tool_context.state["kept"] = item
    return f"kept the {item}"


async def test_state_that_a_tool_set_is_there_again(app: App, actor: Actor) -> None:
    with ModelServer(Turns([asks("keep", item="lamp"), says("done")])) as server:
        agent = actor(server, keep)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            answer = await run.wrap(agent)(prompt)
            return [answer.text, answer.state]

        trials = await survives(app, scene, "go", limit=60)

    assert trials[0].result == ["done", {"kept": "lamp"}]
    assert trials[0].calls == {"keep": 1}


async def test_a_session_goes_on_over_several_calls(app: App, actor: Actor) -> None:
    with ModelServer(Turns([says("first"), says("second")])) as server:
        agent = actor(server)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            talk = run.wrap(agent)
            return [(await talk("one")).text, (await talk("two")).text]

        trials = await survives(app, scene, "go", limit=60)
        turns = {r.turn for r in server.requests}

    assert trials[0].result == ["first", "second"]
    assert turns == {1, 2}


class Custom(BaseAgent):
    """Does as it likes."""


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda agent: Custom(name="custom", sub_agents=[agent]), "`Custom`"),
        (lambda agent: agent.clone({"tools": [google_search]}), "google_search"),
    ],
)
async def test_what_no_step_covers_is_refused_by_name(app: App, actor: Actor, made: Any, words: str) -> None:
    with ModelServer(Turns([says("never")])) as server:
        agent = made(actor(server))

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            return (await run.wrap(agent)(prompt)).text

        trial = await kill_at(app, scene, "go", limit=60)
        asked = len(server.requests)

    assert trial.error is not None
    assert "ConfigError" in trial.error
    assert words in trial.error
    assert asked == 0


async def test_code_that_the_owner_lets_run_unseen_is_uncovered_in_every_turn(app: App, actor: Actor) -> None:
    with ModelServer(Turns([says("done")])) as server:
        agent = actor(server).clone({"code_executor": UnsafeLocalCodeExecutor()})

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            return (await run.wrap(agent)(prompt)).text

        refused = await kill_at(app, scene, "go", limit=60)
        app.effects.allow("code_executor")
        trial = await kill_at(app, scene, "go", limit=60)

    assert "code_executor" in str(refused.error)
    assert trial.result == "done"
    (turn,) = [e.payload for e in trial.entries if e.kind == Kind.RESULT]
    assert b'"uncovered":["code_executor"]' in turn
