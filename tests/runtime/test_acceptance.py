"""Going on with code that does not replay: what is kept never runs again, what is set aside is named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import App, Handle, RunConflict, RunEnded, UnknownAgent, UnknownRun
from perdure.journal import Kind, RunStatus, verify_chain
from perdure.runtime.replay.history import History
from perdure.testing import until_waiting
from tests.faults.processes import until
from tests.runtime.deploys import Site

Program = Callable[..., Awaitable[Any]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def program(site: Site, *names: str, writes: tuple[str, ...] = (), signal: str = "word") -> Program:
    async def run_it(run: Any) -> list[str]:
        found: list[str] = []
        for name in names:
            effect = "write" if name in writes else "read"
            found.append(await run.step(name, site.do, name, effect=effect))
        return [*found, await run.receive(signal, str)]

    return run_it


async def broken(site: Site, old: Program, new: Program) -> App:
    """An app with `new`, open, whose run `r` waits because it is of `old`."""
    async with site.deployed(old) as app:
        run = await app.start("changing", run_id="r")
        await until_waiting(app, run, "signal")
    async with site.deployed(new) as app:
        await app.resume("r")
        await until_waiting(app, await app.handle("r"), "nondeterministic")
    site.done.clear()
    app = site.deployed(new)
    await app.open()
    return app


async def finished(site: Site, new: Program, signal: str = "word") -> Any:
    async with site.deployed(new) as app:
        run = await app.handle("r")
        await run.signal(signal, "go")
        return await run.result()


CHANGES: dict[str, tuple[tuple[str, ...], tuple[str, ...], list[str], list[str]]] = {
    # recorded, asked for now, set aside, done anew
    "a step less": (("a", "b", "c"), ("a", "c"), ["b"], []),
    "two steps less": (("a", "b", "c", "d"), ("a", "d"), ["b", "c"], []),
    "the last less": (("a", "b"), ("a",), ["b"], []),
    "a step more": (("a", "c"), ("a", "b", "c"), ["c", "word"], ["b", "c"]),
    "renamed": (("a", "b"), ("a", "x"), ["b", "word"], ["x"]),
    "swapped": (("a", "b", "c"), ("b", "a", "c"), ["a", "c", "word"], ["a", "c"]),
}


@pytest.mark.parametrize(("old", "new", "aside", "anew"), CHANGES.values(), ids=CHANGES)
async def test_what_is_in_the_way_is_set_aside_and_nothing_else(
    site: Site, old: tuple[str, ...], new: tuple[str, ...], aside: list[str], anew: list[str]
) -> None:
    app = await broken(site, program(site, *old), program(site, *new))
    before = await (await app.handle("r")).entries()
    plan = await app.accept("r", by="ann")
    assert list(plan.steps) == aside and plan.done == ()
    entries = await (await app.handle("r")).entries()
    await app.close()
    assert entries[: len(before)] == before and entries[-1].kind == Kind.ACCEPTED
    told = json.loads(entries[-1].payload)
    assert (told["by"], entries[-1].actor) == ("ann", "ann")
    assert [s["step"] for s in told["set_aside"]] == aside
    assert site.done == [], "accepting does nothing by itself"

    assert await finished(site, program(site, *new)) == [*new, "go"]
    assert site.done == anew
    app = site.deployed(program(site, *new))
    run = await app.handle("r")
    verify_chain(run.ref, await run.entries())
    await app.close()


async def test_steps_that_have_done_something_are_refused_and_named(site: Site) -> None:
    new = program(site, "a", "c", writes=("c",))
    app = await broken(site, program(site, "a", "b", "c", writes=("b", "c")), new)
    run = await app.handle("r")
    before = await run.entries()
    with pytest.raises(RunConflict, match=r"`b` would be set aside, and have done something") as refused:
        await app.accept("r")
    assert "`c`" not in str(refused.value)
    record = await run.record()
    assert record.status is RunStatus.WAITING and record.reasons == ("nondeterministic",)
    assert record.session is None and await run.entries() == before

    plan = await app.accept("r", even_writes=True)
    assert plan.steps == ("b",) and plan.done == ("b",)
    assert json.loads((await run.entries())[-1].payload)["even_writes"] is True
    await app.close()
    assert await finished(site, new) == ["a", "c", "go"]
    assert site.done == [], "the write that is kept is not done again"


async def two_results(run: Handle) -> bool:
    return (await run.record()).results == 2


async def test_a_message_that_came_for_a_step_set_aside_is_there_again(site: Site) -> None:
    async def old(run: Any) -> list[str]:
        return [
            await run.receive("word", str),
            await run.step("a", site.do, "a"),
            await run.receive("end", str),
        ]

    async def new(run: Any) -> list[str]:
        return [await run.step("b", site.do, "b"), await run.receive("word", str)]

    async with site.deployed(old) as app:
        run = await app.start("changing", run_id="r")
        await run.signal("word", "kept")
        await until_waiting(app, run, "signal")
        await until(lambda: two_results(run), "the message was received")
    async with site.deployed(new) as app:
        await app.resume("r")
        await until_waiting(app, run := await app.handle("r"), "nondeterministic")
        await app.accept("r")
        assert await run.result() == ["b", "kept"]


async def test_an_open_question_that_is_set_aside_is_asked_no_more(site: Site) -> None:
    async def old(run: Any) -> None:
        await run.ask("May I?")

    async with site.deployed(old) as app:
        run = await app.start("changing", run_id="r")
        await until_waiting(app, run, "approval")
    new = program(site, "a")
    async with site.deployed(new) as app:
        await app.resume("r")
        run = await app.handle("r")
        await until_waiting(app, run, "nondeterministic")
        assert await app.store.approvals()
        assert (await app.accept("r")).questions == ("ask",)
        await until_waiting(app, run, "signal")
        assert await app.store.approvals() == []
    assert site.done == ["a"]


async def test_a_fork_and_a_replay_read_the_journal_without_them(site: Site) -> None:
    new = program(site, "a", "c")
    app = await broken(site, program(site, "a", "b", "c"), new)
    await app.accept("r")
    entries = await (await app.handle("r")).entries()
    assert list(History(entries).steps) == ["a", "c", "word"]
    made = await app.fork("r", from_step="word", run_id="f")
    assert [e.key for e in await made.entries() if e.key] == ["a", "c"]
    await app.close()
    async with site.deployed(new) as app:
        run = await app.handle("f")
        await run.signal("word", "go")
        assert await run.result() == ["a", "c", "go"]
    assert site.done == []


async def test_what_cannot_be_accepted(site: Site) -> None:
    old, other = program(site, "a", "b"), program(site, "a")

    async def faulty(run: Any) -> None:
        raise TypeError("no")

    async def hanging(run: Any) -> None:
        await asyncio.Event().wait()

    async with site.deployed(old) as app:
        run = await app.start("changing", run_id="r")
        await until_waiting(app, run, "signal")
        with pytest.raises(RunConflict, match="is waiting for signal: only one that does not replay"):
            await app.accept("r")
        with pytest.raises(UnknownRun):
            await app.accept("s")
    async with site.deployed(other) as app:
        await app.resume("r")
        await until_waiting(app, await app.handle("r"), "nondeterministic")
    async with site.deployed(old) as app:
        with pytest.raises(RunConflict, match="replays with this code as it is: `perdure runs resume r`"):
            await app.accept("r")
        empty = App(site.url)
        with pytest.raises(UnknownAgent):
            await empty.accept("r")
        await empty.close()
    for code, why in ((faulty, "raised TypeError: no"), (hanging, "cannot be rehearsed")):
        app = site.deployed(code)
        with pytest.raises(RunConflict, match=why):
            await app.accept("r", within=0.05)
        record = await (await app.handle("r")).record()
        assert record.reasons == ("nondeterministic",) and record.session is None
        await app.close()
    async with site.deployed(old) as app:
        await app.cancel("r", terminate=True)
        with pytest.raises(RunEnded):
            await app.accept("r")


async def test_a_message_that_comes_while_it_is_looked_at_is_not_lost(site: Site) -> None:
    """The refusal must not put the run to sleep over it."""
    app = await broken(site, program(site, "a", "b", writes=("b",)), program(site, "a"))
    other = App(site.url)
    await other.signal("r", "word", "go")
    with pytest.raises(RunConflict):
        await app.accept("r")
    record = await (await app.handle("r")).record()
    assert record.status is RunStatus.PENDING and record.next_wake is not None
    await app.close()
    await other.close()
