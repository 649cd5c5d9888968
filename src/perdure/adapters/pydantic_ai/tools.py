"""Tool calls of pydantic-ai as steps: the agent's toolset, wrapped for one run.

As with models the call is recorded at the tool itself: hooks around it run again on a replay, and what a tool says to
the model by raising (`ModelRetry`, `ToolFailed`) reaches the framework as if the tool had raised it a moment ago.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.messages import ToolReturn, ToolReturnContent
from pydantic_ai.tools import RunContext
from pydantic_ai.toolsets import (
    AbstractToolset,
    CombinedToolset,
    FunctionToolset,
    ToolsetTool,
    WrapperToolset,
)

from ...core.codec import Shape, returns
from ...core.errors import BudgetExceeded, CheckFailed, ConfigError, Refused, Unserialisable
from ...core.failures import Diagnosis, FailureClass
from ...runtime.boundary.terms import Terms
from ...runtime.frameworks.calling import as_json
from ...runtime.frameworks.declared import Foreign, Guess, guess
from ...runtime.frameworks.survey import Had, SurveyedTool
from ...runtime.frameworks.wrapping import Wrapping
from .releases import unit
from .turns import Progress

__all__ = ["RecordedToolset", "surveyed"]


@dataclass
class RecordedToolset(WrapperToolset[Any]):
    """A toolset each of whose calls is a step of the run, by its declared effect."""

    wrapping: Wrapping
    progress: Progress
    foreign: dict[str, Foreign] = field(default_factory=dict[str, Foreign])
    """by the tool's name, as the model sees it"""

    async def get_tools(self, ctx: RunContext[Any]) -> dict[str, ToolsetTool[Any]]:
        """The tools of this step; those that are new are told of."""
        tools = await super().get_tools(ctx)
        new = [name for name in tools if name not in self.foreign]
        table = self.wrapping.table
        for name in new:
            declared = table.find(name, _function(tools[name]))
            looks = _looks(tools[name])
            if declared.source == "undeclared" and looks.effect == "delegate":
                raise ConfigError(
                    f"tool `{name}` of agent `{self.wrapping.name}` is not declared, and {looks.why}. Inside a step no "
                    f'other agent can be run: say that the tool is none, by `app.effects.declare("delegate", "{name}")`'
                    ", or what else it does"
                )
            self.foreign[name] = Foreign(name, declared)
        if new:
            table.tell(self.wrapping.agent, [(n, self.foreign[n].declared, _looks(tools[n])) for n in new])
        return tools

    async def call_tool(
        self, name: str, tool_args: dict[str, Any], ctx: RunContext[Any], tool: ToolsetTool[Any]
    ) -> Any:
        """The recorded result, or what the tool gives. Raises what the tool raised."""
        conversation = self.progress.conversation
        foreign = self.foreign[name]
        terms = foreign.declared.terms
        if terms.needs_approval is None and ctx.tool_call_id in self.progress.granted:
            terms = replace(terms, needs_approval=True)
        terms = replace(terms, classify=_rule(terms))
        arguments = as_json(tool_args)
        form = tool.tool_def.parameters_json_schema
        if foreign.delegates:
            if terms.needs_approval is not None:
                gate = Foreign(name, replace(foreign.declared, effect="read")).calling(
                    _pass, terms=terms, form=form
                )
                await _told(conversation.tool(gate, arguments))
            async with conversation.branch(name, arguments):
                return await super().call_tool(name, tool_args, ctx, tool)
        executed = False

        async def execute(**given: Any) -> Any:
            nonlocal executed
            executed = True
            # Somebody may have edited them since: as values again, by the tool's own form.
            values = tool_args if given == arguments else tool.args_validator.validate_python(given)
            try:
                return await self.wrapped.call_tool(name, values, ctx, tool)
            except (ApprovalRequired, CallDeferred) as deferral:
                raise _Deferral.of(deferral) from deferral
            except ModelRetry as retry:
                if foreign.declared.effect == "write" and isinstance(retry.__context__, TimeoutError):
                    raise _TimedOut(retry.message) from retry  # not the tool's word: nobody knows what it did
                raise

        shape = _ResultShape(_declared_shape(tool))
        called = foreign.calling(execute, shape=shape, terms=terms, form=form)
        try:
            return await _told(conversation.tool(called, arguments))
        finally:
            unit(executed=executed)


async def _pass(**arguments: Any) -> None:
    """Of a tool that is no step itself: what it needs an approval for begins after it."""


async def _told(call: Awaitable[Any]) -> Any:
    """The result; what the model is to be told comes as the framework's own errors."""
    try:
        return await call
    except _Deferral as deferral:
        raise deferral.theirs() from deferral
    except _TimedOut as late:
        raise ModelRetry(str(late)) from late
    except BudgetExceeded:
        raise
    except (Refused, CheckFailed) as refused:
        raise ToolFailed(str(refused)) from refused


