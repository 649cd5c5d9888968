"""Working memory in runs: written once whoever is killed, found by the next run, and by no other agent's."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import App, ConfigError, Kind, Refused, Run
from perdure.memory.working import Space
from perdure.testing import Boundary, kill_at, survives

NOTES = Space("default", None, "desk", "notes")

HANDBOOK = "\n\n".join(
    f"Chapter {i}. " + f"What is said of {word}. " * 40 for i, word in enumerate(("refunds", "tea"))
)


def desk(url: str = "memory://") -> App:
    app = App(url)

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        notes = run.working("notes", agent="desk")
        id = await notes.add("Ann wants her refund by bank transfer", source="call 17")
        await notes.add("the tea is served at four", kind="document")
        first = await notes.search("refund of Ann?", k=1)
        gone = [await notes.forget(id), await notes.forget(id), await notes.get(id)]
        left = await notes.search("refund tea")
        return [[[f.text, f.source, f.by] for f in first], gone, [f.text for f in left]]

    @app.agent("reader")
    async def reader(run: Run) -> list[Any]:
        await run.working().add("mine alone")
        with pytest.raises(Refused, match="not shared"):
            await run.working("notes", agent="desk").search("tea")
        spaces = [run.working(), run.working("notes"), run.working("notes", agent="reader")]
        return [[f.text for f in await space.search("tea mine")] for space in spaces]

    return app


EXPECTED = [
    [["Ann wants her refund by bank transfer", "call 17", ["words"]]],
    [True, False, []],
    ["the tea is served at four"],
]


async def test_a_run_finds_what_it_wrote_and_no_other_agents_run_does(store_url: str) -> None:
    async with desk(store_url) as app:
        run = await app.start("desk")
        assert await run.result() == EXPECTED
        (item,) = await app.memory.working.ls(NOTES)

        keys = [e.key for e in await run.entries() if e.kind == Kind.RESULT]
        assert (item.origin.run, item.origin.step) == (run.id, keys[1])
        assert await (await app.start("reader")).result() == [["mine alone"], [], []]


async def test_it_survives_a_kill_at_every_boundary() -> None:
    trials = await survives(desk(), "desk")

    assert trials[0].result == EXPECTED
    assert len(trials) > 15


async def test_a_crash_between_the_write_and_its_record_does_not_double_it() -> None:
    for step in ("working_add:2", "working_forget"):
        trial = await kill_at(desk(), "desk", boundary=Boundary("before", "result", step=step))
        assert trial.result[0] == EXPECTED[0] and trial.result[2] == EXPECTED[2]


async def test_a_long_text_is_found_by_its_passages() -> None:
    app = App("memory://")

    @app.agent("reads")
    async def reads(run: Run) -> list[Any]:
        book = run.working("handbook")
        id = await book.add(HANDBOOK + "\0\ud800", kind="document", source="handbook.md")
        found = await book.search("refunds", kinds=["document"], k=1)
        return [len(await book.get(id)), len(found[0].text) <= 1600, found[0].text[:10], found[0].id == id]

    async with app:
        assert await (await app.start(reads)).result() == [2, True, "Chapter 0.", True]


async def test_what_is_planned_is_not_remembered() -> None:
    app = App("memory://")

    @app.agent("plans")
    async def plans(run: Run) -> int:
        async with run.planning():
            with pytest.raises(Refused):
                await run.working().add("hello")
        with pytest.raises(ConfigError, match="space's name"):
            run.working("")
        with pytest.raises(ConfigError, match="at once"):
            await run.working().search("hello", k=0)
        return len(await run.working().search("hello"))

    async with app:
        assert await (await app.start(plans)).result() == 0
