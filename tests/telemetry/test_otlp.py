"""Real receivers on loopback, that read what OpenTelemetry's exporters send: by HTTP and by gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip(
    "opentelemetry.exporter.otlp.proto.http", reason='no exporters: `pip install "perdure[otel]"`'
)

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as wire
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services

from perdure import App, ConfigError, Run
from perdure.core.tracing import TraceContext
from perdure.server import Life
from perdure.telemetry.spans import Event, Otlp, Span, SpanKind, wanted_by

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PLACE = TraceContext(TRACE, "00f067aa0ba902b7", state="rojo=1")
SPAN = Span(
    name="chat m-1",
    kind=SpanKind.CLIENT,
    place=PLACE,
    parent="00000000000000aa",
    began=1_000_000,
    ended=1_500_000,
    attributes={"gen_ai.usage.input_tokens": 100, "perdure.policies": ["a", "b"]},
    events=(Event(name="perdure.verdict", at=1_200_000, attributes={"perdure.verdict": "allow"}),),
    links=(TraceContext(TRACE, "00000000000000bb"),),
    error="ValueError",
)


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    got: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, self.headers, wire.ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield got
    server.shutdown()
    thread.join()
    server.server_close()


def test_by_http_as_the_environment_says(http: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=prod")
    sink = Otlp(service="desk")
    assert sink.send([SPAN])
    sink.close()

    ((path, headers, request),) = http
    assert (path, headers["x-tenant"]) == ("/v1/traces", "acme")
    (resource,) = request.resource_spans
    about = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert (about["service.name"], about["deployment.environment.name"]) == ("desk", "prod")
    (span,) = resource.scope_spans[0].spans
    assert (span.trace_id.hex(), span.span_id.hex()) == (TRACE, PLACE.span_id)
    assert (span.parent_span_id.hex(), span.trace_state) == ("00000000000000aa", "rojo=1")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000_000_000, 1_500_000_000)
    assert [event.name for event in span.events] == ["perdure.verdict"]
    assert [link.span_id.hex() for link in span.links] == ["00000000000000bb"]
    assert (span.kind, span.status.code, span.status.message) == (3, 2, "ValueError")


def test_by_grpc(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[Any] = []

    class Receiver(services.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:
            got.append(request)
            return wire.ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(1))
    services.add_TraceServiceServicer_to_server(Receiver(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    try:
        sink = Otlp()
        assert sink.send([SPAN])
        sink.close()
    finally:
        server.stop(None).wait()

    assert got[0].resource_spans[0].scope_spans[0].spans[0].name == "chat m-1"


async def test_a_worker_sends_what_is_over_where_the_environment_names_a_receiver(http: list[Any]) -> None:
    app = App("memory://")

    @app.agent("greets")
    async def greets(run: Run) -> str:
        return await run.step("think", lambda: "hello")

    async with app:
        await (await app.start("greets", run_id="r1")).result()
        while not http:
            await app.store.changed(app.store.changes(), within=0.05)

    names = {s.name for _, _, r in http for s in r.resource_spans[0].scope_spans[0].spans}
    assert "step think" in names


async def test_a_server_without_workers_sends_what_they_did_elsewhere(
    http: list[Any], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    there = App(url, telemetry={"spans": False})

    @there.agent("greets")
    async def greets(run: Run) -> str:
        return await run.step("think", lambda: "hello")

    async with there, Life(serving := App(url), beside=serving.beside_server()):
        await (await there.start("greets", run_id="r1")).result()
        while not http:
            await there.store.changed(there.store.changes(), within=0.05)

    names = {s.name for _, _, r in http for s in r.resource_spans[0].scope_spans[0].spans}
    assert "step think" in names


@pytest.mark.parametrize(
    ("sampler", "share", "sent"),
    [
        ("always_off", "", 0),
        ("parentbased_always_on", "", 1),
        ("traceidratio", "0.0", 0),
        ("traceidratio", "1.0", 1),
    ],
)
def test_a_trace_is_sent_whole_or_not_at_all(
    sampler: str, share: str, sent: int, http: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", share)
    sink = Otlp()
    assert sink.send([SPAN])
    sink.close()
    assert len(http) == sent


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "is not one of `http/protobuf`, `grpc`"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "is none of always_on"),
    ],
)
def test_what_cannot_be_done_is_said_at_the_start(
    name: str, value: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError, match=text):
        Otlp()


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_nobody_is_sent_spans_that_did_not_ask(environ: dict[str, str], wanted: bool) -> None:
    assert wanted_by(environ) is wanted
