"""Spans sent by OpenTelemetry's own OTLP exporters: over HTTP or gRPC, as the variables `OTEL_*` say.

The exporters are the standard's: endpoint, headers, certificates, compression, timeout and resource come from
`OTEL_EXPORTER_OTLP_*`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`; `OTEL_TRACES_SAMPLER` is asked of each trace.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import ConfigError
from .span import Span, SpanKind

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter as OtelExporter

__all__ = ["Otlp", "Sink", "wanted_by"]

_EXTRA = 'spans are sent by OpenTelemetry\'s exporters: `pip install "perdure[otel]"`'
_PROTOCOLS = ("http/protobuf", "grpc")


class Sink(Protocol):
    """Where spans go."""

    def send(self, spans: Sequence[Span]) -> bool:
        """Send them; it may block. Whether they arrived: what did not is sent again."""
        ...

    def close(self) -> None:
        """Let go."""
        ...


def wanted_by(environ: Mapping[str, str]) -> bool:
    """Whether the environment says where traces go, and does not say that none shall."""
    off = (
        environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
        or environ.get("OTEL_TRACES_EXPORTER") == "none"
    )
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    return not off and any(environ.get(name) for name in named)


class Otlp:
    """The exporter that the environment asks for. Implements `Sink`; `close` ends it."""

    def __init__(self, *, service: str = "perdure", exporter: OtelExporter | None = None) -> None:
        """`exporter` in its place sends what it is given. Raises `ConfigError`."""
        try:
            from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
            from opentelemetry.sdk.trace.sampling import DEFAULT_ON
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        except ModuleNotFoundError as error:
            raise ConfigError(_EXTRA) from error
        self._exporter = exporter or _exporter()
        self._resource = Resource.create({SERVICE_NAME: service}).merge(OTELResourceDetector().detect())
        self._scope = InstrumentationScope("perdure", version("perdure"))
        self._sampler: Any = _sampler() or DEFAULT_ON

    def send(self, spans: Sequence[Span]) -> bool:
        """Send those that are sampled. Blocks; the exporter tries again by itself for a while."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        chosen = [self._told(span) for span in spans if self._samples(span)]
        return not chosen or self._exporter.export(chosen) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """End the exporter."""
        self._exporter.shutdown()

    def _samples(self, span: Span) -> bool:
        if not span.place.sampled:
            return False
        # By the trace's id and nothing else, so that of a trace all is sent or nothing: also a week later.
        return self._sampler.should_sample(
            None, int(span.place.trace_id, 16), span.name
        ).decision.is_sampled()

    def _told(self, span: Span) -> ReadableSpan:
        from opentelemetry.sdk.trace import Event as OtelEvent
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags, TraceState
        from opentelemetry.trace import SpanKind as OtelKind

        kinds = {SpanKind.CLIENT: OtelKind.CLIENT, SpanKind.SERVER: OtelKind.SERVER}
        state = TraceState.from_header([span.place.state]) if span.place.state else None

        def place(trace_id: str, span_id: str, remote: bool = False) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(trace_id, 16), int(span_id, 16), remote, flags, state)

        trace = span.place.trace_id
        return ReadableSpan(
            name=span.name,
            context=place(trace, span.place.span_id),
            parent=None
            if span.parent is None
            else place(trace, span.parent, remote=span.kind is SpanKind.SERVER),
            resource=self._resource,
            attributes=span.attributes,
            events=[OtelEvent(e.name, e.attributes, timestamp=e.at * 1000) for e in span.events],
            links=[Link(place(link.trace_id, link.span_id)) for link in span.links],
            kind=kinds.get(span.kind, OtelKind.INTERNAL),
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.began * 1000,
            end_time=span.ended * 1000,
            instrumentation_scope=self._scope,
        )


def _sampler() -> Any:
    """As `OTEL_TRACES_SAMPLER` says, without what it says of parents: a run's own trace has none."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, TraceIdRatioBased

    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip().lower().removeprefix("parentbased_")
    match name:
        case "":
            return None
        case "always_on":
            return ALWAYS_ON
        case "always_off":
            return ALWAYS_OFF
        case "traceidratio":
            share = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
            try:
                return TraceIdRatioBased(float(share))
            except ValueError:
                raise ConfigError(f"OTEL_TRACES_SAMPLER_ARG `{share}` is no share from 0 to 1") from None
        case _:
            raise ConfigError(
                f"OTEL_TRACES_SAMPLER `{name}` is none of always_on, always_off, traceidratio, or parentbased_ of them"
            )


def _exporter() -> OtelExporter:
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get(
        "OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"
    )
    try:
        if protocol == "http/protobuf":
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http

            return Http()
        if protocol == "grpc":
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc

            return Grpc()
    except ModuleNotFoundError as error:
        raise ConfigError(_EXTRA) from error
    raise ConfigError(
        f"OTEL_EXPORTER_OTLP_PROTOCOL `{protocol}` is not one of {', '.join(map('`{}`'.format, _PROTOCOLS))}"
    )
