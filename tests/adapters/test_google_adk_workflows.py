"""Agents of the ADK that are made of agents: one after the other, in a loop, beside each other."""

from __future__ import annotations

import asyncio
import threading
import warnings
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

pytest.importorskip("google.adk", reason='the ADK is not installed: pip install "perdure[google-adk]"')

from google.adk.agents import LlmAgent, LoopAgent, ParallelAgent, SequentialAgent
from google.adk.models import Gemini
from google.adk.tools import ToolContext
from google.genai import Client
from google.genai.types import HttpOptions

from perdure import App, Handle, Run
from perdure.journal import Kind, RunStatus
from perdure.testing import Boundary, ModelServer, Trial, kill_at, survives, until_waiting
from perdure.testing.conformance.adapters import World
from perdure.testing.model_server import Reply, Request, asks, says

Made = Callable[..., LlmAgent]

pytestmark = pytest.mark.filterwarnings("ignore:.*Agent is deprecated:DeprecationWarning")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(world: World) -> App:
    app = App("memory://", lease=timedelta(seconds=2))
    world.declare(app)
    app.effects.declare("read", "enough")
    return app


@pytest.fixture
async def made() -> AsyncIterator[Made]:
    clients: list[Client] = []

    def make(server: ModelServer, name: str, *tools: Any) -> LlmAgent:
        clients.append(Client(api_key="scripted", http_options=HttpOptions(base_url=server.gemini_url)))
        model = Gemini(model="gemini-2.5-flash", client=clients[-1])
        return LlmAgent(name=name, model=model, instruction=f"You are {name}.", tools=list(tools))

    yield make
    for client in clients:
        await client.aio.aclose()
        client.close()


async def enough(tool_context: ToolContext) -> str:
    """Say that it is enough."""
    tool_context.actions.escalate = True
    return "stopped"


