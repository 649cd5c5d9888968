"""A finished step, handed out again: its value or its error, how it came about, and under which key it was tried."""

from __future__ import annotations

from typing import Any

import pydantic_core
from pydantic import ValidationError

from ...core.codec import Shape
from ...journal import Entry, Kind
from ..approval.standin import mark as mark_default
from ..replay.failure import Failure, again
from ..replay.history import StepRecord
from ..replay.recorder import Recorder
from .call import How, Tries

__all__ = ["recorded_key", "recorded_value", "tell_how"]


def tell_how(recorder: Recorder, how: How, name: str, record: StepRecord) -> None:
    """How a recorded result came about."""
    how.by = name
    tries = Tries.of(record.trail)
    how.attempts = tries.count + 1
    how.because = tries.because if tries.fallen else ""
    for entry in record.trail:
        told: dict[str, Any] = {}
        if entry.kind in (Kind.ATTEMPT, Kind.VERDICT):
            told = pydantic_core.from_json(entry.payload)
        if told.get("verdict") == "defaulted":
            mark_default(how)
        elif told.get("stage") == "cache":
            how.source, how.age = "cache", told["age"]
        elif told.get("then"):
            how.by = told["then"]["name"]
            how.source = "cache" if how.by == "cache" else "fallback"
    if how.source != "live" and record.final is not None and record.final.kind == Kind.RESULT:
        recorder.degraded.append({"step": record.key, "source": how.source, "by": how.by, "age": how.age})


async def recorded_value(recorder: Recorder, final: Entry, shape: Shape[Any]) -> Any:
    """What a finished step gave: its value, or its error raised again."""
    await recorder.recorded(final)
    if final.kind == Kind.FAILED:
        raise again(Failure.model_validate_json(final.payload))
    try:
        return shape.load(final.payload)
    except ValidationError as error:
        recorder.aside = [final.key]
        recorder.mismatch(
            {"step": final.key, "entry": final.seq, "kind": "result"},
            {"step": final.key, "what": f"a result of another type: {str(error)[:500]}"},
        )


def recorded_key(record: StepRecord | None) -> str | None:
    """The idempotency key under which the effect was tried last."""
    for entry in reversed(record.trail if record is not None else ()):
        if entry.kind == Kind.INTENT:
            return pydantic_core.from_json(entry.payload).get("key")
    return None
