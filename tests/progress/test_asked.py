"""An agent that asks in its signature for what the runs before have left."""

from __future__ import annotations

import pytest

from perdure import App, ConfigError, Handover, Run, RunFailed
from perdure.testing import Boundary, kill_at


async def test_the_next_run_is_handed_what_was_left_beside_its_input() -> None:
    app = App("memory://")

    @app.agent("moves", series="move")
    async def moves(run: Run, text: str, before: Handover) -> list[str]:
        run.leave_note(text)
        return [note.text for note in before.notes]

    @app.agent("looks", series="move")
    async def looks(run: Run, *, before: Handover | None) -> int:
        return -1 if before is None else before.number

    async with app:
        assert await (await app.start(moves, "one")).result() == []
        second = await app.start(moves, "two")
        assert await second.result() == ["one"]
        assert "handover" in [e.key for e in await second.entries()]
        assert await (await app.start(looks)).result() == 3
    assert app.find_agent("moves").input is not None and app.find_agent("looks").input is None


async def test_it_is_the_same_after_a_crash() -> None:
    app = App("memory://")

    @app.agent("moves", series="move")
    async def moves(run: Run, before: Handover) -> int:
        run.add_items(["a"])
        await run.step("works", str)
        return before.number

    trial = await kill_at(app, "moves", boundary=Boundary("before", "result", step="works"))
    assert trial.result == 1


async def test_in_a_run_of_no_series_it_is_none_or_an_error() -> None:
    app = App("memory://")

    @app.agent("may")
    async def may(run: Run, before: Handover | None) -> bool:
        return before is None

    @app.agent("must")
    async def must(run: Run, before: Handover) -> None: ...

    async with app:
        assert await (await app.start(may)).result()
        with pytest.raises(RunFailed, match="is of no series"):
            await (await app.start(must)).result()


def test_what_cannot_be_handed_is_refused() -> None:
    app = App("memory://")
    with pytest.raises(ConfigError, match="both for the same"):

        @app.agent("two")
        async def two(run: Run, one: Handover, other: Handover) -> None: ...

    with pytest.raises(ConfigError, match="plain parameter"):

        @app.agent("many")
        async def many(run: Run, *before: Handover) -> None: ...
