"""`run.model`: a bounded conversation with a model, whose transcript is the journal.

    ask ──► reply ──► asks for tools ──► called, each as its effect demands ──► ask (at most `max_turns` times)
             │
             ├──► an answer that fits: done
             └──► one that does not: said so, once ──► ask ──► InvalidOutput

A turn is one repeatable step, which crosses the boundary: it is tried again by its policy, then another model is asked
(`candidates`). It records the reply and the messages that this turn added, so that a conversation grows by what is new.
On replay the recorded messages and replies are the conversation: a prompt, a model or settings that have changed since
are noted (DRIFT) and hold from the first new turn on, as far as they are not said already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ..core.codec import arguments_bytes, shape_of
from ..core.errors import ConfigError, InvalidOutput, TurnLimit
from ..core.failures import FailureClass
from ..journal import Kind
from . import effects, parallel
from .answer import AnswerForm, Unfit
from .call import Call, Way
from .candidates import INSTEAD, Alternative, Candidates
from .control import Unwind
from .effects import Governed
from .functions import run_function
from .messages import (
    AssistantMessage,
    Message,
    ModelReply,
    ModelRequest,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from .providers import Models
from .recorder import Recorder
from .retry import Retry
from .scope import Scope, current_scope
from .terms import Instead
from .tool import Tool
from .toolbox import Toolbox

__all__ = ["Talk", "Turn", "converse"]


class Turn(BaseModel):
    """The payload of a turn's RESULT."""

    model_config = ConfigDict(frozen=True)

    reply: ModelReply
    messages: list[Message]
    """what this turn added before the reply"""
    asked: dict[str, str]
    """what may change without a mismatch: the model's name, and keyed digests of the rest"""
    by: str = ""
    """the model that answered, by the name under which it was asked; empty in journals of earlier releases"""
    problem: str | None = None
    """what was wrong with an answer that the provider's library could not read, in words for the model"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """What a caller says about a conversation, beside what it is about."""

    models: Sequence[Alternative]
    """the one that is asked, then its fallbacks"""
    larger: Sequence[str] = ()
    """for a conversation that does not fit"""
    retry: Retry | None = None
    timeout: timedelta | None = None
    """of an attempt at a turn; None: it may take for ever"""
    max_turns: int = 10
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        """Raise `ConfigError` where that makes no sense."""
        if self.max_turns < 1:
            raise ConfigError(f"max_turns `{self.max_turns}` leaves no turn to answer in: give 1 or more")
        if self.timeout is not None and self.timeout <= timedelta():
            raise ConfigError(f"timeout `{self.timeout}` leaves a model no time to answer")


_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


async def converse(
    recorder: Recorder,
    scope: Scope,
    models: Models,
    talk: Talk,
    *,
    prompt: Any,
    output: Any,
    tools: Sequence[Tool[..., Any]],
    system: str | None,
) -> Any:
    """Ask until there is an answer that fits `output`. `scope` is the conversation's own, below the caller's step.

    Raises `InvalidOutput`, `TurnLimit`, `ConfigError`, and what the provider raised.
    """
    conversation = _Conversation(recorder, scope, models, talk, AnswerForm(output), Toolbox(tools))
    recorder.open_scopes.add(scope.path)
    try:
        return await conversation.hold(_opening(system, prompt))
    finally:
        recorder.open_scopes.discard(scope.path)


class _Conversation:
    def __init__(
        self,
        recorder: Recorder,
        scope: Scope,
        models: Models,
        talk: Talk,
        form: AnswerForm,
        toolbox: Toolbox,
    ) -> None:
        self.recorder = recorder
        self.scope = scope
        self.outer = current_scope(recorder)
        self.models = models
        self.talk = talk
        self.candidates = Candidates(models, talk.models, larger=talk.larger, retry=talk.retry)
        self.form = form
        self.toolbox = toolbox
        self.said: list[Message] = []
        """the conversation so far, the last reply included"""
        self.drift_noted: set[str] = set()
        self.hard = arguments_bytes(form.structure(), toolbox.structure())
        wording = [form.schema, *toolbox.schemas]
        self.soft = {
            "model": self.candidates.asked,
            "settings": recorder.mark(b"settings", arguments_bytes(talk.settings)).hex(),
            "wording": recorder.mark(b"wording", arguments_bytes(wording)).hex(),
        }

    async def hold(self, new: list[Message]) -> Any:
        turns, most = 0, self.talk.max_turns
        repaired = False
        while True:
            turns += 1
            key, turn = await self.turn(new, first=turns == 1)
            reply = turn.reply
            if self.toolbox.names:
                self.decision(turn)
            if reply.tool_calls:
                if turns >= most:
                    raise TurnLimit(self.too_long(turn, most))
                new = await self.calls(key, reply)
                continue
            try:
                if turn.problem is not None:
                    raise Unfit(turn.problem)
                return self.form.read(reply)
            except Unfit as unfit:
                if repaired:
                    raise InvalidOutput(
                        f"model `{turn.by}` (step `{key}`): {unfit}; it had been told so once already"
                    ) from unfit
                repaired = True
                most += 1  # a repair is no turn of the caller's
                new = [UserMessage(text=self.complaint(unfit))]

    async def turn(self, new: list[Message], *, first: bool) -> tuple[str, Turn]:
        """One step: recorded, or asked for now."""
        recorder, scope = self.recorder, self.scope
        key = scope.enter("turn")
        asked = dict(self.soft)
        if first:
            asked["prompt"] = recorder.mark(b"prompt", _MESSAGES.dump_json(new)).hex()
        record = recorder.steps.get(key)
        replayed = record is not None and record.final is not None
        ask = partial(self.ask, key, new, asked)

        def ways(_: Call) -> Sequence[Way]:
            return self.candidates.ways(ask, partial(self.instead, new, asked))

        try:
            if not replayed:
                if recorder.unconsumed:
                    recorder.check_frontier(self.outer, key)
                # Before the step begins: what is missing here must not become the recorded failure of the run.
                self.candidates.check()
            name = self.candidates.now
            turn: Turn = await effects.repeat(
                recorder,
                scope,
                key,
                ask,
                (name,),
                {},
                shape=shape_of(Turn),
                asynchronous=True,
                operation=b"model",
                data=self.hard,
                what=Governed("model", name, self.candidates.terms(name), ways=ways),
            )
            if record is not None and replayed:
                self.drift(key, record.drifted, turn.asked, asked)
        finally:
            scope.busy = ""
        if not turn.by:
            turn = turn.model_copy(update={"by": self.candidates.asked})
        self.candidates.answered_by(turn.by)
        self.said += [*turn.messages, turn.reply.as_message()]
        return key, turn

    async def ask(self, key: str, new: list[Message], asked: dict[str, str], model: str) -> Turn:
        """One attempt at a turn."""
        talk = self.talk
        seconds = None if talk.timeout is None else talk.timeout.total_seconds()
        request = ModelRequest(
            messages=(*self.said, *new),
            tools=self.toolbox.schemas,
            output=self.form.schema,
            settings=talk.settings,
            step=key,
            timeout=seconds,
        )
        provider = self.models.provider(model)
        problem: str | None = None
        try:
            async with asyncio.timeout(seconds):
                reply = await provider.request(model, request)
        except Exception as error:
            if not self.unreadable(error):
                raise
            # No better than an answer that does not fit, and the model is told so like of one.
            problem = f"it could not be read ({str(error)[:300]})"
            reply = ModelReply(finish_reason="error")
        return Turn(reply=reply, messages=new, asked=asked, by=model, problem=problem)

    def unreadable(self, error: Exception) -> bool:
        """Whether the model answered, and it was of no use."""
        found = self.recorder.boundary.rules.classifier.diagnose(error)
        return found.failure is FailureClass.INVALID_OUTPUT

    async def instead(self, new: list[Message], asked: dict[str, str], given: Instead) -> Turn:
        """An answer without a model."""
        answer = given.answer
        value = await run_function(answer) if callable(answer) else answer
        text = (
            value if self.form.is_text and isinstance(value, str) else arguments_bytes(value)[1:-1].decode()
        )
        return Turn(reply=ModelReply(text=text, finish_reason="stop"), messages=new, asked=asked, by=INSTEAD)

    def drift(self, key: str, noted: bool, recorded: Mapping[str, str], asked: Mapping[str, str]) -> None:
        """The recorded answer wins; say once what has changed since."""
        recorder = self.recorder
        changed = {name for name in asked if asked[name] != recorded.get(name)}
        unsaid = sorted(changed - self.drift_noted)
        if not noted and unsaid:
            if recorder.halted is not None or recorder.releasing:
                return  # nothing may be written now; the next replay says it
            sides = {"recorded": recorded, "now": asked}
            payload = {"changed": unsaid, **{k: {n: v.get(n) for n in unsaid} for k, v in sides.items()}}
            recorder.write(Kind.DRIFT, key, pydantic_core.to_json(payload))
        self.drift_noted |= changed

    def decision(self, turn: Turn) -> None:
        """Record what the model could have called, what it chose, and why, as far as it says."""
        recorder, scope, reply = self.recorder, self.scope, turn.reply
        key = scope.moment("decision")
        mark = recorder.mark(Kind.DECISION.name.encode())
        if recorder.unconsumed and recorder.take(key, mark) is not None:
            return
        if recorder.halted is not None or recorder.releasing:
            raise Unwind
        payload = {
            "options": self.toolbox.names,
            "choice": [call.name for call in reply.tool_calls],
            "reason": (reply.text.strip() or None) if reply.tool_calls else None,
            "reasoning": reply.reasoning,
            "confidence": None,
            "unknowns": None,
            "by": reply.model or turn.by,
        }
        recorder.write(Kind.DECISION, key, pydantic_core.to_json(payload), fingerprint=mark)

    async def calls(self, key: str, reply: ModelReply) -> list[Message]:
        """Call what the model asked for, all at once, each in a scope named by the turn and its place in it."""
        works = tuple(self.toolbox.answer(self.recorder, call, self.scope.path) for call in reply.tool_calls)
        self.scope.busy = key
        try:
            return await parallel.gather(self.recorder, self.scope, key, works, return_exceptions=False)
        finally:
            self.scope.busy = ""

    def complaint(self, unfit: Unfit) -> str:
        if self.form.is_text:
            return f"Your answer could not be used: {unfit}. Answer again, with text."
        return (
            f"Your answer could not be used: {unfit}. Answer again, with JSON in the form that was asked for and "
            "nothing else."
        )

    def too_long(self, turn: Turn, max_turns: int) -> str:
        wanted = ", ".join(f"`{call.name}`" for call in turn.reply.tool_calls)
        return (
            f"model `{turn.by}` still asks for tools ({wanted}) in the last of {max_turns} turns; they were not "
            "called. Raise `max_turns`, or give it a narrower task"
        )


def _opening(system: str | None, prompt: Any) -> list[Message]:
    new: list[Message] = [] if system is None else [SystemMessage(text=system)]
    if isinstance(prompt, str):
        return [*new, UserMessage(text=prompt)]
    if isinstance(prompt, list | tuple) and prompt:
        messages = cast("Sequence[Any]", prompt)
        if all(isinstance(m, SystemMessage | UserMessage | AssistantMessage | ToolMessage) for m in messages):
            return [*new, *messages]
    return [*new, UserMessage(text=arguments_bytes(prompt)[1:-1].decode())]
