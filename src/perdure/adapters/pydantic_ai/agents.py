"""Agents of pydantic-ai: `await run.wrap(agent)("prompt")` runs one as it is, each turn and tool call a step.

    run.wrap(agent) ─► agent.run(..., capabilities=[PerdureCapability])
                            ├─ its models, wrapped for each request      pydantic_ai_turns
                            └─ its toolset, wrapped for the run          pydantic_ai_tools

An agent that a tool runs is covered too, in the scope of that tool, which is declared `delegate`.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from pydantic_ai import Agent
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.capabilities import AbstractCapability, CapabilityOrdering
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.run import AgentRun, AgentRunResult
from pydantic_ai.tools import DeferredToolRequests, DeferredToolResults, RunContext
from pydantic_ai.toolsets import AbstractToolset

from ...core.errors import ConcurrentScope, ConfigError, OutsideRun
from ...core.ids import step_name
from ...runtime.frameworks.crossing import Piece, conversation
from ...runtime.frameworks.survey import Had
from ...runtime.frameworks.wrapping import Wrapping, wrapping_of
from .releases import WRAPS_MODELS, replaying, text_in
from .tools import RecordedToolset, surveyed
from .turns import Progress, RecordedModel, hosted_in, refuse_hosted

if TYPE_CHECKING:
    from ...runtime import Run

__all__ = ["ADAPTER", "PerdureCapability", "Pieces", "WrappedAgent"]

_around: ContextVar[Wrapping | None] = ContextVar("perdure_pydantic_ai", default=None)
"""of the wrapped agent whose run this is"""


class PerdureCapability(AbstractCapability[Any]):
    """Makes one run of an agent a part of a Perdure run: `agent.run(..., capabilities=[PerdureCapability(run)])`.

    It is what `run.wrap` adds. `name` is the first part of the steps' keys; else the agent's own name is.
    """

    def __init__(self, run: Run, *, name: str | None = None) -> None:
        self._wrapping = wrapping_of(run, None, name=name)
        self._named = name is not None
        self._progress: Progress | None = None

    @classmethod
    def of(
        cls, wrapping: Wrapping, *, named: bool = True, progress: Progress | None = None
    ) -> PerdureCapability:
        """For what an adapter was told. Where it is not `named`, each agent's own name stands for the wrapping's.

        `progress` is that of the one run for which it is.
        """
        made = cls.__new__(cls)
        made._wrapping = wrapping
        made._named = named
        made._progress = progress
        return made

    @classmethod
    def get_serialization_name(cls) -> str | None:
        """It cannot stand in a file: it belongs to a run."""
        return None

    def get_ordering(self) -> CapabilityOrdering:
        """Next to the model and the tools, inside all other capabilities."""
        return CapabilityOrdering(position="innermost")

    async def for_run(self, ctx: RunContext[Any]) -> PerdureCapability:
        """One of its own for each run of an agent."""
        wrapping = self._wrapping
        if not self._named:
            own = getattr(ctx.agent, "name", None)
            wrapping = replace(wrapping, name=step_name(own or "agent"))
        return self.of(wrapping, progress=self._progress or Progress())

    def get_wrapper_model(self, model: Model) -> Model:
        """The model, its answers recorded."""
        return RecordedModel(model, self._wrapping, self._of_run)

    if not WRAPS_MODELS:

        async def before_model_request(
            self, ctx: RunContext[Any], request_context: ModelRequestContext
        ) -> ModelRequestContext:
            """The same, by the hook of earlier releases."""
            return replace(request_context, model=self.get_wrapper_model(request_context.model))

    def get_wrapper_toolset(self, toolset: AbstractToolset[Any]) -> AbstractToolset[Any]:
        """The tools, their calls recorded."""
        return RecordedToolset(toolset, self._wrapping, self._of_run)

    async def handle_deferred_tool_calls(
        self, ctx: RunContext[Any], *, requests: DeferredToolRequests
    ) -> DeferredToolResults | None:
        """Let calls pass that the framework wants approved: Perdure asks for each of them, once, at its boundary."""
        asked = [call.tool_call_id for call in requests.approvals]
        self._of_run.granted.update(asked)
        return DeferredToolResults(approvals=dict.fromkeys(asked, True)) if asked else None

    async def wrap_run(self, ctx: RunContext[Any], *, handler: Any) -> AgentRunResult[Any]:
        """Open the conversation around the agent's run."""
        recorder, name = self._wrapping.recorder, self._wrapping.name
        if asyncio.get_running_loop() is not recorder.loop:
            raise OutsideRun(
                f"agent `{name}` was run in another thread, where nothing can be recorded: make the tool that runs it "
                "`async`, and write `await agent.run(...)` in place of `agent.run_sync(...)`"
            )
        async with AsyncExitStack() as stack:
            try:
                self._of_run.opened = await stack.enter_async_context(conversation(recorder, name))
            except ConcurrentScope as error:
                raise ConcurrentScope(
                    f"agent `{name}` was run inside a step. Where a tool runs it, say so: "
                    f'`app.effects.declare("delegate", "the tool\'s name")`. {error}'
                ) from error
            token = _around.set(self._wrapping)
            stack.callback(_around.reset, token)
            return await handler()

    @property
    def _of_run(self) -> Progress:
        assert self._progress is not None, "it is made for each run by `for_run`"
        return self._progress


