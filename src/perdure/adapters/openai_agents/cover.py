"""Copies of agents of the OpenAI Agents SDK whose turns, calls and guardrails are steps of a run.

The copies live for one call of a wrapped agent; its result names the agents that they were made of.
"""

from __future__ import annotations

import copy
import functools
import inspect
import weakref
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, cast

from agents import Agent, GuardrailFunctionOutput, Handoff, Model, RunConfig
from agents.result import RunResult
from agents.run import AgentRunner
from agents.run_state import RunState

from ...core.codec import Shape, shape_of
from ...core.errors import ConfigError
from ...core.ids import step_name
from ...runtime.boundary import effects
from ...runtime.frameworks.calling import check_place
from ...runtime.frameworks.crossing import conversation, current
from ...runtime.frameworks.wrapping import Wrapping
from ...runtime.replay.control import Unwind
from ...runtime.replay.scope import Scope
from .sessions import RecordedSession
from .tools import Tools
from .turns import RecordedModel, RecordedProvider

__all__ = ["AROUND", "Cover", "session_of", "task_of"]

AROUND: ContextVar[Cover | None] = ContextVar("perdure_openai_agents", default=None)
"""of the wrapped agent whose run this is"""


class Cover:
    """Makes the copies for one call of a wrapped agent, and runs it."""

    def __init__(self, wrapping: Wrapping) -> None:
        self.wrapping = wrapping
        self.tools = Tools(wrapping)
        self._copies: dict[int, tuple[Agent[Any], Agent[Any]]] = {}
        self._originals: dict[int, Agent[Any]] = {}

    # running -----------------------------------------------------------------------------------------------------

    async def run(
        self, runner: AgentRunner, agent: Agent[Any], input: Any, options: dict[str, Any], name: str
    ) -> RunResult:
        """What the SDK's runner gives, with its options."""
        async with self.around(name), self.options(options) as given:
            result = await runner.run(self.agent(agent), task_of(input), **given)
            self.give_back(result)
            return result

    @asynccontextmanager
    async def around(self, name: str) -> AsyncGenerator[None]:
        """Open the conversation. An error that is not the SDK's comes out as itself."""
        recorder = self.wrapping.recorder
        check_place(
            recorder,
            name,
            instead="make the tool that runs it `async`, and write `await Runner.run(...)` in place of "
            "`Runner.run_sync(...)`",
        )
        async with conversation(recorder, name):
            token = AROUND.set(self)
            try:
                yield
            except Exception as error:
                if recorder.halted is not None:
                    raise Unwind from error
                raised, self.tools.raised = self.tools.raised, None
                if raised is None or raised is error:
                    raise
                raise raised from raised.__cause__
            finally:
                AROUND.reset(token)

    @asynccontextmanager
    async def options(self, options: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The options of `Runner.run` as the covered run has them."""
        given = options.get("run_config")
        config = self.config(given)
        try:
            yield {**options, "run_config": config, "session": session_of(options.get("session"))}
        finally:
            if given is None:
                await config.model_provider.aclose()

    def config(self, given: RunConfig | dict[str, Any] | None) -> RunConfig:
        """The SDK's tracing, which would send the run elsewhere, is off; so are its own retries."""
        config = RunConfig(**given) if isinstance(given, dict) else given or RunConfig()
        settings = config.model_settings
        provider = config.model_provider
        if not isinstance(provider, RecordedProvider):
            provider = RecordedProvider(provider, self.wrapping)
        return replace(
            config,
            model=self._model(config.model),
            model_provider=provider,
            model_settings=settings if settings is None else replace(settings, retry=None),
            input_guardrails=[self._guardrail(g) for g in config.input_guardrails or ()],
            output_guardrails=[self._guardrail(g) for g in config.output_guardrails or ()],
            tracing_disabled=True,
        )

    # copies ------------------------------------------------------------------------------------------------------

    def agent(self, agent: Agent[Any]) -> Agent[Any]:
        """The copy of an agent whose turns and calls are steps."""
        if id(agent) in self._originals:
            return agent
        kept = self._copies.get(id(agent))
        if kept is not None:
            return kept[1]
        made = copy.copy(agent)
        self._copies[id(agent)] = agent, made  # before its handoffs, which may lead back
        self._originals[id(made)] = agent
        made.__class__ = _copied(type(agent))
        set_field = functools.partial(object.__setattr__, made)
        set_field("_perdure_tools", self.tools)
        set_field(
            "_agents_public_agent", agent
        )  # rules of the tools are asked with the agent that the user knows
        set_field("tools", self.tools.cover(agent.tools))
        set_field("model", self._model(agent.model))
        if agent.model_settings.retry is not None:
            set_field("model_settings", replace(agent.model_settings, retry=None))
        set_field("handoffs", [self._handoff(h) for h in agent.handoffs])
        set_field("input_guardrails", [self._guardrail(g) for g in agent.input_guardrails])
        set_field("output_guardrails", [self._guardrail(g) for g in agent.output_guardrails])
        return made

    def _model(self, model: Any) -> Any:
        if isinstance(model, Model) and not isinstance(model, RecordedModel):
            return RecordedModel(model, self.wrapping)
        return model

    def _handoff(self, given: Any) -> Any:
        if isinstance(given, Agent):
            return self.agent(cast("Agent[Any]", given))
        made: Handoff[Any, Any] = copy.copy(given)
        theirs = made.on_invoke_handoff
        reference: Any = made._agent_ref  # pyright: ignore[reportPrivateUsage]
        acts = self.tools.meet_handoff(given)

        async def invoke(context: Any, text: str) -> Agent[Any]:
            if not acts:
                return self.agent(await theirs(context, text))
            await self.tools.hand_over(given, context, text)
            return self.agent(reference())

        made.on_invoke_handoff = invoke
        return made

    def _guardrail(self, guardrail: Any) -> Any:
        """Its verdict is recorded, so that it falls in a replay when it fell; agents that it runs have their steps."""
        theirs = guardrail.guardrail_function
        if hasattr(theirs, "_perdure_guardrail"):
            return guardrail
        name = f"guardrail.{step_name(guardrail.get_name())}"
        beside = bool(getattr(guardrail, "run_in_parallel", False))

        async def check(*given: Any) -> GuardrailFunctionOutput:
            given = tuple(self._originals.get(id(one), one) for one in given)
            async with current().aside(name, beside=beside) as scope:
                said: Any = theirs(*given)
                found: GuardrailFunctionOutput = await said if inspect.isawaitable(said) else said
                return replace(found, tripwire_triggered=await _verdict(scope, found.tripwire_triggered))

        check._perdure_guardrail = True  # pyright: ignore[reportFunctionMemberAccess]
        made = copy.copy(guardrail)
        made.guardrail_function = check
        made.name = guardrail.get_name()
        return made

    def give_back(self, result: Any) -> None:
        """Name the user's agents in a result, in place of the copies."""
        found: list[Any] = [result, *result.new_items, *result.output_guardrail_results]
        for one in found:
            held = cast("dict[str, Any]", one.__dict__)
            for name, value in list(held.items()):
                target = cast("Any", value() if isinstance(value, weakref.ref) else value)
                original = self._originals.get(id(target))
                if original is not None:
                    held[name] = weakref.ref(original) if target is not value else original


async def _verdict(scope: Scope, triggered: bool) -> bool:
    async def said() -> bool:
        return triggered

    key = scope.enter("verdict")
    try:
        return await effects.repeat(scope.recorder, scope, key, said, (), {}, shape=_BOOL, asynchronous=True)
    finally:
        scope.busy = ""


_BOOL: Shape[bool] = shape_of(bool)


@functools.cache
def _copied(kind: type[Agent[Any]]) -> type[Agent[Any]]:
    """The type of the copies: it covers the tools that are only known while the agent runs (MCP)."""

    class Copied(kind):
        async def get_all_tools(self, run_context: Any) -> list[Any]:
            tools = cast("Tools", vars(self)["_perdure_tools"])
            return tools.cover(await super().get_all_tools(run_context))

    Copied.__name__ = Copied.__qualname__ = kind.__name__
    return Copied


def task_of(input: Any) -> Any:
    """The task. Raises `ConfigError` for a state of the SDK's own."""
    if isinstance(input, RunState):
        raise ConfigError(
            "a `RunState` is not needed in a run, whose journal is the state: give the task itself. Approvals are "
            "asked for by the run (`perdure approvals`), so its result has no interruptions"
        )
    return input


def session_of(session: Any) -> Any:
    """The session, read and added to in steps."""
    return session if session is None or isinstance(session, RecordedSession) else RecordedSession(session)
