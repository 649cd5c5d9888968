"""Where the calls of a graph are recorded: a place for each node that runs, and for each tool that only calls others.

    agent ── 1.model                 a node, by its step in the graph and its name
          │    └─ turn               its model turns
          └─ 2.tools.0               a branch that `Send` began
               └─ start.search.DIGEST/search

LangGraph runs a node again from its top when what it asked by `interrupt(...)` has been answered. Here that happens
where the node stands: what it had called before is handed to it again, without being called or recorded twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar, Token
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, ToolMessage
from langchain_core.outputs import ChatResult
from langchain_core.tools import BaseTool
from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from ...core.codec import arguments_bytes
from ...core.errors import BudgetExceeded, CheckFailed, ConfigError, NotDone, Refused, RunCancelled
from ...core.ids import step_name
from ...runtime.frameworks.crossing import Conversation
from ...runtime.frameworks.declared import Foreign, guess
from ...runtime.frameworks.offering import offering_of
from ...runtime.frameworks.questions import put
from ...runtime.frameworks.wrapping import Wrapping
from ...runtime.replay.control import Unwind
from ...runtime.replay.scope import reset_scope, set_scope
from .answers import answer_of, leave_for, questions_of
from .models import asked_of, see
from .shown import shown, taken, told
from .values import CHAT, VALUES, Interrupted, Kept

if TYPE_CHECKING:
    from ...runtime.replay.scope import Scope

__all__ = ["Inside", "Place", "current_place", "enter", "form_of", "leave"]


@dataclass(frozen=True, slots=True)
class Inside:
    """A step is under way: what is called in it is part of it."""

    step: str
    tool: bool
    place: Place


@dataclass(eq=False, slots=True)
class Place:
    """Model turns and tool calls that follow each other, recorded in one scope."""

    wrapping: Wrapping
    conversation: Conversation
    thread: int | None = None
    """in which its code runs, where that is not the loop's"""
    left: BaseException | None = None
    """what is no `Exception` and left a model turn: a framework that takes it for a result must not keep it"""
    granted: set[str] = field(default_factory=set[str])
    """calls that the framework wanted approved, and was told that they are: Perdure asks"""
    begun: dict[str, Place] = field(default_factory=dict[str, "Place"])
    """nodes that are on their way into threads, by the ids of their tasks"""
    known: dict[str, Foreign] = field(default_factory=dict[str, Foreign])
    """tools that were called before, by their names"""
    _seen: dict[str, int] = field(default_factory=dict[str, int])
    _done: dict[str, tuple[bytes, BaseException | None]] = field(
        default_factory=dict[str, tuple[bytes, BaseException | None]]
    )
    _below: dict[str, Place] = field(default_factory=dict[str, "Place"])

    # running a node again --------------------------------------------------------------------------------------

    def rewind(self) -> None:
        """From its top again: what has been called already is handed out as it was."""
        self._seen.clear()
        for place in self._below.values():
            place.rewind()

    def _name(self, what: str) -> str:
        n = self._seen[what] = self._seen.get(what, 0) + 1
        return f"{what}:{n}"

    async def _once(self, name: str, shape: Any, call: Callable[[Any], Awaitable[Any]]) -> Any:
        """Call once, however often the node is run: `call` is given the shape by which its value is recorded."""
        told = self._done.get(name)
        if told is not None:
            data, error = told
            if error is not None:
                raise error
            return shape.load(data)
        kept = Kept(shape)
        try:
            value = await call(kept)
        except Exception as error:
            self._done[name] = b"", error
            raise
        if not isinstance(value, Interrupted):
            data = kept.data if kept.data is not None else shape.round_trip(value)[0]
            self._done[name] = data, None
        return value

    # models ----------------------------------------------------------------------------------------------------

    async def turn(
        self,
        model: BaseChatModel,
        messages: list[BaseMessage],
        stop: Any,
        arguments: Mapping[str, Any],
        ask: Callable[[list[BaseMessage], Mapping[str, Any]], Awaitable[ChatResult]],
    ) -> ChatResult:
        """One model turn; `ask(messages, arguments)` is the framework's own way.

        Raises what the model raised, and `ConfigError` for tools that run at the provider.
        """
        asked = asked_of(model, messages, stop, arguments, first=self.conversation.first)
        uncovered = [name for name in asked.uncovered if name not in self.wrapping.table.allowed]
        if uncovered:
            raise ConfigError(
                f"agent `{self.wrapping.agent}` offers `{uncovered[0]}`, which its provider runs: its calls would "
                "neither be seen nor recorded, nor could they be stopped. Take it away, or allow it by name: "
                f'`app.effects.allow("{uncovered[0]}")`'
            )

        offering = offering_of(self.conversation, self.wrapping, asked.tools)

        async def inside() -> ChatResult:
            token = _place.set(Inside("turn", False, self))
            try:
                if offering is None:
                    return await ask(messages, arguments)
                return taken(await ask(told(messages, offering), shown(arguments, offering)), offering)
            finally:
                _place.reset(token)

        async def once(shape: Any) -> ChatResult:
            terms = self.wrapping.terms_of(asked.model)
            try:
                return await self.conversation.turn(
                    inside, asked, shape=shape, see=see, terms=terms, offering=offering
                )
            except (Unwind, RunCancelled) as left:
                self.left = left
                raise

        return await self._once(self._name("turn"), CHAT, once)

    # tools -----------------------------------------------------------------------------------------------------

    async def tool(
        self,
        tool: BaseTool,
        tool_input: Any,
        tool_call_id: str | None,
        call: Callable[[Any], Awaitable[Any]],
        *,
        beside: bool = False,
    ) -> Any:
        """Call a tool by its declared effect; `call(input)` is the framework's own way."""
        try:
            tool._to_args_and_kwargs(tool_input, tool_call_id)  # pyright: ignore[reportPrivateUsage]
        except Exception:
            return await call(
                tool_input
            )  # arguments that do not fit: the framework tells the model, nothing happens
        named = isinstance(tool_input, dict)
        arguments: dict[str, Any] = (
            tool._filter_injected_args(tool_input) if named else {"input": tool_input}  # pyright: ignore
        )
        name = step_name(tool.name)
        what = _call(name, arguments)
        known = self.foreign(tool, name)
        declared = known.declared
        terms = declared.terms
        if terms.needs_approval is None and what in self.granted:
            terms = replace(terms, needs_approval=True)
        form = form_of(tool)
        if declared.effect == "delegate":
            if terms.needs_approval is not None:
                gate = Foreign(name, replace(declared, effect="read")).calling(_pass, terms=terms, form=form)
                gated = await self._asked(
                    self.conversation.tool(gate, arguments, beside=beside), tool_call_id, name
                )
                if gated is not None:
                    return gated
            return await self._delegate(name, self._name(what), arguments, tool_input, call, beside=beside)

        async def execute(**given: Any) -> Any:
            token = _place.set(Inside(name, True, self))
            try:
                return await call({**tool_input, **given} if named else given["input"])
            except GraphInterrupt as asked:
                return Interrupted([q.value for q in asked.args[0]])
            finally:
                _place.reset(token)

        async def once(shape: Any) -> Any:
            foreign = known.calling(execute, shape=shape, terms=terms, form=form)
            call = self.conversation.tool(foreign, arguments, beside=beside)
            return await self._asked(call, tool_call_id, name)

        value = await self._once(self._name(what), VALUES, once)
        if isinstance(value, Interrupted):
            raise GraphInterrupt(tuple(Interrupt(value=q, id="") for q in value.questions))
        if isinstance(value, ToolMessage) and tool_call_id is not None:
            value.tool_call_id = tool_call_id
        return value

    async def _delegate(
        self,
        name: str,
        once: str,
        arguments: Any,
        tool_input: Any,
        call: Callable[[Any], Awaitable[Any]],
        *,
        beside: bool,
    ) -> Any:
        place = self._below.get(once)
        again = None if place is None else place.scope
        async with self.conversation.branch(name, arguments, again=again, beside=beside) as scope:
            if place is None:
                below = self.conversation.below(scope)
                place = Place(self.wrapping, below, self.thread, granted=self.granted, known=self.known)
                self._below[once] = place
            token = _place.set(place)
            try:
                return await call(tool_input)
            finally:
                _place.reset(token)

    async def _asked(self, call: Awaitable[Any], tool_call_id: str | None, name: str) -> Any:
        """The result; a refusal is for the model to hear, where it was the model that called."""
        try:
            return await call
        except BudgetExceeded:
            raise
        except (Refused, CheckFailed) as error:
            if tool_call_id is None:
                raise
            text = f"The call was not made: {error}" if isinstance(error, Refused) else str(error)
            return ToolMessage(text, name=name, tool_call_id=tool_call_id, status="error")

    def foreign(self, tool: BaseTool, name: str) -> Foreign:
        """The tool as a step, with what it does to the world; said to the owner once."""
        function: Any = getattr(tool, "coroutine", None) or getattr(tool, "func", None) or tool
        declared = self.wrapping.table.find(tool.name, function)
        found = self.known.get(tool.name)
        if (
            found is not None
            and found.declared == declared
            and found.declared.watch is self.wrapping.table.watch
        ):
            return found
        hints: Any = tool.metadata if isinstance(tool.metadata, dict) else None
        self.wrapping.table.tell(self.wrapping.agent, [(tool.name, declared, guess(tool.name, hints=hints))])
        made = self.known[tool.name] = Foreign(name, declared)
        return made

    # nodes -----------------------------------------------------------------------------------------------------

    def node(self, name: str, *, thread: int | None = None) -> Place:
        """Begin a node, in a thread or not; `conversation.close` ends it."""
        scope = self.conversation.open(name, beside=self.elsewhere(thread))
        below = self.conversation.below(scope)
        return Place(self.wrapping, below, thread, granted=self.granted, known=self.known)

    def elsewhere(self, thread: int | None) -> bool:
        """Whether this is a thread that the code here has begun: others may be on their way that are not counted."""
        return self.thread is not None and self.thread != thread

    @property
    def scope(self) -> Scope:
        """Of its steps."""
        return self.conversation.scope

    async def answers(self, asked: GraphInterrupt) -> list[Any]:
        """Put what a node asks before a human, and wait. What it is to be resumed with."""
        recorder, scope = self.conversation.recorder, self.scope
        resumed: list[Any] = []
        for interrupt in asked.args[0]:
            leave = leave_for(interrupt.value)
            if leave is not None:
                self.granted.update(_call(step_name(name), arguments) for name, arguments in leave)
                resumed.append(answer_of(interrupt.value, None))
                continue
            answers = [
                await put(recorder, scope, "interrupt", question, agent=self.wrapping.agent)
                for question in questions_of(interrupt.value)
            ]
            resumed.append(answer_of(interrupt.value, answers))
        return resumed


