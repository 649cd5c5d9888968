"""Agents of the OpenAI Agents SDK in a run, against a provider on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import from_json

from perdure import App, ConfigError, Run, RunFailed
from perdure.journal import Kind
from perdure.testing import Turns, survives, until_waiting
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
    input_guardrail,
)

from tests.adapters.openai_agents_shop import BUY, Shop, connections, keys, make, serving

__all__ = ["connections"]  # a fixture


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
