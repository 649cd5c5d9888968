"""What a framework's model is shown of the tools, and what is taken out of its answer before the framework reads it.

    tools ─► those that exist here (planning: reads) ─► with `confidence` and `unknowns`, where asked for ─► model
    reply ─► without both ─► recorded ─► framework
               └─► `Statements`, recorded with the turn: looked up where the call crosses the boundary

An adapter asks `offering_of` in each turn. Mostly nothing is to be done, and there is none. The framework never sees
the fields: it checks arguments by its own forms, and a replay reads from the journal what was stated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pydantic_core

from ...core.codec import arguments_bytes
from ...core.ids import step_name
from ...governance.policy.stated import UNSTATED, Fields, Stated
from ..replay.recorder import Recorder

if TYPE_CHECKING:
    from .asked import Offered
    from .crossing import Conversation
    from .wrapping import Wrapping

__all__ = ["Offering", "Statements", "offering_of"]

T = TypeVar("T")

_INSTRUCTION = (
    "When you give your final answer, end it with one line of its own that says how sure you are of it and what you do "
    'not know, as a JSON object and nothing else: {"confidence": 0.0, "unknowns": []}. `confidence` is a number from 0 '
    "(a guess) to 1 (certain); `unknowns` lists in words what you would have to know to be certain. Where your answer "
    "is a JSON object itself, put both into it."
)


class Statements:
    """What the model states of the calls that it chose, in one conversation."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._latest: dict[str, dict[str, Stated]] = {}
        """of the last turn in which a tool was chosen, by its name: by the mark of the arguments"""

    def hear(self, told: Sequence[Any]) -> None:
        """What was said in a turn, live or as it is recorded."""
        new: dict[str, dict[str, Stated]] = {}
        for name, mark, said in told:
            stated, of_tool = Stated.recorded(said), new.setdefault(name, {})
            of_tool[mark] = min(of_tool.get(mark, stated), stated, key=lambda s: s.confidence)
        self._latest |= new

    def of(self, name: str, data: bytes) -> Stated | None:
        """What was said of a call with these arguments; None: nobody has asked.

        A framework may have completed or converted them: then it is the least that was said of any call of that tool.
        """
        of_tool = self._latest.get(name)
        if of_tool is None:
            return None
        return of_tool.get(_mark(self._recorder, data)) or min(of_tool.values(), key=lambda s: s.confidence)


class Offering:
    """One turn's tools, as the model is to see them."""

    def __init__(
        self,
        recorder: Recorder,
        kept: frozenset[str],
        fields: Mapping[str, Fields],
        *,
        answering: bool = False,
    ) -> None:
        """`answering`: the model has to say how sure it is of its answer, too."""
        self.instruction = _INSTRUCTION if answering else ""
        """what it is told for that, behind what its agent tells it"""
        self.answer: Stated | None = None
        """what it says of its answer; None: nothing yet"""
        self._recorder = recorder
        self._kept = kept
        self._fields = fields
        self._said: list[list[Any]] = []

    def offers(self, name: str) -> bool:
        """Whether the tool exists for the model here."""
        return name in self._kept

    def form(self, name: str, schema: Any) -> Any:
        """The JSON schema of a tool's parameters, as the model is to see it."""
        fields = self._fields.get(name)
        return schema if fields is None else fields.added(schema)

    def taken(self, name: str, given: Any) -> Any:
        """Arguments that the model gave, as a value or as the text of one, without what is not the tool's own."""
        fields = self._fields.get(name)
        if fields is None:
            return given
        if isinstance(given, str):
            try:
                value: Any = pydantic_core.from_json(given or "{}")
            except ValueError:
                return given  # no JSON: the framework tells the model so, and nothing is called
            return (
                pydantic_core.to_json(self.taken(name, value)).decode() if isinstance(value, dict) else given
            )
        if not isinstance(given, Mapping):
            return given
        plain, stated = fields.taken(cast("Mapping[str, Any]", given))
        mark = _mark(self._recorder, arguments_bytes(plain))
        self._said.append([step_name(name), mark, stated.told()])
        return plain

    def answered(self, text: str) -> str:
        """The text of a reply that calls no tool, without what it says of itself: in its last line, or its object."""
        if not self.instruction:
            return text
        self.answer, fields = UNSTATED, Fields()
        whole = _object(text)
        if whole is not None and fields.confidence in whole and len(whole) > 2:
            plain, self.answer = fields.taken(whole)
            return pydantic_core.to_json(plain).decode()
        before, _, last = text.rstrip().removesuffix("```").rstrip().rpartition("\n")
        said = _object(last)
        if said is None or fields.confidence not in said:
            return text
        self.answer = fields.taken(said)[1]
        before = before.rstrip()
        return before.removesuffix("```json").removesuffix("```").rstrip()

    async def asked(self, ask: Callable[[], Awaitable[T]]) -> T:
        """One attempt at the turn: what was said in the one before counts no more."""
        self._said, self.answer = [], None
        return await ask()

    def told(self) -> list[list[Any]]:
        """For the journal: of each call its tool, the mark of its arguments, and what is stated."""
        return self._said


def offering_of(conversation: Conversation, wrapping: Wrapping, tools: Sequence[Offered]) -> Offering | None:
    """How a turn's tools are shown; None: as they are."""
    boundary = conversation.recorder.boundary
    planning = boundary.planned(conversation.scope.path)
    guard = boundary.guard
    if guard is None and not planning:
        return None
    answering = guard is not None and guard.asks_of_answers()
    kept: list[str] = []
    fields: dict[str, Fields] = {}
    for tool in tools:
        effect = wrapping.table.effect_of(wrapping.agent, tool.name)
        if planning and effect not in ("read", "delegate"):
            continue
        kept.append(tool.name)
        if guard is not None and effect != "delegate" and guard.asks_how_sure(step_name(tool.name), effect):
            fields[tool.name] = Fields.beside(tool.schema)
    if not fields and len(kept) == len(tools) and not answering:
        return None
    return Offering(conversation.recorder, frozenset(kept), fields, answering=answering)


def _object(text: str) -> dict[str, Any] | None:
    try:
        value: Any = pydantic_core.from_json(text)
    except ValueError:
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def _mark(recorder: Recorder, data: bytes) -> str:
    return recorder.mark(b"stated", data).hex()