def _call(name: str, arguments: Any) -> str:
    return f"{name}.{arguments_bytes(arguments).hex()}"


def form_of(tool: BaseTool) -> dict[str, Any]:
    """JSON schema of what the model gives."""
    schema: Any = tool.tool_call_schema
    return cast("dict[str, Any]", schema) if isinstance(schema, dict) else schema.model_json_schema()


async def _pass(**arguments: Any) -> None:
    """Of a tool that is no step itself: what it needs an approval for begins after it."""


_place: ContextVar[Place | Inside | None] = ContextVar("perdure_langgraph_place", default=None)


def current_place(what: str) -> Place | None:
    """Where a call of `what` is to be recorded; None: nowhere, it is part of a model turn, or there is no run.

    Raises `NotDone` inside a tool, which is one step.
    """
    found = _place.get()
    if not isinstance(found, Inside):
        return found
    if found.tool and found.step not in found.place.wrapping.table.allowed:
        raise NotDone(
            f"tool `{found.step}` is one step, and calls {what} inside: that would be neither recorded nor counted. "
            f'Where it only asks other agents, say so: `app.effects.declare("delegate", "{found.step}")`; to let it '
            f'pass unseen: `app.effects.allow("{found.step}")`'
        )
    return None


def enter(place: Place) -> tuple[Token[Any], Token[Any]]:
    """Record what this context calls at `place`. `leave` takes it back."""
    return _place.set(place), set_scope(place.scope)


def leave(tokens: tuple[Token[Any], Token[Any]]) -> None:
    """As it was before."""
    reset_scope(tokens[1])
    _place.reset(tokens[0])
