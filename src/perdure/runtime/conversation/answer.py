"""The form of a model's answer: what the model is told about it, and whether what came back fits."""

from __future__ import annotations

import inspect
import re
from typing import Any, cast

import pydantic_core
from pydantic import PydanticUserError, ValidationError

from ...core.codec import shape_of
from ...core.errors import ConfigError
from ...governance.policy.stated import UNSTATED, Fields, Stated
from .messages import ModelReply, OutputSchema
from .toolbox import in_words, structure

__all__ = ["AnswerForm", "Unfit"]

_FENCED = re.compile(r"\s*```[\w-]*\n(.*)\n\s*```\s*", re.DOTALL)
_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_ANSWER = "answer"
_FIELDS = Fields()


class Unfit(Exception):
    """An answer that does not fit, in words for the model."""


class AnswerForm:
    """`output` of `run.model`: text, or any type that pydantic can read from JSON."""

    def __init__(self, output: Any, *, stating: bool = False) -> None:
        """`stating`: the model has to say how sure it is of its answer, beside it."""
        self.name = str(getattr(output, "__name__", None) or output)
        self.is_text = output is str
        self._shape = shape_of(output)
        self.schema: OutputSchema | None = None
        if not self.is_text:
            try:
                schema = self._shape.schema()
            except PydanticUserError as error:
                raise ConfigError(
                    f"a model cannot be asked for `{self.name}`, which has no JSON schema: {error.message}"
                ) from error
            self.schema = OutputSchema(
                name=_NAME.sub("_", self.name).strip("_")[:64] or "answer",
                description=_own_doc(output),
                json_schema=schema,
            )

        self._structure = None if self.schema is None else structure(self.schema.json_schema)
        self.stated: Stated | None = None
        """what was said of the answer that was read last; None: the model was not asked"""
        self._stating = stating
        if stating:
            plain: dict[str, Any] = (
                {"type": "string"} if self.schema is None else dict(self.schema.json_schema)
            )
            shared = {name: plain.pop(name) for name in ("$defs",) if name in plain}
            form = {"type": "object", "properties": {_ANSWER: plain}, "required": [_ANSWER], **shared}
            self.schema = OutputSchema(
                name="answer" if self.schema is None else self.schema.name,
                description=None if self.schema is None else self.schema.description,
                json_schema=_FIELDS.added(form),
            )

    def structure(self) -> Any:
        """What must not change under a run that waits: the form, not the wording. What is stated is no part of it."""
        return self._structure

    def complaint(self, unfit: Unfit, reply: ModelReply) -> str:
        """What the model is told of an answer that does not fit."""
        again = (
            "with text"
            if self.is_text and not self._stating
            else "with JSON in the form that was asked for and nothing else"
        )
        match reply.finish_reason:
            case "length":
                again = f"more briefly, {again}"
            case "content_filter":
                again = f"in other words, {again}"
            case _:
                pass
        return f"Your answer could not be used: {unfit}. Answer again, {again}."

    def read(self, reply: ModelReply, problem: str | None = None) -> Any:
        """The answer as a value; `problem`: what is known to be wrong with it. Raises `Unfit`."""
        if problem is not None:
            raise Unfit(problem)
        text = self._answered(reply.text) if self._stating else reply.text
        if not text.strip():
            raise Unfit(f"the answer was empty{_why(reply)}")
        if reply.finish_reason == "content_filter":
            raise Unfit(f"it was refused or filtered, and says `{text.strip()[:200]}`")
        if self.is_text:
            if reply.finish_reason == "length":
                raise Unfit(f"it is not whole{_why(reply)}")  # half an answer must not pass for one
            return text
        fenced = _FENCED.fullmatch(text)
        try:
            return self._shape.load((fenced[1] if fenced else text).encode())
        except ValidationError as error:
            raise Unfit(f"the answer does not fit `{self.name}`{_why(reply)}: {in_words(error)}") from error

    def _answered(self, text: str) -> str:
        """The answer in what a model said that was asked how sure it is. What is in no such form is all answer."""
        self.stated = UNSTATED
        fenced = _FENCED.fullmatch(text)
        try:
            told: Any = pydantic_core.from_json(fenced[1] if fenced else text)
        except ValueError:
            return text
        if not isinstance(told, dict) or _ANSWER not in told:
            return text
        plain, self.stated = _FIELDS.taken(cast("dict[str, Any]", told))
        answer = plain[_ANSWER]
        return answer if self.is_text and isinstance(answer, str) else pydantic_core.to_json(answer).decode()


def _why(reply: ModelReply) -> str:
    match reply.finish_reason:
        case "length":
            return " (it was cut off at the limit of output tokens)"
        case "content_filter":
            return " (the provider's content filter stopped it)"
        case "error":
            return " (the provider could not read it: perhaps the call of a tool in another form than it was told)"
        case _:
            return ""


def _own_doc(output: Any) -> str | None:
    """The docstring of a class that its author wrote: dataclasses make one up, and bases have theirs."""
    doc = vars(output).get("__doc__") if isinstance(output, type) else None
    if not doc or doc.startswith(f"{output.__name__}("):
        return None
    return inspect.cleandoc(doc)
