"""LangChain's `create_agent`, unchanged but for the wrapping line."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from perdure import App, Run
from perdure.journal import Kind
from perdure.testing import survives
from tests.adapters.langgraph.models import Talker, by_turn, calls, says

done: Counter[str] = Counter()


@tool
async def look(n: int) -> str:
    """Look at a thing."""
    done["look"] += 1
    return f"saw {n}"


@tool
def pay(n: int) -> str:
    """Pay somebody."""
    done["pay"] += 1
    return f"paid {n}"


def shop(*replies: Any, tools: list[Any] | None = None, **kwargs: Any) -> tuple[App, Any, Talker]:
    model = Talker(answer=by_turn(*replies))
    agent = create_agent(model, tools or [look, pay], system_prompt="You sell.", **kwargs)
    app = App("memory://", lease=timedelta(seconds=2))
    app.effects.declare("read", "look")

    @app.agent("shop")
    async def sell(run: Run, task: str) -> str:
        result = await run.wrap(agent)({"messages": [{"role": "user", "content": task}]})
        return str(result["messages"][-1].content)

    done.clear()
    return app, sell, model


async def test_it_comes_to_its_end_and_each_call_is_a_step() -> None:
    app, sell, model = shop(
        calls(("look", {"n": 1}), ("pay", {"n": 1}), ("look", {"n": 1}), text="look first"), says("sold")
    )
    async with app:
        run = await app.start(sell, "go")
        assert await run.result() == "sold"
        entries = await run.entries()
    results = [e.key for e in entries if e.kind == Kind.RESULT]
    assert len(results) == 5, results
    assert len(model.asked) == 2
    assert done == {"look": 2, "pay": 1}
    decision = next(e for e in entries if e.kind == Kind.DECISION)
    assert b'"choice":["look","pay","look"]' in decision.payload
    assert b'"reason":"look first"' in decision.payload
    assert b'"options":["look","pay"]' in decision.payload
    turn = next(e for e in entries if e.key.endswith("/turn") and e.kind == Kind.RESULT)
    assert b'"input_tokens":20' in turn.payload
    assert b'"finish_reason":"stop"' in turn.payload


async def test_a_worker_may_die_at_any_moment() -> None:
    app, sell, _ = shop(
        calls(("look", {"n": 1}), ("pay", {"n": 1}), ("pay", {"n": 2}), ("look", {"n": 1})),
        calls(("pay", {"n": 1})),
        says("sold"),
    )
    trials = await survives(app, sell, "go", limit=60)
    assert trials[0].result == "sold"
    assert len(trials) > 20


async def test_nothing_is_left_in_the_framework() -> None:
    before = BaseChatModel._agenerate_with_cache, BaseTool.arun, BaseTool.run
    app, sell, _ = shop(calls(("look", {"n": 1})), says("sold"))
    async with app:
        await (await app.start(sell, "go")).result()
    assert (BaseChatModel._agenerate_with_cache, BaseTool.arun, BaseTool.run) == before
