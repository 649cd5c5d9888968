"""What the server answers where nothing is wrong: in words of no protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

__all__ = ["Finish", "Recorded", "Reply", "asks", "call", "gives", "says"]

Finish = Literal["stop", "length", "tool_call", "content_filter", "refusal"]
"""Why a model stopped, as `ModelReply.finish_reason` has it; `refusal`: it says why it will not, in its own words."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An answer as a provider gave it, to be given again."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    """JSON, or a text; None where it was streamed"""
    events: tuple[tuple[str | None, Any], ...] | None = None
    """of a stream: the name of each event, and its JSON or text"""

    @property
    def id(self) -> str | None:
        """By which a client can refer to it, at OpenAI."""
        told: list[Any] = [self.body] if self.events is None else [data for _, data in self.events]
        for one in told:
            if isinstance(one, dict):
                body: Any = cast("dict[str, Any]", one).get("response", cast("Any", one))
                if isinstance(body, dict) and "id" in body:
                    return str(cast("dict[str, Any]", body)["id"])
        return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer of a model."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """name and JSON of the arguments of each tool call; several are parallel calls. See `call`"""
    structured: bool = False
    """`text` is a JSON value in the form that the client asked for. Where it asked by a tool that takes the answer
    (`final_answer`, `final_result`, or the one that it forces), the text goes there"""
    reasoning: str = ""
    """a summary of it, where the protocol has one (all but OpenAI's chat completions)"""
    finish: Finish | None = None
    """None: by what is answered"""
    tokens: tuple[int, int] = (10, 5)
    """input (cached ones included) and output"""
    cached: int = 0
    """of the input tokens"""
    delay: float = 0
    """seconds before the first byte"""
    pace: float = 0
    """seconds between two pieces of a streamed answer"""
    model: str | None = None
    """the name of the model that says it answered. None: the one that was asked"""
    headers: tuple[tuple[str, str], ...] = ()
    """of HTTP, beside the usual ones"""
    recorded: Recorded | None = None
    """to be given instead, as it is; what else is said here says the same, for whatever changes it"""


def says(text: str, *, finish: Finish | None = None, reasoning: str = "") -> Reply:
    """Answer with a text."""
    return Reply(text=text, finish=finish, reasoning=reasoning)


def call(name: str, /, **arguments: Any) -> tuple[str, str]:
    """The name and the arguments of one of several tool calls: `Reply(calls=(call("search", q="a"), ...))`."""
    return name, json.dumps(arguments, ensure_ascii=False)


def asks(name: str, /, **arguments: Any) -> Reply:
    """Ask for one tool."""
    return Reply(calls=(call(name, **arguments),))


def gives(value: Any) -> Reply:
    """Answer with a JSON value, in the way in which the client wants structured output."""
    return Reply(text=json.dumps(value, ensure_ascii=False), structured=True)
