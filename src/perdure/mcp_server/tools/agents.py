"""Agents: which are offered, and what one may do."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from ...access import Role
from ...core.errors import UnknownAgent
from ...governance.policy.capabilities import capabilities, in_rings
from ..asking import Asking
from ..forms import form_of, words_of
from ..tool import Given, tool

__all__ = ["AGENTS"]


class AllAgents(Given):
    """No choice."""


class AgentTold(BaseModel):
    """An agent that may be started."""

    agent: str
    version: str
    description: str | None = None
    input_schema: dict[str, Any] | None = Field(default=None, description="Absent: it takes no input")
    requires: list[str] = Field(default=[], description="Grants that the user must have for whom it runs")


class AgentsTold(BaseModel):
    """Those that are offered."""

    agents: list[AgentTold]


@tool(title="List agents", role=Role.VIEWER)
async def list_agents(asked: AllAgents, asking: Asking) -> AgentsTold:
    """List the agents that may be started here, and what each takes."""
    return AgentsTold(
        agents=[
            AgentTold(
                agent=agent.name,
                version=agent.version,
                description=words_of(agent),
                input_schema=None if agent.input is None else form_of(agent),
                requires=sorted(agent.requires),
            )
            for agent in asking.app.offered_agents().values()
        ]
    )


class Permissions(Given):
    """Whose."""

    agent: str = Field(max_length=200)


class MayTold(BaseModel):
    """One tool of an agent."""

    tool: str
    effect: str
    may: Literal["yes", "no", "depends"]
    conditions: list[str] = Field(default=[], description="Under which it may not, or has to ask a person")
    ring: str = Field(description="How far the agent is trusted with it")


class PermissionsTold(BaseModel):
    """What an agent may do."""

    agent: str
    policies: bool = Field(description="False: no policies judge its calls")
    tools: list[MayTold]


@tool(title="Ask what an agent may do", role=Role.VIEWER)
async def what_may_agent_do(asked: Permissions, asking: Asking) -> PermissionsTold:
    """Ask what an agent may do by itself, what it must ask a person for, and what it may not do, by the policies."""
    app, tenant = asking.app, asking.caller.tenant
    if not any(name == asked.agent for name, _ in app.agents):
        raise UnknownAgent(f"no agent `{asked.agent[:80]}` is registered")
    book = await app.policies.holding(tenant=tenant)
    if book is None:
        return PermissionsTold(agent=asked.agent, policies=False, tools=[])
    told = capabilities(book.policies, asked.agent)
    told = in_rings(told, await app.trust.rings(asked.agent, [one.tool for one in told], tenant=tenant))
    tools = [
        MayTold(
            tool=one.tool,
            effect=one.effect,
            may=one.may,
            conditions=[
                f"{c.policy}: {c.reason}" + (f" (asks `{c.role}`)" if c.role else "") for c in one.conditions
            ],
            ring=one.ring.value,
        )
        for one in told
    ]
    return PermissionsTold(agent=asked.agent, policies=True, tools=tools)


AGENTS = (list_agents, what_may_agent_do)
