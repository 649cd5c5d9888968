"""The workload as a graph whose nodes ask a chat model and call a tool; by itself, and with LangGraph's savers.

Two nodes that loop, its messages LangChain's, as a model and tools of LangChain need them. `langgraph_program` is the
graph that is cheaper for a saver, of plain dictionaries and functions.
"""

from __future__ import annotations

import operator
from contextlib import AsyncExitStack
from itertools import count
from typing import Annotated, Any, NoReturn, TypedDict

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.graph import END, START, StateGraph

from ..workload import ANSWER, CYCLE, FOUND, TURNS, Window, measure_tasks

__all__ = ["INPUT", "LIMITS", "TOOL", "steps", "steps_with_saver", "workload_graph"]

TOOL = "look"
LIMITS: dict[str, Any] = {"recursion_limit": 2 * TURNS + 10}


class _Model(BaseChatModel):
    """Calls the tool, 20 times; then it has a last word."""

    @property
    def _llm_type(self) -> str:
        return "workload"

    def _generate(
        self,
        messages: list[Any],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        turn = len(messages) // 2
        call = [{"name": TOOL, "args": {"turn": turn}, "id": f"call-{turn}", "type": "tool_call"}]
        said = AIMessage(ANSWER, tool_calls=call if turn < TURNS else [])
        return ChatResult(generations=[ChatGeneration(message=said)])

    async def _agenerate(
        self,
        messages: list[Any],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        return self._generate(messages)  # the default goes through a thread


class State(TypedDict):
    messages: Annotated[list[AnyMessage], operator.add]


INPUT: dict[str, Any] = {"messages": [HumanMessage("go")]}


def workload_graph(window: Window, *, saver: Any = None) -> Any:
    """20 turns, each an answer and one tool call; then a last word."""

    async def find(turn: int) -> str:
        """Look something up."""
        return FOUND

    tool = StructuredTool.from_function(coroutine=find, name=TOOL)
    model = _Model().bind(tools=[convert_to_openai_tool(tool)])

    async def think(state: State) -> dict[str, Any]:
        if len(state["messages"]) > 1:
            window.step()  # the tool's step before it is on disk
        return {"messages": [await model.ainvoke(state["messages"])]}

    async def look(state: State) -> dict[str, Any]:
        window.step()
        said: Any = state["messages"][-1]
        return {"messages": [await tool.ainvoke(call) for call in said.tool_calls]}

    graph: Any = StateGraph(State)
    graph.add_node("think", think)
    graph.add_node("look", look)
    graph.add_edge(START, "think")
    graph.add_conditional_edges(
        "think", lambda s: "look" if s["messages"][-1].tool_calls else END, ["look", END]
    )
    graph.add_edge("look", "think")
    return graph.compile(checkpointer=saver)


async def steps(*, runs: int, seconds: float) -> NoReturn:
    """So many runs of the graph at once, each followed by another, and nothing durable."""
    window = Window(seconds, runs=runs)
    graph = workload_graph(window)

    async def once() -> None:
        await graph.ainvoke(INPUT, LIMITS)
        window.step()

    await measure_tasks(window, once, runs=runs, cycle=CYCLE)


async def steps_with_saver(url: str, *, runs: int, seconds: float) -> NoReturn:
    """So many threads at once, each followed by another, with `durability="sync"`."""
    from .langgraph_program import open_saver

    window = Window(seconds, runs=runs)
    numbers = count()
    async with AsyncExitStack() as stack:
        graph = workload_graph(window, saver=await open_saver(url, stack))

        async def once() -> None:
            config = {**LIMITS, "configurable": {"thread_id": f"run-{next(numbers)}"}}
            await graph.ainvoke(INPUT, config, durability="sync")
            window.step()

        await measure_tasks(window, once, runs=runs, cycle=CYCLE)
