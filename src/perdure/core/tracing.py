"""Trace context: what ties the spans of a run to those of whoever started it, and of whatever it calls.

    traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01        (W3C Trace Context, levels 1 and 2)
                    trace                            span             sampled

No id is drawn: a run's trace, and the span of each of its steps, follow from its name. So what was exported twice is
the same twice, a resume after a week continues the trace, and a header can name a span that is sent once it is over.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any

from .ids import RunRef

__all__ = ["TraceContext", "entered", "segment_span", "span_of", "step_span", "surrounding", "trace_of"]

_PARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(
    r"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS = 32
_NOBODY = "0" * 16
_LONGEST_STATE = 2048
"""Bytes; 512 is what everybody has to hand on."""


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace: what is done now stands below that span."""

    trace_id: str
    """32 hexadecimal digits"""
    span_id: str
    """16"""
    sampled: bool = True
    state: str = ""
    """what vendors have added (`tracestate`), handed on as it is"""

    @classmethod
    def parse(cls, parent: str | None, state: str | None = None) -> TraceContext | None:
        """Read the headers `traceparent` and `tracestate`. None where the first is missing or not what it should be.

        Of a later version what the first has is read; a state that cannot be read is left out, as the standard wants.
        """
        found = _PARENT.fullmatch((parent or "").strip(" \t"))
        if found is None:
            return None
        version, trace, span, flags, more = found.groups()
        if version == "ff" or (version == "00" and more) or set(trace) == {"0"} or set(span) == {"0"}:
            return None
        return cls(trace, span, bool(int(flags, 16) & 1), _state(state))

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> TraceContext | None:
        """Read them from a mapping that does not mind the case of names."""
        return cls.parse(headers.get("traceparent"), headers.get("tracestate"))

    @classmethod
    def told_by(cls, told: Any) -> TraceContext | None:
        """As a journal tells it; None for anything else."""
        match told:
            case {"parent": str(parent)}:
                return cls.parse(parent, str(told.get("state") or ""))
            case _:
                return None

    @property
    def given(self) -> bool:
        """Whether there is a span above it: nobody has started the trace elsewhere."""
        return self.span_id != _NOBODY

    @property
    def parent(self) -> str:
        """The header `traceparent`."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"traceparent": self.parent, **({"tracestate": self.state} if self.state else {})}

    def told(self) -> dict[str, str]:
        """For a journal."""
        return {"parent": self.parent, **({"state": self.state} if self.state else {})}

    def below(self, span_id: str) -> TraceContext:
        """The same trace, below another of its spans."""
        return TraceContext(self.trace_id, span_id, self.sampled, self.state)


def _state(text: str | None) -> str:
    members = [member.strip(" \t") for member in (text or "").split(",")]
    members = [member for member in members if member]
    names = [member.partition("=")[0] for member in members]
    good = all(_MEMBER.fullmatch(member) for member in members) and len(set(names)) == len(names)
    if not good or len(members) > _MOST_MEMBERS:
        return ""
    while members and len(",".join(members)) > _LONGEST_STATE:
        members.pop()
    return ",".join(members)


def trace_of(ref: RunRef, given: TraceContext | None = None) -> TraceContext:
    """The trace of a run: that of whoever started it, where it has one. Its span is the one above the run's own."""
    if given is not None:
        return given
    digest = hashlib.sha256(b"perdure trace 1\0" + ref.tenant.encode() + b"\0" + ref.id.encode()).hexdigest()
    return TraceContext(digest[:32], _NOBODY)


def span_of(ref: RunRef, what: str) -> str:
    """The id of a span of a run."""
    text = b"\0".join((b"perdure span 1", ref.tenant.encode(), ref.id.encode(), what.encode()))
    return hashlib.sha256(text).hexdigest()[:16]


def segment_span(ref: RunRef, epoch: int) -> str:
    """The span of what one worker did of a run between two waits."""
    return span_of(ref, f"segment {epoch}")


def step_span(ref: RunRef, key: str, generation: int = 1) -> str:
    """The span of a step."""
    return span_of(ref, f"step {generation} {key}")


def surrounding() -> TraceContext | None:
    """The span that the caller stands in, where the program uses OpenTelemetry; it is not imported for that."""
    trace: Any = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None
    context: Any = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return TraceContext(
        f"{context.trace_id:032x}",
        f"{context.span_id:016x}",
        bool(context.trace_flags & 1),
        context.trace_state.to_header() if context.trace_state else "",
    )


def entered(below: TraceContext) -> Context:
    """A copy of the caller's context in which OpenTelemetry, where the program uses it, stands below that span.

    So what its instrumentations make (of HTTP clients, of databases) hangs below the run, and carries its trace on.
    """
    context = copy_context()
    if "opentelemetry.trace" in sys.modules:
        context.run(_attach, below)
    return context


def _attach(below: TraceContext) -> None:
    from opentelemetry import context, trace

    flags = trace.TraceFlags(int(below.sampled))
    state = trace.TraceState.from_header([below.state]) if below.state else None
    place = trace.SpanContext(
        int(below.trace_id, 16), int(below.span_id, 16), is_remote=False, trace_flags=flags, trace_state=state
    )
    context.attach(trace.set_span_in_context(trace.NonRecordingSpan(place)))
