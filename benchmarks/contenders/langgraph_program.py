"""LangGraph: a graph of two nodes that loop, its messages appended by a reducer, with `durability="sync"`.

Each node is a super-step with a checkpoint. The state is plain dictionaries, which cost less than LangChain's messages.
"""

from __future__ import annotations

import operator
from contextlib import AsyncExitStack
from itertools import chain, count
from typing import Annotated, Any, NoReturn, TypedDict

from langgraph.channels import DeltaChannel
from langgraph.graph import END, START, StateGraph

from ..workload import ANSWER, FOUND, TURNS, Window, measure_tasks

__all__ = ["open_saver", "size", "steps"]


class State(TypedDict):
    messages: Annotated[list[dict[str, str]], operator.add]
    turn: int
    turns: int


def _extend(messages: list[dict[str, str]], writes: list[list[dict[str, str]]]) -> list[dict[str, str]]:
    return [*messages, *chain.from_iterable(writes)]


class DeltaState(TypedDict):
    """Its messages in a `DeltaChannel` (beta), which stores what was added, and the whole now and then."""

    messages: Annotated[list[dict[str, str]], DeltaChannel(_extend)]
    turn: int
    turns: int


async def open_saver(url: str, stack: AsyncExitStack) -> Any:
    """LangGraph's own saver for this store."""
    if url.startswith("sqlite:///"):
        from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

        saver: Any = await stack.enter_async_context(
            AsyncSqliteSaver.from_conn_string(url.removeprefix("sqlite:///"))
        )
        await saver.conn.execute("pragma synchronous = full")
    else:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool

        options = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool: Any = AsyncConnectionPool(url, max_size=20, kwargs=options, open=False)
        saver = AsyncPostgresSaver(await stack.enter_async_context(pool))
    await saver.setup()
    return saver


def _graph(saver: Any, window: Window, state: type = State) -> Any:
    async def think(state: Any) -> dict[str, Any]:
        if state["turn"]:
            window.step()  # the tool's step before it is on disk
        return {"messages": [{"role": "assistant", "content": ANSWER}]}

    async def look(state: Any) -> dict[str, Any]:
        window.step()
        return {"messages": [{"role": "user", "content": FOUND}], "turn": state["turn"] + 1}

    graph = StateGraph(state)
    graph.add_node("think", think)
    graph.add_node("look", look)
    graph.add_edge(START, "think")
    graph.add_edge("think", "look")
    graph.add_conditional_edges("look", lambda s: "think" if s["turn"] < s["turns"] else END, ["think", END])
    return graph.compile(checkpointer=saver)


async def _run(graph: Any, number: int, turns: int) -> None:
    config = {"configurable": {"thread_id": f"run-{number}"}, "recursion_limit": 2 * turns + 10}
    await graph.ainvoke({"messages": [], "turn": 0, "turns": turns}, config, durability="sync")


async def steps(url: str, *, runs: int, seconds: float) -> NoReturn:
    """So many threads at once, each followed by another."""
    window = Window(seconds, runs=runs)
    numbers = count()
    async with AsyncExitStack() as stack:
        graph = _graph(await open_saver(url, stack), window)

        async def once() -> None:
            await _run(graph, next(numbers), TURNS)
            window.step()

        await measure_tasks(window, once, runs=runs)


async def size(url: str, *, first: int, runs: int, turns: int, delta: bool = False) -> None:
    """Run so many threads, one after the other."""
    async with AsyncExitStack() as stack:
        graph = _graph(await open_saver(url, stack), Window(0), DeltaState if delta else State)
        for number in range(first, first + runs):
            await _run(graph, number, turns)
