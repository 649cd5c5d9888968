"""Tool calls of the OpenAI Agents SDK as steps: a copy of each tool, whose invocation crosses the boundary.

    model ─► SDK ─► invoke (copy) ─► Conversation.tool ─► the tool itself, its errors not yet turned into words
                        │
                        └─ an error becomes words for the model as the tool's owner says, after it was recorded

What the SDK does around a call by itself belongs to the boundary: asking for approval, and the time a call may take.
"""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

from agents import Handoff
from agents.exceptions import ModelBehaviorError, ToolTimeoutError
from agents.run_config import ToolErrorFormatterArgs
from agents.tool import (
    CustomTool,
    FunctionTool,
    default_tool_timeout_error_message,
    invoke_function_tool,
    maybe_invoke_function_tool_failure_error_function,
)
from agents.tool_context import ToolContext

from ...core.codec import Shape, returns
from ...core.errors import (
    ApprovalDenied,
    BudgetExceeded,
    ConfigError,
    PerdureError,
    Refused,
)
from ...core.failures import Diagnosis, FailureClass
from ...core.ids import step_name
from ...runtime.boundary.terms import Terms
from ...runtime.frameworks.calling import FOR_THE_MODEL, approved
from ...runtime.frameworks.crossing import current
from ...runtime.frameworks.declared import Declaration, Foreign, Guess, guess
from ...runtime.frameworks.survey import Had, SurveyedTool
from ...runtime.frameworks.wrapping import Wrapping
from .context import Outcome, OutcomeShape, changes, restore, taken

__all__ = ["Tools", "on_handoff_of", "surveyed"]


