"""Where LangGraph and LangChain are stepped into: while a wrapped graph runs, and for what runs in it only.

Three doors, each with an async and a sync wing: a node is run, a chat model is asked, a tool is called. They stand
open while at least one wrapped graph runs in this process, and are put back after the last. A call that belongs to no
run goes through as if they were not there: what it belongs to is told by a context variable.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import BaseLLM
from langchain_core.tools import BaseTool, StructuredTool, Tool
from langgraph.errors import GraphInterrupt
from langgraph.prebuilt import ToolNode
from langgraph.pregel import _runner  # pyright: ignore[reportMissingTypeStubs]
from langgraph.types import PregelExecutableTask

from ...core.errors import ConfigError
from ...core.ids import step_name
from ...runtime.replay.from_thread import Here, from_thread
from .hearing import overheard
from .models import as_chunk
from .places import Place, current_place, enter, leave

__all__ = ["stepped_in"]

_SCRATCHPAD = "__pregel_scratchpad"


class _Doors:
    """Opened by the first that goes in, put back by the last that leaves."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                for where, name, made in _DOORS:
                    original = getattr(where, name)
                    self._before.append((where, name, original))
                    setattr(where, name, made(original))

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                for where, name, original in self._before:
                    setattr(where, name, original)
                self._before.clear()


stepped_in = _Doors()
"""The doors stand open within: `with stepped_in:`."""


# models --------------------------------------------------------------------------------------------------------------


