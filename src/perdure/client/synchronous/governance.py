# Made by tools/make_sync_client.py of ../asynchronous: change that.
"""`client.agents`, `client.budgets`, `client.policies`: what may be done, by whom, for how much."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..models import (
    AgentOut,
    BudgetOut,
    CapabilityOut,
    Explain,
    Page,
    PolicyOut,
    RaiseBudget,
    ReviewedToolOut,
    SetBudget,
    ToolOut,
    VerdictOut,
    WorkerOut,
)
from .link import Link

__all__ = ["Agents", "Budgets", "Policies"]


class Agents:
    """Agents and tools as the server has them, and the workers."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def list(self) -> list[AgentOut]:
        """Every version of every agent."""
        return (self._link.ask("GET", "/agents", Page[AgentOut])).items

    def show(self, agent: str) -> AgentOut:
        """The version of an agent that new runs get."""
        return self._link.ask("GET", f"/agents/{agent}", AgentOut)

    def capabilities(self, agent: str) -> list[CapabilityOut]:
        """What an agent may do at all, by the policies that hold."""
        return (self._link.ask("GET", f"/agents/{agent}/capabilities", Page[CapabilityOut])).items

    def tools(self) -> list[ToolOut]:
        """The registered tools."""
        return (self._link.ask("GET", "/tools", Page[ToolOut])).items

    def reviewed_tools(self) -> list[ReviewedToolOut]:
        """The tools of MCP servers and OpenAPI documents, as somebody has let them pass."""
        return (self._link.ask("GET", "/tools/reviewed", Page[ReviewedToolOut])).items

    def workers(self) -> list[WorkerOut]:
        """Who works on the store."""
        return (self._link.ask("GET", "/workers", Page[WorkerOut])).items


class Budgets:
    """What runs share."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def list(self) -> list[BudgetOut]:
        """How the budgets stand."""
        return (self._link.ask("GET", "/budgets", Page[BudgetOut])).items

    def set(self, scope: str, budget: Mapping[str, Any] | None, *, reason: str = "") -> list[BudgetOut]:
        """Set the budget of `tenant` or `agent/NAME`, as `{"money": 50, "per": "day"}`; None: as configured again."""
        asked = SetBudget.model_validate({"scope": scope, "budget": budget, "reason": reason})
        return (self._link.ask("PUT", "/budgets", Page[BudgetOut], body=asked, repeatable=True)).items

    def raise_(self, scope: str, more: Mapping[str, Any], *, reason: str = "") -> BudgetOut:
        """Add to a budget, in its present period."""
        asked = RaiseBudget.model_validate({"scope": scope, "more": more, "reason": reason})
        return self._link.ask("POST", "/budgets/raise", BudgetOut, body=asked)


class Policies:
    """The policies that hold."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def list(self) -> list[PolicyOut]:
        """The policies, with their text."""
        return (self._link.ask("GET", "/policies", Page[PolicyOut])).items

    def explain(
        self, agent: str, tool: str, arguments: Mapping[str, Any] | None = None, **more: Any
    ) -> VerdictOut:
        """What they would say of a call; `more` is who asks and what the run has done: `user`, `grants`, `seen`."""
        asked = Explain.model_validate(
            {"agent": agent, "tool": tool, "arguments": dict(arguments or {}), **more}
        )
        return self._link.ask("POST", "/policies/explain", VerdictOut, body=asked, repeatable=True)
