"""What is particular to agents of pydantic-ai; the rest is in the suite of adapters."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, ModelRetry, RunContext, ToolReturn, WebSearchTool
from pydantic_ai.capabilities import Hooks, NativeTool
from pydantic_ai.exceptions import ApprovalRequired, ToolFailed
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    RetryPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.test import TestModel

from perdure import App, ConfigError, Principal, Run, RunFailed, declare, effect_key
from perdure.adapters.pydantic_ai.agents import PerdureCapability
from perdure.journal import Kind
from perdure.testing import Boundary, kill_at, survives


def scripted(*turns: str | list[ToolCallPart], profile: Any = None) -> FunctionModel:
    """A model that gives these answers, in order of the turns of its conversation."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        said = turns[sum(m.kind == "response" for m in messages)]
        return ModelResponse([TextPart(said)] if isinstance(said, str) else said)

    return FunctionModel(answer, profile=profile)


def results(result: Any) -> list[Any]:
    """What tools gave, as it stands in the history; in earlier releases a retry is a part of another kind."""
    told = (ToolReturnPart, RetryPromptPart)
    return [p.content for m in result.all_messages() for p in m.parts if isinstance(p, told)]


class Ticket(BaseModel):
    number: int
    due: date


async def test_results_come_back_as_their_type_or_as_json() -> None:
    app = App("memory://")
    app.effects.declare("read", "typed", "bare", "rich", "wrong")
    ticket = Ticket(number=7, due=date(2026, 1, 2))
    calls = [ToolCallPart(name, {}, name) for name in ("typed", "bare", "rich", "wrong")]
    agent = Agent(scripted(calls, "done"), name="desk")

    @agent.tool_plain
    async def typed() -> Ticket:
        return ticket

    @agent.tool_plain
    async def bare():  # type: ignore[no-untyped-def]
        return ticket

    @agent.tool_plain
    async def rich() -> ToolReturn:
        return ToolReturn(return_value={"n": 1}, content="look at this", metadata={"kept": True})

    @agent.tool_plain
    async def wrong() -> int:
        return "no number"  # type: ignore[return-value]  # the framework does not mind

    seen: list[Any] = []

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        result = await run.wrap(agent)(task)
        seen.append(results(result))
        return result.output

    trials = await survives(app, desk, "go")

    assert trials[0].result == "done"
    assert all(s == [ticket, {"number": 7, "due": "2026-01-02"}, {"n": 1}, "no number"] for s in seen)
    assert len(seen) > len(trials)


@pytest.mark.parametrize("error", [ModelRetry("say it again"), ToolFailed("out of stock")])
async def test_what_a_tool_tells_the_model_by_raising_puts_no_write_in_doubt(error: Exception) -> None:
    app = App("memory://")
    app.effects.declare("write", "order")
    agent = Agent(scripted([ToolCallPart("order", {"n": 1})], [ToolCallPart("order", {"n": 2})], "done"))

    @agent.tool_plain
    async def order(n: int) -> str:
        if n == 1:
            raise error
        return f"ordered {n}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> list[Any]:
        result = await run.wrap(agent)(task)
        return [result.output, str(results(result)), result.usage.requests]

    trials = await survives(app, desk, "go")

    output, told, requests = trials[0].result
    assert (output, requests) == ("done", 3)
    assert str(error) in told
    assert not [e for e in trials[0].entries if e.kind == Kind.UNKNOWN]


async def test_a_write_that_the_framework_stops_waiting_for_is_in_doubt() -> None:
    app = App("memory://")
    app.effects.declare("write", "order")
    agent = Agent(scripted([ToolCallPart("order", {"n": 1})], "done"), name="desk")

    @agent.tool_plain(timeout=0.01)
    async def order(n: int) -> str:
        await asyncio.Event().wait()
        return "never"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> Any:
        result = await run.wrap(agent)(task)
        return [result.output, *map(str, results(result))]

    trial = await kill_at(app, desk, "go")

    assert len(trial.doubts) == 1
    assert trial.result[0] == "done"


