"""Tool calls of Strands as steps: the innermost middleware of an agent's tools.

    model ─► Strands ─► hooks ─► the agent's middleware ─► this ─► Conversation.tool ─► the tool

A tool's exception is recorded as such, and told to the model afterwards, as Strands tells it.
"""

from __future__ import annotations

import copy
import functools
import threading
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

import pydantic_core
from strands.interrupt import Interrupt, InterruptException
from strands.tools.structured_output.structured_output_tool import StructuredOutputTool
from strands.types._events import ToolInterruptEvent  # no public place
from strands.types.session import decode_bytes_values, encode_bytes_values

try:  # its public place in later releases
    from strands.types.events import ToolResultEvent
except ImportError:
    from strands.types._events import ToolResultEvent

from ...core.codec import Shape, own_shape
from ...core.errors import (
    BudgetExceeded,
    PerdureError,
)
from ...core.failures import Diagnosis, FailureClass
from ...core.ids import step_name
from ...runtime.boundary.terms import Terms
from ...runtime.frameworks.calling import FOR_THE_MODEL, approved, as_json
from ...runtime.frameworks.crossing import current
from ...runtime.frameworks.declared import Declaration, Foreign, Guess, guess
from ...runtime.frameworks.survey import Had, SurveyedTool
from ...runtime.frameworks.wrapping import Wrapping

__all__ = ["Tools", "surveyed", "unowning"]


class Outcome(NamedTuple):
    """What a call leaves behind."""

    result: Mapping[str, Any]
    """for the model: `status` and `content`"""
    state: Mapping[str, Any]
    """keys of the agent's state that were set while it was under way"""
    interrupt: Mapping[str, Any] | None = None
    """what it wants to know of a human before it can go on, in place of a result: `id`, `name` and `reason`"""
    given: Mapping[str, Any] | None = None
    """arguments of a call that has interrupted itself, where a human has edited them"""


def _dump(value: Any) -> bytes:
    # What an operator settles a call with is the bare answer.
    outcome = value if isinstance(value, Outcome) else Outcome(_said(value), {})
    told: dict[str, Any] = {"result": encode_bytes_values(dict(outcome.result))}
    told |= {k: v for k, v in outcome._asdict().items() if k != "result" and v}
    return pydantic_core.to_json(told)


def _load(data: bytes) -> Outcome:
    told: Any = pydantic_core.from_json(data)
    if not isinstance(told, dict) or "result" not in told:
        return Outcome(_said(told), {})
    found = cast("dict[str, Any]", told)
    return Outcome(**{"state": {}, **found, "result": decode_bytes_values(found["result"])})


OUTCOME: Shape[Outcome] = own_shape(Any, _dump, _load)


def _said(value: Any, *, status: str = "success") -> dict[str, Any]:
    text = value if isinstance(value, str) else pydantic_core.to_json(value, fallback=str).decode()
    return {"status": status, "content": [{"text": text}]}


class Tools:
    """The middleware for the tools of one wrapped agent."""

    def __init__(self, wrapping: Wrapping, raised: list[PerdureError]) -> None:
        self._wrapping = wrapping
        self._raised = raised
        """errors that are not for the model: Strands would tell it all the same, so its next turn raises them"""
        self._foreign: dict[str, Foreign] = {}
        self._interrupted: dict[str, Mapping[str, Any]] = {}
        """arguments of calls that have interrupted themselves, by the framework's id: it calls those once more"""

    def meet(self, tools: Mapping[str, Any]) -> None:
        """Get to know tools, and tell of them."""
        told: list[tuple[str, Declaration, Guess]] = []
        for name, tool in tools.items():
            if name in self._foreign or isinstance(tool, StructuredOutputTool):
                continue
            declared = self._declared(name, tool)
            self._foreign[name] = Foreign(step_name(name), declared)
            told.append((name, declared, _looks(name, tool)))
        self._wrapping.table.tell(self._wrapping.agent, told)

    def _declared(self, name: str, tool: Any) -> Declaration:
        declared = self._wrapping.table.find(name, _function(tool))
        if declared.source == "undeclared" and _is_agent(tool):
            return replace(declared, effect="delegate", source="declared")
        return declared

    async def __call__(self, context: Any, next_fn: Callable[[Any], Any]) -> AsyncGenerator[Any]:
        """One call."""
        name: str = context.tool_use["name"]
        if context.tool is None or isinstance(context.tool, StructuredOutputTool):
            async for event in next_fn(context):
                yield event  # nothing is carried out: an answer is read, or a name not known
            return
        self.meet({name: context.tool})
        error: Exception | None = None
        try:
            result = await self._call(name, context, next_fn)
        except FOR_THE_MODEL as found:
            result, error = _said(str(found), status="error"), found
            if isinstance(found, BudgetExceeded):
                self._raised.append(found)
        except PerdureError as found:
            self._raised.append(found)
            raise
        except InterruptException as interrupt:
            yield ToolInterruptEvent(context.tool_use, [interrupt.interrupt])
            return
        except Exception as found:
            result, error = _said(f"Error: {type(found).__name__} - {found}", status="error"), found
        yield ToolResultEvent(
            cast("Any", {"toolUseId": str(context.tool_use.get("toolUseId")), **result}), exception=error
        )

    async def _call(self, name: str, context: Any, next_fn: Callable[[Any], Any]) -> Mapping[str, Any]:
        foreign = self._foreign[name]
        conversation = current()
        said = arguments = _arguments(context.tool_use.get("input"))
        terms = replace(foreign.declared.terms, classify=_rule(foreign.declared.terms))
        use_id = str(context.tool_use.get("toolUseId"))
        if use_id in self._interrupted:  # it goes on with what it asked for: whoever had to has approved it
            arguments = dict(self._interrupted.pop(use_id))
            terms = replace(terms, needs_approval=None)
        form = _form(context.tool)

        async def carry_out(given: Mapping[str, Any]) -> dict[str, Any]:
            use = context.tool_use if given == said else {**context.tool_use, "input": dict(given)}
            tool = _of_this_call(context.tool) if _is_agent(context.tool) else context.tool
            return await _result(next_fn(replace(context, tool_use=use, tool=tool)))

        if foreign.delegates:
            arguments = await approved(conversation, name, terms, arguments, form=form)
            async with conversation.branch(step_name(name), arguments):
                return await carry_out(arguments)

        executed = False

        async def execute(**given: Any) -> Outcome:
            nonlocal executed
            executed = True
            before = _state(context.agent)
            result: Mapping[str, Any] = {}
            asked: InterruptException | None = None
            try:
                result = await carry_out(given)
            except InterruptException as interrupt:
                asked = interrupt
            after = _state(context.agent)
            changed = {k: v for k, v in after.items() if before.get(k, _UNSET) != v}
            if asked is None:
                return Outcome(result, changed)
            return Outcome(result, changed, _told(asked.interrupt), None if given == arguments else given)

        called = foreign.calling(execute, shape=OUTCOME, terms=terms, form=form)
        outcome: Outcome = await conversation.tool(called, arguments)
        if not executed:
            for key, value in outcome.state.items():
                context.agent.state.set(key, value)
        if outcome.interrupt is not None:
            self._interrupted[use_id] = arguments if outcome.given is None else outcome.given
            raise InterruptException(Interrupt(**outcome.interrupt))
        return outcome.result


