"""Where the calls of somebody else's framework cross the boundary: its model turns and tool calls as steps of a run.

A framework asks the model, calls what the model chose, several at once if it likes, and asks again. It owns the loop;
this sees only the calls as they go by. So a call is named by what it means, never by an id that the framework made:

    conversation ── turn ── turn:2 ── ...                 each model turn, in order
                     └─ turn.TOOL.DIGEST/TOOL             each tool call, by its turn, tool, arguments and occurrence

Each tool call is a branch with a scope of its own, so it does not matter in which order the framework begins them, nor
that it uses tasks of its own; an agent inside a tool finds that scope, and its turns stand below it. While calls are
inside, whoever called them is taken to wait: where all of them wait for a human, say, the run is suspended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from ...core.codec import Shape, arguments_bytes
from ...core.errors import OutsideRun
from ..boundary import effects
from ..boundary.call import How
from ..boundary.following import followed
from ..boundary.reservation import Part
from ..boundary.saying import Saying
from ..boundary.terms import NO_TERMS, Terms
from ..boundary.tool import Tool
from ..conversation.notes import DriftNotes, decision, note_decision, skip_decision
from ..replay.control import Unwind
from ..replay.recorder import Recorder
from ..replay.scope import Scope, current_scope, reset_scope, set_scope
from .asked import Asked, Forms, Offered, estimate
from .offering import Offering, Statements
from .turned import Seen, Turned, TurnShape

__all__ = ["Asked", "Conversation", "Offered", "Piece", "Seen", "conversation", "current"]

T = TypeVar("T")

_BEHAVIOUR = "behaviour"
"""A digest without a key: two runs that were asked in the same way have the same one."""

DIGITS = 8
"""Hexadecimal digits of the arguments' digest in a key: enough to tell the calls of one turn apart."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a message as it comes. It is provisional: only a message that has ended stands in the journal.

    Whoever shows pieces elsewhere keeps, of each message, those of the highest attempt: after a crash the message
    begins again, with a higher one, and what was shown of it before does not count.
    """

    message: str
    """the key of its turn, the same in every attempt"""
    attempt: int
    """the epoch of the worker that hears it"""
    text: str
    recorded: bool = False
    """the message is complete and comes out of the journal"""


def _decision(asked: Asked, seen: Seen) -> dict[str, Any]:
    """What `note_decision` is told of a turn."""
    return {
        "options": [t.name for t in asked.tools],
        "choice": seen.calls,
        "said": seen.text,
        "reasoning": seen.reasoning,
        "by": seen.model or asked.model,
    }


class Conversation:
    """The model turns and tool calls of one agent of a framework. Made by `conversation`."""

    def __init__(
        self, recorder: Recorder, scope: Scope, *, outer: Scope | None, retried_in: str | None = None
    ) -> None:
        self.recorder = recorder
        self.scope = scope
        self._outer = outer
        """whose recorded steps, beside those of `scope`, must have been asked for before a new turn begins"""
        self._retried_in = scope.path if retried_in is None else retried_in
        self._turn = "start"
        self._occurrences: dict[str, int] = {}
        self._inside = 0
        self._beside: set[str] = set()
        self._draining: list[asyncio.Future[None]] = []
        self._first = True
        self._saying: Saying | None = None
        """the message that is heard as it comes"""
        self._noted = ""
        """the turn whose decision stands behind its answer"""
        self._forms = Forms(recorder)
        self._statements = Statements(recorder)
        self._drift = DriftNotes(recorder, silent=frozenset({_BEHAVIOUR}))

    @property
    def first(self) -> bool:
        """Whether no turn has been taken yet: `Asked.messages` is looked at then only."""
        return self._first

    def piece(self, text: str, *, recorded: bool = False) -> Piece:
        """A piece of the turn under way, or of the last one."""
        message = self.scope.busy or self.scope.path + self._turn
        return Piece(message, self.recorder.epoch, text, recorded)

    def saying(self) -> Saying:
        """What to tell each piece of the message that begins now, for those who listen to the run.

        To be asked for in each attempt at the turn under way; `turn` ends it.
        """
        if self._saying is not None:
            self._saying.end()
        message = self.scope.busy or self.scope.path + self._turn
        self._saying = self.recorder.boundary.ears.saying(message)
        return self._saying

    async def turn(
        self,
        ask: Callable[[], Awaitable[T]],
        asked: Asked,
        *,
        shape: Shape[T],
        see: Callable[[T], Seen],
        terms: Terms = NO_TERMS,
        offering: Offering | None = None,
    ) -> T:
        """One model turn: recorded, or asked for now. Raises what `ask` raised, as its own type.

        `offering`: how the tools are shown to the model, where that is not as they are.
        """
        recorder, scope = self.recorder, self.scope
        if offering is not None:
            asked = replace(asked, tools=[t for t in asked.tools if offering.offers(t.name)])
            ask = partial(offering.asked, ask)
        key = scope.enter("turn")
        try:
            self._forms.look(asked)
            soft = self._soft(asked)
            hard = self._forms.hard(asked)
            record = recorder.steps.get(key)
            replayed = record is not None and record.final is not None
            if self._outer is not None and not replayed and recorder.unconsumed:
                recorder.check_frontier(self._outer, key)
            turned: Turned[T] = await effects.repeat(
                recorder,
                scope,
                key,
                ask,
                (),
                {},
                shape=TurnShape(shape, see, soft, asked.uncovered, offering),  # pyright: ignore[reportArgumentType]  # what `repeat` uses of a Shape
                asynchronous=True,
                operation=b"model",
                data=hard,
                what=effects.Governed(
                    "model",
                    asked.model,
                    terms,
                    estimate=partial(estimate, asked),
                    beside=partial(self._decided, asked) if asked.tools else None,
                ),
            )
            if record is not None and replayed:
                self._drift.note(key, turned.asked, soft, in_journal=record.drifted)
        except asyncio.CancelledError:
            if asked.tools and recorder.unconsumed:
                skip_decision(
                    recorder, scope
                )  # it was written with an answer that was not handed out any more
            raise
        finally:
            scope.busy = ""
            if self._saying is not None:
                self._saying.end()
                self._saying = None
        self._turn = key.removeprefix(scope.path)
        self._first = False
        self._statements.hear(turned.stated)
        if recorder.boundary.guard is not None:  # what says nothing of its answer is not sure of it
            recorder.boundary.guard.answered(recorder, scope.path, turned.answer)
        if asked.tools and self._noted != key:
            note_decision(recorder, scope, **_decision(asked, turned.seen or see(turned.reply)))
        return turned.reply

    def _decided(self, asked: Asked, turned: Turned[Any]) -> Sequence[Part]:
        """The decision of a live turn, for the append that holds its answer: one less, of those that a turn takes."""
        if self.recorder.unconsumed or turned.seen is None:
            return ()  # it may be recorded, though its turn is asked for anew: that is looked at behind the turn
        self._noted = self.scope.busy
        return (decision(self.recorder, self.scope, **_decision(asked, turned.seen)),)

    def _soft(self, asked: Asked) -> dict[str, str]:
        recorder, forms = self.recorder, self._forms
        soft = {
            "model": asked.model,
            "settings": forms.mark(b"settings", arguments_bytes(dict(asked.settings))),
            "wording": forms.mark(b"wording", forms.wording()),
        }
        if self._first:  # what is said later follows from what is recorded
            soft["prompt"] = recorder.mark(b"prompt", arguments_bytes(asked.messages)).hex()
            soft[_BEHAVIOUR] = forms.behaviour(asked)
        return soft

    async def tool(
        self,
        tool: Tool[..., Any],
        arguments: Mapping[str, Any],
        *,
        how: How | None = None,
        beside: bool = False,
    ) -> Any:
        """Call a tool that the model of this conversation chose, by its declared effect.

        Several calls may be under way at once. A call that failed and is asked for again means the same effect.
        """
        # As `branch`, written out: a context manager costs what the rest of the bookkeeping does.
        data = arguments_bytes(arguments)
        scope = self.open(self._called(tool.name, data), beside=beside)
        token = set_scope(scope)
        failed = False
        try:
            key = scope.enter(tool.name)
            if (
                self.recorder.heard is not None
                and (stated := self._statements.of(tool.name, data)) is not None
            ):
                self.recorder.heard.states(key, stated)
            try:
                value = await effects.perform(
                    self.recorder,
                    scope,
                    key,
                    tool,
                    (),
                    dict(arguments),
                    retried_in=self._retried_in,
                    how=how,
                    data=data[1:-1],
                )
                value = await followed(self.recorder, scope, key, tool, dict(arguments), value)
            finally:
                scope.busy = ""
                tool.governed = None  # it knows the tool, which was made for this call: a cycle
            self.check(scope)
            return value
        except Exception:
            failed = True
            raise
        finally:
            reset_scope(token)
            self.close(scope)
            if failed:
                await self.drained()

    def _called(self, name: str, data: bytes) -> str:
        """The name of a branch: by the turn, and by what is called with which arguments, as JSON."""
        return f"{self._turn}.{name}.{self.recorder.mark(b'call', data).hex()[:DIGITS]}"

    @asynccontextmanager
    async def branch(
        self, name: str, arguments: Any = None, *, again: Scope | None = None, beside: bool = False
    ) -> AsyncGenerator[Scope]:
        """A branch below the last turn: for a tool call, or an agent that is a tool.

        It is named by `name` and `arguments`, and by how many of the same came before. Whoever called it waits, as long
        as any is open. An error is told when those beside it have finished: frameworks cut them off for it, and a call
        that is cut off in the middle is in doubt. `again`: a branch that was left, and goes on where it was.
        `beside`: see `open`.
        """
        if again is None:
            scope = self.open(self._called(name, arguments_bytes(arguments)), beside=beside)
        else:
            scope = self._begin(again, beside)
        async with self._entered(scope):
            yield scope

    @asynccontextmanager
    async def beside(self, scope: Scope) -> AsyncGenerator[Conversation]:
        """An open branch (`open`) with a conversation of its own, which hooks find by `current`: an agent among others.

        The branch is closed at the end, and an error is told when the others have finished.
        """
        made = self.below(scope)
        mine = _conversation.set(made)
        try:
            async with self._entered(scope):
                yield made
        finally:
            _conversation.reset(mine)

    @asynccontextmanager
    async def _entered(self, scope: Scope) -> AsyncGenerator[None]:
        token = set_scope(scope)
        failed = False
        try:
            yield
            self.check(scope)
        except Exception:
            failed = True
            raise
        finally:
            reset_scope(token)
            self.close(scope)
            if failed:
                await self.drained()

    @asynccontextmanager
    async def aside(self, name: str, *, beside: bool) -> AsyncGenerator[Scope]:
        """A branch by its name alone, for what a framework may begin before or after a turn, as it likes: a guardrail.

        `beside`: whoever began it goes on meanwhile, with a turn perhaps.
        """
        scope = self.open(name, beside=beside)
        token = set_scope(scope)
        try:
            yield scope
            self.check(scope)
        finally:
            reset_scope(token)
            self.close(scope)

    def below(self, scope: Scope) -> Conversation:
        """The conversation of one branch of this one, in which others may be under way: a node of a graph.

        What failed in one branch and is asked for again in another means the same effect.
        """
        # Of what stands around it others may be asking at this moment; its own scope is looked at once the turn that
        # is under way has been taken out of it.
        made = Conversation(self.recorder, scope, outer=None, retried_in=self._retried_in)
        made._forms = self._forms
        made._statements = self._statements  # the tools of a graph are called in other nodes than its model
        return made

    def open(self, name: str, *, beside: bool = False) -> Scope:
        """Begin a branch by its name alone; the second of a name is `NAME:2`. `close` ends it.

        `beside`: whoever called it is not known to wait: others may be on their way in threads, uncounted.
        """
        n = self._occurrences[name] = self._occurrences.get(name, 0) + 1
        path = f"{self.scope.path}{name}/" if n == 1 else f"{self.scope.path}{name}:{n}/"
        return self._begin(
            Scope(self.recorder, path, parent=self.scope, shielded=self.scope.shielded), beside
        )

    def _begin(self, scope: Scope, beside: bool) -> Scope:
        self.recorder.open_scopes.add(scope.path)
        if beside:
            self._beside.add(scope.path)
            self.recorder.began(1)
            return scope
        self._inside += 1
        if self._inside > 1:  # the first takes over the activity of whoever waits for it
            self.recorder.began(1)
        return scope

    def check(self, scope: Scope) -> None:
        """At the end of a branch everything that was recorded of it must have been asked for."""
        if self.recorder.unconsumed and self.recorder.halted is None:
            self.recorder.check_frontier(scope)

    def close(self, scope: Scope) -> None:
        """End a branch."""
        self.recorder.open_scopes.discard(scope.path)
        if scope.path in self._beside:
            self._beside.discard(scope.path)
            self.recorder.ended()
        else:
            self._inside -= 1
            if self._inside:
                self.recorder.ended()
        if self._inside or self._beside:
            return
        for waiter in self._draining:
            if not waiter.done():
                waiter.set_result(None)
        self._draining.clear()

    async def drained(self) -> None:
        """Return when no branch is open any more."""
        while self._inside or self._beside:
            waiter: asyncio.Future[None] = self.recorder.loop.create_future()
            self._draining.append(waiter)
            await waiter


_conversation: ContextVar[Conversation] = ContextVar("perdure_conversation")


def current() -> Conversation:
    """The conversation that a framework's hook stands in. Raises `OutsideRun` where there is none."""
    found = _conversation.get(None)
    if found is None:
        raise OutsideRun(
            "there is no run here: call the agent by `await run.wrap(agent)(...)` inside an agent"
        )
    return found


@asynccontextmanager
async def conversation(recorder: Recorder, name: str) -> AsyncGenerator[Conversation]:
    """Open the conversation `name` in the current scope, as one step of it: hooks find it by `current`.

    Raises `ConcurrentScope` where another step of the scope is under way.
    """
    outer = current_scope(recorder)
    key = outer.enter(name)
    scope = Scope(recorder, f"{key}/", parent=outer, shielded=outer.shielded)
    recorder.open_scopes.add(scope.path)
    made = Conversation(recorder, scope, outer=outer)
    token, mine = set_scope(scope), _conversation.set(made)
    try:
        yield made
        if recorder.unconsumed and recorder.halted is None:
            recorder.check_frontier(scope)
        if recorder.halted is not None:
            raise Unwind  # a framework that swallowed it must not go on to use what it made of that
    finally:
        _conversation.reset(mine)
        reset_scope(token)
        recorder.open_scopes.discard(scope.path)
        outer.busy = ""