# what a tool is ----------------------------------------------------------------------------------------------


def _function(tool: ToolsetTool[Any]) -> Any:
    """The user's function behind a tool, where there is one: toolsets of toolsets keep it."""
    while (inner := getattr(tool, "source_tool", None)) is not None:
        tool = inner
    schema: Any = getattr(getattr(tool, "call_func", None), "__self__", None)
    return getattr(schema, "function", None)


def surveyed(toolsets: Sequence[AbstractToolset[Any]]) -> Had:
    """What an agent has, by its toolsets."""
    had = Had()
    for toolset in toolsets:
        if isinstance(toolset, FunctionToolset):
            for name, tool in toolset.tools.items():
                looks = _look(name, tool.function, tool.metadata)
                form = tool.function_schema.json_schema
                had.tools.append(SurveyedTool(name, tool.function, looks, form=form))
        elif isinstance(toolset, CombinedToolset):
            below = surveyed(toolset.toolsets)
            had.tools += below.tools
            had.later += below.later
        elif not type(toolset).__name__.startswith("_"):
            had.later.append(toolset.label)
    return had


def _looks(tool: ToolsetTool[Any]) -> Guess:
    return _look(tool.tool_def.name, _function(tool), tool.tool_def.metadata)


def _look(name: str, function: Any, metadata: dict[str, Any] | None) -> Guess:
    called = None if function is None else _agent_in(function)
    if called is not None:
        return Guess("delegate", f"its code names the agent `{called}`")
    hints: Any = (metadata or {}).get("annotations")
    return guess(name, hints=cast("dict[str, Any]", hints) if isinstance(hints, dict) else None)


def _agent_in(function: Any) -> str | None:
    """The name of another agent that the code of a tool mentions."""
    try:
        seen = inspect.getclosurevars(inspect.unwrap(function))
    except (TypeError, ValueError):
        return None
    for name, value in {**seen.globals, **seen.nonlocals}.items():
        if isinstance(value, AbstractAgent):
            return name
    return None


# what it returns ---------------------------------------------------------------------------------------------


_THEIRS: TypeAdapter[Any] = TypeAdapter(ToolReturn | ToolReturnContent)


class _ResultShape(Shape[Any]):
    """As the tool's annotation says; else as pydantic-ai reads what stands in a history: JSON, and its own files."""

    __slots__ = ("_declared",)

    def __init__(self, declared: Shape[Any] | None) -> None:
        self.annotation = Any
        self._is_text = False
        self._declared = declared

    # Methods, and no attributes like those of its kind: these would hold the shape itself, and it is made for a call.
    def dump_json(self, value: Any, **options: Any) -> bytes:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._declared is not None:
            try:
                return self._declared.round_trip(value)[0]
            except Unserialisable:
                pass  # the framework does not hold a tool to its annotation
        return _THEIRS.dump_json(value)

    def load(self, data: bytes) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._declared is not None:
            try:
                return self._declared.load(data)
            except ValidationError:
                pass
        value = _THEIRS.validate_json(data)
        return value


def _declared_shape(tool: ToolsetTool[Any]) -> Shape[Any] | None:
    function = _function(tool)
    if function is None:
        return None
    try:
        shape, _ = returns(function)
    except ConfigError:
        return None
    return None if shape.annotation is Any else shape


# what it says by raising -------------------------------------------------------------------------------------


class _Deferral(Exception):
    """`ApprovalRequired` or `CallDeferred`, as the journal can keep it: their metadata are no arguments of theirs."""

    def theirs(self) -> ApprovalRequired | CallDeferred:
        """The framework's own."""
        kind, metadata, wanted = self.args
        if kind == "approval":
            return ApprovalRequired(metadata)
        return CallDeferred(metadata, kind=wanted)

    @classmethod
    def of(cls, error: ApprovalRequired | CallDeferred) -> _Deferral:
        """From the framework's."""
        if isinstance(error, ApprovalRequired):
            return cls("approval", error.metadata, None)
        return cls("call", error.metadata, error.kind)


class _TimedOut(TimeoutError):
    """The framework gave up waiting for a write."""


_SAYINGS = (ModelRetry, ToolFailed, _Deferral)


def _rule(terms: Terms) -> Callable[[BaseException], Any]:
    """What a tool tells the model by raising is its answer: nothing was done, and nothing is to be tried again."""
    said = terms.classify

    def rule(error: BaseException) -> Any:
        found = None if said is None else said(error)
        if found is None and isinstance(error, _SAYINGS):
            return Diagnosis(
                FailureClass.REFUSED, not_sent=True, why=f"the tool says so, by `{type(error).__name__}`"
            )
        return found

    return rule
