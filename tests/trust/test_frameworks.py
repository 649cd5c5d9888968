"""Rings under other people's loops: the model is told what became of its call, and goes on."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import App, Check, Ring, Run
from tests.trust.desks import approve, verdicts

ASKED: list[str] = []
PAID: list[str] = []
BACK: list[str] = []


def pay(iban: str) -> str:
    """Pay somebody."""
    PAID.append(iban)
    return "paid"


def with_pydantic_ai() -> Any:
    pytest.importorskip("pydantic_ai")
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = sum(m.kind == "response" for m in messages)
        if turn == 0:
            return ModelResponse([ToolCallPart("pay", {"iban": "DE1"}, "c0")])
        ASKED.append(str(messages[-1]))
        return ModelResponse([TextPart("done")])

    agent = Agent(FunctionModel(answer), name="desk", tools=[pay])

    async def go(run: Run, task: str) -> str:
        return str((await run.wrap(agent)(task)).output)

    return go


def with_langchain() -> Any:
    pytest.importorskip("langchain")
    from langchain.agents import create_agent

    from tests.adapters.langgraph.models import Talker, calls, says

    def answer(messages: list[Any]) -> Any:
        if not any(m.type == "tool" for m in messages):
            return calls(("pay", {"iban": "DE1"}))
        ASKED.append(str(messages[-1].content))
        return says("done")

    agent = create_agent(Talker(answer=answer), [pay])

    async def go(run: Run, task: str) -> str:
        result = await run.wrap(agent)({"messages": [{"role": "user", "content": task}]})
        return str(result["messages"][-1].content)

    return go


def made(framework: Any, ring: str, *, passes: bool = True, registered: bool = True) -> App:
    for told in (ASKED, PAID, BACK):
        told.clear()
    go = framework()
    app = App("memory://")

    def booked(result: Any, iban: str) -> Check:
        return Check(passes and iban in PAID, "not in the books")

    def take_back(iban: str) -> None:
        BACK.append(iban)

    terms: dict[str, Any] = {"check": booked, "compensate": take_back}
    app.effects.declare("write", "pay", **terms)
    if registered:
        app.tool(name="pay", effect="write", **terms)(pay)

    @app.agent("desk", ring=ring)
    async def desk(run: Run, task: str) -> str:
        return await go(run, task)

    return app


@pytest.mark.parametrize("framework", [with_pydantic_ai, with_langchain])
async def test_the_model_is_told_that_nothing_was_carried_out_and_the_draft_is_released(
    framework: Any,
) -> None:
    for ring in ("observe", "draft"):
        async with made(framework, ring) as app:
            run = await app.start("desk", "Pay DE1")
            assert await run.result() == "done"
            assert "was not carried out" in ASKED[0] and "do not say that it was done" in ASKED[0]
            (verdict,) = await verdicts(run)
            assert (verdict["ring"], verdict["arguments"], PAID) == (ring, {"iban": "DE1"}, [])
            if ring == "draft":
                await approve(app, run)
                assert await (await app.handle(verdict["draft"])).result() == "paid"
                assert PAID == ["DE1"]


@pytest.mark.parametrize("framework", [with_pydantic_ai, with_langchain])
async def test_a_draft_of_a_tool_that_no_app_has_is_kept_for_somebody_to_carry_out_by_hand(
    framework: Any,
) -> None:
    async with made(framework, "draft", registered=False) as app:
        run = await app.start("desk", "Pay DE1")
        assert await run.result() == "done"
        assert "for a person to carry out by hand" in ASKED[0]
        (verdict,) = await verdicts(run)
        assert verdict["verdict"] == "drafted" and "draft" not in verdict
        assert await app.open_approvals() == []


@pytest.mark.parametrize("framework", [with_pydantic_ai, with_langchain])
async def test_a_check_that_does_not_pass_is_told_the_model_and_the_effect_is_undone(framework: Any) -> None:
    async with made(framework, "act_and_verify", passes=False) as app:
        run = await app.start("desk", "Pay DE1")
        assert await run.result() == "done"
        assert "its check did not pass: not in the books; it was undone" in ASKED[0]
        assert (PAID, BACK) == (["DE1"], ["DE1"])
        assert (await app.trust.ring("desk", "pay")).ring is Ring.ACT_AFTER_APPROVAL


@pytest.mark.parametrize("framework", [with_pydantic_ai, with_langchain])
async def test_after_approval_somebody_is_asked(framework: Any) -> None:
    async with made(framework, "act_after_approval") as app:
        run = await app.start("desk", "Pay DE1")
        while not (asked := await app.open_approvals(run.id)):
            seen = app.store.changes()
            await app.store.changed(seen, within=1.0)
        assert PAID == []
        await approve(app, run, step=asked[0].step)
        assert await run.result() == "done"
    assert PAID == ["DE1"]
