"""Which tools the wrapped agents of an app have, without running one: for their owner, who is to say what they do.

Where an agent of Perdure names another framework's agent in its code, that one is looked into, and those that it hands
over to or has in its tools. What is known only when a framework has run (the tools of an MCP server, say) is named, not
guessed; the log lists it when a run first meets it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from types import CodeType, FunctionType
from typing import Any, Protocol, cast

from ..boundary.tool import Tool
from .declared import Declaration, Guess, ToolTable

__all__ = ["Had", "Survey", "Surveyed", "SurveyedTool", "Surveyor", "named_in", "survey"]


@dataclass(frozen=True, slots=True)
class SurveyedTool:
    """A tool as its framework has it."""

    name: str
    function: Any
    """the user's own, where there is one: a declaration may stand on it"""
    looks: Guess
    agent: bool = False
    """it is another agent: `delegate`, without anybody's word"""
    form: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    """JSON schema of its parameters, as a call of it will have; None: known only then"""


@dataclass(slots=True)
class Had:
    """What one agent of a framework has, as far as its objects tell."""

    tools: list[SurveyedTool] = field(default_factory=list[SurveyedTool])
    below: list[Any] = field(default_factory=list[Any])
    """agents that it hands over to, or has in its tools"""
    later: list[str] = field(default_factory=list[str])
    """names of what brings tools that are known only once it is asked: MCP servers, toolsets with rules"""
    uncovered: list[str] = field(default_factory=list[str])
    """names of the tools that its provider runs by itself"""


class Surveyor(Protocol):
    """Looks into agents of any framework."""

    def had(self, value: Any) -> Had | None:
        """What an agent has; None where `value` is no agent."""
        ...


@dataclass(frozen=True, slots=True)
class Surveyed:
    """One tool of one agent of Perdure."""

    agent: str | None
    """of Perdure; None for a tool of the app's own"""
    name: str
    declared: Declaration
    looks: Guess
    function: Any = field(default=None, repr=False, compare=False)
    form: dict[str, Any] | None = field(default=None, repr=False, compare=False)
    """JSON schema of its parameters, where it is known"""


@dataclass(slots=True)
class Survey:
    """What an app's agents have."""

    tools: list[Surveyed] = field(default_factory=list[Surveyed])
    later: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """agent, and what brings tools that are not known yet"""
    uncovered: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """agent, and a tool that its provider runs by itself"""
    without: list[str] = field(default_factory=list[str])
    """agents in whose code no agent of a framework was found"""


def survey(
    agents: Iterable[tuple[str, Callable[..., Any], Sequence[Any]]], surveyor: Surveyor, table: ToolTable
) -> Survey:
    """Look into what agents wrap: each by its name, its function, and what is known of it besides."""
    found = Survey()
    for agent, function, known in agents:
        ahead = [*known, *named_in(function)]
        met: dict[int, Any] = {}  # holds what it has seen, so that an id stays its own
        any_agent = False
        while ahead:
            value = ahead.pop(0)
            if id(value) in met:
                continue
            met[id(value)] = value
            had = surveyor.had(value)
            if had is None:
                continue
            any_agent = True
            for tool in had.tools:
                _meet(found, agent, tool, table)
                ahead += named_in(tool.function)
            ahead += had.below
            found.later += [(agent, name) for name in had.later if (agent, name) not in found.later]
            found.uncovered += [(agent, n) for n in had.uncovered if (agent, n) not in found.uncovered]
        if not any_agent and agent not in found.without:
            found.without.append(agent)
    return found


def _meet(found: Survey, agent: str, tool: SurveyedTool, table: ToolTable) -> None:
    if any(t.agent == agent and t.name == tool.name for t in found.tools):
        return
    declared = table.find(tool.name, tool.function)
    if declared.source == "undeclared" and tool.agent:
        declared = replace(declared, effect="delegate", source="declared")
    found.tools.append(Surveyed(agent, tool.name, declared, tool.looks, tool.function, tool.form))


def named_in(function: Any) -> Iterator[Any]:
    """The objects that the code of a function names, and that of the functions of its module that it calls."""
    ahead, seen = [function], set[int]()
    while ahead:
        one = _bare(ahead.pop())
        if not isinstance(one, FunctionType) or id(one) in seen:
            continue
        seen.add(id(one))
        for cell in one.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not set yet
                continue
        for name in _names(one.__code__):
            value = one.__globals__.get(name)
            if isinstance(value, FunctionType) and value.__module__ == one.__module__:
                ahead.append(value)
            elif value is not None:
                yield value


def _bare(function: Any) -> Any:
    """A function without what stands around it: a tool of Perdure, a decorator, a method's object."""
    if isinstance(function, Tool):
        function = cast("Any", function).function
    function = getattr(function, "__wrapped__", function)
    return getattr(function, "__func__", function)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
