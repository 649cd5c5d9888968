"""Agents of the OpenAI Agents SDK in a run, against a provider on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json

from perdure import App, ConfigError, Run, RunFailed
from perdure.journal import Kind
from perdure.testing import ModelServer, Turns, survives, until_waiting
from perdure.testing.model_server import Fault, Reply, asks, call, gives, says

pytest.importorskip("agents", reason='needs openai-agents: pip install "perdure[openai-agents]"')

from agents import (  # where it is there
    Agent,
    GuardrailFunctionOutput,
    InputGuardrailTripwireTriggered,
    RunConfig,
    Runner,
    SQLiteSession,
    WebSearchTool,
    function_tool,
    handoff,
    input_guardrail,
)
from agents.tool_context import ToolContext


@pytest.fixture(autouse=True)
async def connections() -> Any:
    """The SDK keeps one HTTP client for the process; here each test has a loop of its own."""
    from agents.models import openai_provider

    openai_provider._http_client = None
    yield
    if openai_provider._http_client is not None:
        await openai_provider._http_client.aclose()
        openai_provider._http_client = None


@contextmanager
def serving(script: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelServer]:
    with ModelServer(script) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        yield server


def keys(entries: Any, kind: Kind) -> list[str]:
    return [e.key for e in entries if e.kind == kind]


def make(app: App, agent: Agent[Any], **options: Any) -> Any:
    @app.agent("desk")
    async def desk(run: Run, task: str) -> Any:
        return (await run.wrap(agent)(task, **options)).final_output

    return desk


class Shop:
    """Tools that say how often they were called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

        @function_tool
        async def price(item: str) -> int:
            self.calls.append(f"price {item}")
            return {"lamp": 40, "desk": 300}[item]

        @function_tool
        async def pay(amount: int) -> str:
            self.calls.append(f"pay {amount}")
            return f"paid {amount}"

        self.price, self.pay = price, pay

    def declared(self, app: App) -> App:
        app.effects.declare("read", "price")
        app.effects.declare("write", "pay")
        return app


BUY = [
    Reply(calls=(call("price", item="lamp"), call("price", item="desk"))),
    Reply(calls=(call("pay", amount=40), call("pay", amount=300))),
    says("bought both"),
]


async def test_a_worker_may_die_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    app = shop.declared(App("memory://"))
    with serving(Turns(BUY), monkeypatch):
        trials = await survives(app, make(app, Agent(name="buyer", tools=[shop.price, shop.pay])), "buy")
    assert trials[0].result == "bought both"
    assert trials[0].calls["pay"] == 2
    entries = trials[0].entries
    assert [k for k in keys(entries, Kind.RESULT) if k.endswith(("turn", "turn:2", "turn:3"))] == [
        "buyer/turn",
        "buyer/turn:2",
        "buyer/turn:3",
    ]
    assert len([k for k in keys(entries, Kind.INTENT) if k.endswith("/pay")]) == 2
    decision = next(e.payload for e in entries if e.kind == Kind.DECISION)
    assert b'"choice":["price","price"]' in decision
    for kind in (Kind.RESULT, Kind.CHARGED):
        assert b'"input_tokens":10' in next(e.payload for e in entries if e.kind == kind)


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


@dataclass
class Seat:
    number: str | None = None
    flight: str | None = None


def airline() -> tuple[Agent[Seat], Agent[Seat]]:
    @function_tool
    async def update_seat(context: ToolContext[Seat], number: str) -> str:
        context.context.number = number
        return f"seat {number}"

    async def on_seat(context: Any) -> None:
        context.context.flight = "FLT-1"

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
        trials = await survives(app, travel, "seat 12A please")
        systems = {request.system for request in server.requests}
    assert trials[0].result == ["done", "12A", "FLT-1"]
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


async def test_structured_output_keeps_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plan(BaseModel):
        steps: list[str]

    app = App("memory://")

    @app.agent("planner")
    async def planner(run: Run, task: str) -> list[str]:
        result = await run.wrap(Agent(name="planner", output_type=Plan))(task)
        assert isinstance(result.final_output, Plan)
        return result.final_output.steps

    with serving(Turns([gives({"steps": ["a", "b"]})]), monkeypatch):
        async with app:
            assert await (await app.start(planner, "go")).result() == ["a", "b"]


