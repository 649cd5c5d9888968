"""What stands in for a call that nobody approved in time: the value that was named for that, and the call is not made.

The verdict and the value are written in one append, as the end of the step: a replay gets the value from the journal,
whatever the tool names by then. It is labelled wherever the result is shown, as an answer from a cache is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pydantic_core
from pydantic import ValidationError

from ...core.codec import Shape
from ...core.errors import ConfigError
from ...journal import Change, Kind
from .approvers import Approvers

if TYPE_CHECKING:
    from ..boundary.call import Call, How

__all__ = ["BY", "StandIn", "check_default", "fits", "mark"]

BY = "on_expiry"
"""Who gave such a result."""


class StandIn(Exception):
    """The step ends with a value that was named beforehand. Raised in place of leave for the call."""

    def __init__(self, value: Any, verdict: bytes, change: Change) -> None:
        super().__init__()
        self.value = value
        """JSON"""
        self.verdict = verdict
        self.change = change

    async def recorded(self, call: Call, shape: Shape[Any]) -> Any:
        """Write it as the end of the call: the value, as the tool's type."""
        recorder = call.recorder
        payload = pydantic_core.to_json(self.value)
        value = shape.load(payload)
        mark(call.how)
        recorder.degraded.append({"step": call.key, "source": call.how.source, "by": BY, "age": None})
        parts = [
            (int(Kind.VERDICT), call.key, self.verdict, call.mark),
            (int(Kind.RESULT), call.key, payload, call.mark),
        ]
        commit = recorder.write_all(parts, results=1, change=self.change)
        await recorder.hand_out(commit, recorder.head)
        return value


def mark(how: How) -> None:
    """Say of a result that it is no result of the call."""
    how.source, how.by, how.because = "default", BY, "nobody approved the call in time"


def fits(default: Any, shape: Shape[Any]) -> str:
    """What is wrong with such a value; empty where it is of the tool's type."""
    try:
        shape.load(pydantic_core.to_json(default))
    except ValidationError as error:
        return str(error)[:300]
    return ""


def check_default(tool: str, rule: Any, shape: Shape[Any]) -> None:
    """Whether the value of `on_expiry="default"` is one that the tool could return. Raises `ConfigError`."""
    if isinstance(rule, Approvers) and rule.on_expiry == "default" and (wrong := fits(rule.default, shape)):
        raise ConfigError(
            f"tool `{tool}`: `default={rule.default!r}` of its approvers is nothing that the tool returns: {wrong}"
        )
