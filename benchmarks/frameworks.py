"""Agents of other frameworks in a run, by `run.wrap`: the same that the contenders run, in `contenders/`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from perdure import App, Run

from .steps import steps_on_disk
from .workload import CYCLE, TURNS, Window, measure_tasks

__all__ = ["langgraph", "pydantic_ai"]

_ENTRIES = CYCLE + TURNS + 1 + 3  # a decision a turn; begun, claimed and ended

Talk = Callable[[Run], Awaitable[object]]


async def pydantic_ai(url: str, *, durability: Any, runs: int, seconds: float) -> NoReturn:
    """The agent of pydantic-ai in so many runs at once, each followed by another."""
    from .contenders.pydantic_ai_agent import TOOL, workload_agent

    window = Window(seconds, runs=runs)
    agent = workload_agent(window)

    async def talk(run: Run) -> object:
        return (await run.wrap(agent)("go")).output

    await _measure(url, talk, TOOL, window, durability=durability, runs=runs)


async def langgraph(url: str, *, durability: Any, runs: int, seconds: float) -> NoReturn:
    """The graph of LangGraph in so many runs at once, each followed by another."""
    from .contenders.langgraph_agent import INPUT, LIMITS, TOOL, workload_graph

    window = Window(seconds, runs=runs)
    graph = workload_graph(window)

    async def talk(run: Run) -> object:
        return len((await run.wrap(graph)(INPUT, LIMITS))["messages"])

    await _measure(url, talk, TOOL, window, durability=durability, runs=runs)


async def _measure(
    url: str, talk: Talk, tool: str, window: Window, *, durability: Any, runs: int
) -> NoReturn:
    app = App(url, durability=durability, concurrency=runs)
    app.effects.declare("read", tool)

    @app.agent("workload")
    async def workload(run: Run) -> object:
        return await talk(run)

    async def once() -> None:
        await (await app.start(workload)).result()
        if durability == "step":
            window.step()

    async with app:
        if durability == "pipelined":
            window.on_disk = steps_on_disk(url, _ENTRIES, steps=CYCLE)
        await measure_tasks(window, once, runs=runs, cycle=CYCLE)
