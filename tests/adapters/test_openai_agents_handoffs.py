"""Several agents of the OpenAI Agents SDK in one run: handed over to, or as tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("agents", reason='needs openai-agents: pip install "perdure[openai-agents]"')

from agents import Agent, Runner, function_tool, handoff
from agents.tool_context import ToolContext
from pydantic import BaseModel

from perdure import App, Handle, Run, RunFailed
from perdure.journal import Kind
from perdure.testing import Turns, survives, until_waiting
from perdure.testing.model_server import Reply, asks, call, says
from tests.adapters.openai_agents_shop import Shop, connections, keys, make, serving

__all__ = ["connections"]  # a fixture


@dataclass
class Seat:
    number: str | None = None
    flight: str | None = None


booked: list[str] = []
"""Flights that the handoff has booked, of all lives of a run."""


def airline() -> tuple[Agent[Seat], Agent[Seat]]:
    @function_tool
    async def update_seat(context: ToolContext[Seat], number: str) -> str:
        context.context.number = number
        return f"seat {number}"

    async def on_seat(context: Any) -> None:
        context.context.flight = f"FLT-{len(booked) + 1}"
        booked.append(context.context.flight)

    def instructions(context: Any, agent: Agent[Seat]) -> str:
        return f"Seat now: {context.context.number}"

    seat: Agent[Seat] = Agent(name="Seat agent", instructions=instructions, tools=[update_seat])
    triage: Agent[Seat] = Agent(
        name="Triage agent", instructions="Hand over.", handoffs=[handoff(seat, on_handoff=on_seat)]
    )
    seat.handoffs.append(triage)
    return triage, seat


async def test_a_handoff_and_what_a_tool_wrote_to_the_context_survive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triage, seat = airline()
    app = App("memory://")
    app.effects.declare("idempotent", "update_seat")
    last: list[Any] = []

    @app.agent("airline")
    async def travel(run: Run, task: str) -> list[str | None]:
        context = Seat()
        result = await run.wrap(triage)(task, context=context)
        last.append((result.last_agent, {item.agent.name for item in result.new_items}))
        return [result.final_output, context.number, context.flight]

    script = Turns([asks("transfer_to_seat_agent"), asks("update_seat", number="12A"), says("done")])
    with serving(script, monkeypatch) as server:
        trials = await survives(app, travel, "seat 12A please", setup=booked.clear)
        systems = {request.system for request in server.requests}
    assert trials[0].result == ["done", "12A", "FLT-1"]
    assert trials[0].calls["transfer_to_seat_agent"] == 1
    assert all(agent is seat for agent, _ in last)
    assert last[0][1] == {"Triage agent", "Seat agent"}
    assert "Seat now: 12A" in systems


async def test_an_agent_as_a_tool_stands_below_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    app = shop.declared(App("memory://"))
    inner = Agent(name="payer", instructions="You pay.", tools=[shop.pay])
    outer = Agent(
        name="boss",
        instructions="You lead.",
        tools=[inner.as_tool(tool_name="payer", tool_description="pays"), shop.price],
    )

    def script(request: Any) -> Reply:
        if "pay" in request.tool_names and "payer" not in request.tool_names:
            return says("inner done") if request.turn > 1 else asks("pay", amount=int(request.last))
        if request.turn > 1:
            return says("all done")
        return Reply(calls=(call("payer", input="1"), call("payer", input="2"), call("price", item="lamp")))

    with serving(script, monkeypatch):
        trials = await survives(app, make(app, outer), "go")
    assert trials[0].result == "all done"
    intents = keys(trials[0].entries, Kind.INTENT)
    assert len(intents) == 2
    assert all(k.startswith("boss/turn.payer.") and "/payer/turn.pay." in k for k in intents)


async def test_a_tool_that_runs_an_agent_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    app = shop.declared(App("memory://"))
    inner = Agent(name="payer", tools=[shop.pay])

    @function_tool
    async def delegate(amount: int) -> str:
        return (await Runner.run(inner, str(amount))).final_output

    app.effects.declare("delegate", "delegate")

    def script(request: Any) -> Reply:
        if "pay" in request.tool_names:
            return says("inner done") if request.turn > 1 else asks("pay", amount=7)
        return says("all done") if request.turn > 1 else asks("delegate", amount=7)

    with serving(script, monkeypatch):
        trials = await survives(app, make(app, Agent(name="boss", tools=[delegate])), "go")
    assert trials[0].result == "all done"
    assert trials[0].calls["pay"] == 1


class Wish(BaseModel):
    flight: str


async def test_what_a_handoff_does_is_approved_and_edited_as_a_tool_s_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def on_seat(context: Any, wish: Wish) -> None:
        booked.append(wish.flight)

    seat = Agent(name="Seat agent")
    triage = Agent(name="triage", handoffs=[handoff(seat, on_handoff=on_seat, input_type=Wish)])
    app = App("memory://")
    app.effects.declare("write", "transfer_to_seat_agent", needs_approval=True)

    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        (question,) = await app.open_approvals(run.id)
        edited = {"digest": question.digest, "arguments": {"flight": "FLT-9"}}
        await app.answer(run.id, question.step, approved=True, by="boss", **edited)

    with serving(Turns([asks("transfer_to_seat_agent", flight="FLT-1"), says("done")]), monkeypatch):
        trials = await survives(app, make(app, triage), "go", setup=booked.clear, outside=boss)

    assert trials[0].result == "done"
    assert booked == ["FLT-9"]


async def test_words_that_a_handoff_cannot_read_are_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    seat = Agent(name="Seat agent")
    on_seat: Any = lambda context, wish: booked.append(wish)  # noqa: E731
    triage = Agent(name="triage", handoffs=[handoff(seat, on_handoff=on_seat, input_type=Wish)])
    app = App("memory://")
    booked.clear()

    with serving(Turns([asks("transfer_to_seat_agent", flight=7)]), monkeypatch):
        async with app:
            run = await app.start(make(app, triage), "go")
            with pytest.raises(RunFailed, match="ModelBehaviorError"):
                await run.result()

    assert booked == []
