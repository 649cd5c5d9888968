"""Streams of agents of the OpenAI Agents SDK: live, cut off, and recorded."""

from __future__ import annotations

import pytest

pytest.importorskip("agents", reason='needs openai-agents: pip install "perdure[openai-agents]"')

from agents import Agent

from perdure import App, Run
from perdure.testing import Turns, survives, until_waiting
from perdure.testing.model_server import Fault, asks, says
from tests.adapters.openai_agents_shop import BUY, Shop, connections, serving

__all__ = ["connections"]  # a fixture


async def test_a_stream_comes_live_and_again_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("memory://")
    shop = Shop()
    app = shop.declared(app)
    seen: list[list[str]] = []

    @app.agent("talker")
    async def talker(run: Run, task: str) -> str:
        pieces: list[str] = []
        seen.append(pieces)
        async with run.wrap(Agent(name="talker", tools=[shop.price])).stream(task) as result:
            async for event in result.stream_events():
                if event.type == "raw_response_event":
                    if event.data.type == "response.output_text.delta":
                        pieces.append(event.data.delta)
                    elif event.data.type == "perdure.answer_restarted":
                        pieces.append("again:")
        await run.receive("go", str)
        return result.final_output

    script = Turns([asks("price", item="lamp"), says("forty pounds and not a penny less")])
    with serving(script, monkeypatch) as server:
        async with app:
            run = await app.start(talker, "go")
            await until_waiting(app, run, "signal")
            await run.signal("go", "1")
            assert await run.result() == "forty pounds and not a penny less"
        assert len(server.requests) == 2
    assert len(seen) == 2
    assert len(seen[0]) > 1
    assert "".join(seen[0]) == "forty pounds and not a penny less"
    assert seen[1] == ["forty pounds and not a penny less"]


async def test_a_stream_that_breaks_begins_again_with_a_marker(monkeypatch: pytest.MonkeyPatch) -> None:
    app = App("memory://")
    pieces: list[str] = []

    @app.agent("talker")
    async def talker(run: Run, task: str) -> str:
        async with run.wrap(Agent(name="talker")).stream(task) as result:
            async for event in result.stream_events():
                if event.type == "raw_response_event":
                    kind = event.data.type
                    if kind == "response.output_text.delta":
                        pieces.append(event.data.delta)
                    elif kind == "perdure.answer_restarted":
                        pieces.append(f"<{event.data.message} {event.data.attempt}>")
        return result.final_output

    with serving(Turns([[Fault("cut_off"), says("whole and long enough")]]), monkeypatch) as server:
        async with app:
            run = await app.start(talker, "go")
            assert await run.result() == "whole and long enough"
        assert len(server.requests) == 2
    text = "".join(pieces)
    assert text.count("<talker/turn 2>") == 1
    assert text.endswith("<talker/turn 2>whole and long enough")


async def test_a_stream_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    app = shop.declared(App("memory://"))

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        async with run.wrap(Agent(name="buyer", tools=[shop.price, shop.pay])).stream(task) as result:
            async for _ in result.stream_events():
                pass
        return result.final_output

    with serving(Turns(BUY), monkeypatch):
        trials = await survives(app, desk, "buy")
    assert trials[0].result == "bought both"
