"""Spans are told by the journal: once, when they are over, below whoever started the run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Run
from perdure.audit import LogGrower
from perdure.core.ids import RunRef
from perdure.core.tracing import TraceContext, segment_span, step_span, trace_of
from perdure.runtime.conversation.embedding import Embeddings
from perdure.runtime.conversation.messages import ModelReply, ModelRequest, ToolCall, Usage
from perdure.telemetry.spans import PROFILES, Span, SpanExporter
from perdure.testing import until_waiting

GIVEN = TraceContext.parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "rojo=1")
SECRET = "what the customer said"


class Collected:
    """A receiver that keeps what it is sent, unless it is down."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.up = True

    def send(self, spans: Sequence[Span]) -> bool:
        if self.up:
            self.spans += spans
        return self.up

    def close(self) -> None:
        pass

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> Span:
        (span,) = self.named(name)
        return span


class Model:
    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        usage = Usage(input_tokens=100, output_tokens=7)
        if any(message.role == "tool" for message in request.messages):
            return ModelReply(text=SECRET, usage=usage)
        return ModelReply(
            tool_calls=(ToolCall(id="1", name="look", arguments={"about": SECRET}),), usage=usage
        )


def desk(url: str) -> App:
    app = App(url)
    app.models.register("fake", Model())

    @app.tool(effect="read")
    def look(about: str) -> str:
        return "found"

    @app.tool(effect="write", needs_approval=True)
    def refund(cents: int) -> str:
        return f"refunded {cents}"

    @app.agent("helper")
    async def helper(run: Run) -> str:
        return await run.step("think", lambda: "thought")

    @app.agent("desk", version="3")
    async def work(run: Run, order: str) -> str:
        await run.model("fake:m-1", order, tools=[look])
        await run.decide("carrier", ["post", "bike"], "bike", reason="near", confidence=0.8)
        await run.call(refund, 500)
        return await run.child(helper)

    @app.agent("breaks")
    async def breaks(run: Run) -> None:
        def tears() -> None:
            raise ValueError(SECRET)

        await run.step("tear", tears)

    return app


def exporting(app: App, sink: Collected, *, profile: str = "1.41", **options: Any) -> SpanExporter:
    return SpanExporter(app.store, sink, profile=PROFILES[profile], **options)


async def send(app: App, exporter: SpanExporter) -> None:
    """All that is over so far."""
    while (await app.store.integrate(LogGrower())).more:
        pass
    while await exporter.tick():
        pass


async def sent(app: App, sink: Collected, **options: Any) -> Collected:
    exporter = exporting(app, sink, **options)
    await send(app, exporter)
    await exporter.follower.release()
    return sink


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.soak)])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'store.db'}"}.get(request.param)
    made = desk(url or request.getfixturevalue("postgres_url"))
    async with made:
        yield made


@pytest.fixture
async def worked(app: App) -> App:
    """A run that waited for an approval, in a trace that somebody else began."""
    run = await app.start("desk", "o-1", run_id="r1", by="user:ann", labels={"team": "red"}, trace=GIVEN)
    await until_waiting(app, run, "approval")
    (asked,) = await app.open_approvals("r1")
    await app.answer("r1", asked.step, approved=True, by="user:eve", digest=asked.digest)
    assert await run.result() == "thought"
    return app


async def test_a_run_stands_below_whoever_started_it_each_resume_below_its_root(worked: App) -> None:
    sink = await sent(worked, Collected())
    ref = RunRef("default", "r1")
    first, *others = sink.named("invoke_agent desk")

    assert GIVEN is not None
    assert (first.place.trace_id, first.parent, first.kind) == (GIVEN.trace_id, GIVEN.span_id, "server")
    assert first.place.state == "rojo=1"
    assert first.place.span_id == segment_span(ref, 1)
    assert len(others) >= 1
    before = first
    for segment in others:
        assert segment.parent == first.place.span_id
        assert [link.span_id for link in segment.links] == [before.place.span_id]
        assert segment.began >= before.ended
        before = segment
    assert before.attributes["perdure.status"] == "succeeded"
    assert {"perdure.waiting", "perdure.suspended"} <= {event.name for event in first.events}
    for span in sink.spans:
        assert span.attributes["gen_ai.conversation.id"] in ("r1", span.attributes["perdure.run"])
        assert span.place.trace_id == GIVEN.trace_id, span.name  # also the child's
    assert first.attributes["perdure.principal"] == "user:ann"
    assert first.attributes["perdure.label.team"] == "red"


async def test_turns_tools_and_children_are_told_as_what_they_are(worked: App) -> None:
    sink = await sent(worked, Collected())

    chats = sink.named("chat m-1")
    assert [c.attributes["gen_ai.usage.input_tokens"] for c in chats] == [100, 100]
    assert {c.attributes["gen_ai.provider.name"] for c in chats} == {"fake"}
    assert {c.kind for c in chats} == {"client"}
    assert sink.one("execute_tool look").attributes["gen_ai.operation.name"] == "execute_tool"
    refund = sink.one("execute_tool refund")
    assert [e.attributes["perdure.verdict"] for e in refund.events if e.name == "perdure.verdict"] == [
        "approved"
    ]
    assert refund.ended - refund.began < 5_000_000  # the approver's time is nobody's work

    delegate, child = sink.one("delegate helper"), sink.one("invoke_agent helper")
    assert child.parent == delegate.place.span_id == step_span(RunRef("default", "r1"), "helper")
    assert sink.one("step think").parent == child.place.span_id
    ids = [span.place.span_id for span in sink.spans]
    assert len(set(ids)) == len(ids)
    known = {*ids, GIVEN and GIVEN.span_id}
    assert {span.parent for span in sink.spans} <= known