@pytest.mark.parametrize("may", [True, False])
async def test_s10_the_model_is_told_what_the_user_may_not(may: bool) -> None:
    app = App("memory://")
    app.effects.declare("write", "pay", requires="payments:write")
    agent = Agent(scripted([ToolCallPart("pay", {"amount": 5})], "done"), name="desk")
    paid: list[int] = []

    @agent.tool_plain
    async def pay(amount: int) -> str:
        paid.append(amount)
        return f"paid {amount}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> list[Any]:
        return results(await run.wrap(agent)(task))

    grants = frozenset(["payments:write"] if may else ["payments:read"])
    ann = Principal(subject="user:ann", issuer="shop", grants=grants)
    trials = await survives(app, desk, "go", by=ann)

    told = "`user:ann`, for whom this run acts, has not been granted `payments:write`"
    assert all(("paid 5" if may else told) in str(trial.result) for trial in trials)
    assert bool(paid) is may


async def test_an_approval_that_a_tool_asks_for_itself_is_perdures() -> None:
    app = App("memory://")
    app.effects.declare("write", "order")
    agent = Agent(scripted([ToolCallPart("order", {"n": 500})], "done"), name="desk")

    @agent.tool
    async def order(ctx: RunContext[None], n: int) -> str:
        if not ctx.tool_call_approved:
            raise ApprovalRequired(metadata={"reason": "big"})
        return f"ordered {n}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> Any:
        return (await run.wrap(agent)(task)).output

    async def boss(app: App, run: Any) -> None:
        from tests.approvals.desks import approve

        await approve(app, run)

    trials = await survives(app, desk, "go", outside=boss)

    assert trials[0].result == "done"


async def test_hooks_run_again_on_a_replay_so_that_the_history_is_the_same() -> None:
    app = App("memory://")
    app.effects.declare("read", "look")
    lengths: list[int] = []

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        lengths.append(len(messages))
        turn = sum(m.kind == "response" for m in messages)
        return ModelResponse([ToolCallPart("look", {"n": turn})] if len(lengths) % 2 else [TextPart("done")])

    hooks: Hooks[None] = Hooks()
    ran: list[str] = []

    @hooks.on.before_model_request
    async def count(ctx: RunContext[None], request_context: Any) -> Any:
        ran.append("before")
        return request_context

    agent = Agent(FunctionModel(answer), name="desk", capabilities=[hooks])

    @agent.tool_plain
    async def look(n: int) -> str:
        return f"saw {n}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        result = await run.wrap(agent)(task)
        await run.step("note", str)
        return result.output

    trial = await kill_at(app, desk, "go", Boundary("before", "result", step="note"))

    assert trial.result == "done"
    assert lengths == [1, 3], "the model was asked twice"
    assert len(ran) == 4, "the hooks ran twice a turn"


async def test_a_hosted_tool_is_refused_by_name_or_listed_as_uncovered() -> None:
    app = App("memory://")
    model = scripted("found nothing", profile={"supported_native_tools": frozenset([WebSearchTool])})
    agent = Agent(model, name="desk", capabilities=[NativeTool(WebSearchTool())])

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return (await run.wrap(agent)(task)).output

    async with app:
        with pytest.raises(RunFailed, match="hosted tool `web_search`"):
            await (await app.start(desk, "go")).result()
        app.effects.allow("web_search")
        run = await app.start(desk, "go")
        assert await run.result() == "found nothing"
        turn = next(e for e in await run.entries() if e.kind == Kind.RESULT)
    assert b'"uncovered":["web_search"]' in turn.payload


async def test_a_tool_that_names_another_agent_has_to_be_declared() -> None:
    app = App("memory://")
    inner = Agent(scripted("funny"), name="joker")
    outer = Agent(scripted([ToolCallPart("joke", {})], "told"), name="host")

    @outer.tool_plain
    async def joke() -> str:
        return (await inner.run("a joke")).output

    @app.agent("host")
    async def host(run: Run, task: str) -> str:
        return (await run.wrap(outer)(task)).output

    async with app:
        with pytest.raises(RunFailed, match=r'names the agent `inner`.*declare\("delegate", "joke"\)'):
            await (await app.start(host, "go")).result()
    app = App("memory://")
    app.effects.declare("delegate", "joke")
    app.agent("host")(host.function)
    async with app:
        run = await app.start("host", "go")
        assert await run.result() == "told"
        keys = [e.key for e in await run.entries() if e.kind == Kind.RESULT]
    assert any(".joke." in key and key.endswith("/joker/turn") for key in keys)