class WrappedAgent:
    """An agent in a run. Called, it gives what `agent.run` gives.

    Code that is handed it in place of the agent may go on to say `agent.run(...)` and `agent.run_stream(...)`.
    """

    def __init__(self, agent: AbstractAgent[Any, Any], wrapping: Wrapping) -> None:
        self._agent = agent
        self._wrapping = wrapping

    async def __call__(self, user_prompt: Any = None, **options: Any) -> AgentRunResult[Any]:
        """Run the agent. The options are those of `agent.run`."""
        with replaying():
            return await self._agent.run(user_prompt, **self._with(options))

    async def run(self, user_prompt: Any = None, **options: Any) -> AgentRunResult[Any]:
        """The same as a call."""
        return await self(user_prompt, **options)

    @asynccontextmanager
    async def stream(self, user_prompt: Any = None, **options: Any) -> AsyncGenerator[Any]:
        """What `agent.run_stream` gives, with its options: tokens as they come; a recorded message in one piece."""
        with replaying():
            async with self._agent.run_stream(user_prompt, **self._with(options)) as streamed:
                yield streamed

    run_stream = stream

    @asynccontextmanager
    async def iter(self, user_prompt: Any = None, **options: Any) -> AsyncGenerator[Any]:
        """What `agent.iter` gives, with its options."""
        with replaying():
            async with self._agent.iter(user_prompt, **self._with(options)) as run:
                yield run

    @asynccontextmanager
    async def pieces(self, user_prompt: Any = None, **options: Any) -> AsyncGenerator[Pieces]:
        """All text that the model says in this run, as it comes, and the result after it: see `Pieces`.

        The options are those of `agent.iter`.
        """
        progress = Progress()
        with replaying():
            async with self._agent.iter(user_prompt, **self._with(options, progress)) as run:
                yield Pieces(run, progress)

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_") and hasattr(self._agent, name):
            raise AttributeError(
                f"a wrapped agent has no `{name}`: in a run it is awaited, as `await agent.run(...)`, or "
                "`async with agent.run_stream(...)`, `.iter(...)` or `.pieces(...)`; for all else ask the agent itself",
                name=name,
                obj=self,
            )
        raise AttributeError(f"`{type(self).__name__}` has no attribute `{name}`", name=name, obj=self)

    def _with(self, options: dict[str, Any], progress: Progress | None = None) -> dict[str, Any]:
        given: Sequence[Any] = options.pop("capabilities", None) or ()
        # A name that is taken from a variable would be another one in another process.
        return {
            "infer_name": False,
            **options,
            "capabilities": [*given, PerdureCapability.of(self._wrapping, progress=progress)],
        }


class Pieces:
    """Iterated over, an agent's run in `Piece`s; then its `result`."""

    def __init__(self, run: AgentRun[Any, Any], progress: Progress) -> None:
        self._run = run
        self._progress = progress

    @property
    def result(self) -> AgentRunResult[Any] | None:
        """What the agent came to, once all pieces have been heard."""
        return self._run.result

    async def __aiter__(self) -> AsyncGenerator[Piece]:
        """The pieces of text, of every message."""
        async for node in self._run:
            if not Agent.is_model_request_node(node):
                continue
            async with node.stream(self._run.ctx) as stream:
                async for event in stream:
                    if text := text_in(event):
                        progress = self._progress
                        yield progress.conversation.piece(text, recorded=progress.recorded)


class PydanticAI:
    """The adapter."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> WrappedAgent:
        """See `WrappedAgent`. Raises `ConfigError` for hosted tools that nobody allowed."""
        if not isinstance(agent, AbstractAgent):
            raise ConfigError(
                f"`{type(agent).__qualname__}` is no agent of pydantic-ai: give `run.wrap` the `Agent` itself"
            )
        own = cast("AbstractAgent[Any, Any]", agent)
        refuse_hosted(hosted_in(own.root_capability.get_native_tools()), wrapping)
        _cover_inner_agents()
        return WrappedAgent(own, wrapping)

    def had(self, value: Any) -> Had | None:
        """The tools of an agent's functions; those of MCP servers and other toolsets are known when they are asked."""
        if not isinstance(value, AbstractAgent):
            return None
        own = cast("AbstractAgent[Any, Any]", value)
        had = surveyed(own.toolsets)
        had.uncovered += hosted_in(own.root_capability.get_native_tools())
        return had


ADAPTER = PydanticAI()


@functools.cache
def _cover_inner_agents() -> None:
    """Let agents that a wrapped agent's tools run be covered as well, without a change to their code.

    A tool calls them as objects that nothing else knows, and pydantic-ai has no hook for all agents. So its one way to
    run an agent gets a look at a context variable, which is set inside of wrapped agents only.
    """
    theirs = Agent.iter

    @functools.wraps(theirs)
    def iterate(self: Any, *args: Any, **options: Any) -> AbstractAsyncContextManager[Any]:
        around = _around.get()
        given: Sequence[Any] = options.get("capabilities") or ()
        if around is not None and not any(isinstance(c, PerdureCapability) for c in given):
            ours = PerdureCapability.of(around, named=False)
            options = {**options, "capabilities": [*given, ours]}
        return theirs(self, *args, **options)

    Agent.iter = iterate  # pyright: ignore[reportAttributeAccessIssue]