async def test_nothing_of_what_was_said_is_told_unless_somebody_asks_for_it(app: App) -> None:
    for run_id, agent in (("r1", "desk"), ("r2", "breaks")):
        run = await app.start(agent, "o-1" if agent == "desk" else None, run_id=run_id)
        await (until_waiting(app, run, "approval") if agent == "desk" else run.ending())

    quiet = await sent(app, Collected())
    told = await sent(app, Collected(), contents=True, name="told")

    assert SECRET not in repr(quiet.spans)
    assert SECRET in repr(told.named("chat m-1"))
    assert SECRET in str(told.one("step tear").error)
    assert (quiet.one("step tear").error, quiet.one("step tear").attributes["error.type"]) == (
        "ValueError",
    ) * 2
    failed = quiet.one("invoke_agent breaks")
    assert failed.error is not None


async def test_what_did_not_arrive_is_sent_again_and_what_did_is_not(worked: App) -> None:
    sink = Collected()
    exporter = exporting(worked, sink)
    sink.up = False
    with pytest.raises(ConnectionError):
        await send(worked, exporter)
    sink.up = True
    await send(worked, exporter)
    first = len(sink.spans)
    assert first > 5

    await send(worked, exporter)
    assert len(sink.spans) == first
    await worked.outcome("r1", True, by="user:eve")
    await send(worked, exporter)
    assert [span.name for span in sink.spans[first:]] == ["outcome"]


async def test_one_process_sends_at_a_time_and_the_next_goes_on(worked: App) -> None:
    sink, other = Collected(), Collected()
    first, second = exporting(worked, sink), exporting(worked, other)
    await send(worked, first)
    await worked.outcome("r1", True, by="user:eve")
    await send(worked, second)  # within the lease of the first
    assert (len(sink.spans) > 5, other.spans) == (True, [])

    await first.follower.release()
    await send(worked, second)
    await send(worked, first)

    assert [span.name for span in other.spans] == ["outcome"]
    assert sink.named("outcome") == []


async def test_the_next_conventions_call_a_run_a_workflow(worked: App) -> None:
    sink = await sent(worked, Collected(), profile="next")
    root = sink.one("invoke_workflow desk")
    assert root.attributes["gen_ai.workflow.name"] == "desk"
    assert sink.named("invoke_agent desk")


async def test_without_a_trace_of_somebody_else_a_run_begins_its_own(app: App) -> None:
    await (await app.start("breaks", run_id="r9")).ending()
    root = (await sent(app, Collected())).one("invoke_agent breaks")
    assert (root.parent, root.kind) == (None, "internal")
    assert root.place.trace_id == trace_of(RunRef("default", "r9")).trace_id


async def test_a_program_that_uses_opentelemetry_is_the_parent_and_its_instruments_nest(app: App) -> None:
    trace = pytest.importorskip(
        "opentelemetry.trace", reason='no OpenTelemetry: `pip install "perdure[otel]"`'
    )
    seen: list[str] = []

    @app.agent("looks")
    async def looks(run: Run) -> None:
        def look() -> None:
            seen.append(f"{trace.get_current_span().get_span_context().span_id:016x}")

        await run.step("look", look)

    place = trace.SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(place)):
        run = await app.start("looks", run_id="r1")
    await run.result()

    root = (await sent(app, Collected())).one("invoke_agent looks")
    assert (root.place.trace_id, root.parent) == (f"{0xABC:032x}", f"{0xDEF:016x}")
    assert seen == [root.place.span_id]


async def test_texts_that_became_vectors_are_told_as_embeddings(tmp_path: Path) -> None:
    class Letters:
        async def embed(self, model: str, texts: Sequence[str], *, query: bool, timeout: float) -> Embeddings:
            return Embeddings(vectors=[[1.0, len(text)] for text in texts], usage=Usage(input_tokens=3))

    app = App(f"sqlite:///{tmp_path / 'test.db'}", memory={"embeddings": "fake:e-1"})
    app.models.register("fake", Letters())

    @app.agent("notes")
    async def notes(run: Run) -> int:
        await run.working().add(SECRET)
        return len(await run.working().search("customer"))

    async with app:
        await (await app.start(notes)).result()
        sink = await sent(app, Collected())

    told, asked = sink.named("embeddings e-1")
    assert told.attributes["gen_ai.operation.name"] == "embeddings" and told.kind == "client"
    assert (told.attributes["perdure.step"], asked.attributes["perdure.step"]) == (
        "working_add/embed",
        "working_search/embed",
    )
    assert told.attributes["gen_ai.usage.input_tokens"] == 3
    assert SECRET not in repr(sink.spans)
