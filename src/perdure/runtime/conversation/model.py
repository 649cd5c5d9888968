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

from collections.abc import Sequence
from typing import Any, cast

from ...core.codec import arguments_bytes
from ...core.errors import InvalidOutput, TurnLimit
from ..boundary.tool import Tool
from ..replay import parallel
from ..replay.recorder import Recorder
from ..replay.scope import Scope
from .answer import AnswerForm, Unfit
from .asking import Asking
from .candidates import INSTEAD
from .messages import AssistantMessage, Message, ModelReply, SystemMessage, ToolMessage, UserMessage
from .notes import note_decision
from .providers import Models
from .stuck import Observed
from .talk import Talk, Turn
from .toolbox import Toolbox

__all__ = ["converse"]


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

    Raises `InvalidOutput`, `TurnLimit`, `Stuck`, `ContextExceeded`, `ConfigError`, and what the provider raised.
    """
    offered = [tool for tool in tools if recorder.boundary.offers(tool, scope.path)]
    guard = recorder.boundary.guard
    stating = () if guard is None else [t.name for t in offered if guard.wants_stated(t)]
    toolbox = Toolbox(offered, stating=stating)
    form = AnswerForm(output, stating=guard is not None and guard.asks_of_answers())
    conversation = _Conversation(recorder, scope, models, talk, form, toolbox)
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
        self.talk = talk
        self.form = form
        self.toolbox = toolbox
        self.asking = Asking(recorder, scope, models, talk, form, toolbox)

    async def hold(self, new: list[Message]) -> Any:
        turns, most = 0, self.talk.max_turns
        repaired = False
        seen: list[Observed] | None = None
        while True:
            turns += 1
            key, turn = await self.asking.turn(new, seen)
            reply = turn.reply
            if self.toolbox.names:
                note_decision(
                    self.recorder,
                    self.scope,
                    options=self.toolbox.names,
                    choice=[call.name for call in reply.tool_calls],
                    said=reply.text,
                    reasoning=reply.reasoning,
                    by=reply.model or turn.by,
                )
            if reply.tool_calls:
                if turns >= most:
                    raise TurnLimit(self.too_long(turn, most))
                results = await self.calls(key, reply)
                seen = self.toolbox.observed(reply.tool_calls, results)
                new = list(results)
                continue
            try:
                answer = self.form.read(reply, turn.problem)
                guard = self.recorder.boundary.guard
                if guard is not None and turn.by != INSTEAD:
                    guard.answered(self.recorder, self.scope.path, self.form.stated)
                return answer
            except Unfit as unfit:
                if repaired:
                    raise InvalidOutput(
                        f"model `{turn.by}` (step `{key}`): {unfit}; it had been told so once already"
                    ) from unfit
                repaired = True
                most += 1  # a repair is no turn of the caller's
                seen = []
                new = [UserMessage(text=self.form.complaint(unfit, reply))]

    async def calls(self, key: str, reply: ModelReply) -> list[ToolMessage]:
        """Call what the model asked for, all at once, each in a scope named by the turn and its place in it."""
        works = tuple(
            self.toolbox.answer(self.recorder, call, self.scope.path, reply) for call in reply.tool_calls
        )
        self.scope.busy = key
        try:
            return await parallel.gather(self.recorder, self.scope, key, works, return_exceptions=False)
        finally:
            self.scope.busy = ""

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