class Tools:
    """The covered tools of one wrapped agent, and of the agents that it hands over to."""

    def __init__(self, wrapping: Wrapping) -> None:
        self.wrapping = wrapping
        self.raised: PerdureError | None = None
        """an error that is not for the model: the SDK wraps it into one of its own"""
        self._covered: dict[int, tuple[Any, Any]] = {}
        self._foreign: dict[str, Foreign] = {}

    def cover(self, tools: list[Any]) -> list[Any]:
        """Copies whose calls are steps; what is not a function of this process stays as it is."""
        told: list[tuple[str, Declaration, Guess]] = []
        for tool in tools:
            if isinstance(tool, FunctionTool | CustomTool) and not hasattr(tool, "_perdure_bare"):
                declared = self._declared(tool)
                if tool.name not in self._foreign or self._foreign[tool.name].declared != declared:
                    self._foreign[tool.name] = Foreign(step_name(tool.name), declared)
                    told.append((tool.name, declared, _looks(tool)))
        self.wrapping.table.tell(self.wrapping.agent, told)
        return [self._cover(tool) for tool in tools]

    def _cover(self, tool: Any) -> Any:
        if not isinstance(tool, FunctionTool | CustomTool) or hasattr(tool, "_perdure_bare"):
            return tool
        kept = self._covered.get(id(tool))
        if kept is None:
            kept = self._covered[id(tool)] = (
                tool,
                self._copy(tool),
            )  # the original is held, so its id stays its own
        return kept[1]

    def _copy(self, tool: FunctionTool | CustomTool) -> Any:
        made: Any = copy.copy(tool)
        bare: Any = copy.copy(tool)
        made._perdure_bare = bare
        made.needs_approval = False
        if isinstance(tool, FunctionTool):
            made.timeout_seconds = bare.timeout_seconds = None
            # So an error comes out as itself: the journal must know that the call failed.
            bare._failure_error_function = None
            bare._use_default_failure_error_function = False

        async def invoke(context: ToolContext[Any], text: str) -> Any:
            return await self._invoke(tool, bare, context, text)

        made.on_invoke_tool = invoke
        return made

    def _declared(self, tool: Any) -> Declaration:
        declared = self.wrapping.table.find(tool.name, _function(tool))
        if declared.source == "undeclared" and getattr(tool, "_is_agent_tool", False):
            declared = replace(declared, effect="delegate", source="declared")
        seconds = getattr(tool, "timeout_seconds", None)
        if declared.timeout is None and seconds is not None and declared.effect != "delegate":
            declared = replace(declared, timeout=timedelta(seconds=seconds))
        return declared

    # calls -----------------------------------------------------------------------------------------------------

    async def _invoke(self, tool: Any, bare: Any, context: ToolContext[Any], text: str) -> Any:
        try:
            return await self._call(tool, bare, context, text)
        except ApprovalDenied as denied:
            return await _denied(context, denied)
        except BudgetExceeded as error:
            self.raised = error
            raise
        except FOR_THE_MODEL as error:
            return await _in_words(tool, context, error, plain=isinstance(error, Refused))
        except PerdureError as error:
            self.raised = error
            raise
        except TimeoutError as error:
            return await _too_late(tool, context, error)
        except Exception as error:
            return await _in_words(tool, context, error)

    async def _call(self, tool: Any, bare: Any, context: ToolContext[Any], text: str) -> Any:
        arguments = _arguments(text)
        terms = _terms(tool, self._foreign[tool.name], context)
        form = _form(tool)

        async def carry_out(given: dict[str, Any]) -> Any:
            told = text if given == arguments else _text(tool, given)
            if isinstance(bare, CustomTool):
                said: Any = bare.on_invoke_tool(context, told)
                return await said if inspect.isawaitable(said) else said
            context._function_tool_arguments = None  # pyright: ignore[reportPrivateUsage]  # of the unedited call
            return await invoke_function_tool(function_tool=bare, context=context, arguments=told)

        return await self._cross(tool.name, context, arguments, terms, form, _declared_shape(tool), carry_out)

    async def _cross(
        self,
        name: str,
        context: Any,
        arguments: dict[str, Any],
        terms: Terms,
        form: dict[str, Any],
        shape: Shape[Any] | None,
        carry_out: Callable[[dict[str, Any]], Awaitable[Any]],
    ) -> Any:
        """Carry out a call at the boundary, or give what is recorded of it."""
        foreign = self._foreign[name]
        conversation = current()
        if foreign.delegates:
            arguments = await approved(conversation, name, terms, arguments, form=form)
            async with conversation.branch(step_name(name), arguments):
                return await carry_out(arguments)

        executed = False

        async def execute(**given: Any) -> Outcome:
            nonlocal executed
            executed = True
            before = taken(context.context)
            output = await carry_out(given)
            return Outcome(output, changes(before, taken(context.context)))

        called = foreign.calling(execute, shape=OutcomeShape(shape), terms=terms, form=form)
        outcome = await conversation.tool(called, arguments)
        if not executed:
            restore(context.context, outcome.changes)
        return outcome.output

    # handoffs --------------------------------------------------------------------------------------------------

    def meet_handoff(self, handoff: Handoff[Any, Any]) -> bool:
        """Get to know a handoff. Whether anything is done where it is made: then `hand_over` does it, once."""
        function = on_handoff_of(handoff)
        if function is None:
            return False
        name = handoff.tool_name
        declared = self.wrapping.table.find(name, function)
        if name not in self._foreign or self._foreign[name].declared != declared:
            self._foreign[name] = Foreign(step_name(name), declared)
            self.wrapping.table.tell(self.wrapping.agent, [(name, declared, guess(name))])
        return True

    async def hand_over(self, handoff: Handoff[Any, Any], context: Any, text: str) -> None:
        """What the handoff's `on_handoff` does, as a call of a tool of the handoff's name."""
        arguments = _arguments(text)
        terms = self._foreign[handoff.tool_name].declared.terms

        async def carry_out(given: dict[str, Any]) -> None:
            told = text if given == arguments else json.dumps(given, ensure_ascii=False)
            await handoff.on_invoke_handoff(context, told)

        try:
            await self._cross(
                handoff.tool_name,
                context,
                arguments,
                replace(terms, classify=_classify(terms.classify, begins="")),
                handoff.input_json_schema,
                None,
                carry_out,
            )
        except PerdureError as error:
            self.raised = error
            raise


_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""The form of a tool that takes one text."""


def _form(tool: Any) -> dict[str, Any]:
    """The JSON schema of its parameters."""
    return getattr(tool, "params_json_schema", None) or _TEXT


# what a tool is --------------------------------------------------------------------------------------------------


def _function(tool: Any) -> Any:
    """The user's function behind a tool, where there is one."""
    return getattr(tool, "__wrapped__", None) or tool.on_invoke_tool


def on_handoff_of(handoff: Handoff[Any, Any]) -> Callable[..., Any] | None:
    """The `on_handoff` of a handoff that `handoff(...)` made; None for any other, which may go where it likes."""
    invoke: Any = handoff.on_invoke_handoff
    bare: Any = cast("Any", invoke).args[0] if isinstance(invoke, partial) else invoke
    if not inspect.isfunction(bare) or handoff._agent_ref is None:  # pyright: ignore[reportPrivateUsage]
        return None
    return inspect.getclosurevars(bare).nonlocals.get("on_handoff")


