"""Spans of runs, told by their journals, in OpenTelemetry's conventions for generative AI.

SpanExporter(store, Otlp(), profile=profile_of("1.41")).run()      beside a worker or a server
"""

from .conventions import PROFILES, Profile, profile_of
from .exporter import SpanExporter
from .fold import SpanFold
from .otlp import Otlp, Sink, wanted_by
from .span import Event, Span, SpanKind

__all__ = [
    "PROFILES",
    "Event",
    "Otlp",
    "Profile",
    "Sink",
    "Span",
    "SpanExporter",
    "SpanFold",
    "SpanKind",
    "profile_of",
    "wanted_by",
]