async def test_an_approval_is_asked_once_with_edits_and_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    paid: list[int] = []

    async def too_much(context: Any, arguments: dict[str, Any], call_id: str) -> bool:
        return arguments["amount"] > 10

    @function_tool(needs_approval=too_much)
    async def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    app = App("memory://")
    app.effects.declare("write", "pay")
    calls = tuple(call("pay", amount=n) for n in (5, 100, 200))
    with serving(Turns([Reply(calls=calls), says("done")]), monkeypatch) as server:
        async with app:
            run = await app.start(make(app, Agent(name="payer", tools=[pay])), "go")
            await until_waiting(app, run, "approval")
            open_now = await app.open_approvals(run.id)
            by_amount = {
                from_json(a.show)["show"]["arguments"]["amount"]: (a.step, from_json(a.show)["digest"])
                for a in open_now
            }
            assert sorted(by_amount) == [100, 200]
            edited, refused = by_amount[100], by_amount[200]
            await app.answer(
                run.id,
                edited[0],
                approved=True,
                by="ada",
                digest=edited[1],
                arguments={"amount": 50},
            )
            await app.answer(
                run.id,
                refused[0],
                approved=False,
                by="ada",
                digest=refused[1],
                reason="far too much",
            )
            assert await run.result() == "done"
        told = str(server.requests[-1].body)
    assert sorted(paid) == [5, 50]
    assert "paid 50" in told
    assert "far too much" in told


async def test_hosted_tools_are_refused_until_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent(name="searcher", tools=[WebSearchTool()])
    app = App("memory://")
    desk = make(app, agent)
    with serving(Turns([says("found")]), monkeypatch) as server:
        async with app:
            with pytest.raises(RunFailed, match=r"hosted|web_search"):
                await (await app.start(desk, "go")).result()
            assert not server.requests
            app.effects.allow("web_search")
            run = await app.start(desk, "go")
            assert await run.result() == "found"
            turn = next(e.payload for e in await run.entries() if e.kind == Kind.RESULT)
    assert b'"uncovered":["web_search"]' in turn


async def test_a_write_that_raises_is_in_doubt_and_a_read_tells_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @function_tool
    async def send(text: str) -> str:
        raise RuntimeError("the line went dead")

    @function_tool
    async def look(text: str) -> str:
        raise ValueError("nothing there")

    app = App("memory://")
    app.effects.declare("read", "look")
    script = Turns([asks("look", text="a"), asks("send", text="b"), says("done")])
    with serving(script, monkeypatch) as server:
        async with app:
            run = await app.start(make(app, Agent(name="sender", tools=[send, look])), "go")
            await until_waiting(app, run, "in_doubt")
            doubt = next(e.key for e in await run.entries() if e.kind == Kind.UNKNOWN)
            await app.settle(run.id, doubt, happened=True, result="sent after all", by="ada")
            assert await run.result() == "done"
        assert "An error occurred while running the tool" in str(server.requests[1].body)
        assert "sent after all" in str(server.requests[2].body)


async def test_arguments_that_do_not_fit_are_no_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    app = shop.declared(App("memory://"))
    script = Turns([asks("pay", amount="many"), says("sorry")])
    with serving(script, monkeypatch) as server:
        async with app:
            run = await app.start(make(app, Agent(name="payer", tools=[shop.pay])), "go")
            assert await run.result() == "sorry"
        assert "An error occurred while running the tool" in str(server.requests[1].body)
    assert shop.calls == []


