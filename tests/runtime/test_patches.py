"""`run.patched`: the first call decides, for the run and for good, and a patch may come and go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import App, ConfigError, Handle, OutsideRun, Run
from perdure.journal import Kind
from perdure.testing import until_waiting
from tests.faults.processes import until
from tests.runtime.deploys import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def before(site: Site) -> Callable[[Run], Awaitable[Any]]:
    async def program(run: Run) -> list[str]:
        return [await run.step("greet", site.do, "greet"), await run.receive("word", str)]

    return program


def patched_first(site: Site) -> Callable[[Run], Awaitable[Any]]:
    async def program(run: Run) -> list[str]:
        found: list[str] = []
        if run.patched("check"):
            found.append(await run.step("check", site.do, "check"))
        found.append(await run.step("greet", site.do, "greet"))
        found.append(await run.receive("word", str))
        return [*found, str(run.patched("check"))]

    return program


def patched_last(site: Site) -> Callable[[Run], Awaitable[Any]]:
    async def program(run: Run) -> list[str]:
        found = [await run.step("greet", site.do, "greet"), await run.receive("word", str)]
        if run.patched("bow"):
            found.append(await run.step("bow", site.do, "bow"))
        return found

    return program


async def started(app: App, run_id: str) -> None:
    run = await app.start("changing", run_id=run_id)
    await until_waiting(app, run, "signal")


async def finished(app: App, run_id: str) -> Any:
    run = await app.handle(run_id)
    await run.signal("word", "go")
    return await run.result()


async def test_a_run_that_had_passed_keeps_the_old_way_and_a_new_one_takes_the_new(site: Site) -> None:
    async with site.deployed(before(site)) as app:
        await started(app, "old")
    async with site.deployed(patched_first(site)) as app:
        await started(app, "new")
        assert await finished(app, "old") == ["greet", "go", "False"]
        assert await finished(app, "new") == ["check", "greet", "go", "True"]
    assert site.done == ["greet", "check", "greet"]


async def test_a_run_that_comes_here_only_now_takes_the_new_way(site: Site) -> None:
    async with site.deployed(before(site)) as app:
        await started(app, "old")
    async with site.deployed(patched_last(site)) as app:
        assert await finished(app, "old") == ["greet", "go", "bow"]


async def test_no_replay_changes_its_mind(site: Site) -> None:
    """Each message brings a replay: the journal has grown between two of them."""
    said: list[tuple[bool, bool]] = []

    def old(run: Run) -> Awaitable[Any]:
        return talk(run, False)

    def new(run: Run) -> Awaitable[Any]:
        return talk(run, True)

    async def talk(run: Run, asks: bool) -> int:
        await run.step("greet", site.do, "greet")
        early = asks and run.patched("early")
        for _ in range(4):
            await run.receive("word", str)
            late = asks and run.patched("late")
            said.append((early, late))
        return len(said)

    async def program(run: Run) -> int:
        return await old(run)

    async def changed(run: Run) -> int:
        return await new(run)

    async with site.deployed(program) as app:
        run = await app.start("changing", run_id="r")
        await until_waiting(app, run, "signal")
    async with site.deployed(changed) as app:
        run = await app.handle("r")
        for n in range(4):
            await run.signal("word", "go")
            if n < 3:
                await until(lambda n=n: waits(run, n + 2), "it waits for the next word")
        await run.result()
    assert set(said) == {(False, True)}
    markers = [e for e in await _entries(site, "r") if e.key.startswith("patched.")]
    assert [(e.kind, e.key) for e in markers] == [(Kind.VALUE, "patched.late")]


async def waits(run: Handle, times: int) -> bool:
    entries = await run.entries()
    return [e.kind for e in entries].count(Kind.SUSPENDED) == times


async def _entries(site: Site, run_id: str) -> list[Any]:
    app = App(site.url)
    entries = await (await app.handle(run_id)).entries()
    await app.close()
    return entries


async def test_a_patch_that_is_taken_out_breaks_no_run_that_took_it(site: Site) -> None:
    async def after(run: Run) -> list[str]:
        return [
            await run.step("check", site.do, "check"),
            await run.step("greet", site.do, "greet"),
            await run.receive("word", str),
        ]

    async with site.deployed(patched_first(site)) as app:
        await started(app, "new")
    async with site.deployed(after) as app:
        assert await finished(app, "new") == ["check", "greet", "go"]
    assert site.done == ["check", "greet"]


async def test_whatever_branch_asks_first_decides_for_all(site: Site) -> None:
    def gathered(patch: bool) -> Callable[[Run], Awaitable[Any]]:
        async def branch(run: Run, name: str) -> str:
            await run.step(name, site.do, name)
            taken = patch and run.patched("p")
            await run.receive(name, str)
            return f"{name} {taken} {patch and run.patched('p')}"

        async def program(run: Run) -> list[str]:
            return await run.gather(branch(run, "a"), branch(run, "b"))

        return program

    async with site.deployed(gathered(False)) as app:
        await started(app, "old")
    async with site.deployed(gathered(True)) as app:
        await started(app, "new")
        for run in (await app.handle("old"), await app.handle("new")):
            await run.signal("a", "go")
            await run.signal("b", "go")
        assert await (await app.handle("old")).result() == ["a False False", "b False False"]
        assert await (await app.handle("new")).result() == ["a True True", "b True True"]


@pytest.mark.parametrize("name", ["", "two words", "a/b", "x" * 201])
async def test_a_name_that_cannot_be_one(site: Site, name: str) -> None:
    caught: list[str] = []

    async def program(run: Run) -> None:
        with pytest.raises(ConfigError) as error:
            run.patched(name)
        caught.append(str(error.value))

    async with site.deployed(program) as app:
        await (await app.start("changing")).result()
    assert "cannot be a patch" in caught[0]


async def test_outside_of_a_run(site: Site) -> None:
    kept: list[Run] = []

    async def program(run: Run) -> None:
        kept.append(run)

    async with site.deployed(program) as app:
        await (await app.start("changing")).result()
    with pytest.raises(OutsideRun):
        kept[0].patched("p")
