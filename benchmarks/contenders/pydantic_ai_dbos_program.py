"""pydantic-ai with its integration of DBOS: `DBOSDurability`, the agent's run in a workflow, as its guide shows it.

Its model requests are steps by themselves; a tool that is a function becomes one by `@DBOS.step()`, as the guide says.
"""

from __future__ import annotations

from typing import NoReturn

from dbos import DBOS
from pydantic_ai.durable_exec.dbos import DBOSDurability

from ..workload import CYCLE, Window, measure_tasks
from .dbos_program import configure
from .pydantic_ai_agent import workload_agent

__all__ = ["steps"]


async def steps(url: str, *, runs: int, seconds: float) -> NoReturn:
    """So many workflows at once, each followed by another."""
    window = Window(seconds, runs=runs)
    configure(url)
    agent = workload_agent(window, step=DBOS.step(), capabilities=[DBOSDurability()])

    @DBOS.workflow()
    async def workload(prompt: str) -> str:
        return (await agent.run(prompt)).output

    DBOS.launch()

    async def once() -> None:
        handle = await DBOS.start_workflow_async(workload, "go")
        await handle.get_result()
        window.step()

    await measure_tasks(window, once, runs=runs, cycle=CYCLE)
