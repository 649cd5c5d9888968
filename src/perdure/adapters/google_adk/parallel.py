"""Agents of the ADK beside each other: each in a branch of the conversation, where its turns and calls follow in order.

    desk/turn                       an agent before them
    desk/panel.ann/turn             what `ParallelAgent(name="panel", sub_agents=[ann, bob])` runs at once
    desk/panel.bob/turn
    desk/turn:2                     an agent behind them

Recorded answers are handed out in the order in which they came, so the events of such agents are interleaved in a
replay as they were before.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from google.adk.agents.base_agent import BaseAgent
from google.adk.agents.parallel_agent import (
    _create_branch_ctx_for_sub_agent,  # pyright: ignore[reportPrivateUsage]  # its way to keep histories apart
    _merge_agent_run,  # pyright: ignore[reportPrivateUsage]
)
from google.adk.events.event import Event

from ...core.ids import step_name
from ...runtime.frameworks.crossing import Conversation, current
from ...runtime.replay.control import Finish, Unwind
from ...runtime.replay.parallel import cut_short
from ...runtime.replay.scope import Scope

__all__ = ["Parallel"]


class Parallel(BaseAgent):
    """What stands in for a `ParallelAgent`."""

    async def _run_async_impl(self, ctx: Any) -> AsyncGenerator[Event]:
        around = current()
        # All are counted before the first begins: else it would seem to be alone.
        scopes = {a.name: around.open(f"{step_name(self.name)}.{step_name(a.name)}") for a in self.sub_agents}
        runs = _Runs(around, scopes)
        events = [runs.of(a, _create_branch_ctx_for_sub_agent(self, a, ctx)) for a in self.sub_agents]
        try:
            async with aclosing(_merge_agent_run(events, set(scopes))) as merged:
                async for event in merged:
                    yield event
        finally:
            runs.close()
        if runs.left is not None:
            raise runs.left
        if runs.cut:
            key = around.scope.enter(f"{step_name(self.name)}.escalated")
            try:
                await cut_short(around.recorder, around.scope, key, runs.cut)
            finally:
                around.scope.busy = ""


class _Runs:
    """One run of such agents."""

    def __init__(self, around: Conversation, scopes: dict[str, Scope]) -> None:
        self.around = around
        self.scopes = scopes
        self.ahead = dict(scopes)
        """of agents that have not begun"""
        self.cut: list[Scope] = []
        self.left: BaseException | None = None
        """what is no error and left an agent: within a group of tasks it would cut off whoever waits for the group"""

    async def of(self, agent: BaseAgent, ctx: Any) -> AsyncGenerator[Event]:
        """The events of one agent. Raises its error when the others have finished."""
        scope = self.ahead.pop(agent.name)
        try:
            async with self.around.beside(scope), aclosing(agent.run_async(ctx)) as events:
                async for event in events:
                    if event.actions.escalate and event.author in self.scopes and not self.cut:
                        self.cut = [s for s in self.scopes.values() if s is not scope]
                        self.around.recorder.cut(self.cut)  # as the framework will in a moment
                    yield event
        except (Unwind, Finish) as left:
            self.left = left

    def close(self) -> None:
        """At the end of all."""
        self.around.recorder.uncut(self.cut)
        for scope in self.ahead.values():
            self.around.close(scope)