async def test_an_agent_in_another_thread_is_told_what_to_write() -> None:
    app = App("memory://")
    app.effects.declare("delegate", "joke")
    inner = Agent(scripted("funny"), name="joker")
    outer = Agent(scripted([ToolCallPart("joke", {})], "told"), name="host")

    @outer.tool_plain
    def joke() -> str:
        return inner.run_sync("a joke").output

    @app.agent("host")
    async def host(run: Run, task: str) -> str:
        return (await run.wrap(outer)(task)).output

    async with app:
        with pytest.raises(RunFailed, match=r"await agent.run\(...\)"):
            await (await app.start(host, "go")).result()


async def test_the_frameworks_own_way_and_a_declaration_on_the_function() -> None:
    app = App("memory://")
    keys: list[str] = []
    agent = Agent(scripted([ToolCallPart("put", {"n": 1})], "done"), name="desk")

    @agent.tool_plain
    @declare("idempotent")
    async def put(n: int) -> str:
        keys.append(effect_key())
        return f"put {n}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return (await agent.run(task, capabilities=[PerdureCapability(run)])).output

    trials = await survives(app, desk, "go")

    assert trials[0].result == "done"
    assert all(key.startswith("trial/desk/turn.put.") for key in keys)


async def test_pieces_tell_their_message_and_attempt() -> None:
    app = App("memory://")
    app.effects.declare("read", "look")
    agent = Agent(TestModel(custom_output_text="one two three four"), name="desk")

    @agent.tool_plain
    async def look(n: int) -> str:
        return f"saw {n}"

    heard: list[Any] = []

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        async with run.wrap(agent).pieces(task) as pieces:
            heard.extend([piece async for piece in pieces])
        await run.step("note", str)
        return pieces.result.output

    trial = await kill_at(app, desk, "go", Boundary("before", "result", step="note"))

    assert trial.result == "one two three four"
    first, second = sorted({p.attempt for p in heard})
    assert {p.message for p in heard} == {"desk/turn:2"}
    live = [p for p in heard if p.attempt == first]
    assert len(live) > 1
    assert not any(p.recorded for p in live)
    (again,) = [p for p in heard if p.attempt == second]
    assert (again.text, again.recorded) == ("one two three four", True)


async def test_the_owner_is_told_once_what_the_tools_count_as(caplog: pytest.LogCaptureFixture) -> None:
    app = App("memory://")
    app.effects.declare("read", "look")
    agent = Agent(TestModel(), name="desk")

    @agent.tool_plain
    async def look(n: int) -> str:
        return f"saw {n}"

    @agent.tool_plain
    async def send_mail(n: int) -> str:
        return f"sent {n}"

    @app.agent("desk")
    async def desk(run: Run, task: str) -> str:
        return (await run.wrap(agent)(task)).output

    with caplog.at_level(logging.INFO, "perdure.run"):
        async with app:
            for _ in range(2):
                await (await app.start(desk, "go")).result()

    told = [r.getMessage() for r in caplog.records if "tool `" in r.getMessage()]
    assert len(told) == 2
    assert any("tool `look` is `read` (table)" in text for text in told)
    assert any("tool `send_mail` is not declared and counts as `write`" in text for text in told)


def test_what_is_no_agent_is_refused() -> None:
    from perdure.adapters.frameworks import Frameworks

    with pytest.raises(ConfigError, match="is no agent of pydantic-ai"):
        Frameworks().find(TestModel()).wrap(TestModel(), None)  # type: ignore[arg-type]


async def test_code_that_holds_an_agent_can_be_handed_the_wrapped_one() -> None:
    app = App("memory://")
    agent = Agent(TestModel(custom_output_text="hello"), name="desk")

    async def owner(held: Any) -> list[str]:
        async with held.run_stream("go") as streamed:
            said = await streamed.get_output()
        return [(await held.run("go")).output, said]

    @app.agent("desk")
    async def desk(run: Run) -> list[str]:
        wrapped = run.wrap(agent)
        with pytest.raises(AttributeError, match="a wrapped agent has no `run_sync`: in a run it is awaited"):
            wrapped.run_sync("go")
        with pytest.raises(AttributeError, match="`WrappedAgent` has no attribute `rum`"):
            wrapped.rum("go")
        return await owner(wrapped)

    trial = await kill_at(app, desk)

    assert trial.result == ["hello", "hello"]
    assert [e.kind for e in trial.entries].count(Kind.RESULT) == 2
