"""`run.model`: a bounded conversation with a model, whose transcript is the journal.

    ask ──► reply ──► asks for tools ──► called, each as its effect demands ──► ask (at most `max_turns` times)
             │
             ├──► an answer that fits: done
             └──► one that does not: said so, once ──► ask ──► InvalidOutput

A turn is one repeatable step. It records the reply and the messages that this turn added, so that a conversation
grows by what is new. On replay the recorded messages and replies are the conversation: a prompt, a model or settings
that have changed since are noted (DRIFT) and hold from the first new turn on, as far as they are not said already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pydantic_core
from pydantic import BaseModel, ConfigDict, TypeAdapter

from ..core.codec import arguments_bytes, shape_of
from ..core.errors import ConfigError, InvalidOutput, TurnLimit
from ..journal import Kind
from . import effects, parallel
from .answer import AnswerForm, Unfit
from .control import Unwind
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
from .scope import Scope, current_scope
from .tool import Tool
from .toolbox import Toolbox

__all__ = ["Turn", "converse"]


class Turn(BaseModel):
    """The payload of a turn's RESULT."""

    model_config = ConfigDict(frozen=True)

    reply: ModelReply
    messages: list[Message]
    """what this turn added before the reply"""
    asked: dict[str, str]
    """what may change without a mismatch: the model's name, and keyed digests of the rest"""


_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])


async def converse(
    recorder: Recorder,
    scope: Scope,
    models: Models,
    *,
    model: str,
    prompt: Any,
    output: Any,
    tools: Sequence[Tool[..., Any]],
    system: str | None,
    max_turns: int,
    settings: Mapping[str, Any],
) -> Any:
    """Ask until there is an answer that fits `output`. `scope` is the conversation's own, below the caller's step.

    Raises `InvalidOutput`, `TurnLimit`, `ConfigError`, and what the provider raised.
    """
    if max_turns < 1:
        raise ConfigError(f"max_turns `{max_turns}` leaves no turn to answer in: give 1 or more")
    talk = _Conversation(recorder, scope, models, model, AnswerForm(output), Toolbox(tools), settings)
    recorder.open_scopes.add(scope.path)
    try:
        return await talk.hold(_opening(system, prompt), max_turns)
    finally:
        recorder.open_scopes.discard(scope.path)


class _Conversation:
    def __init__(
        self,
        recorder: Recorder,
        scope: Scope,
        models: Models,
        model: str,
        form: AnswerForm,
        toolbox: Toolbox,
        settings: Mapping[str, Any],
    ) -> None:
        self.recorder = recorder
        self.scope = scope
        self.outer = current_scope(recorder)
        self.models = models
        self.model = model
        self.form = form
        self.toolbox = toolbox
        self.settings = settings
        self.said: list[Message] = []
        """the conversation so far, the last reply included"""
        self.drift_noted: set[str] = set()
        self.hard = arguments_bytes(form.structure(), toolbox.structure())
        wording = [form.schema, *toolbox.schemas]
        self.soft = {
            "model": model,
            "settings": recorder.mark(b"settings", arguments_bytes(settings)).hex(),
            "wording": recorder.mark(b"wording", arguments_bytes(wording)).hex(),
        }

    async def hold(self, new: list[Message], max_turns: int) -> Any:
        turns = 0
        repaired = False
        while True:
            turns += 1
            key, reply = await self.turn(new, first=turns == 1)
            if self.toolbox.names:
                self.decision(reply)
            if reply.tool_calls:
                if turns >= max_turns:
                    raise TurnLimit(self.too_long(reply, max_turns))
                new = await self.calls(key, reply)
                continue
            try:
                return self.form.read(reply)
            except Unfit as unfit:
                if repaired:
                    raise InvalidOutput(
                        f"model `{self.model}` (step `{key}`): {unfit}; it had been told so once already"
                    ) from unfit
                repaired = True
                max_turns += 1  # a repair is no turn of the caller's
                new = [UserMessage(text=self.complaint(unfit))]

    async def turn(self, new: list[Message], *, first: bool) -> tuple[str, ModelReply]:
        """One step: recorded, or asked for now."""
        recorder, scope = self.recorder, self.scope
        key = scope.enter("turn")
        asked = dict(self.soft)
        if first:
            asked["prompt"] = recorder.mark(b"prompt", _MESSAGES.dump_json(new)).hex()
        record = recorder.steps.get(key)
        replayed = record is not None and record.final is not None

        async def ask() -> Turn:
            request = ModelRequest(
                messages=(*self.said, *new),
                tools=self.toolbox.schemas,
                output=self.form.schema,
                settings=self.settings,
                step=key,
            )
            return Turn(reply=await provider.request(self.model, request), messages=new, asked=asked)

        try:
            if not replayed:
                if recorder.unconsumed:
                    recorder.check_frontier(self.outer, key)
                # Before the step begins: what is missing here must not become the recorded failure of the run.
                provider = self.models.provider(self.model)
            turn: Turn = await effects.repeat(
                recorder,
                scope,
                key,
                ask,
                (),
                {},
                shape=shape_of(Turn),
                asynchronous=True,
                operation=b"model",
                data=self.hard,
            )
            if record is not None and replayed:
                self.drift(key, record.drifted, turn.asked, asked)
        finally:
            scope.busy = ""
        self.said += [*turn.messages, turn.reply.as_message()]
        return key, turn.reply

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

    def decision(self, reply: ModelReply) -> None:
        """Record what the model could have called, what it chose, and why, as far as it says."""
        recorder, scope = self.recorder, self.scope
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
            "by": reply.model or self.model,
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

    def too_long(self, reply: ModelReply, max_turns: int) -> str:
        wanted = ", ".join(f"`{call.name}`" for call in reply.tool_calls)
        return (
            f"model `{self.model}` still asks for tools ({wanted}) in the last of {max_turns} turns; they were not "
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
