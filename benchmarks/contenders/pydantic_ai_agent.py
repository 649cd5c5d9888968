"""The workload as an agent of pydantic-ai, and the agent by itself: what it costs before anything is durable.

The model is a function, and says what was used: else pydantic-ai would count the words of the whole history each turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from pydantic_ai import Agent, Tool
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from ..workload import ANSWER, CYCLE, FOUND, TURNS, Window, measure_tasks

__all__ = ["TOOL", "steps", "workload_agent"]

TOOL = "look"
_USED = RequestUsage(input_tokens=1_000, output_tokens=250)


def workload_agent(
    window: Window, *, step: Callable[[Any], Any] = lambda tool: tool, capabilities: Any = ()
) -> Agent[None, str]:
    """20 turns, each an answer and one tool call; then a last word. `step` makes a step of the tool."""

    async def think(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        turn = sum(isinstance(message, ModelRequest) for message in messages) - 1
        if turn:
            window.step()  # the tool's step before it is on disk
        said = TextPart(ANSWER)
        call = [ToolCallPart(TOOL, {"turn": turn}, f"call-{turn}")] if turn < TURNS else []
        return ModelResponse([said, *call], usage=_USED)

    async def look(turn: int) -> str:
        """Look something up."""
        window.step()  # the model's step before it is on disk
        return FOUND

    model = FunctionModel(think)
    return Agent(model, name="agent", tools=[Tool(step(look), name=TOOL)], capabilities=[*capabilities])


async def steps(*, runs: int, seconds: float) -> NoReturn:
    """So many runs of the agent at once, each followed by another, and nothing durable."""
    window = Window(seconds, runs=runs)
    agent = workload_agent(window)

    async def once() -> None:
        await agent.run("go")
        window.step()

    await measure_tasks(window, once, runs=runs, cycle=CYCLE)
