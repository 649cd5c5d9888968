"""A trace goes on through the API, through tools' clients, and into logs."""

from __future__ import annotations

import json
import logging

import pytest

pytest.importorskip("httpx2", reason='no HTTP clients for tools: `pip install "perdure[http]"`')

from perdure import App, Http, Run
from perdure.core.ids import RunRef
from perdure.core.tracing import TraceContext, step_span, trace_of
from perdure.journal import RunQuery
from perdure.telemetry.logs import JsonLines
from tests.credentials.echo import echoing

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def test_the_requests_of_a_tool_carry_its_step() -> None:
    with echoing() as echo:
        app = App("memory://")

        @app.tool(effect="read", hosts=[echo.url], allow_private=["127.0.0.0/8"])
        async def look(http: Http) -> int:
            return (await http.get(echo.url)).status_code

        @app.agent("desk")
        async def desk(run: Run) -> int:
            await run.call(look)
            return await run.call(look)

        async with app:
            await (await app.start(desk, run_id="r1", trace=TraceContext.parse(PARENT, "rojo=1"))).result()
            await (await app.start(desk, run_id="r2")).result()

    first, second, own, _ = echo.carried("traceparent")
    ref = RunRef("default", "r1")
    assert first == PARENT.replace("00f067aa0ba902b7", step_span(ref, "look"))
    assert second == PARENT.replace("00f067aa0ba902b7", step_span(ref, "look:2"))
    assert echo.carried("tracestate")[0] == "rojo=1"
    other = RunRef("default", "r2")
    assert own == trace_of(other).below(step_span(other, "look")).parent


async def test_a_child_stands_in_its_parents_trace_also_after_it_began_again() -> None:
    app = App("memory://")

    @app.agent("helper")
    async def helper(run: Run) -> str:
        return "done"

    @app.agent("desk")
    async def desk(run: Run, again: bool) -> str:
        if again:
            await run.continue_as_new(False)
        return await run.child(helper)

    async with app:
        run = await app.start(desk, True, run_id="r1", trace=TraceContext.parse(PARENT))
        await run.result()
        (child,) = await app.store.find(RunQuery(agent="helper"))
        first = json.loads((await app.store.read(child.ref, limit=1))[0].payload)
    assert first["trace"] == {
        "parent": PARENT.replace("00f067aa0ba902b7", step_span(RunRef("default", "r1"), "helper", 2))
    }


async def test_every_decision_is_a_line_with_run_step_tenant_and_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App("memory://", tenant="acme")

    @app.tool(effect="write", needs_approval=True)
    def pay(cents: int) -> str:
        return "paid"

    @app.agent("desk")
    async def desk(run: Run) -> str:
        await run.decide("carrier", ["post", "bike"], "bike", reason="it is near")
        return await run.call(pay, 5)

    caplog.set_level(logging.INFO, logger="perdure.journal")
    async with app:
        run = await app.start(desk, run_id="r1")
        (asked,) = await _open(app, run)
        await app.answer("r1", asked.step, approved=True, by="user:eve", digest=asked.digest)
        await run.result()

    lines = [json.loads(JsonLines().format(record)) for record in caplog.records]
    decided = [line for line in lines if line["logger"] == "perdure.journal"]
    assert [line["event"] for line in decided if line.get("step") == "pay"] == [
        "waiting",
        "verdict",
        "intent",
        "result",
    ]
    trace = trace_of(RunRef("acme", "r1"))
    for line in decided:
        assert (line["tenant"], line["run"], line["agent"]) == ("acme", "r1", "desk")
        assert line["trace_id"] == trace.trace_id
    (verdict,) = [line for line in decided if line["event"] == "verdict"]
    assert (verdict["stage"], verdict["verdict"], verdict["by"]) == ("approval", "approved", "user:eve")
    assert "it is near" not in json.dumps(lines)  # what was said is a content


async def _open(app: App, run: object) -> list[object]:
    from perdure.testing import until_waiting

    await until_waiting(app, run, "approval")  # type: ignore[arg-type]
    return [*await app.open_approvals("r1")]
