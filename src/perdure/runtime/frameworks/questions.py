"""A framework's own way to ask a human, as a question of the run, and the answer as that way would have it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .. import waits
from ..replay.recorder import Recorder
from ..replay.scope import Scope

__all__ = ["Question", "put", "question_of", "said"]


@dataclass(frozen=True, slots=True)
class Question:
    """What a human is asked."""

    text: str
    show: Any
    choices: list[str] | None = None


_TEXTS = ("question", "message", "task", "text")
"""Fields in which a value that is shown to a human says what is asked."""


def question_of(value: Any, *, otherwise: str = "The agent asks") -> Question:
    """The question in a value: a text, or an object with one in it. `otherwise`: its text where there is none."""
    if isinstance(value, str) and value:
        return Question(value, None)
    if isinstance(value, Mapping):
        told = cast("Mapping[str, Any]", value)
        for name in _TEXTS:
            if isinstance(told.get(name), str):
                return Question(told[name], value)
    return Question(otherwise, value)


async def put(recorder: Recorder, scope: Scope, name: str, question: Question, *, agent: str) -> waits.Answer:
    """Put a question before a human as the step `name` of a scope, and wait for the answer as long as it takes."""
    key = scope.enter(name)
    try:
        return await waits.ask(
            recorder,
            scope,
            key,
            question.text,
            show=question.show,
            choices=question.choices,
            timeout=None,
            agent=agent,
        )
    finally:
        scope.busy = ""


def said(answer: waits.Answer) -> Any:
    """What an answer says: its value, or true or false where it only approves or rejects."""
    return answer.approved if answer.value is None else answer.value