async def test_a_tripped_guardrail_trips_again_on_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    checker = Agent(name="checker", instructions="Check.")

    @input_guardrail
    async def homework(context: Any, agent: Any, task: Any) -> GuardrailFunctionOutput:
        said = (await Runner.run(checker, task)).final_output
        return GuardrailFunctionOutput(output_info=said, tripwire_triggered=said == "homework")

    agent = Agent(name="tutor", instructions="Help.", input_guardrails=[homework])
    app = App("memory://")

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        try:
            return (await run.wrap(agent)(task)).final_output
        except InputGuardrailTripwireTriggered as tripped:
            return f"no: {tripped.guardrail_result.output.output_info}"

    def script(request: Any) -> Reply:
        return says("homework") if "Check" in request.system else says("x = 2")

    with serving(script, monkeypatch):
        trials = await survives(app, desk, "solve for x")
    assert trials[0].result == "no: homework"


async def test_a_session_is_read_and_added_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions: list[SQLiteSession] = []

    def setup() -> None:
        sessions.append(SQLiteSession("one"))

    app = App("memory://")

    @app.agent("desk")
    async def desk(run: Run, task: str) -> list[str]:
        agent = Agent(name="talker")
        first = await run.wrap(agent)(task, session=sessions[-1])
        second = await run.wrap(agent)("and now?", session=sessions[-1])
        return [first.final_output, second.final_output]

    with serving(lambda request: says(f"answer {request.turn}"), monkeypatch):
        trials = await survives(app, desk, "hello", setup=setup)
    assert trials[0].result == ["answer 1", "answer 2"]
    for session in sessions:
        assert len(await session.get_items()) in (0, 4)
        session.close()


async def test_a_models_error_is_its_own_type_and_is_tried_again_by_policy_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import openai

    app = App("memory://")
    caught: list[type[Exception]] = []

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        try:
            return (await run.wrap(Agent(name="talker"))(task)).final_output
        except openai.AuthenticationError as error:
            caught.append(type(error))
            return f"no key: {error.status_code}"

    with serving(Turns([Fault("bad_key")]), monkeypatch):
        trials = await survives(app, desk, "go")
    assert trials[0].result == "no key: 401"
    busy = [Fault("overloaded"), says("here")]
    with serving(Turns([busy]), monkeypatch) as server:
        async with app:
            run = await app.start(desk, "go")
            assert await run.result() == "here"
            assert len(keys(await run.entries(), Kind.ATTEMPT)) == 1
        assert len(server.requests) == 2


async def test_nothing_is_traced_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from agents.tracing import add_trace_processor, set_trace_processors
    from agents.tracing.processor_interface import TracingProcessor

    class Ears(TracingProcessor):
        def __init__(self) -> None:
            self.heard: list[Any] = []

        def on_trace_start(self, trace: Any) -> None:
            self.heard.append(trace)

        def on_trace_end(self, trace: Any) -> None:
            self.heard.append(trace)

        def on_span_start(self, span: Any) -> None:
            self.heard.append(span)

        def on_span_end(self, span: Any) -> None:
            self.heard.append(span)

        def shutdown(self) -> None: ...

        def force_flush(self) -> None: ...

    set_trace_processors([])
    ears = Ears()
    add_trace_processor(ears)
    shop = Shop()
    app = shop.declared(App("memory://"))
    desk = make(app, Agent(name="buyer", tools=[shop.price]), run_config=RunConfig(workflow_name="x"))
    with serving(Turns([asks("price", item="lamp"), says("ok")]), monkeypatch):
        async with app:
            assert await (await app.start(desk, "go")).result() == "ok"
    assert ears.heard == []


async def test_something_else_of_the_sdk_is_refused() -> None:
    app = App("memory://")

    @app.agent("desk")
    async def desk(run: Run) -> str:
        run.wrap(RunConfig())
        return ""

    async with app:
        with pytest.raises(RunFailed, match="no agent of the OpenAI Agents SDK"):
            await (await app.start(desk)).result()


async def test_the_sdk_is_untouched_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    with serving(Turns([asks("price", item="lamp"), says("ok")]), monkeypatch):
        result = await Runner.run(
            Agent(name="buyer", tools=[shop.price]), "go", run_config=RunConfig(tracing_disabled=True)
        )
    assert result.final_output == "ok"
    assert ConfigError is not None
    await asyncio.sleep(0)
