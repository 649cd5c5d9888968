"""Agents of the OpenAI Agents SDK: `await run.wrap(agent)("task")` runs one as it is, each turn and tool call a step.

    run.wrap(agent) ─► Runner.run(copy of the agent, ...)
                            │       openai_agents_cover, with its handoffs and guardrails
                            ├─ its models            openai_agents_turns, openai_agents_streams
                            ├─ its tools, MCP too    openai_agents_tools, openai_agents_context
                            └─ its session           openai_agents_sessions

An agent that a tool or a guardrail runs
(`Runner.run(...)`, `agent.as_tool()`) is covered too, in the scope of that tool or guardrail: the SDK has one runner
for the process, which this adapter replaces by one that looks at a context variable.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, cast

from agents import Agent, FunctionTool
from agents.result import RunResult, RunResultStreaming
from agents.run import AgentRunner, get_default_agent_runner, set_default_agent_runner

from ...core.errors import ConfigError, OutsideRun
from ...core.ids import step_name
from ...runtime.frameworks.declared import guess
from ...runtime.frameworks.survey import Had, SurveyedTool
from ...runtime.frameworks.wrapping import Wrapping
from ..guard import watch_requests
from .cover import AROUND, Cover, session_of, task_of
from .streams import AnswerRestarted
from .tools import on_handoff_of, surveyed
from .turns import hosted_in, refuse_hosted

__all__ = ["ADAPTER", "AnswerRestarted", "WrappedAgent"]


class WrappedAgent:
    """An agent in a run. Called, it gives what `Runner.run` gives."""

    def __init__(self, agent: Agent[Any], wrapping: Wrapping) -> None:
        self._agent = agent
        self._wrapping = wrapping

    async def __call__(self, input: Any, **options: Any) -> RunResult:
        """Run the agent. The options are those of `Runner.run`."""
        return await Cover(self._wrapping).run(
            _plain_runner(), self._agent, input, options, self._wrapping.name
        )

    @asynccontextmanager
    async def stream(self, input: Any, **options: Any) -> AsyncGenerator[RunResultStreaming]:
        """What `Runner.run_streamed` gives, with its options; inside of it read `stream_events()`.

        Tokens come as the model gives them; a message that was recorded comes in one piece, and one that begins again
        after a failure is announced by an `AnswerRestarted` among the raw events.
        """
        cover = Cover(self._wrapping)
        async with cover.around(self._wrapping.name), cover.options(options) as given:
            result = _plain_runner().run_streamed(cover.agent(self._agent), task_of(input), **given)
            try:
                yield result
                if result.run_loop_task is not None and not result.run_loop_task.done():
                    async for _ in result.stream_events():
                        pass  # whoever leaves early still has the run to its end
            finally:
                await _over(result)
            cover.give_back(result)


class OpenAIAgents:
    """The adapter."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> WrappedAgent:
        """See `WrappedAgent`. Raises `ConfigError` for hosted tools that nobody allowed."""
        if not isinstance(agent, Agent):
            raise ConfigError(
                f"`{type(agent).__qualname__}` is no agent of the OpenAI Agents SDK: give `run.wrap` the `Agent` itself"
            )
        own = cast("Agent[Any]", agent)
        for found in _reached(own):
            refuse_hosted(found.tools, wrapping)
        _cover_inner_runs()
        watch_requests()
        return WrappedAgent(own, wrapping)

    def had(self, value: Any) -> Had | None:
        """The tools of an agent, and the agents that it hands over to; those of MCP servers are known when asked."""
        if isinstance(value, FunctionTool):
            return surveyed([value])
        if not isinstance(value, Agent):
            return None
        own = cast("Agent[Any]", value)
        had = surveyed(own.tools)
        had.uncovered += hosted_in(own.tools)
        had.later += [server.name for server in own.mcp_servers]
        for one in own.handoffs:
            reference: Any = None if isinstance(one, Agent) else getattr(one, "_agent_ref", None)
            target = one if isinstance(one, Agent) else None if reference is None else reference()
            function = None if isinstance(one, Agent) else on_handoff_of(one)
            if function is not None:
                name = cast("Any", one).tool_name
                had.tools.append(SurveyedTool(name, function, guess(name)))
            if target is None:
                had.later.append(f"the handoff `{cast('Any', one).tool_name}`")
            else:
                had.below.append(target)
        return had


ADAPTER = OpenAIAgents()


def _reached(agent: Agent[Any]) -> list[Agent[Any]]:
    """The agent, and those that it hands over to without a word of its own."""
    found: dict[int, Agent[Any]] = {}
    ahead = [agent]
    while ahead:
        one = ahead.pop()
        if id(one) not in found:
            found[id(one)] = one
            ahead += [h for h in one.handoffs if isinstance(h, Agent)]
    return list(found.values())


async def _over(result: RunResultStreaming) -> None:
    task = result.run_loop_task
    if task is not None:
        if not task.done():
            result.cancel()
        await asyncio.gather(task, return_exceptions=True)


# agents that tools and guardrails run --------------------------------------------------------------------------------


class _Runner(AgentRunner):
    """The SDK's runner; for whatever is run inside a wrapped agent, with copies."""

    def __init__(self, plain: AgentRunner) -> None:
        self.plain = plain

    async def run(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:  # pyright: ignore[reportIncompatibleMethodOverride]
        cover = AROUND.get()
        if cover is None:
            return await self.plain.run(starting_agent, input, **options)
        return await cover.run(self.plain, starting_agent, input, options, step_name(starting_agent.name))

    def run_sync(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResult:  # pyright: ignore[reportIncompatibleMethodOverride]
        cover = AROUND.get()
        if cover is not None:
            raise OutsideRun(
                f"agent `{starting_agent.name}` was run by `Runner.run_sync(...)` inside a wrapped agent, where "
                "nothing can be recorded: make the function that runs it `async`, and write `await Runner.run(...)`"
            )
        return self.plain.run_sync(starting_agent, input, **options)

    def run_streamed(self, starting_agent: Agent[Any], input: Any, **options: Any) -> RunResultStreaming:  # pyright: ignore[reportIncompatibleMethodOverride]
        cover = AROUND.get()
        if cover is None:
            return self.plain.run_streamed(starting_agent, input, **options)
        context = contextvars.copy_context()
        around = cover.around(step_name(starting_agent.name))
        given: dict[str, Any] = {
            **options,
            "run_config": cover.config(options.get("run_config")),
            "session": session_of(options.get("session")),
        }
        context.run(_now, around.__aenter__())
        try:
            result = context.run(
                lambda: self.plain.run_streamed(cover.agent(starting_agent), task_of(input), **given)
            )
        except BaseException as error:
            context.run(_now, around.__aexit__(type(error), error, error.__traceback__))
            raise
        assert result.run_loop_task is not None
        result.run_loop_task.add_done_callback(lambda task: _close(task, around), context=context)
        return result


def _close(task: asyncio.Task[Any], around: AbstractAsyncContextManager[None]) -> None:
    """The end of a streamed run; what went wrong stands in its result."""
    error = None if task.cancelled() else task.exception()
    kind = None if error is None else type(error)
    with suppress(BaseException):
        _now(around.__aexit__(kind, error, None))


def _now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """What a coroutine gives that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("opening a conversation waited")


def _plain_runner() -> AgentRunner:
    runner = get_default_agent_runner()
    return runner.plain if isinstance(runner, _Runner) else runner


def _cover_inner_runs() -> None:
    """Let agents that a wrapped agent's tools run be covered as well, without a change to their code."""
    runner = get_default_agent_runner()
    if not isinstance(runner, _Runner):
        set_default_agent_runner(_Runner(runner))
