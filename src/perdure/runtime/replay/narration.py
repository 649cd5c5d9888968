"""What is journaled, told to Python's logging too: one record for each decision, with run, step, tenant and trace.

The logger is `perdure.journal`, the level INFO. What was said to tools and models is in no record: of a payload only
the fields that are named here are read, and only where somebody listens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ...core.tracing import segment_span, step_span
from ...journal import Entry, Kind

if TYPE_CHECKING:
    from .recorder import Recorder

__all__ = ["listened", "narrate"]

log = logging.getLogger("perdure.journal")

_FIELDS: Mapping[int, tuple[str, ...]] = {
    Kind.CLAIMED: ("worker", "version"),
    Kind.RESULT: (),
    Kind.FAILED: ("type",),
    Kind.INTENT: ("tool",),
    Kind.UNKNOWN: (),
    Kind.SETTLED: ("happened", "by"),
    Kind.WAITING: ("on", "tool"),
    Kind.DECISION: ("choice", "confidence"),
    Kind.MISMATCH: (),
    Kind.ENDED: ("status",),
    Kind.ATTEMPT: ("class", "by"),
    Kind.VERDICT: ("stage", "verdict", "by", "policies", "limits", "whose", "dimension"),
    Kind.ESCALATION: ("to", "by"),
}
"""By what an entry is, what of its payload is told. Of others nothing is: they are many, and decide nothing."""


def listened() -> bool:
    """Whether anybody does."""
    return log.isEnabledFor(logging.INFO)


def narrate(recorder: Recorder, entries: Sequence[Entry]) -> None:
    """Tell of entries that were written now."""
    ref, boundary = recorder.ref, recorder.boundary
    for entry in entries:
        names = _FIELDS.get(entry.kind)
        if names is None:
            continue
        event = Kind(entry.kind).name.lower()
        step = entry.key
        span = step_span(ref, step, recorder.generation) if step else segment_span(ref, recorder.epoch)
        told: dict[str, Any] = {
            "event": event,
            "tenant": ref.tenant,
            "run": ref.id,
            "agent": boundary.agent,
            "version": boundary.version,
            "step": step,
            "seq": entry.seq,
            "took_ms": round(entry.took / 1000, 3) if entry.took else None,
            "trace_id": boundary.trace.trace_id,
            "span_id": span,
            **_read(entry, names),
        }
        told = {name: value for name, value in told.items() if value not in (None, "", [])}
        log.info("%s %s %s", ref, event, step, extra={"perdure": told})


def _read(entry: Entry, names: Sequence[str]) -> dict[str, Any]:
    if not names or not entry.payload:
        return {}
    payload: Any = pydantic_core.from_json(entry.payload)
    if not isinstance(payload, dict):
        return {}
    told = cast("dict[str, Any]", payload)
    return {name: told[name] for name in names if isinstance(told.get(name), str | bool | int | float | list)}
