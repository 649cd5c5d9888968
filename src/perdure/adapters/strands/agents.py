"""Agents of Strands: `await run.wrap(agent)("task")` runs one as it is, each turn and tool call a step.

    run.wrap(agent) ─► a copy of the agent, for this run
                            ├─ its model                   strands_turns
                            └─ its tools' middleware       strands_tools

An agent of Strands keeps its conversation. The copy begins with what the agent held when it was wrapped, and keeps it
over several calls of what `run.wrap` gave; the agent itself stays as it was, so that another life of the run finds it
so. An agent that a tool runs (`agent.as_tool()`, or the tool is declared `delegate`) is covered in the same way, in the
scope of that tool.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

from strands import Agent
from strands.agent.agent_result import AgentResult
from strands.interrupt import Interrupt
from strands.middleware.stages import ExecuteToolStage
from strands.types.exceptions import EventLoopException
from strands.types.tools import AgentTool

from ...core.errors import ConfigError, PerdureError
from ...core.ids import step_name
from ...runtime.frameworks.calling import check_place
from ...runtime.frameworks.crossing import Piece, conversation, current
from ...runtime.frameworks.questions import put, question_of, said
from ...runtime.frameworks.survey import Had
from ...runtime.frameworks.wrapping import Wrapping
from ...runtime.replay.control import Unwind
from ...runtime.replay.parallel import gather
from ...runtime.replay.scope import current_scope
from .tools import Tools, surveyed, unowning
from .turns import PIECE, RecordedModel

__all__ = ["ADAPTER", "Pieces", "WrappedAgent"]

_around: ContextVar[Wrapping | None] = ContextVar("perdure_strands", default=None)
"""of the wrapped agent whose run this is"""


class WrappedAgent:
    """An agent in a run. Called, it gives what `agent.invoke_async` gives.

    Called again, it goes on with its conversation.
    """

    def __init__(self, agent: Agent, wrapping: Wrapping) -> None:
        self._wrapping = wrapping
        self._raised: list[PerdureError] = []
        self._copy = _copied(agent, wrapping, self._raised)

    @property
    def messages(self) -> Any:
        """The conversation so far, in this run."""
        return self._copy.messages

    async def __call__(self, prompt: Any = None, **options: Any) -> AgentResult:
        """Run the agent. The options are those of `agent.invoke_async`."""
        async with self._open():
            return await self._copy.invoke_async(prompt, **options)

    @asynccontextmanager
    async def pieces(self, prompt: Any = None, **options: Any) -> AsyncGenerator[Pieces]:
        """All text that the model says in this run, as it comes, and the result after it: see `Pieces`."""
        async with self._open():
            yield Pieces(self._copy.stream_async(prompt, **options))

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[None]:
        async with _opened(self._wrapping, self._raised):
            yield


class Pieces:
    """Iterated over, an agent's run in `Piece`s; then its `result`."""

    def __init__(self, events: Any) -> None:
        self._events = events
        self.result: AgentResult | None = None
        """what the agent came to, once all pieces have been heard"""

    async def __aiter__(self) -> AsyncGenerator[Piece]:
        """The pieces of text, of every message."""
        async for event in self._events:
            piece: Any = event.get("event", {}).get(PIECE) if isinstance(event.get("event"), dict) else None
            if piece is not None and piece.text:
                yield piece
            if "result" in event:
                self.result = event["result"]