def _model(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def agenerate(
        self: BaseChatModel, messages: Any, stop: Any = None, run_manager: Any = None, **arguments: Any
    ) -> Any:
        place = current_place("a model")
        if place is None:
            return await original(self, messages, stop=stop, run_manager=run_manager, **arguments)
        return await place.turn(
            self,
            messages,
            stop,
            arguments,
            lambda told, given: original(
                self,
                told,
                stop=stop,
                run_manager=overheard(run_manager, place.conversation.saying()),
                **given,
            ),
        )

    return agenerate


def _sync_model(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def generate(
        self: BaseChatModel, messages: Any, stop: Any = None, run_manager: Any = None, **arguments: Any
    ) -> Any:
        place = current_place("a model")
        if place is None:
            return original(self, messages, stop=stop, run_manager=run_manager, **arguments)

        loop = place.conversation.recorder.loop

        def heard() -> Any:
            say = place.conversation.saying()
            return overheard(run_manager, lambda piece: loop.call_soon_threadsafe(say, piece))

        async def turn(here: Here) -> Any:
            return await place.turn(
                self,
                messages,
                stop,
                arguments,
                lambda told, given: here.call(original, self, told, stop=stop, run_manager=heard(), **given),
            )

        return from_thread(loop, turn, what="a model")

    return generate


def _several(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def agenerate(self: BaseChatModel, *args: Any, **kwargs: Any) -> Any:
        place = current_place("a model")
        try:
            return await original(self, *args, **kwargs)
        except Exception:
            # It gathers with `return_exceptions`, and stumbles over what it takes for an answer.
            if place is not None and place.left is not None:
                raise place.left from None
            raise

    return agenerate


def _streamed(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def astream(self: BaseChatModel, input: Any, config: Any = None, **kwargs: Any) -> Any:
        if current_place("a model") is None:
            async for chunk in original(self, input, config, **kwargs):
                yield chunk
        else:  # the node gets the recorded message; its tokens reach whoever streams the graph
            yield as_chunk(await self.ainvoke(input, config, **kwargs))

    return astream


def _sync_streamed(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def stream(self: BaseChatModel, input: Any, config: Any = None, **kwargs: Any) -> Any:
        if current_place("a model") is None:
            yield from original(self, input, config, **kwargs)
        else:
            yield as_chunk(self.invoke(input, config, **kwargs))

    return stream


def _completion(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def generate(self: BaseLLM, *args: Any, **kwargs: Any) -> Any:
        if current_place("a model") is not None:
            raise ConfigError(
                f"`{type(self).__qualname__}` is a completion model of LangChain, whose calls cannot be recorded; use "
                "a chat model, or call it in a step: `await run.step(name, model.ainvoke, text)`"
            )
        return original(self, *args, **kwargs)

    return generate


# tools ---------------------------------------------------------------------------------------------------------------


def _tool(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def arun(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        place = current_place(f"tool `{self.name}`")
        if place is None:
            return await original(self, tool_input, *args, **kwargs)
        return await place.tool(
            self,
            tool_input,
            kwargs.get("tool_call_id"),
            lambda given: original(self, given, *args, **kwargs),
        )

    return arun


def _sync_tool(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        place = current_place(f"tool `{self.name}`")
        if place is None or (isinstance(self, StructuredTool) and self.func is None):
            return original(self, tool_input, *args, **kwargs)  # the latter has no sync wing, and says so

        beside = place.elsewhere(threading.get_ident())

        async def call(here: Here) -> Any:
            return await place.tool(
                self,
                tool_input,
                kwargs.get("tool_call_id"),
                lambda given: here.call(original, self, given, *args, **kwargs),
                beside=beside,
            )

        return from_thread(place.conversation.recorder.loop, call, what=f"tool `{self.name}`")

    return run


def _invoked(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def ainvoke(self: BaseTool, input: Any, config: Any = None, **kwargs: Any) -> Any:
        if current_place(f"tool `{self.name}`") is None:
            return await original(self, input, config, **kwargs)
        # A sync tool goes into a thread here, before it is counted as under way: let it go there inside of its step.
        return await BaseTool.ainvoke(self, input, config, **kwargs)

    return ainvoke


def _one_call(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run_one(self: ToolNode, call: Any, input_type: str, *args: Any, **kwargs: Any) -> Any:
        place = current_place("a tool")
        if place is not None and input_type == "tool_calls":
            # A branch of `Send`, with this call alone: its node waits in another thread until it is over.
            place.thread = threading.get_ident()
        return original(self, call, input_type, *args, **kwargs)

    return run_one


# nodes ---------------------------------------------------------------------------------------------------------------


def _node(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    async def arun_with_retry(
        task: PregelExecutableTask, *args: Any, configurable: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        outer = current_place("a graph")
        if outer is None:
            return await original(task, *args, configurable=configurable, **kwargs)
        place = outer.node(_name(task))
        tokens = enter(place)
        failed = False
        try:
            resumed: list[Any] = []
            while True:
                try:
                    value = await original(
                        task, *args, configurable=_resumed(task, configurable, resumed), **kwargs
                    )
                except GraphInterrupt as asked:
                    resumed += await place.answers(asked)
                    place.rewind()
                else:
                    outer.conversation.check(place.scope)
                    return value
        except Exception:
            failed = True
            raise
        finally:
            leave(tokens)
            outer.conversation.close(place.scope)
            if failed:
                await outer.conversation.drained()

    return arun_with_retry


def _sync_node(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def run_with_retry(
        task: PregelExecutableTask, *args: Any, configurable: dict[str, Any] | None = None, **kwargs: Any
    ) -> Any:
        outer = current_place("a graph")
        if outer is None:
            return original(task, *args, configurable=configurable, **kwargs)
        loop = outer.conversation.recorder.loop

        thread = threading.get_ident()

        async def begin(here: Here) -> Place:
            return outer.node(_name(task), thread=thread)

        async def end(here: Here, failed: bool) -> None:
            outer.conversation.close(place.scope)
            if failed:
                await outer.conversation.drained()

        async def check(here: Here) -> None:
            outer.conversation.check(place.scope)

        place = outer.begun.pop(task.id, None) or from_thread(loop, begin, what="a graph")
        place.thread = thread
        tokens = enter(place)
        failed = False
        try:
            resumed: list[Any] = []
            while True:
                try:
                    value = original(
                        task, *args, configurable=_resumed(task, configurable, resumed), **kwargs
                    )
                except GraphInterrupt as interrupt:
                    asked = interrupt
                    resumed += from_thread(
                        loop, lambda here, asked=asked: place.answers(asked), what="a graph"
                    )
                    place.rewind()
                else:
                    from_thread(loop, check, what="a graph")
                    return value
        except Exception:
            failed = True
            raise
        finally:
            leave(tokens)
            from_thread(loop, lambda here: end(here, failed), what="a graph")

    return run_with_retry


def _tick(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def tick(self: Any, tasks: Any, **kwargs: Any) -> Any:
        outer = current_place("a graph")
        told: tuple[PregelExecutableTask, ...] = tuple(tasks)
        if outer is None or len(told) < 2:
            yield from original(self, told, **kwargs)
            return
        thread = threading.get_ident()

        async def begin(here: Here) -> None:
            for task in told:
                outer.begun[task.id] = outer.node(_name(task), thread=thread)

        async def end(here: Here) -> None:
            for task in told:
                if task.id in outer.begun:
                    outer.conversation.close(outer.begun.pop(task.id).scope)

        # All are counted before the first goes into its thread: else it would seem to be alone there.
        from_thread(outer.conversation.recorder.loop, begin, what="a graph")
        try:
            yield from original(self, told, **kwargs)
        finally:
            from_thread(outer.conversation.recorder.loop, end, what="a graph")

    return tick


def _name(task: PregelExecutableTask) -> str:
    """`STEP.NODE`, and the place among its siblings of what `Send` began: the same in every replay."""
    step: Any = (task.config.get("metadata") or {}).get("langgraph_step", 0)
    path = cast("Any", task).path
    index = [str(part) for part in path[1:] if type(part) is int]
    return ".".join([str(step), step_name(task.name), *index])


def _resumed(
    task: PregelExecutableTask, configurable: dict[str, Any] | None, answers: list[Any]
) -> dict[str, Any] | None:
    """What the node is run with: with the answers to what it asked, if it has."""
    if not answers:
        return configurable
    own: Any = (task.config.get("configurable") or {}).get(_SCRATCHPAD)
    fresh = {
        name: type(getattr(own, name))() for name in ("call_counter", "interrupt_counter", "subgraph_counter")
    }
    return {**(configurable or {}), _SCRATCHPAD: replace(own, resume=[*own.resume, *answers], **fresh)}


_DOORS: tuple[tuple[Any, str, Callable[[Callable[..., Any]], Callable[..., Any]]], ...] = (
    (BaseChatModel, "_agenerate_with_cache", _model),
    (BaseChatModel, "_generate_with_cache", _sync_model),
    (BaseChatModel, "agenerate", _several),
    (BaseChatModel, "astream", _streamed),
    (BaseChatModel, "stream", _sync_streamed),
    (BaseLLM, "agenerate", _completion),
    (BaseLLM, "generate", _completion),
    (BaseTool, "arun", _tool),
    (BaseTool, "run", _sync_tool),
    (StructuredTool, "ainvoke", _invoked),
    (Tool, "ainvoke", _invoked),
    (ToolNode, "_run_one", _one_call),
    (_runner, "arun_with_retry", _node),
    (_runner, "run_with_retry", _sync_node),
    (_runner.PregelRunner, "tick", _tick),
)
