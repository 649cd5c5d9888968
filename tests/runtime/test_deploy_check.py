"""`App.check`: every run that has not ended, page by page, and never more than a few in memory."""

from __future__ import annotations

from typing import Any

from perdure import App, Run
from perdure.app.deploys import AT_ONCE, PAGE
from perdure.core.ids import RunRef
from perdure.testing import MemoryStore, until_waiting

MANY = PAGE * 2 + 50


async def waits(run: Run) -> str:
    return await run.receive("word", str)


async def new_first(run: Run) -> str:
    await run.step("new", str, 1)
    return await run.receive("word", str)


class Counting(MemoryStore):
    """A store that knows how many journals are out."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0
        self.reading = 0
        self.most = 0

    async def read(self, ref: RunRef, **options: Any) -> Any:
        self.reading += 1
        self.most = max(self.most, self.reading)
        return await super().read(ref, **options)

    def append(self, append: Any) -> Any:
        self.written += 1
        return super().append(append)


def seen(store: Counting) -> None:
    store.reading -= 1


async def test_all_pages_of_all_tenants_are_looked_at_a_few_at_a_time() -> None:
    store = Counting()
    app = App(store)
    agent = app.agent("waits")(waits)
    for n in range(MANY):
        await app.start(agent, run_id=f"r{n}", tenant="other" if n % 3 == 0 else None)
    report = await app.check(seen=lambda: seen(store))
    assert (report.checked, report.replays, report.ok) == (MANY, MANY, True)
    assert store.most <= AT_ONCE and store.written == 0
    assert (await app.check(tenant="other")).checked == MANY // 3
    assert (await app.check(limit=PAGE + 1)).checked == PAGE + 1
    assert (await app.check(agent="nobody")).checked == 0


async def test_a_team_can_ask_in_its_own_tests() -> None:
    store = MemoryStore()
    before = App(store)
    before.agent("waits")(waits)
    async with before:
        run = await before.start("waits", run_id="r")
        await until_waiting(before, run, "signal")
    await store.open()
    after = App(store)
    after.agent("waits")(new_first)
    report = await after.check()
    assert not report.ok and report.breaks == 1
    (broken,) = report.broken
    assert broken.ref.id == "r" and broken.rehearsal.recorded is not None
    assert broken.rehearsal.recorded["step"] == "word"
    assert not report.absent
    report = await App(store).check()
    assert report.ok and report.absent == {("waits", "1"): 1}


async def test_of_a_run_that_began_again_only_its_present_counts() -> None:
    store = MemoryStore()

    async def endless(run: Run, n: int) -> str:
        await run.step(f"step-{n}", str, n)
        run.patched("first" if n == 1 else "second")
        if n < 3:
            await run.continue_as_new(n + 1)
        return await run.receive("word", str)

    async def only_now(run: Run, n: int) -> str:
        assert n == 3
        await run.step("step-3", str, n)
        return await run.receive("word", str)

    async def otherwise(run: Run, n: int) -> str:
        await run.step("step-1", str, n)
        return await run.receive("word", str)

    app = App(store)
    app.agent("endless")(endless)
    async with app:
        run = await app.start("endless", 1, run_id="r")
        await until_waiting(app, run, "signal")
    for code, breaks in ((endless, 0), (only_now, 0), (otherwise, 1)):
        await store.open()
        after = App(store)
        after.agent("endless")(code)
        report = await after.check()
        assert (report.checked, report.breaks, report.stuck) == (1, breaks, 0), report
    async with after:
        await after.resume("r")
        await until_waiting(after, run := await after.handle("r"), "nondeterministic")
        assert (await after.accept("r")).steps == ("step-3", "word")
        await run.signal("word", "go")
        assert await run.result() == "go"