def _told(interrupt: Interrupt) -> Mapping[str, Any]:
    """What a tool asks, as the journal has it. Raises `Unserialisable`."""
    return {"id": interrupt.id, "name": interrupt.name, "reason": as_json(interrupt.reason)}


_UNSET = object()


def _state(agent: Any) -> dict[str, Any]:
    return agent.state.get() or {}


async def _result(events: AsyncGenerator[Any]) -> dict[str, Any]:
    """What a tool gives, without the id of its call. Raises what it raised."""
    found: Any = None
    try:
        async for event in events:
            if isinstance(event, ToolResultEvent):
                found = event
            elif isinstance(event, ToolInterruptEvent):
                raise InterruptException(event.interrupts[0])
    finally:
        await events.aclose()
    if found is None:
        return _said("the tool did not return a result", status="error")
    if found.exception is not None:
        raise found.exception
    return {k: v for k, v in found.tool_result.items() if k in ("status", "content")}


def surveyed(tools: Mapping[str, Any]) -> Had:
    """What an agent has, by its registry."""
    had = Had()
    for name, tool in tools.items():
        if isinstance(tool, StructuredOutputTool):
            continue
        looks, form = _looks(name, tool), _form(tool)
        had.tools.append(SurveyedTool(name, _function(tool), looks, agent=_is_agent(tool), form=form))
        if _is_agent(tool):
            had.below.append(tool.agent)
    return had


def _form(tool: Any) -> Any:
    """The JSON schema of its parameters."""
    schema: Any = tool.tool_spec["inputSchema"]
    return schema.get("json", schema)


def _function(tool: Any) -> Any:
    """The user's function behind a tool, where there is one."""
    return getattr(tool, "_tool_func", None)


def _of_this_call(tool: Any) -> Any:
    """An agent that is a tool serves one call at a time, and tells all others so: each call gets one of its own."""
    made = copy.copy(tool)
    made._agent = copy.copy(tool.agent)
    made._agent.__class__ = unowning(cast("type[Any]", type(tool.agent)))
    made._lock = threading.Lock()
    return made


@functools.cache
def unowning(kind: type[Any]) -> type[Any]:
    """The type of an agent's copies: they own nothing, so their end closes nothing."""

    class Copied(kind):
        def __del__(self) -> None:
            pass

    Copied.__name__ = Copied.__qualname__ = kind.__name__
    return Copied


def _is_agent(tool: Any) -> bool:
    return type(tool).__name__ == "_AgentAsTool"


def _looks(name: str, tool: Any) -> Guess:
    if _is_agent(tool):
        return Guess("delegate", "it is an agent")
    mcp: Any = getattr(getattr(tool, "mcp_tool", None), "annotations", None)
    return guess(name, hints=None if mcp is None else mcp.model_dump(by_alias=True, exclude_none=True))


def _arguments(given: Any) -> dict[str, Any]:
    found = as_json(given or {})
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {"input": found}


def _rule(terms: Terms) -> Callable[[BaseException], Any]:
    """Arguments that do not fit are found before the tool is called."""
    said = terms.classify

    def rule(error: BaseException) -> Any:
        found = None if said is None else said(error)
        if found is None and str(error).startswith("Validation failed for input parameters"):
            return Diagnosis(FailureClass.REFUSED, not_sent=True, why="the arguments do not fit the tool")
        return found

    return rule
