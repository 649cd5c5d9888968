"""No run vanishes: whatever fails, every accepted run is at every moment running, pending, waiting for something that
it names, or in exactly one ending with its reason.

Random agents (faults of tools, models and checks, budgets that do not suffice, endings by their own word, undoing,
waits) are driven by workers that are killed, while runs are cancelled, paused, terminated, signalled and given more to
spend; after each blow every run is looked at.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pydantic_core
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure import (
    App,
    Budget,
    ContextExceeded,
    InvalidOutput,
    ModelReply,
    ModelRequest,
    NotDone,
    Retry,
    Run,
    RunEnded,
    RunFailed,
    RunStatus,
    Stuck,
)
from perdure.engines import WorkerOptions
from perdure.journal import ENDINGS, Entry, Kind, RunQuery, RunRecord, WaitReason
from tests.places import Place

FAULTS: dict[str, BaseException] = {
    "transient": ConnectionResetError("gone"),
    "permanent": ValueError("a fault"),
    "invalid": InvalidOutput("no JSON"),
    "stuck": Stuck("the same again"),
    "not done": NotDone("full"),
}

MODEL_FAULTS: dict[str, Exception] = {
    "overloaded": ConnectionRefusedError("busy"),
    "garbage": InvalidOutput("half a JSON"),
    "too long": ContextExceeded("no room for that"),
    "hangs up": ConnectionResetError("in the middle of the answer"),
    "bug": KeyError("choices"),
}

ACTS = st.sampled_from(
    [
        ("step",),
        ("write",),
        *[("fails", name) for name in FAULTS],
        ("swallows", "permanent"),
        ("sleep", 0.01),
        ("sleep", 3600),
        ("receive",),
        ("defer",),
        ("partial",),
        ("escalate",),
        ("branches",),
        *[("asks", fault) for fault in ("", *MODEL_FAULTS)],
    ]
)
BLOWS = st.sampled_from(
    ["kill", "stop", "cancel", "undo", "terminate", "pause", "resume", "signal", "wait", "raise"]
)


AT_ONCE = Retry(attempts=2, first=timedelta())


@dataclass(frozen=True)
class Plan:
    acts: tuple[tuple[Any, ...], ...]
    check: bool
    answer: str
    budget: Budget | None


PLANS = st.builds(
    Plan,
    st.lists(ACTS, min_size=1, max_size=4).map(tuple),
    st.booleans(),
    st.sampled_from(["escalate", "partial", "fail", "compensate"]),
    st.one_of(
        st.none(),
        st.builds(
            Budget,
            model_calls=st.integers(0, 1),
            tool_calls=st.integers(0, 1),
            on_limit=st.sampled_from(["ask", "finish", "stop"]),
        ),
    ),
)


class Model:
    """Answers as its prompt says: a fault by its name, or the text."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        text = request.messages[0].text
        if text in MODEL_FAULTS:
            raise MODEL_FAULTS[text]
        return ModelReply(text="yes")


def build(url: str, plan: Plan) -> App:
    app = App(url, lease=timedelta(seconds=1))

    def undo(n: int) -> None:
        if n % 2:
            raise PermissionError("not refundable")

    @app.tool(effect="idempotent", compensate=undo, retry=Retry(attempts=2, first=timedelta()))
    async def write(n: int) -> str:
        return f"wrote {n}"

    app.models.register("fake", Model())

    def fail(name: str) -> None:
        raise FAULTS[name]

    async def act(run: Run, n: int, what: Sequence[Any]) -> None:
        match what:
            case ("step",):
                await run.step("step", str, n)
            case ("write",):
                await run.call(write, n)
            case ("fails", name):
                await run.step("fails", fail, name)
            case ("swallows", name):
                try:
                    await run.step("fails", fail, name)
                except ValueError:
                    run.progress("went on", done=n)
            case ("asks", fault):
                await run.model("fake:m", fault or "go on", retry=AT_ONCE)
            case ("sleep", seconds):
                await run.sleep(seconds)
            case ("receive",):
                await run.receive("go")
            case ("defer",):
                await run.defer(timedelta(hours=1), "later")
            case ("partial",):
                await run.partial(n, missing=["the rest"], why="enough")
            case ("escalate",):
                await run.escalate("too hard")
            case _:
                await run.gather(run.call(write, n), run.step("beside", str, n))

    @app.agent(
        "agent",
        budget=plan.budget,
        check=lambda run, result: plan.check,
        on_failure={"permanent": plan.answer},
    )  # type: ignore[dict-item]
    async def agent(run: Run) -> None:
        for n, what in enumerate(plan.acts):
            await act(run, n, what)

    return app


