"""Agents of Google's ADK: `await run.wrap(agent)("task")` runs one as it is, each turn and tool call a step.

    run.wrap(agent) ─► Runner(copy of the agent, with the agents below it), a session in memory
                            ├─ their models     google_adk_models
                            └─ their tools      google_adk_tools

The session belongs to what `run.wrap` gave: it goes on over several calls of that. It is not kept anywhere else, for
the run's journal has all that it is made of.
"""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.llm_agent import LlmAgent
from google.adk.agents.loop_agent import LoopAgent  # pyright: ignore[reportDeprecated]
from google.adk.agents.parallel_agent import ParallelAgent  # pyright: ignore[reportDeprecated]
from google.adk.agents.run_config import RunConfig, StreamingMode  # pyright: ignore[reportPrivateImportUsage]
from google.adk.agents.sequential_agent import SequentialAgent  # pyright: ignore[reportDeprecated]
from google.adk.apps.app import App
from google.adk.events.event import Event
from google.adk.runners import InMemoryRunner
from google.genai import types

from ...core.errors import ConfigError, PerdureError
from ...runtime.frameworks.calling import check_place
from ...runtime.frameworks.crossing import Piece, conversation
from ...runtime.frameworks.survey import Had
from ...runtime.frameworks.wrapping import Wrapping
from ...runtime.replay.control import Unwind
from .models import MESSAGE, RECORDED, RecordedLlm
from .parallel import Parallel
from .tools import Tools, surveyed

__all__ = ["ADAPTER", "Answer", "Pieces", "WrappedAgent"]

_WHO = "perdure"
"""The user of the session, and its name: both are seen by nobody else."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent of the ADK came to."""

    text: str
    """of its final response"""
    events: list[Event] = field(repr=False)
    """of the framework, in order; without the parts of messages"""
    state: dict[str, Any] = field(repr=False)
    """of the session, after it"""


class WrappedAgent:
    """An agent in a run. Called again, it goes on with its session."""

    def __init__(self, agent: BaseAgent, wrapping: Wrapping, plugins: list[Any] | None = None) -> None:
        self._wrapping = wrapping
        self._raised: list[PerdureError] = []
        copies = _Copies(wrapping, self._raised)
        self._runner = InMemoryRunner(app=App(name=_WHO, root_agent=copies.of(agent), plugins=plugins or []))
        self._session = False

    async def __call__(
        self,
        message: str | types.Content,
        *,
        state: dict[str, Any] | None = None,
        run_config: RunConfig | None = None,
    ) -> Answer:
        """Run the agent. `state` is added to the session's; `run_config` is that of `Runner.run_async`."""
        async with self.pieces(message, state=state, run_config=run_config or RunConfig()) as pieces:
            async for _ in pieces:
                pass
        assert pieces.answer is not None
        return pieces.answer

    @asynccontextmanager
    async def pieces(
        self,
        message: str | types.Content,
        *,
        state: dict[str, Any] | None = None,
        run_config: RunConfig | None = None,
    ) -> AsyncGenerator[Pieces]:
        """The text that the model says in this run, as it comes, and the answer after it: see `Pieces`."""
        said = types.UserContent(message) if isinstance(message, str) else message
        async with _opened(self._wrapping, self._raised):
            if not self._session:
                await self._runner.session_service.create_session(
                    app_name=_WHO, user_id=_WHO, session_id=_WHO
                )
                self._session = True
            events = self._runner.run_async(
                user_id=_WHO,
                session_id=_WHO,
                new_message=said,
                state_delta=state,
                run_config=run_config or RunConfig(streaming_mode=StreamingMode.SSE),
            )
            try:
                yield Pieces(events, self._runner, self._wrapping.recorder.epoch)
            finally:
                await events.aclose()


class Pieces:
    """Iterated over, an agent's run in `Piece`s; then its `answer`."""

    def __init__(self, events: AsyncGenerator[Event], runner: InMemoryRunner, epoch: int) -> None:
        self._events = events
        self._runner = runner
        self._epoch = epoch
        self.answer: Answer | None = None
        """what the agent came to, once all pieces have been heard"""

    async def __aiter__(self) -> AsyncGenerator[Piece]:
        """The pieces of text, of every message."""
        whole: list[Event] = []
        final = ""
        async for event in self._events:
            parts = [] if event.content is None else event.content.parts or []
            text = "".join(p.text or "" for p in parts if not p.thought)
            if not event.partial:
                whole.append(event)
                if event.is_final_response() and text:
                    final = text
            elif text and MESSAGE in (told := event.custom_metadata or {}):
                yield Piece(told[MESSAGE], self._epoch, text, RECORDED in told)
        session = await self._runner.session_service.get_session(app_name=_WHO, user_id=_WHO, session_id=_WHO)
        self.answer = Answer(final, whole, {} if session is None else dict(session.state))


