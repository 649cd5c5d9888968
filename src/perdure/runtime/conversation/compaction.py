"""What is left out of a conversation that is too long for its model: first old results of tools, then old turns.

    system │ the task │ turn ─ results │ turn ─ results │ ... │ the last turn ─ its results
    never  │ never    │ 1. results: a line says what was dropped  │ never
                      │ 2. turns: one message in their place      │

Pure: a compaction is worked out from the messages, written into the journal (COMPACTED) with the texts that stand in
for what was dropped, and applied as it was written, live as on replay. The originals stay where they were recorded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict

from .messages import AssistantMessage, Message, ToolMessage, UserMessage

__all__ = ["Compaction", "Dropped", "Replaced", "compacted", "tokens_in", "tokens_of"]

SHORT = 400
"""Characters of a result that it does not pay to drop."""

_BYTES_PER_TOKEN = 3.5
"""Of English, code and JSON there are four or a little more to a token: an estimate is better too high."""

_OVERHEAD = 8
"""Tokens of what stands around a message."""

_NOTE = 80
"""Tokens of the message that stands in for turns."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True)


class Replaced(_Value):
    """A result of a tool, and the line that stands in for it."""

    at: int
    """its place in the conversation"""
    tool: str
    characters: int
    text: str


class Dropped(_Value):
    """Turns, and the message that stands in for them."""

    first: int
    until: int
    """places in the conversation: from `first` up to, and without, `until`"""
    turns: int
    tools: dict[str, int]
    """the tools that were called in them, and how often"""
    text: str
    summary: bool = False
    """whether a model summed them up"""


class Compaction(_Value):
    """What was left out, and why. The payload of COMPACTED."""

    why: str
    before: int
    """tokens of the conversation, estimated"""
    after: int
    replaced: tuple[Replaced, ...] = ()
    dropped: Dropped | None = None

    def apply(self, said: Sequence[Message]) -> list[Message]:
        """The conversation without what was left out."""
        messages = list(said)
        for one in self.replaced:
            message = messages[one.at]
            assert isinstance(message, ToolMessage)
            messages[one.at] = message.model_copy(update={"text": one.text})
        if self.dropped is not None:
            messages[self.dropped.first : self.dropped.until] = [UserMessage(text=self.dropped.text)]
        return messages

    def with_summary(self, summary: str) -> Compaction:
        """The same, with what a model says of the dropped turns."""
        assert self.dropped is not None
        text = f"{self.dropped.text}\n\nWhat they came to, summed up:\n{summary}"
        return self.model_copy(
            update={"dropped": self.dropped.model_copy(update={"text": text, "summary": True})}
        )


def compacted(
    said: Sequence[Message], *, opening: int, why: str, room: int | None = None
) -> Compaction | None:
    """The next compaction of a conversation that ends with the model's last answer; None: there is nothing to drop.

    The first `opening` messages stay: the system prompt, the task, and what stands in for turns that went before.
    Results go first, then turns, the oldest first: until the rest has `room` (tokens). Without it nobody knows how much
    is enough: all results go, and the next time the older half of the turns. What does not make it shorter is none: a
    note may be longer than what it stands for.
    """
    found = _found(said, opening, why, room)
    if found is not None and found.after >= found.before:
        dropped = _turns(said, opening, 0)  # all but the last
        found = (
            None
            if dropped is None
            else _measured(found.model_copy(update={"dropped": dropped, "replaced": ()}), said)
        )
    return found if found is not None and found.after < found.before else None


def _found(said: Sequence[Message], opening: int, why: str, room: int | None) -> Compaction | None:
    before = tokens_of(said)
    results = _results(said, opening, room)
    found: Compaction | None = None
    if results:
        found = _measured(Compaction(why=why, before=before, after=0, replaced=results), said)
        if room is None or found.after <= room:
            return found
    dropped = _turns(said, opening, room)
    if dropped is None:
        return found
    whole = Compaction(why=why, before=before, after=0, dropped=dropped)
    # What stays of the turns keeps its results, if that is enough.
    whole = _measured(whole, said)
    if found is None or room is None or whole.after <= room:
        return whole
    left = tuple(r for r in _results(said, opening, None) if r.at >= dropped.until)
    return _measured(whole.model_copy(update={"replaced": left}), said)


def _measured(compaction: Compaction, said: Sequence[Message]) -> Compaction:
    return compaction.model_copy(update={"after": tokens_of(compaction.apply(said))})


def _results(said: Sequence[Message], opening: int, room: int | None) -> tuple[Replaced, ...]:
    found: list[Replaced] = []
    left = tokens_of(said)
    for at, message in enumerate(said):
        if room is not None and left <= room:
            break
        if at < opening or not isinstance(message, ToolMessage) or len(message.text) <= SHORT:
            continue
        text = (
            f"(This result of `{message.name}` was dropped, because the conversation had become too long: "
            f"{len(message.text):,} characters. Call the tool again if you need it.)"
        )
        found.append(Replaced(at=at, tool=message.name, characters=len(message.text), text=text))
        left -= tokens_in(message.text) - tokens_in(text)
    return tuple(found)


def _turns(said: Sequence[Message], opening: int, room: int | None) -> Dropped | None:
    begins = [i for i, m in enumerate(said) if i >= opening and isinstance(m, AssistantMessage)]
    old = begins[:-1]  # the last answer stays: its tools have been called, and their results are on their way
    if not old:
        return None
    for count in range((len(old) + 1) // 2 if room is None else 1, len(old) + 1):
        until = begins[count]
        if room is None or tokens_of(said[:opening]) + tokens_of(said[until:]) + _NOTE <= room:
            break
    else:
        count, until = len(old), begins[-1]
    gone = said[opening:until]
    tools: dict[str, int] = {}
    for answer in gone:
        for call in answer.tool_calls if isinstance(answer, AssistantMessage) else ():
            tools[call.name] = tools.get(call.name, 0) + 1
    called = ", ".join(f"`{name}` ({n} times)" if n > 1 else f"`{name}`" for name, n in tools.items())
    text = (
        f"({count} earlier turn{'s' if count > 1 else ''} of this conversation went here; dropped, because it had "
        "become too long."
        + (f" You called {called}; what that changed still holds." if called else "")
        + " Go on from here, and look up again what you need.)"
    )
    return Dropped(first=opening, until=until, turns=count, tools=tools, text=text)


def tokens_of(messages: Sequence[Message]) -> int:
    """About how many tokens messages are; rather more than less."""
    total = 0
    for message in messages:
        total += _OVERHEAD + tokens_in(message.text)
        if isinstance(message, AssistantMessage) and message.tool_calls:
            total += tokens_in([call.arguments for call in message.tool_calls])
    return total


def tokens_in(value: Any) -> int:
    """The same, of a text, or of anything as JSON."""
    data = value.encode() if isinstance(value, str) else pydantic_core.to_json(value)
    return int(len(data) / _BYTES_PER_TOKEN)