async def looked_at(app: App, accepted: Sequence[str]) -> list[RunRecord]:
    """Every accepted run is there, and says where it stands and why."""
    found = {r.ref.id: r for r in await app.store.find(RunQuery(limit=100))}
    assert set(found) == set(accepted)
    for run_id in found:
        record, entries = await at_one_moment(app, run_id)
        found[run_id] = record
        ends = [pydantic_core.from_json(e.payload) for e in entries if e.kind == Kind.ENDED]
        if record.status in ENDINGS:
            assert [end["status"] for end in ends] == [record.status], run_id
            assert record.status is RunStatus.SUCCEEDED or record.reasons, f"{run_id} ended without a reason"
            told = await (await app.handle(run_id)).ending()
            assert told.status is record.status
        else:
            assert ends == [], f"{run_id} has ended, and its row does not say so"
        if record.status is RunStatus.WAITING:
            assert record.reasons and set(record.reasons) <= set(WaitReason), (run_id, record.reasons)
            assert record.next_wake or set(record.reasons) - {"timer", "retry", "deferred"}, run_id
        if record.status is RunStatus.PENDING:
            assert record.next_wake is not None, f"{run_id} is pending, and never due"
    return list(found.values())


async def at_one_moment(app: App, run_id: str) -> tuple[RunRecord, list[Entry]]:
    """A row, and the journal that it is a projection of."""
    handle = await app.handle(run_id)
    while True:
        before, entries, after = await handle.record(), await handle.entries(), await handle.record()
        if (before.status, before.head) == (after.status, after.head):
            return after, entries


async def story(url: str, plan: Plan, blows: Sequence[str]) -> None:
    app = build(url, plan)
    await app.open()
    accepted: list[str] = []
    worker: asyncio.Task[None] | None = None
    try:
        for n, blow in enumerate(["wait", *blows]):
            run = await app.start("agent", run_id=f"run-{n}")
            accepted.append(run.id)
            if worker is None:
                engine = app.new_worker(WorkerOptions(lease=timedelta(seconds=1)))
                worker = asyncio.create_task(engine.run())
            await asyncio.sleep(0.02)
            if blow in ("kill", "stop"):
                if blow == "stop":
                    engine.stop()
                    await worker
                else:
                    worker.cancel()
                    await asyncio.wait([worker])
                worker = None
            try:
                match blow:
                    case "cancel" | "undo" | "terminate":
                        await app.cancel(
                            accepted[n // 2], compensate=blow == "undo", terminate=blow == "terminate"
                        )
                    case "pause":
                        await app.pause(accepted[n // 2])
                    case "resume":
                        await app.resume(accepted[n // 2])
                    case "raise":
                        more = Budget(model_calls=1, tool_calls=1)
                        await app.budgets.raise_run(accepted[n // 2], more, by="ann")
                    case "signal":
                        await app.signal(accepted[n // 2], "go")
                    case _:
                        pass
            except RunEnded:
                pass
            await looked_at(app, accepted)
        await ended(app, accepted, worker)
    finally:
        if worker is not None:
            worker.cancel()
            await asyncio.wait([worker])
        await app.close()


async def ended(app: App, accepted: Sequence[str], worker: asyncio.Task[None] | None) -> None:
    """In the end an operator cancels what still lives, and all come to an ending."""
    if worker is None:
        worker = asyncio.create_task(app.new_worker(WorkerOptions(lease=timedelta(seconds=1))).run())
    try:
        for run_id in accepted:
            try:
                await app.resume(run_id)
                await app.cancel(run_id, reason="the test is over")
            except RunEnded:
                continue
        for run_id in accepted:
            try:
                async with asyncio.timeout(60):
                    await (await app.handle(run_id)).result()
            except RunFailed:
                pass
        for record in await looked_at(app, accepted):
            assert record.status in ENDINGS
    finally:
        worker.cancel()
        await asyncio.wait([worker])


@pytest.mark.soak
@pytest.mark.parametrize("place", ["sqlite", pytest.param("postgres", marks=pytest.mark.soak)], indirect=True)
@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(plan=PLANS, blows=st.lists(BLOWS, min_size=1, max_size=5))
def test_no_run_vanishes(place: Place, tmp_path_factory: Any, plan: Plan, blows: list[str]) -> None:
    folder: Path = tmp_path_factory.mktemp("runs")
    asyncio.run(story(place.url(folder), plan, blows))
