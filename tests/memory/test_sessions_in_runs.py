"""Sessions in runs: written once whoever is killed, seen by the next run, compared and set by two at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from perdure import App, ConfigError, Kind, Refused, Run, VersionConflict
from perdure.memory import CellSessions, Place
from perdure.testing import Boundary, kill_at, survives

CASE = Place("default", None, "case-17")


def desk(url: str = "memory://", *, app: App | None = None) -> App:
    app = app or App(url)

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        session = run.session("case-17")
        numbers = [await session.append("user", "hello"), await session.append("user", {"items": [1, None]})]
        version = await session.set("state", {"open": True}, if_version=0)
        kept = await session.get("state")
        assert kept is not None
        try:
            await session.set("state", "lost", if_version=0)
        except VersionConflict as conflict:
            numbers.append(conflict.version)
        await session.delete("state", if_version=kept.version)
        await session.compact("a greeting", upto=1)
        read = await session.messages(last=10)
        whole = await session.messages(whole=True)
        gone = await session.get("state")
        return [numbers, version, kept.value, [[m.role, m.content] for m in read], len(whole), gone]

    @app.agent("reader")
    async def reader(run: Run) -> list[Any]:
        return [m.content for m in await run.session("case-17").messages(whole=True)]

    return app


EXPECTED = [
    [1, 2, 1],
    1,
    {"open": True},
    [["summary", "a greeting"], ["user", {"items": [1, None]}]],
    2,
    None,
]


async def test_a_run_reads_its_own_writes_and_the_next_run_reads_them_too(store_url: str) -> None:
    async with desk(store_url) as app:
        run = await app.start("desk")
        assert await run.result() == EXPECTED
        (first, second) = await CellSessions(app.store).messages(CASE, whole=True)

        assert (first.origin.run, second.origin.run) == (run.id, run.id)
        keys = [e.key for e in await run.entries() if e.kind == Kind.RESULT]
        assert [first.origin.step, second.origin.step] == keys[:2]
        next_run = await app.start("reader")
        assert await next_run.result() == ["hello", {"items": [1, None]}]


async def test_it_survives_a_kill_at_every_boundary() -> None:
    trials = await survives(desk(), "desk")

    assert trials[0].result == EXPECTED
    assert len(trials) > 20


async def test_a_crash_between_the_write_and_its_record_does_not_double_it() -> None:
    for step in ("session_append:2", "session_set", "session_compact", "session_delete"):
        trial = await kill_at(desk(), "desk", boundary=Boundary("before", "result", step=step))
        assert trial.result == EXPECTED


async def test_two_runs_that_change_one_value_lose_nothing(store_url: str) -> None:
    app = App(store_url)

    @app.agent("counts")
    async def counts(run: Run) -> int:
        session, tries = run.session("case-17"), 0
        for _ in range(4):
            while True:
                tries += 1
                kept = await session.get("count")
                value, version = (0, 0) if kept is None else (kept.value, kept.version)
                try:
                    await session.set("count", value + 1, if_version=version)
                    break
                except VersionConflict:
                    pass
        return tries

    async with app:
        runs = [await app.start(counts) for _ in range(3)]
        tries = await asyncio.gather(*(run.result() for run in runs))
        kept = await CellSessions(app.store).get(CASE, "count")

    assert kept is not None and kept.value == 12
    assert sum(tries) >= 12


async def test_what_is_planned_is_not_remembered() -> None:
    app = App("memory://")

    @app.agent("plans")
    async def plans(run: Run) -> int:
        session = run.session("case-17")
        async with run.planning():
            with pytest.raises(Refused):
                await session.append("user", "hello")
            read = await session.messages()
        with pytest.raises(ConfigError, match="session's name"):
            run.session("")
        return len(read)

    async with app:
        assert await (await app.start(plans)).result() == 0