class GoogleADK:
    """The adapter."""

    def wrap(self, agent: Any, wrapping: Wrapping) -> WrappedAgent:
        """See `WrappedAgent`; of an `App`, its root agent and its plugins.

        Raises `ConfigError` for what no step covers.
        """
        if isinstance(agent, App):
            root: Any = agent.root_agent
            return WrappedAgent(root, wrapping, list(agent.plugins))
        if not isinstance(agent, BaseAgent):
            raise ConfigError(
                f"`{type(agent).__qualname__}` is no agent of the ADK: give `run.wrap` the agent itself, or the `App`"
            )
        return WrappedAgent(agent, wrapping)

    def had(self, value: Any) -> Had | None:
        """The tools of an agent, and the agents below it; those of toolsets are known when they are asked."""
        if isinstance(value, App):
            return Had(below=[cast("Any", value).root_agent])
        if not isinstance(value, BaseAgent):
            return None
        had = surveyed(cast("list[Any]", getattr(value, "tools", None) or []))
        if getattr(value, "code_executor", None) is not None:
            had.uncovered.append("code_executor")
        had.below += value.sub_agents
        return had


ADAPTER = GoogleADK()


_OF_AGENTS: tuple[type[BaseAgent], ...] = (SequentialAgent, LoopAgent, ParallelAgent)  # pyright: ignore[reportDeprecated]


class _Copies:
    """Makes the copies of an agent and of those below it."""

    def __init__(self, wrapping: Wrapping, raised: list[PerdureError]) -> None:
        self._wrapping = wrapping
        self._raised = raised
        self._tools = Tools(wrapping, raised, self.of)

    def of(self, agent: Any) -> Any:
        """The copy of an agent. Raises `ConfigError` for a kind whose turns have no order."""
        below = {"sub_agents": [self.of(a) for a in agent.sub_agents]}
        if isinstance(agent, LlmAgent):
            if agent.code_executor is not None and "code_executor" not in self._wrapping.table.allowed:
                raise ConfigError(
                    f"agent `{agent.name}` has a `code_executor`, whose code Perdure can neither record nor stop: make "
                    'it a tool, or let it through: `app.effects.allow("code_executor")`'
                )
            model = RecordedLlm.of(
                agent.canonical_model,
                self._wrapping,
                self._raised,
                uncovered=() if agent.code_executor is None else ("code_executor",),
            )
            tools = [self._tools.cover(t) for t in cast("list[Any]", agent.tools)]  # pyright: ignore[reportUnknownMemberType]
            return agent.clone({**below, "model": model, "tools": tools})
        if type(agent) in _OF_AGENTS:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # the user has been told, by the original
                made = agent.clone(below)
            if type(agent) is ParallelAgent:  # pyright: ignore[reportDeprecated]
                object.__setattr__(made, "__class__", Parallel)
            return made
        raise ConfigError(
            f"agent `{agent.name}` is a `{type(agent).__qualname__}`, which may run its agents in any order: Perdure "
            "covers `LlmAgent`, `SequentialAgent`, `LoopAgent` and `ParallelAgent`. Wrap the agents in it one by one, "
            "and call them in the order that you want, or by `run.gather(...)`"
        )


@asynccontextmanager
async def _opened(wrapping: Wrapping, raised: list[PerdureError]) -> AsyncGenerator[None]:
    """The conversation around a run of an agent. What is not for the model comes out as itself."""
    recorder = wrapping.recorder
    check_place(recorder, wrapping.name, instead="run it in the `async` function of the agent that wraps it")
    async with conversation(recorder, wrapping.name):
        try:
            yield
            if raised:
                raise raised[0]
        except Exception as error:
            if recorder.halted is not None:
                raise Unwind from error
            if raised and raised[0] is not error:
                raise cast("BaseException", raised[0]) from raised[0].__cause__
            raise
        finally:
            raised.clear()
