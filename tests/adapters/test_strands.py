"""What is particular to agents of Strands: what a tool leaves behind, one conversation over calls, what is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("strands", reason='Strands is not installed: pip install "perdure[strands]"')

from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel

from perdure import App, Run
from perdure.testing import ModelServer, Turns, kill_at, survives
from perdure.testing.model_server import asks, says


@pytest.fixture
def app() -> App:
    made = App("memory://", lease=timedelta(seconds=2))
    made.effects.declare("write", "keep")
    return made


@tool(context=True)
async def keep(item: str, tool_context: ToolContext) -> str:
    """Keep an item."""
    tool_context.agent.state.set("kept", item)
    return f"kept the {item}"


@tool(context=True)
async def doubt(tool_context: ToolContext) -> str:
    """Ask somebody."""
    return tool_context.interrupt("sure", reason="who knows")


def actor(server: ModelServer, *tools: Any, **more: Any) -> Agent:
    args = {"base_url": server.openai_url, "api_key": "scripted"}
    model = OpenAIModel(client_args=args, model_id="gpt-5")
    return Agent(name="actor", model=model, tools=list(tools), callback_handler=None, **more)


async def test_state_and_conversation_go_on_and_the_agent_itself_stays_as_it_was(app: App) -> None:
    with ModelServer(Turns([asks("keep", item="lamp"), says("first"), says("second")])) as server:
        agent = actor(server, keep)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            talk = run.wrap(agent)
            texts = [str(await talk("one")).strip()]
            result = await talk("two")
            return [*texts, str(result).strip(), len(talk.messages), talk._copy.state.get("kept")]

        trials = await survives(app, scene, "go", limit=60)

    assert trials[0].result == ["first", "second", 6, "lamp"]
    assert trials[0].calls == {"keep": 1}
    assert agent.messages == []
    assert agent.state.get("kept") is None


@pytest.mark.parametrize(
    ("more", "words"),
    [({"background_tasks": True}, "background tasks"), ({"checkpointing": True}, "checkpoints")],
)
async def test_what_goes_past_the_journal_is_refused(app: App, more: dict[str, Any], words: str) -> None:
    with ModelServer(Turns([says("never")])) as server:
        agent = actor(server, **more)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            return str(await run.wrap(agent)(prompt))

        trial = await kill_at(app, scene, "go", limit=60)
        asked = len(server.requests)

    assert trial.error is not None
    assert words in trial.error
    assert asked == 0


async def test_an_interrupt_ends_the_run_with_what_to_write_in_its_place(app: App) -> None:
    app.effects.declare("read", "doubt")
    with ModelServer(Turns([asks("doubt"), says("never")])) as server:
        agent = actor(server, doubt)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            return str(await run.wrap(agent)(prompt))

        trial = await kill_at(app, scene, "go", limit=60)
        turns = [r.turn for r in server.requests]

    assert trial.error is not None
    assert "needs_approval=True" in trial.error
    assert turns == [1]