class Strands:
    """The adapter."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> WrappedAgent:
        """See `WrappedAgent`. Raises `ConfigError` for what would keep a history of its own."""
        if not isinstance(agent, Agent):
            raise ConfigError(
                f"`{type(agent).__qualname__}` is no agent of Strands: give `run.wrap` the `Agent` itself. Of a graph "
                "or a swarm, wrap its agents one by one"
            )
        _cover_inner_agents()
        return WrappedAgent(agent, wrapping)

    def had(self, value: Any) -> Had | None:
        """Its registered tools, those of MCP clients among them, and the agents that are tools."""
        if isinstance(value, AgentTool):
            return surveyed({value.tool_name: value})
        return surveyed(value.tool_registry.registry) if isinstance(value, Agent) else None


ADAPTER = Strands()


# the copy of one run -------------------------------------------------------------------------------------------------

_REFUSED = {
    "_session_manager": "a session manager, which would keep the conversation a second time: the journal keeps it",
    "_background_tasks": "background tasks, which go on where no step is: let tools be called in parallel instead",
    "_checkpointing": "checkpoints of its own: the run's journal is one at every step",
    "memory_manager": "a memory manager, which reads and writes outside of any step: make its operations tools",
}


def _copied(agent: Agent, wrapping: Wrapping, raised: list[PerdureError]) -> Any:
    for name, why in _REFUSED.items():
        if getattr(agent, name, None):
            raise ConfigError(
                f"agent `{wrapping.name}` has {why}. Leave it out of the agent that a run wraps"
            )
    made: Any = copy.copy(agent)
    made.__class__ = _copied_class(type(agent))
    made._perdure_agent = wrapping.agent
    made.messages = copy.deepcopy(agent.messages)
    made.state = copy.deepcopy(agent.state)
    made.model = RecordedModel(agent.model, wrapping, raised)
    made.conversation_manager = copy.copy(agent.conversation_manager)
    for name in ("event_loop_metrics", "_interrupt_state", "_model_state"):
        setattr(made, name, copy.deepcopy(getattr(agent, name)))
    theirs: Any = agent
    made._concurrency = type(theirs._concurrency)(theirs._concurrency.mode)
    made._cancel_signal = type(theirs._cancel_signal)()
    made.hooks = _without_retries(agent)
    made._middleware_registry = copy.copy(theirs._middleware_registry)
    made._middleware_registry._handlers = {
        k: list(v) for k, v in theirs._middleware_registry._handlers.items()
    }
    # A call with structured output adds a tool to the registry while it goes on; other runs must not see that.
    made.tool_registry = copy.copy(agent.tool_registry)
    made.tool_registry.registry = dict(agent.tool_registry.registry)
    made.tool_registry.dynamic_tools = dict(agent.tool_registry.dynamic_tools)
    made.tool_caller = type(theirs.tool_caller)(made)
    tools = Tools(wrapping, raised)
    tools.meet(agent.tool_registry.registry)
    made.add_middleware(ExecuteToolStage, tools.__call__)
    return made


def _without_retries(agent: Any) -> Any:
    """The agent's hooks, less those that ask the model again: that is the run's to do."""
    made = copy.copy(agent.hooks)
    made._registered_callbacks = {
        kind: [e for e in entries if getattr(e.callback, "__self__", None) is not agent._retry_strategy]
        for kind, entries in agent.hooks._registered_callbacks.items()
    }
    return made


@functools.cache
def _copied_class(kind: type[Agent]) -> type[Agent]:
    """The type of the copies that runs have."""

    class Copied(unowning(kind)):
        _perdure_copy = True

        async def stream_async(self, prompt: Any = None, **options: Any) -> AsyncGenerator[Any]:
            """Run the agent; where it interrupts itself, put that before a human, and go on with the answer."""
            while True:
                interrupts: list[Interrupt] = []
                above: Any = super()
                theirs: AsyncGenerator[Any] = above.stream_async(prompt, **options)
                async with aclosing(theirs) as events:
                    async for event in events:
                        result: AgentResult | None = event.get("result")
                        if result is not None and result.stop_reason == "interrupt":
                            interrupts += result.interrupts or ()
                        else:
                            yield event
                if not interrupts:
                    return
                prompt = await _answers(vars(self)["_perdure_agent"], interrupts)

    Copied.__name__ = Copied.__qualname__ = kind.__name__
    return Copied


async def _answers(agent: str, interrupts: Sequence[Interrupt]) -> list[Any]:
    """Ask all at once, and wait for all: what the agent is to go on with."""
    conversation = current()
    recorder, scope = conversation.recorder, conversation.scope

    async def one(interrupt: Interrupt) -> Any:
        question = question_of(interrupt.reason, otherwise=interrupt.name)
        mine = current_scope(recorder)
        answer = await put(recorder, mine, step_name(interrupt.name), question, agent=agent)
        return {"interruptResponse": {"interruptId": interrupt.id, "response": said(answer)}}

    key = scope.enter("interrupt")
    try:
        works = tuple(one(interrupt) for interrupt in interrupts)
        return await gather(recorder, scope, key, works, return_exceptions=False)
    finally:
        scope.busy = ""


@asynccontextmanager
async def _opened(wrapping: Wrapping, raised: list[PerdureError]) -> AsyncGenerator[None]:
    """The conversation around a run of an agent. What is not for the model comes out as itself."""
    recorder = wrapping.recorder
    check_place(
        recorder,
        wrapping.name,
        instead="make the tool that runs it `async`, and write `await agent.invoke_async(...)` in place of "
        "`agent(...)`",
    )
    async with conversation(recorder, wrapping.name):
        token = _around.set(wrapping)
        try:
            yield
            if raised:
                raise raised[0]
        except Exception as error:
            if recorder.halted is not None:
                raise Unwind from error
            if raised and raised[0] is not error:
                raise raised[0] from raised[0].__cause__
            if isinstance(error, EventLoopException) and isinstance(error.original_exception, PerdureError):
                raise error.original_exception from error.original_exception.__cause__
            raise
        finally:
            raised.clear()
            _around.reset(token)


# agents that tools run -----------------------------------------------------------------------------------------------


@functools.cache
def _cover_inner_agents() -> None:
    """Let agents that a wrapped agent's tools run be covered as well, without a change to their code.

    A tool calls them as objects that nothing else knows. So the one way to run an agent gets a look at a context
    variable, which is set inside of wrapped agents only.
    """
    theirs = Agent.stream_async

    @functools.wraps(theirs)
    async def stream_async(self: Any, *args: Any, **options: Any) -> AsyncGenerator[Any]:
        around = _around.get()
        if around is None or getattr(self, "_perdure_copy", False):
            async for event in theirs(self, *args, **options):
                yield event
            return
        for event in await _inner(around, self, args, options):
            yield event

    Agent.stream_async = cast("Any", stream_async)


async def _inner(around: Wrapping, agent: Any, args: Any, options: Any) -> list[Any]:
    """All events of an agent's run: whoever reads them does so outside of its conversation."""
    wrapping = replace(around, name=step_name(agent.name or "agent"))
    raised: list[PerdureError] = []
    made = _copied(agent, wrapping, raised)
    async with _opened(wrapping, raised):
        return [event async for event in made.stream_async(*args, **options)]
