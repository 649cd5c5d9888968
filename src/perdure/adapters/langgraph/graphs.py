"""LangGraph graphs and LangChain agents, whose every model turn and tool call is a step of the run.

What is stepped into stands in `langgraph_hooks`, how steps are named in `langgraph_places`.
"""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain_core.tools import BaseTool
from langgraph.prebuilt import ToolNode
from langgraph.pregel import Pregel  # pyright: ignore[reportMissingTypeStubs]

from ...core.errors import ConfigError
from ...runtime.frameworks.crossing import conversation
from ...runtime.frameworks.declared import guess
from ...runtime.frameworks.survey import Had, SurveyedTool, named_in
from ...runtime.frameworks.wrapping import Wrapping
from ...runtime.replay.from_thread import Here, from_thread, not_here
from .hooks import stepped_in
from .places import Place, enter, form_of, leave

__all__ = ["ADAPTER", "LangGraph", "WrappedGraph"]

Graph = Any
"""A `Pregel`: its own types are known by half only."""


class WrappedGraph:
    """A graph in a run: called as the graph itself is. Made by `run.wrap(graph)`."""

    def __init__(self, graph: Graph, wrapping: Wrapping) -> None:
        self._graph = graph
        self._wrapping = wrapping

    async def __call__(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """The same as `ainvoke`."""
        return await self.ainvoke(input, config, **kwargs)

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """What the graph's own `ainvoke` gives. Raises what it raises."""
        async with self._within():
            return await self._graph.ainvoke(input, config, **kwargs)

    async def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncGenerator[Any]:
        """What the graph's own `astream` gives, as it comes.

        Tokens are provisional: after a crash a message that was not finished begins again; one that was comes whole.
        """
        items: asyncio.Queue[tuple[bool, Any]] = asyncio.Queue()

        async def produce() -> None:
            async with self._within():
                async for item in self._graph.astream(input, config, **kwargs):
                    items.put_nowait((True, item))

        task = asyncio.create_task(
            produce()
        )  # its context is its own: what reads the stream stands outside the agent
        task.add_done_callback(lambda _: items.put_nowait((False, None)))
        try:
            while (item := await items.get())[0]:
                yield item[1]
            await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:
        """What the graph's own `invoke` gives: its nodes, models and tools run in threads.

        For a thread: `await asyncio.to_thread(run.wrap(graph).invoke, ...)`. Raises `ConfigError` in the thread that
        drives the run.
        """
        thread = threading.get_ident()

        async def work(here: Here) -> Any:
            async with self._within(thread):
                return await here.call(self._graph.invoke, input, config, **kwargs)

        return from_thread(self._wrapping.recorder.loop, work, what=f"`{self._wrapping.name}`")

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:
        """What the graph's own `stream` gives, as it comes; for a thread, as `invoke` is."""
        items: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        threads: queue.SimpleQueue[int] = queue.SimpleQueue()

        def produce() -> None:
            for item in self._graph.stream(input, config, **kwargs):
                items.put((True, item))

        async def work(here: Here) -> None:
            async with self._within(threads.get()):
                await here.call(produce)

        def drive() -> None:
            threads.put(threading.get_ident())
            try:
                from_thread(loop, work, what=what)
            except BaseException as error:
                items.put((False, error))
            else:
                items.put((False, None))

        loop, what = self._wrapping.recorder.loop, f"`{self._wrapping.name}`"
        not_here(loop, what=what)
        threading.Thread(target=contextvars.copy_context().run, args=(drive,), daemon=True).start()
        while (item := items.get())[0]:
            yield item[1]
        if item[1] is not None:
            raise item[1]

    @asynccontextmanager
    async def _within(self, thread: int | None = None) -> AsyncGenerator[Place]:
        async with conversation(self._wrapping.recorder, self._wrapping.name) as opened:
            place = Place(self._wrapping, opened, thread)
            tokens = enter(place)
            try:
                with stepped_in:
                    yield place
            finally:
                leave(tokens)


class LangGraph:
    """Wraps compiled graphs."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> WrappedGraph:
        """The graph in a run. Raises `ConfigError` for what cannot be covered, by name."""
        if not isinstance(agent, Pregel):
            raise ConfigError(_not_a_graph(agent))
        graph = cast("Any", agent)
        for where, each in _graphs(graph):
            _check(where, each)
        table = wrapping.table
        told = [(tool, table.find(tool.name, _function(tool))) for tool in _tools(graph)]
        table.tell(
            wrapping.agent, [(t.name, declared, guess(t.name, hints=_hints(t))) for t, declared in told]
        )
        return WrappedGraph(graph, wrapping)

    def had(self, value: Any) -> Had | None:
        """The tools in the graph's nodes for tools and in those of its subgraphs, and what its nodes' code names."""
        if isinstance(value, BaseTool):
            return Had(tools=[_surveyed(value)])
        if not isinstance(value, Pregel):
            return None
        graph = cast("Any", value)
        had = Had(tools=[_surveyed(tool) for tool in _tools(graph)])
        for _, each in _graphs(graph):
            for node in each.nodes.values():
                for function in (getattr(node.bound, "func", None), getattr(node.bound, "afunc", None)):
                    had.below += named_in(function)
        return had


def _not_a_graph(agent: Any) -> str:
    kind = type(agent).__qualname__
    if hasattr(agent, "compile"):
        return f"`{kind}` is not compiled: wrap what its `compile()` returns"
    return (
        f"`{kind}` cannot be wrapped: Perdure wraps compiled graphs and what `create_agent` returns. A graph that runs "
        "on another server keeps its own history there; call it in a tool"
    )


def _check(where: str, graph: Graph) -> None:
    if graph.checkpointer not in (None, False):
        what = "checkpointer=True" if graph.checkpointer is True else type(graph.checkpointer).__qualname__
        raise ConfigError(
            f"{where} has a checkpointer of its own (`{what}`): it would keep a second history beside the journal, and "
            "a replay would begin from its last state instead of from the input. Compile the graph without one: the "
            "run is what survives"
        )
    for name, nodes in (
        ("interrupt_before", graph.interrupt_before_nodes),
        ("interrupt_after", graph.interrupt_after_nodes),
    ):
        if nodes:
            raise ConfigError(
                f"{where} is compiled with `{name}={nodes!r}`, which ends it in the middle and needs a checkpointer to "
                "go on; call `interrupt(...)` in the node: it waits for the answer, and the run is suspended meanwhile"
            )
    if graph.cache is not None:
        raise ConfigError(
            f"{where} has a cache of node results (`{type(graph.cache).__qualname__}`), which would skip nodes in one "
            "replay and not in the next; take it away: the results of a run's steps are recorded anyway"
        )


def _graphs(graph: Graph) -> Iterator[tuple[str, Graph]]:
    """The graph, and those that are nodes of it."""
    yield f"graph `{graph.name}`", graph
    for name, below in graph.get_subgraphs(recurse=True):
        if isinstance(below, Pregel):
            yield f"subgraph `{name}`", below


def _tools(graph: Graph) -> Iterator[BaseTool]:
    """The tools that can be found without running it."""
    for _, each in _graphs(graph):
        for node in each.nodes.values():
            if isinstance(node.bound, ToolNode):
                yield from node.bound.tools_by_name.values()


def _surveyed(tool: BaseTool) -> SurveyedTool:
    looks = guess(tool.name, hints=_hints(tool))
    return SurveyedTool(tool.name, _function(tool), looks, form=form_of(tool))


def _function(tool: BaseTool) -> Any:
    return getattr(tool, "coroutine", None) or getattr(tool, "func", None) or tool


def _hints(tool: BaseTool) -> dict[str, Any] | None:
    return tool.metadata if isinstance(tool.metadata, dict) else None


ADAPTER = LangGraph()
