"""What is particular to agents of Strands: what a tool leaves behind, one conversation over calls, what is refused."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("strands", reason='Strands is not installed: pip install "perdure[strands]"')

from pydantic import BaseModel
from strands import Agent, ToolContext, tool
from strands.models.openai import OpenAIModel

from perdure import App, Run
from perdure.testing import ModelServer, Turns, kill_at, survives
from perdure.testing.model_server import Reply, Request, asks, call, says


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


class Plan(BaseModel):
    where: str


async def test_an_expert_is_asked_twice_at_once_and_answers_both(app: App) -> None:
    asked, both = list[str](), asyncio.Event()

    async def answer(request: Request) -> Reply:
        if "expert" not in request.system:
            return (
                says("done")
                if request.turn > 1
                else Reply(calls=(call("expert", input="heart?"), call("expert", input="lungs?")))
            )
        asked.append(request.last)
        if len(asked) == 2:
            both.set()
        await asyncio.wait_for(both.wait(), 20)  # each waits for the other
        return says(f"{request.last} well")

    with ModelServer(answer) as server:
        expert = actor(server, system_prompt="You are the expert.")
        expert.name = "expert"
        agent = actor(server, expert.as_tool())

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            return str(await run.wrap(agent)(prompt)).strip()

        trial = await kill_at(app, scene, "go", limit=60)
        told = str(server.requests[-1].body)

    assert trial.result == "done"
    assert "heart? well" in told
    assert "lungs? well" in told


async def test_one_run_does_not_see_the_form_that_another_wants_its_answer_in(app: App) -> None:
    first, second = asyncio.Event(), asyncio.Event()

    async def answer(request: Request) -> Reply:
        if request.last == "formed":
            loop.call_soon_threadsafe(first.set)
            await asyncio.to_thread(asyncio.run_coroutine_threadsafe(second.wait(), loop).result, 20)
            return asks("Plan", where="Oslo")
        loop.call_soon_threadsafe(second.set)
        return says("plain")

    loop = asyncio.get_running_loop()
    with ModelServer(answer) as server:
        agent = actor(server)

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> str:
            if prompt == "formed":
                return (await run.wrap(agent)(prompt, structured_output_model=Plan)).structured_output.where
            return str(await run.wrap(agent)(prompt)).strip()

        async with app:
            formed = await app.start(scene, "formed")
            await first.wait()
            plain = await app.start(scene, "plain")
            assert await plain.result() == "plain"
            assert await formed.result() == "Oslo"
        (seen,) = [r for r in server.requests if r.last == "plain"]

    assert not seen.tools
