"""The chamber, on an agent that survives everything and on agents with one bug each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic_ai
import pytest
from pydantic_ai.models.test import TestModel

from perdure import App, Budget, ConfigError, Handle, Run
from perdure.journal import Kind
from perdure.testing import until_waiting
from perdure.testing.torture import KINDS, Report, Schedule, say_yes, torture
from tests.testing.torture import bad_agents as scene


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str | None:
    return None if request.param == "memory" else f"sqlite:///{tmp_path / 'torture.db'}"


async def world(app: App, run: Handle) -> None:
    await until_waiting(app, run, "approval")
    await app.answer(run.id, "ask", approved=True, by="ann")
    await until_waiting(app, run, "signal")
    await app.signal(run.id, "note", "by bike")


async def tortured(agent: str, **options: Any) -> Report:
    return await torture(scene.app, agent, "book", setup=scene.clear, observe=scene.seen, **options)


@pytest.mark.soak
async def test_an_agent_that_does_it_right_survives_every_boundary() -> None:
    report = await tortured("small")

    assert report.ok, str(report)
    counts = {count.kind: count for count in report.counts()}
    assert set(counts) == {"none", "twice", *KINDS} - {"model"}
    assert counts["kill"].schedules == report.boundaries > 12
    assert counts["twice"].schedules == 4 * report.boundaries
    assert counts["freeze"].schedules == report.boundaries
    assert counts["kill"].not_reached == counts["freeze"].not_reached == 0
    assert counts["kill"].doubts == 2, "of the mail alone, which has no `verify`: before and after it is sent"
    assert counts["tool"].schedules > 12, "each failure of three tools, and kills around it"


@pytest.mark.soak
async def test_it_survives_on_a_real_store(store: str | None) -> None:
    report = await tortured("good", outside=world, store=store, random=25, seed=3)

    assert report.ok, str(report)
    assert len(report.rows) == 26


async def test_a_branch_that_parks_where_the_store_has_just_gone_is_left() -> None:
    # The append of its WAITING sees that the one before it was lost, and ends the segment; then it parks.
    report = await tortured("good", outside=world, schedules=["kill after claimed; store before entry #5"])
    assert report.ok, str(report)


@pytest.mark.parametrize(
    ("agent", "invariant", "says"),
    [
        ("plain-write", "world", r"'book', 'book'.*\], \['ada'\]\]"),
        ("lies", "world", r"\[\['book', 'book'\], \[\]\]"),
        ("branches", "nondeterministic", "does not replay"),
    ],
)
async def test_a_bug_is_found_with_the_smallest_schedule(
    store: str | None, agent: str, invariant: str, says: str
) -> None:
    drawn = None if store is None else 20
    report = await tortured(agent, store=store, faults=["kill"], random=drawn, seed=1)

    assert not report.ok
    smallest = report.smallest[invariant]
    assert len(smallest.schedule.hits) == 1
    again = await tortured(agent, store=store, schedules=[str(smallest.schedule)])
    assert [v.invariant for v in again.violations] == [invariant]
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(again)


async def test_of_a_random_schedule_only_what_is_needed_is_left() -> None:
    whole = Schedule.parse("answers twice; kill before result charge; kill after entry #1")

    report = await tortured("lies", schedules=[whole])

    assert str(report.smallest["world"].schedule) == "kill before result charge"


async def test_a_budget_that_is_exceeded_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    report = await tortured("good", outside=world, schedules=["kill after result price"])
    assert report.ok, str(report)
    from perdure.testing.torture import chamber

    monkeypatch.setattr(chamber, "violations", _with_budget(chamber.violations, Budget(tool_calls=2)))
    report = await tortured("good", outside=world, schedules=["kill after result price"])
    assert {v.invariant for v in report.violations} == {"budget"}
    assert "of `tool_calls` 3 was used, and 2 allowed" in str(report)


def _with_budget(function: Any, budget: Any) -> Any:
    return lambda *args, **kwargs: function(*args, **{**kwargs, "budget": budget})


async def test_a_run_that_waits_for_a_world_that_is_silent_cannot_be_tried() -> None:
    with pytest.raises(
        ConfigError, match=r"`waits` does not come to an end .* `waiting` for approval.*say what"
    ):
        await torture(scene.app, "waits", limit=0.3)


async def test_whatever_is_asked_is_approved_on_demand() -> None:
    report = await torture(scene.app, "waits", outside=say_yes, schedules=["answers late", "answers twice"])
    assert report.ok, str(report)


async def test_a_run_that_loses_its_signal_is_found() -> None:
    async def forgets(app: App, run: Handle) -> None:
        await until_waiting(app, run, "signal")
        if len(await app.store.sessions()) == 1 and Kind.CLAIMED in {e.kind for e in await run.entries()}:
            lives = sum(e.kind == Kind.CLAIMED for e in await run.entries())
            if lives == 1:
                await app.signal(run.id, "note", "here")

    report = await torture(scene.app, "catches", outside=forgets, limit=0.5, schedules=["kill after claimed"])

    assert [v.invariant for v in report.violations] == ["lost"]
    assert "is `waiting` for signal" in str(report)


async def test_a_store_with_runs_of_others_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'theirs.db'}"
    theirs = App(url)
    theirs.agents.update(scene.app.agents)
    await theirs.start("waits", run_id="theirs")
    await theirs.close()

    with pytest.raises(ConfigError, match="run `theirs` of the store has not ended"):
        await tortured("good", store=url)


async def test_the_same_seed_draws_the_same_schedules() -> None:
    drawn = [
        [str(row.schedule) for row in (await tortured("lies", random=8, seed=seed)).rows]
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_write_of_a_wrapped_agent_is_counted_and_settled_by_its_arguments() -> None:
    sent: list[str] = []

    async def send(to: str) -> str:
        sent.append(to)
        return "sent"

    agent = pydantic_ai.Agent(TestModel(), name="clerk", tools=[send])
    app = App("memory://")

    @app.agent("clerk")
    async def clerk(run: Run) -> str:
        return (await run.wrap(agent)("Send it.")).output

    report = await torture(
        app, clerk, setup=sent.clear, observe=sent.copy, schedules=["kill before result clerk/turn.send/send"]
    )

    assert report.ok, str(report)
    assert sent == ["a"]
    assert report.rows[-1].reached, "the key of its step has another digest in each run"
    assert report.rows[-1].doubts == 1