def surveyed(tools: list[Any]) -> Had:
    """What an agent has, by its list of tools."""
    had = Had()
    for tool in tools:
        if not isinstance(tool, FunctionTool | CustomTool):
            continue
        agent = bool(getattr(tool, "_is_agent_tool", False))
        looks = Guess("delegate", "it is an agent") if agent else _looks(tool)
        had.tools.append(SurveyedTool(tool.name, _function(tool), looks, agent=agent, form=_form(tool)))
        inner = getattr(tool, "_agent_instance", None)
        if inner is not None:
            had.below.append(inner)
    return had


def _looks(tool: Any) -> Guess:
    hints: Any = getattr(tool, "mcp_annotations", None)
    if hints is not None:
        told: dict[str, Any] = hints.model_dump(by_alias=True)
        return guess(tool.name, hints={k: v for k, v in told.items() if v is not None})
    return guess(tool.name)


def _declared_shape(tool: Any) -> Shape[Any] | None:
    function = getattr(tool, "__wrapped__", None)
    if function is None:
        return None
    try:
        shape, _ = returns(function)
    except (ConfigError, TypeError):
        return None
    return None if shape.annotation is Any else shape


def _arguments(text: str) -> dict[str, Any]:
    """By name; text that is no JSON object under the name `input`."""
    with suppress(ValueError):
        found: Any = json.loads(text) if text else {}
        if isinstance(found, dict):
            return cast("dict[str, Any]", found)
    return {"input": text}


def _text(tool: Any, arguments: dict[str, Any]) -> str:
    if isinstance(tool, CustomTool):
        return str(arguments.get("input", ""))
    return json.dumps(arguments, ensure_ascii=False)


def _terms(tool: Any, foreign: Foreign, context: ToolContext[Any]) -> Terms:
    """Of the call: its approval is what the app declares, else what the tool says."""
    terms = foreign.declared.terms
    needs = tool.needs_approval
    approval = terms.needs_approval
    if approval is None and needs is not False:
        approval = needs if needs is True else _rule(tool, needs, context)
    return replace(terms, needs_approval=approval, classify=_classify(terms.classify))


def _rule(tool: Any, needs: Callable[..., Any], context: ToolContext[Any]) -> Callable[..., Any]:
    async def rule(**arguments: Any) -> bool:
        given = arguments if isinstance(tool, FunctionTool) else str(arguments.get("input", ""))
        said = needs(context, given, context.tool_call_id)
        return bool(await said if inspect.isawaitable(said) else said)

    return rule


def _classify(
    said: Callable[[BaseException], Any] | None, *, begins: str = "Invalid JSON input"
) -> Callable[[BaseException], Any]:
    """Arguments that do not fit are found before the tool is called; the SDK's error for them begins so."""

    def rule(error: BaseException) -> Any:
        found = None if said is None else said(error)
        if found is None and isinstance(error, ModelBehaviorError) and str(error).startswith(begins):
            return Diagnosis(FailureClass.REFUSED, not_sent=True, why="the arguments do not fit the tool")
        return found

    return rule


# what the model is told ------------------------------------------------------------------------------------------


async def _in_words(tool: Any, context: ToolContext[Any], error: Exception, *, plain: bool = False) -> Any:
    """The error as the tool's owner has it told to the model. Raises it where the owner wants that."""
    if plain:
        return str(error)
    if not isinstance(tool, FunctionTool):
        raise error
    said = await maybe_invoke_function_tool_failure_error_function(
        function_tool=tool, context=context, error=error
    )
    if said is None:
        raise error
    return said


async def _too_late(tool: Any, context: ToolContext[Any], error: TimeoutError) -> Any:
    seconds = tool.timeout_seconds if isinstance(tool, FunctionTool) else None
    if seconds is None:
        return await _in_words(tool, context, error)
    late = ToolTimeoutError(tool_name=tool.name, timeout_seconds=seconds)
    if tool.timeout_behavior == "raise_exception":
        raise late from error
    if tool.timeout_error_function is None:
        return default_tool_timeout_error_message(tool_name=tool.name, timeout_seconds=seconds)
    said = tool.timeout_error_function(context, late)
    return await said if inspect.isawaitable(said) else said


async def _denied(context: ToolContext[Any], denied: ApprovalDenied) -> str:
    """What the human said, or what the run's own formatter makes of it."""
    formatter = None if context.run_config is None else context.run_config.tool_error_formatter
    if formatter is None:
        return str(denied)
    said = formatter(
        ToolErrorFormatterArgs(
            kind="approval_rejected",
            tool_type="function",
            tool_name=context.tool_name,
            call_id=context.tool_call_id,
            default_message=str(denied),
            run_context=context,
        )
    )
    said = await said if inspect.isawaitable(said) else said
    return said if isinstance(said, str) else str(denied)
