"""Tool calls of Google's ADK as steps: a copy of each tool, which crosses the boundary when it is run.

    model ─► ADK ─► callbacks ─► run_async (copy) ─► Conversation.tool ─► the tool itself

The ADK mints the id of a call in each process anew, so no step is named by it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pydantic_core
from google.adk.events.event_actions import EventActions
from google.adk.tools.agent_tool import AgentTool
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.base_toolset import BaseToolset
from google.adk.tools.function_tool import FunctionTool

from ...core.codec import Shape, own_shape
from ...core.errors import (
    BudgetExceeded,
    ConfigError,
    PerdureError,
    Unserialisable,
)
from ...core.ids import step_name
from ...runtime.boundary.terms import Terms
from ...runtime.frameworks.calling import FOR_THE_MODEL, approved, as_json
from ...runtime.frameworks.crossing import conversation, current
from ...runtime.frameworks.declared import Foreign, Guess, guess
from ...runtime.frameworks.survey import Had, SurveyedTool
from ...runtime.frameworks.wrapping import Wrapping

__all__ = ["Tools", "surveyed"]


class Outcome(NamedTuple):
    """What a call leaves behind."""

    result: Any
    actions: Mapping[str, Any]
    """what it did to its context: state that it set, an escalation, a transfer"""


_RESULT, _ACTIONS = "adk.result", "adk.actions"


def _dump(value: Any) -> bytes:
    # What an operator settles a call with is the bare result.
    outcome = value if isinstance(value, Outcome) else Outcome(value, {})
    try:
        if not outcome.actions:
            return pydantic_core.to_json(outcome.result)
        return pydantic_core.to_json({_RESULT: outcome.result, _ACTIONS: outcome.actions})
    except (pydantic_core.PydanticSerializationError, ValueError, TypeError) as error:
        raise Unserialisable(f"the result of a tool cannot be written as JSON: {error}") from error


def _load(data: bytes) -> Outcome:
    told: Any = pydantic_core.from_json(data)
    if isinstance(told, dict) and set(cast("dict[str, Any]", told)) == {_RESULT, _ACTIONS}:
        return Outcome(told[_RESULT], told[_ACTIONS])
    return Outcome(told, {})


OUTCOME: Shape[Outcome] = own_shape(Any, _dump, _load)


class Tools:
    """The covered tools of one wrapped agent, and of the agents below it."""

    def __init__(self, wrapping: Wrapping, raised: list[PerdureError], agent: Callable[[Any], Any]) -> None:
        self._wrapping = wrapping
        self._raised = raised
        """errors that are not for the model, in case a callback of the framework makes an answer of them"""
        self._agent = agent
        """gives the covered copy of an agent"""
        self._foreign: dict[str, Foreign] = {}

    def cover(self, tool: Any) -> Any:
        """The copy of a tool, a function or a toolset of an agent. Raises `ConfigError` for anything else."""
        if isinstance(tool, BaseToolset):
            return self._toolset(tool)
        if isinstance(tool, BaseTool):
            return self._tool(tool)
        if callable(tool):
            return self._tool(FunctionTool(cast("Callable[..., Any]", tool)))
        raise ConfigError(
            f"agent `{self._wrapping.name}` has `{getattr(tool, 'name', tool)}` among its tools, which is none: wrap "
            "an agent by `AgentTool(agent)`"
        )

    def _toolset(self, toolset: BaseToolset) -> BaseToolset:
        made: Any = copy.copy(toolset)

        async def get_tools_with_prefix(*args: Any, **options: Any) -> list[BaseTool]:
            return [self._tool(t) for t in await toolset.get_tools_with_prefix(*args, **options)]

        made.get_tools_with_prefix = get_tools_with_prefix
        return made

    def _tool(self, tool: BaseTool) -> BaseTool:
        bare: Any = copy.copy(tool)
        if hasattr(bare, "_require_confirmation"):
            bare._require_confirmation = False  # asked for at the boundary
        if isinstance(tool, AgentTool):
            bare.agent = self._agent(tool.agent)
        made: Any = copy.copy(bare)
        self._meet(tool)

        async def run_async(*, args: dict[str, Any], tool_context: Any) -> Any:
            return await self._invoke(tool, bare, args, tool_context)

        made.run_async = run_async
        return made

    def _meet(self, tool: BaseTool) -> None:
        if tool.name in self._foreign:
            return
        declared = self._wrapping.table.find(tool.name, getattr(tool, "func", None))
        if declared.source == "undeclared" and isinstance(tool, AgentTool):
            declared = replace(declared, effect="delegate", source="declared")
        self._foreign[tool.name] = Foreign(step_name(tool.name), declared)
        if tool._get_declaration() is not None:  # pyright: ignore[reportPrivateUsage]  # else no model calls it
            self._wrapping.table.tell(self._wrapping.agent, [(tool.name, declared, _looks(tool))])

    async def _invoke(self, tool: BaseTool, bare: BaseTool, args: dict[str, Any], context: Any) -> Any:
        try:
            return await self._call(tool, bare, args, context)
        except BudgetExceeded as error:
            self._raised.append(error)
            raise
        except FOR_THE_MODEL as error:
            return {"error": str(error)}
        except PerdureError as error:
            self._raised.append(error)
            raise

    async def _call(self, tool: BaseTool, bare: BaseTool, args: dict[str, Any], context: Any) -> Any:
        foreign = self._foreign[tool.name]
        conversation_ = current()
        arguments = as_json(args or {})
        terms = _terms(tool, foreign, context)
        form = _form(bare)

        async def carry_out(given: Mapping[str, Any]) -> Any:
            values = args if given == arguments else dict(given)
            return await bare.run_async(args=values, tool_context=context)

        if foreign.delegates:
            arguments = await approved(conversation_, tool.name, terms, arguments, form=form)
            async with conversation_.branch(step_name(tool.name), arguments):
                if not isinstance(bare, AgentTool):
                    return await carry_out(arguments)
                async with conversation(self._wrapping.recorder, step_name(bare.agent.name)):
                    return await carry_out(arguments)

        executed = False

        async def execute(**given: Any) -> Outcome:
            nonlocal executed
            executed = True
            result = await carry_out(given)
            return Outcome(
                result,
                context.actions.model_dump(mode="json", exclude_defaults=True, exclude_none=True),
            )

        called = foreign.calling(execute, shape=OUTCOME, terms=terms, form=form)
        outcome: Outcome = await conversation_.tool(called, arguments)
        if not executed and outcome.actions:
            _restore(context, outcome.actions)
        return outcome.result


def _restore(context: Any, actions: Mapping[str, Any]) -> None:
    """Do to the context of a call what the recorded call did to its own."""
    told = EventActions.model_validate(actions)
    for name in told.model_fields_set - {"state_delta"}:
        setattr(context.actions, name, getattr(told, name))
    for key, value in told.state_delta.items():
        context.state[key] = value


def surveyed(tools: Sequence[Any]) -> Had:
    """What an agent has, by its list of tools."""
    had = Had()
    for one in tools:
        if isinstance(one, BaseToolset):
            had.later.append(type(one).__name__)
            continue
        tool = one if isinstance(one, BaseTool) else FunctionTool(one)
        if tool._get_declaration() is None:  # pyright: ignore[reportPrivateUsage]  # nothing that a model could call
            had.uncovered.append(tool.name)
            continue
        agent = isinstance(tool, AgentTool)
        function = getattr(tool, "func", None)
        had.tools.append(SurveyedTool(tool.name, function, _looks(tool), agent=agent, form=_form(tool)))
        if isinstance(tool, AgentTool):
            had.below.append(tool.agent)
    return had


def _looks(tool: BaseTool) -> Guess:
    if isinstance(tool, AgentTool):
        return Guess("delegate", "it is an agent")
    hints: Any = getattr(getattr(tool, "raw_mcp_tool", None), "annotations", None)
    told = None if hints is None else hints.model_dump(by_alias=True, exclude_none=True)
    return guess(tool.name, hints=told)


def _form(tool: BaseTool) -> dict[str, Any] | None:
    """The JSON schema of its parameters, where the framework has one."""
    declaration: Any = tool._get_declaration()  # pyright: ignore[reportPrivateUsage]  # what the model is shown
    if declaration is None:
        return None
    if declaration.parameters_json_schema is not None:
        return cast("dict[str, Any]", declaration.parameters_json_schema)
    if declaration.parameters is None:
        return None
    return cast(
        "dict[str, Any]", declaration.parameters.json_schema.model_dump(mode="json", exclude_none=True)
    )


def _terms(tool: BaseTool, foreign: Foreign, context: Any) -> Terms:
    """Of the call: its approval is what the app declares, else what the tool says."""
    terms = foreign.declared.terms
    needs: Any = getattr(tool, "_require_confirmation", False)
    if terms.needs_approval is not None or needs is False:
        return terms

    async def rule(**arguments: Any) -> bool:
        return await tool.check_require_confirmation(arguments, context) is True

    return replace(terms, needs_approval=True if needs is True else rule)