def scripted(**by: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """Each agent answers by its own function of the request."""
    return lambda request: next(say for who, say in by.items() if f"You are {who}." in request.system)(
        request
    )


def paying(*amounts: int, by: str = "pay") -> Callable[[Request], Reply]:
    """One payment a turn, then a word."""
    return lambda r: asks(by, n=amounts[r.results]) if r.results < len(amounts) else says("paid")


putting = partial(paying, by="put")
"""With a tool whose call is never in doubt."""


def wrapped(app: App, agent: Any) -> Any:
    @app.agent("scene")
    async def scene(run: Run, prompt: str) -> Any:
        answer = await run.wrap(agent)(prompt)
        called = [[e.author, c.args.get("n")] for e in answer.events for c in e.get_function_calls()]
        return [answer.text, called]

    return scene


async def test_agents_beside_each_other_replay_in_the_order_in_which_they_came(
    app: App, world: World, made: Made
) -> None:
    ahead = asyncio.Event()

    async def second(request: Request) -> Reply:
        if request.results:
            ahead.set()  # its call is recorded
        return putting(1)(request)

    async def first(request: Request) -> Reply:
        await ahead.wait()
        return putting(2)(request)

    script = scripted(first=first, second=second, last=lambda r: says("all of it"))
    with ModelServer(script) as server:
        put = world.tools("put")
        panel = ParallelAgent(
            name="panel", sub_agents=[made(server, "first", *put), made(server, "second", *put)]
        )
        agent = SequentialAgent(name="desk", sub_agents=[panel, made(server, "last")])

        scene = wrapped(app, agent)
        trials: list[Trial] = []
        for place in (None, Boundary("before", "result", step="desk/turn"), Boundary("before", "ended")):
            ahead.clear()
            trials.append(await kill_at(app, scene, "go", place, limit=60))

    alone = trials[0]
    assert alone.result == ["all of it", [["second", 1], ["first", 2]]]
    assert [trial.result for trial in trials] == [alone.result] * 3
    turns = [e.key for e in alone.entries if e.kind == Kind.RESULT and "/turn" in e.key[-8:]]
    assert turns[-1] == "desk/turn"
    assert turns.count("desk/panel.first/turn") == turns.count("desk/panel.second/turn:2") == 1


async def test_where_agents_beside_each_other_all_wait_the_run_is_suspended(
    app: App, world: World, made: Made
) -> None:
    def asking(topic: str) -> Callable[[Request], Reply]:
        return lambda r: says(r.last) if r.results else asks("ask_person", topic=topic)

    with ModelServer(scripted(ann=asking("a"), bob=asking("b"))) as server:
        ask = world.tools("ask_person")
        agent = ParallelAgent(name="panel", sub_agents=[made(server, "ann", *ask), made(server, "bob", *ask)])

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            world.run = run
            answer = await run.wrap(agent)(prompt)
            return sorted(e.content.parts[0].text for e in answer.events if e.is_final_response())

        async def answers(app: App, run: Handle) -> None:
            await until_waiting(app, run, "signal")  # both do: else the run would not
            await run.signal("b", "2")
            await run.signal("a", "1")

        trials = await survives(app, scene, "go", outside=answers, limit=60)

    assert "1" in trials[0].result[0] and "2" in trials[0].result[1]
    assert any(e.kind == Kind.SUSPENDED for e in trials[0].entries)


async def test_an_error_of_one_is_told_when_the_others_have_finished(
    app: App, world: World, made: Made
) -> None:
    script = scripted(bad=lambda r: asks("broken", n=7), good=paying(1))
    with ModelServer(script) as server:
        agents = [made(server, "bad", *world.tools("broken")), made(server, "good", *world.tools("pay"))]
        agent = ParallelAgent(name="panel", sub_agents=agents)

        trials = await survives(app, wrapped(app, agent), "go", limit=60)

    assert trials[0].status is RunStatus.FAILED
    assert "there is no number 7" in str(trials[0].error)
    assert trials[0].calls["pay"] == 1
    assert not trials[0].doubts


async def test_one_that_has_had_enough_ends_the_others(app: App, world: World, made: Made) -> None:
    def stops(request: Request) -> Reply:
        return says("stopped") if request.results else asks("enough")

    def asks_first(request: Request) -> Reply:
        return asks("ask_person", topic="never") if request.results else asks("pay", n=1)

    script = scripted(patient=asks_first, hasty=stops, last=lambda r: says("went on"))
    with ModelServer(script) as server:
        patient = made(server, "patient", *world.tools("pay", "ask_person"))
        panel = ParallelAgent(name="panel", sub_agents=[patient, made(server, "hasty", enough)])
        agent = SequentialAgent(name="desk", sub_agents=[panel, made(server, "last")])

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            world.run = run
            return (await run.wrap(agent)(prompt)).text

        trials = await survives(app, scene, "go", limit=60)

    assert trials[0].result == "went on"


async def test_what_an_agent_had_asked_that_was_ended_is_asked_no_more(
    app: App, world: World, made: Made
) -> None:
    app.effects.declare("delegate", "ask_boss")
    asked = threading.Event()  # the server has a thread of its own

    async def ask_boss() -> str:
        """Ask the boss."""
        assert world.run is not None
        return str(await world.run.ask("sure?"))

    async def stops(request: Request) -> Reply:
        await asyncio.to_thread(asked.wait, 20)
        return says("stopped") if request.results else asks("enough")

    def waits(request: Request) -> Reply:
        return says(request.last) if request.results else asks("ask_person", topic="end")

    async def outside(app: App, run: Handle) -> None:
        while not await app.open_approvals(run.id):
            await app.store.changed(app.store.changes(), within=0.05)
        asked.set()
        await until_waiting(app, run, "signal")
        assert await app.open_approvals(run.id) == []
        await run.signal("end", "well")

    script = scripted(patient=lambda r: asks("ask_boss"), hasty=stops, last=waits)
    with ModelServer(script) as server:
        patient = made(server, "patient", ask_boss)
        panel = ParallelAgent(name="panel", sub_agents=[patient, made(server, "hasty", enough)])
        last = made(server, "last", *world.tools("ask_person"))
        agent = SequentialAgent(name="desk", sub_agents=[panel, last])

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            world.run = run
            return (await run.wrap(agent)(prompt)).text

        for place in (None, Boundary("after", "suspended"), Boundary("before", "ended")):
            asked.clear()
            trial = await kill_at(app, scene, "go", place, outside=outside, limit=60)
            assert "well" in trial.result


async def test_a_loop_ends_where_one_says_so(app: App, world: World, made: Made) -> None:
    def judge(request: Request) -> Reply:
        if request.last == "stopped":
            return says("stopped")
        return asks("enough") if world.paid[-1:] == [2] else says("more")

    def worker(request: Request) -> Reply:
        return says("paid") if "paid" in request.last else asks("pay", n=len(set(world.paid)) + 1)

    with ModelServer(scripted(worker=worker, judge=judge)) as server:
        agent = LoopAgent(
            name="again",
            sub_agents=[made(server, "worker", *world.tools("pay")), made(server, "judge", enough)],
            max_iterations=5,
        )

        trials = await survives(app, wrapped(app, agent), "go", setup=world.paid.clear, limit=60)

    assert [n for _, n in trials[0].result[1] if n] == [1, 2]
    assert trials[0].calls["pay"] == 2


async def test_pieces_say_which_message_they_belong_to(app: App, made: Made) -> None:
    with ModelServer(scripted(ann=lambda r: says("one"), bob=lambda r: says("two"))) as server:
        agent = ParallelAgent(name="panel", sub_agents=[made(server, "ann"), made(server, "bob")])

        @app.agent("scene")
        async def scene(run: Run, prompt: str) -> Any:
            said: dict[str, str] = {}
            async with run.wrap(agent).pieces(prompt) as pieces:
                async for piece in pieces:
                    said[piece.message] = said.get(piece.message, "") + piece.text
            return said

        trials = await survives(app, scene, "go", limit=60)

    assert trials[0].result == {"panel/panel.ann/turn": "one", "panel/panel.bob/turn": "two"}


async def test_no_warning_is_given_twice(app: App, made: Made) -> None:
    with ModelServer(scripted(ann=lambda r: says("one"))) as server:
        agent = ParallelAgent(name="panel", sub_agents=[made(server, "ann")])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            trial = await kill_at(app, wrapped(app, agent), "go", limit=60)

    assert trial.result == ["one", []]
