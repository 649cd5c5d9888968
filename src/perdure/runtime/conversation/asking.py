"""One turn of a conversation: asked for across the boundary, and recorded; or read from what was.

    what is said ─► made to fit ─► asked ─► RESULT
                        ▲            │
                        └────────────┴─ does not fit: FAILED, shorter (COMPACTED) or by a larger model, as a new step

What is counted and left out is read from what the journal holds of the turns, never from what is known now.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

import pydantic_core
from pydantic import TypeAdapter

from ...core.codec import arguments_bytes, shape_of
from ...core.errors import ContextExceeded, Stuck
from ...core.failures import FailureClass
from ...journal import Kind
from ..boundary import effects
from ..boundary.call import Call, Way
from ..boundary.effects import Governed
from ..boundary.functions import run_function
from ..boundary.terms import Instead
from ..replay.history import StepRecord
from ..replay.recorder import Recorder
from ..replay.scope import Scope, current_scope
from .answer import AnswerForm
from .candidates import INSTEAD, Candidates
from .compaction import Compaction, compacted, tokens_in, tokens_of
from .messages import Message, ModelReply, ModelRequest, SystemMessage, UserMessage
from .notes import DriftNotes
from .providers import Models
from .stuck import Observed, Watch
from .talk import Talk, Turn
from .toolbox import Toolbox

__all__ = ["Asking"]

_MESSAGES: TypeAdapter[list[Message]] = TypeAdapter(list[Message])
_SUMMARY = "summary"
_LAST_CALL = (
    "The budget is used up: this is the last answer that you can give, and no tool can be called any more. Answer with "
    "what there is, and say what is missing."
)
_SUM_UP = (
    "You are given the earlier part of a conversation between a program and an assistant that works on a task with "
    "tools. Sum up what the assistant must still know to go on: what was found out, what was done, what is open. Keep "
    "names, numbers and ids exactly. Answer with the summary alone."
)


class Asking:
    """Asks for the turns of one conversation, and keeps what was said."""

    def __init__(
        self,
        recorder: Recorder,
        scope: Scope,
        models: Models,
        talk: Talk,
        form: AnswerForm,
        toolbox: Toolbox,
    ) -> None:
        self._recorder = recorder
        self._scope = scope
        self._outer = current_scope(recorder)
        self._models = models
        self._talk = talk
        self._candidates = Candidates(models, talk.models, larger=talk.larger, retry=talk.retry)
        self._form = form
        self._toolbox = toolbox
        self._said: list[Message] = []
        """the conversation so far, the last reply included"""
        self._opening = 0
        """how many messages at its beginning are never left out"""
        self._watch = Watch(talk.stuck)
        self._warned = False
        self._drift = DriftNotes(recorder)
        self._hard = arguments_bytes(form.structure(), toolbox.structure())
        self._mark = recorder.mark(b"model", self._hard)
        wording = [form.schema, *toolbox.schemas]
        self._soft = {
            "model": self._candidates.asked,
            "settings": recorder.mark(b"settings", arguments_bytes(talk.settings)).hex(),
            "wording": recorder.mark(b"wording", arguments_bytes(wording)).hex(),
        }

    async def turn(self, new: list[Message], calls: Sequence[Observed] | None) -> tuple[str, Turn]:
        """The next turn, after `calls`, and its key; None: it is the first.

        Raises `Stuck`, `ContextExceeded`, and what the last of the models raised.
        """
        turn = _Turn(new, calls, self._recorder.marks)
        exceeded: ContextExceeded | None = None
        while True:
            if not turn.looked and not self._is_recorded():
                self._look(turn)
            await self._make_room(turn, exceeded)
            try:
                key, answered = await self._step(turn)
            except ContextExceeded as error:
                exceeded = error
                continue
            if calls is None:
                self._opening = len(answered.messages)
            self._candidates.answered_by(answered.by)
            self._said += [*answered.messages, answered.reply.as_message()]
            return key, answered

    # getting anywhere ------------------------------------------------------------------------------------------

    def _look(self, turn: _Turn) -> None:
        """Warn the agent where it gets nowhere. Raises `Stuck` where it was warned before."""
        turn.looked = True
        found = None if turn.calls is None else self._watch.turn(turn.calls, marks=turn.marks)
        if found is None:
            return
        if self._warned:
            raise Stuck(
                f"model `{self._candidates.now}` (before step `{self._scope.ahead('turn')}`) gets nowhere, and was "
                f"told so once: {found}"
            )
        self._note_warning()
        turn.warned = found
        turn.new = [*turn.new, UserMessage(text=_warning(found))]

    def _note_warning(self) -> None:
        self._warned = True
        self._watch.warned()

    # making room -----------------------------------------------------------------------------------------------

    async def _make_room(self, turn: _Turn, exceeded: ContextExceeded | None) -> None:
        """Leave out what the journal says was left out before the next step, or what has to go now."""
        recorder, scope = self._recorder, self._scope
        key = scope.ahead("turn")
        record = recorder.steps.get(key)
        recorded = _recorded_compaction(record)
        if recorded is not None:
            found = recorded
        elif record is not None:
            found = None
        else:
            found = self._too_much(turn) if exceeded is None else self._less(str(exceeded))
        if found is None:
            if exceeded is not None and not self._candidates.grow() and record is None:
                raise ContextExceeded(
                    f"the conversation fits no model that may be asked, and nothing is left in it that could be "
                    f"dropped (before step `{key}`): {exceeded}"
                ) from exceeded
            return
        dropped = found.dropped
        if scope.ahead(_SUMMARY) in recorder.steps or (recorded is None and dropped and self._talk.summary):
            summary = await self._sum_up(found)
            if summary is not None and recorded is None:
                found = found.with_summary(summary)
        if recorded is None:
            if recorder.unconsumed:
                recorder.check_frontier(self._outer, key)
            await recorder.live(scope, key, self._mark)
            recorder.write(Kind.COMPACTED, key, found.model_dump_json().encode(), fingerprint=self._mark)
        self._said = found.apply(self._said)
        if found.dropped is not None:
            self._opening += 1  # what stands in for the turns stays

    def _too_much(self, turn: _Turn) -> Compaction | None:
        """What goes because there is more than the caller allows."""
        most = self._talk.max_context
        if most is None:
            return None
        fixed = self._fixed() + tokens_of(turn.new)
        before = fixed + tokens_of(self._said)
        if before <= most:
            return None
        why = f"the conversation is about {before:,} tokens long, and may have {most:,}"
        # Not just enough: else every turn from now on would have to drop something.
        return compacted(self._said, opening=self._opening, why=why, room=max(0, most * 3 // 4 - fixed))

    def _less(self, why: str) -> Compaction | None:
        return compacted(self._said, opening=self._opening, why=why)

    def _fixed(self) -> int:
        return tokens_in([self._toolbox.schemas, self._form.schema])

    async def _sum_up(self, compaction: Compaction) -> str | None:
        """What a model says of the turns that are dropped: a step of its own. None: it did not."""
        dropped = compaction.dropped
        gone = [] if dropped is None else self._said[dropped.first : dropped.until]
        name = self._talk.summary or self._candidates.now
        told = "\n\n".join(f"{m.role}: {m.text}{_calls_in_words(m)}" for m in gone)
        new: list[Message] = [SystemMessage(text=_SUM_UP), UserMessage(text=told)]
        key = self._scope.enter(_SUMMARY)

        async def ask(model: str) -> Turn:
            request = ModelRequest(messages=tuple(new), step=key, timeout=self._talk.seconds)
            return Turn(reply=await self._answer(model, request), messages=[], asked={}, by=model)

        def ways(_: Call) -> Sequence[Way]:
            return (Way(name, "model", partial(ask, name), self._candidates.terms(name)),)

        try:
            terms = self._candidates.terms(name)
            estimate = partial(_estimate, tokens_of(new), None)
            turn: Turn = await effects.repeat(
                self._recorder,
                self._scope,
                key,
                ask,
                (name,),
                {},
                shape=shape_of(Turn),
                asynchronous=True,
                operation=b"model",
                data=b"summary",
                what=Governed("model", name, terms, ways=ways, estimate=estimate),
            )
        except Exception:
            return None  # the note alone says what was dropped; the step tells why there is no more
        finally:
            self._scope.busy = ""
        return turn.reply.text.strip() or None

    # asking ----------------------------------------------------------------------------------------------------

    def _is_recorded(self) -> bool:
        record = self._recorder.steps.get(self._scope.ahead("turn"))
        return record is not None and record.final is not None

    async def _step(self, turn: _Turn) -> tuple[str, Turn]:
        """One step: recorded, or asked for now."""
        recorder, scope = self._recorder, self._scope
        key = scope.enter("turn")
        turn.asked = dict(self._soft)
        if turn.calls is None:
            turn.asked["prompt"] = recorder.mark(b"prompt", _MESSAGES.dump_json(turn.new)).hex()
        record = recorder.steps.get(key)
        replayed = record is not None and record.final is not None
        ask = partial(self._ask, key, turn)

        def ways(_: Call) -> Sequence[Way]:
            return self._candidates.ways(ask, partial(self._instead, turn))

        try:
            if not replayed:
                if recorder.unconsumed:
                    recorder.check_frontier(self._outer, key)
                # Before the step begins: what is missing here must not become the recorded failure of the run.
                self._candidates.check()
                if self._talk.summary is not None:
                    self._models.provider(self._talk.summary)
            name = self._candidates.now
            prompt = self._fixed() + tokens_of(self._said) + tokens_of(turn.new)
            estimate = partial(_estimate, prompt, self._talk.most_output)
            answered: Turn = await effects.repeat(
                recorder,
                scope,
                key,
                ask,
                (name,),
                {},
                shape=shape_of(Turn),
                asynchronous=True,
                operation=b"model",
                data=self._hard,
                what=Governed("model", name, self._candidates.terms(name), ways=ways, estimate=estimate),
            )
            if record is not None and replayed:
                self._replayed(turn, record, answered)
        finally:
            scope.busy = ""
        return key, answered if answered.by else answered.model_copy(update={"by": self._candidates.asked})

    def _replayed(self, turn: _Turn, record: StepRecord, answered: Turn) -> None:
        self._drift.note(record.key, answered.asked, turn.asked, in_journal=record.drifted)
        if turn.calls is not None and not turn.looked:
            self._watch.turn(turn.calls, marks=answered.marks)
            if answered.warned is not None:
                self._note_warning()

    async def _ask(self, key: str, turn: _Turn, model: str) -> Turn:
        """One attempt."""
        talk, spending = self._talk, self._recorder.boundary.spending
        last = spending is not None and spending.ledger.finishing
        if last and UserMessage(text=_LAST_CALL) not in turn.new:
            turn.new = [*turn.new, UserMessage(text=_LAST_CALL)]
        request = ModelRequest(
            messages=(*self._said, *turn.new),
            tools=() if last else self._toolbox.schemas,
            output=self._form.schema,
            settings=talk.settings,
            step=key,
            timeout=talk.seconds,
        )
        problem: str | None = None
        try:
            reply = await self._answer(model, request)
        except Exception as error:
            match self._class_of(model, error):
                case FailureClass.CONTEXT_EXCEEDED:
                    raise ContextExceeded(f"model `{model}`: {error}"[:2000]) from error
                case FailureClass.INVALID_OUTPUT:
                    # No better than an answer that does not fit, and the model is told so like of one.
                    problem = f"it could not be read ({' '.join(str(error).split())[:300]})"
                    reply = ModelReply(finish_reason="error")
                case _:
                    raise
        return turn.answered(reply, by=model, problem=problem)

    async def _answer(self, model: str, request: ModelRequest) -> ModelReply:
        seconds = request.timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                provider = self._models.provider(model)
                streamed: Any = getattr(provider, "request_stream", None)
                if streamed is None or not await self._recorder.boundary.ears.there():
                    return await provider.request(model, request)
                say = self._recorder.boundary.ears.saying(request.step)
                try:
                    return await streamed(model, request, say)
                finally:
                    say.end()
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise TimeoutError(f"model `{model}` gave no answer within {seconds:g} s") from error

    def _class_of(self, model: str, error: Exception) -> FailureClass:
        classifier, rule = self._recorder.boundary.rules.classifier, self._candidates.terms(model).classify
        return (classifier if rule is None else classifier.behind(rule)).diagnose(error).failure

    async def _instead(self, turn: _Turn, given: Instead) -> Turn:
        """An answer without a model."""
        value = await run_function(given.answer) if callable(given.answer) else given.answer
        plain = self._form.is_text and isinstance(value, str)
        text = value if plain else arguments_bytes(value)[1:-1].decode()
        return turn.answered(ModelReply(text=text, finish_reason="stop"), by=INSTEAD)


class _Turn:
    """A turn that is under way: what it adds, over all steps that it takes."""

    def __init__(self, new: list[Message], calls: Sequence[Observed] | None, marks: int) -> None:
        self.new = new
        self.calls = calls
        self.marks = marks
        self.looked = False
        """whether it is known what the agent is to be warned of"""
        self.warned: str | None = None
        self.asked: dict[str, str] = {}

    def answered(self, reply: ModelReply, *, by: str, problem: str | None = None) -> Turn:
        return Turn(
            reply=reply,
            messages=self.new,
            asked=self.asked,
            by=by,
            problem=problem,
            marks=self.marks,
            warned=self.warned,
        )


def _recorded_compaction(record: StepRecord | None) -> Compaction | None:
    found = [e for e in (record.trail if record is not None else ()) if e.kind == Kind.COMPACTED]
    return Compaction.model_validate_json(found[-1].payload) if found else None


def _estimate(prompt: int, output: int | None) -> tuple[int, int | None]:
    """Tokens of the prompt, and at most of the answer."""
    return prompt, output


def _calls_in_words(message: Message) -> str:
    calls = getattr(message, "tool_calls", ())
    return "".join(f"\n[calls {c.name} {pydantic_core.to_json(c.arguments).decode()}]" for c in calls)


def _warning(found: str) -> str:
    return (
        f"You are not getting anywhere: {found}. Do something else: call another tool, or the same one with other "
        "arguments, or answer with what you have and say what is missing. If you go on like this you will be stopped."
    )
