"""Agents of two frameworks that make the calls they are told to, one a turn: for what has to hold under any loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from perdure import Run

__all__ = ["LOOPS", "Call", "Loop"]

Call = tuple[str, dict[str, Any]]
Loop = tuple[Any, Callable[[Run, str], Awaitable[str]]]
"""The framework's agent, for `app.effects.wraps`, and what runs it."""


def with_pydantic_ai(calls: Sequence[Call], tools: Sequence[Callable[..., Any]]) -> Loop:
    """The agent of pydantic-ai; what it says in the end is what it was told by its tools."""
    pytest.importorskip("pydantic_ai")
    from pydantic_ai import Agent
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = sum(m.kind == "response" for m in messages)
        if turn < len(calls):
            return ModelResponse([ToolCallPart(*calls[turn], f"c{turn}")])
        told = [
            str(p.content)
            for m in messages
            if m.kind == "request"
            for p in m.parts
            if p.part_kind != "user-prompt"
        ]
        return ModelResponse([TextPart("\n".join(told))])

    agent = Agent(FunctionModel(answer), name="desk", tools=list(tools))

    async def go(run: Run, task: str) -> str:
        return str((await run.wrap(agent)(task)).output)

    return agent, go


def with_langchain(calls: Sequence[Call], tools: Sequence[Callable[..., Any]]) -> Loop:
    """LangChain's `create_agent`; likewise."""
    pytest.importorskip("langchain")
    from langchain.agents import create_agent
    from langchain_core.messages import AIMessage, BaseMessage

    from tests.adapters.langgraph import models

    def answer(messages: list[BaseMessage]) -> AIMessage:
        turn = sum(m.type == "ai" for m in messages)
        if turn < len(calls):
            return models.calls(calls[turn])
        return models.says("\n".join(str(m.content) for m in messages if m.type == "tool"))

    agent = create_agent(models.Talker(answer=answer), list(tools))

    async def go(run: Run, task: str) -> str:
        result = await run.wrap(agent)({"messages": [{"role": "user", "content": task}]})
        return str(result["messages"][-1].content)

    return agent, go


LOOPS = (with_pydantic_ai, with_langchain)
