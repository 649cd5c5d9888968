"""A run finds what those before it of its series did, failed at, left half done and tried; nothing is done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from perdure import App, ConfigError, Handover, ItemState, Kind, Run, RunStatus, UnknownRun
from perdure.db.sealed import SealedStore
from perdure.identity import MasterKeys
from perdure.journal import Amendment, CellKey, Store
from perdure.runtime.progress.items import KIND
from perdure.testing import SkippingClock, survives, until_waiting


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        yield made


def states(handover: Handover) -> dict[str, str]:
    return {item.id: str(item.state) for item in handover.items}


async def test_the_next_run_finds_what_the_one_that_failed_left(app: App) -> None:
    # given a series whose first run does one item, gives one up, and fails at a third
    done: list[str] = []

    @app.agent("migrate", series="migrate-billing")
    async def migrate(run: Run) -> Handover:
        before = await run.handover()
        run.add_items({"invoices": "All invoices", "customers": "", "taxes": "", "archive": ""})
        while item := await run.next_item():
            if item.id == "customers":
                run.progress(
                    "no such table", item=item.id, state="failed", why="it is gone", evidence={"rows": 0}
                )
            elif item.id == "taxes" and before.number == 1:
                run.progress("copied the rates", item=item.id)
                run.progress("by the API", item=item.id, state="tried", why="it answers 500")
                run.leave_note("the API of taxes is down at night")
                raise ValueError("taxes: 500")
            else:
                done.append(item.id)
                run.progress(f"moved {item.id}", item=item.id, state="done", evidence="sum agrees")
        return before

    first = await app.start(migrate)
    assert (await first.ending()).status is RunStatus.FAILED
    between = await app.handover("migrate-billing")

    # when the next one is started
    second = await app.start(migrate)
    found = Handover.model_validate((await second.result()).model_dump())

    # then it found that, and did only what was left
    assert done == ["invoices", "taxes", "archive"]
    assert states(found) == {
        "invoices": "done",
        "customers": "failed",
        "taxes": "half_done",
        "archive": "open",
    }
    assert found == between.model_copy(update={"number": 2})
    customers, taxes = found.item("customers"), found.item("taxes")
    assert customers and (customers.why, customers.evidence) == ("it is gone", {"rows": 0})
    assert taxes and taxes.said == "copied the rates" and taxes.runs == (first.id,)
    assert [(a.what, a.why, a.run) for a in taxes.tried] == [("by the API", "it answers 500", first.id)]
    assert "taxes: 500" in (taxes.why or "")
    assert [(n.text, n.run) for n in found.notes] == [("the API of taxes is down at night", first.id)]
    assert [(r.id, r.status) for r in found.runs] == [(first.id, "failed")]
    assert await app.series() == ["migrate-billing"]
    # and the page says so
    page = between.markdown()
    for said in (
        "1 done, 1 half done, 1 to do, 1 given up",
        "All invoices",
        "tried in vain: by the API",
        "at night",
    ):
        assert said in page


async def test_an_item_is_in_one_hand_at_a_time(app: App) -> None:
    # given two runs of a series that hold what they took
    meanwhile = asyncio.Event()
    taken: list[str | None] = []

    @app.agent("sweep")
    async def sweep(run: Run) -> str | None:
        run.add_items(["a"])
        item = await run.next_item()
        taken.append(item and item.id)
        if item:
            await run.step("hold", meanwhile.wait)
            run.progress("swept", item=item.id, state="done")
        else:
            meanwhile.set()
        return item and item.id

    # when both are at it
    runs = [await app.start(sweep, series="s") for _ in range(2)]
    results = [await run.result() for run in runs]

    # then one has it, and the other has nothing to do
    assert sorted(results, key=str) == [None, "a"]
    assert sorted(taken, key=str) == [None, "a"]
    assert states(await app.handover("s")) == {"a": "done"}


async def test_branches_that_ask_at_once_get_different_items(quick: App) -> None:
    @quick.agent("both", series="b")
    async def both(run: Run) -> list[str]:
        run.add_items(["a", "b", "c"])
        taken = await run.gather(*(run.next_item() for _ in range(3)))
        return sorted(item.id for item in taken if item)

    assert await (await quick.start(both)).result() == ["a", "b", "c"]


async def test_a_schedule_goes_on_after_a_run_has_failed() -> None:
    app = App("memory://", clock=SkippingClock())
    enough = asyncio.Event()

    @app.schedule(every=timedelta(hours=1))
    @app.agent("nightly", series="night")
    async def nightly(run: Run) -> None:
        run.add_items(["a", "b", "c"])
        item = await run.next_item()
        if item is None:
            enough.set()
        elif item.id == "b" and len(item.runs) < 1:
            raise ValueError("not tonight")
        else:
            run.progress("did it", item=item.id, state="done")

    async with app:
        await enough.wait()
        found = await app.handover("night")
    assert states(found) == {"a": "done", "b": "done", "c": "done"}
    assert "failed" in {run.status for run in found.runs}


async def test_an_item_at_which_runs_keep_ending_is_given_up(quick: App) -> None:
    @quick.agent("poison", series="p")
    async def poison(run: Run) -> list[str]:
        run.add_items(["bad", "good"])
        worked: list[str] = []
        while item := await run.next_item(most_runs=2):
            if item.id == "bad":
                raise ValueError("boom")
            run.progress("fine", item=item.id, state="done")
            worked.append(item.id)
        return worked

    for _ in range(2):
        assert (await (await quick.start(poison)).ending()).status is RunStatus.FAILED
    assert await (await quick.start(poison)).result() == ["good"]
    bad = (await quick.handover("p")).item("bad")
    assert bad and bad.state is ItemState.FAILED
    assert "2 runs ended at it" in (bad.why or "") and "boom" in (bad.why or "")


async def test_a_series_survives_a_kill_at_every_boundary() -> None:
    app = App("memory://", clock=SkippingClock())
    moved: list[str] = []

    @app.tool(effect="write")
    def move(item: str) -> str:
        moved.append(item)
        return item

    @app.agent("migrate", series="m")
    async def migrate(run: Run) -> list[str]:
        assert (await run.handover()).number == 1
        run.add_items(["a"])
        while item := await run.next_item():
            await run.call(move, item.id)
            run.progress("moved", item=item.id, state="done")
        return [i.id for i in (await run.handover()).done]

    trials = await survives(app, migrate, setup=moved.clear)
    assert trials[0].result == ["a"]
    assert len(trials) > 20


async def test_without_cells_the_journals_tell(quick: App) -> None:
    @quick.agent("one", series="c")
    async def one(run: Run) -> str | None:
        run.add_items(["a", "b"])
        item = await run.next_item()
        if item:
            run.progress("did it", item=item.id, state="done")
        return item and item.id

    assert await (await quick.start(one)).result() == "a"
    # given that the index is gone
    keys = [key for key, _ in await quick.store.cells(KIND)]
    assert len(keys) == 1
    await _delete(quick, keys)
    # then what was done is known all the same, and is not done again
    assert states(await quick.handover("c")) == {"a": "done", "b": "open"}
    assert await (await quick.start(one)).result() == "b"


async def test_what_was_done_outlives_a_journal_that_is_pruned(quick: App) -> None:
    @quick.agent("one", series="c")
    async def one(run: Run) -> str | None:
        run.add_items(["a", "b"])
        item = await run.next_item()
        if item:
            run.progress("did it", item=item.id, state="done", why="secret words")
        return item and item.id

    first = await quick.start(one)
    assert await first.result() == "a"
    await quick.store.prune(quick.ref(first.id))
    found = await quick.handover("c")
    assert states(found) == {
        "a": "done"
    }  # `b` was listed by words that are gone; the next run lists it again
    assert found.items[0].said is None and "pruned" in (found.items[0].why or "")
    assert [(r.id, r.gone) for r in found.runs] == [(first.id, "pruned")]
    assert "secret" not in found.markdown() and "was pruned" in found.markdown()
    assert await (await quick.start(one)).result() == "b"


async def test_what_runs_say_of_one_persons_data_is_told_to_nobody_elses(
    quick: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())

    @quick.agent("care", series="care")
    async def care(run: Run) -> Handover:
        before = await run.handover()
        run.add_items(["call back"])
        run.leave_note("she is ill")
        await run.next_item()
        return before

    first = await quick.start(care, subject="customer:1")
    await first.result()
    other = Handover.model_validate(
        (await (await quick.start(care, subject="customer:2")).result()).model_dump()
    )
    same = Handover.model_validate(
        (await (await quick.start(care, subject="customer:1")).result()).model_dump()
    )
    assert (other.items, other.notes) == ((), ())
    assert [(r.id, r.gone, r.said) for r in other.runs] == [(first.id, "withheld", None)]
    assert [n.text for n in same.notes] == ["she is ill"]
    assert [(i.id, str(i.state)) for i in same.items] == [("call back", "half_done")]
    assert "ill" not in (await quick.handover("care")).markdown()
    assert "ill" in (await quick.handover("care", subject="customer:1")).markdown()
    # and nothing of it stands anywhere in the clear
    assert all(b"call back" not in cell.data for _, cell in await _plain(quick).cells(KIND))


async def test_series_of_tenants_are_apart(quick: App) -> None:
    @quick.agent("one", series="t")
    async def one(run: Run) -> int:
        run.add_items(["a"])
        return len((await run.handover()).runs)

    await (await quick.start(one, tenant="acme")).result()
    assert await (await quick.start(one, tenant="other")).result() == 0
    assert (await quick.series(tenant="acme"), await quick.series()) == (["t"], [])
    with pytest.raises(UnknownRun, match="no run is of the series `t`"):
        await quick.handover("t")


async def test_what_is_recorded_is_what_a_replay_gets(quick: App) -> None:
    # given a run that waits, with a handover in its journal
    @quick.agent("waits", series="w")
    async def waits(run: Run) -> int:
        found = await run.handover()
        await run.receive("go")
        return len(found.runs)

    first = await quick.start(waits)
    await until_waiting(quick, first, "signal")
    # when others are started meanwhile, and it is replayed
    second = await quick.start(waits)
    await quick.signal(second.id, "go")
    assert await second.result() == 1
    await quick.signal(first.id, "go")
    # then it has what it was told
    assert await first.result() == 0


async def test_what_is_wrong_is_said(quick: App) -> None:
    @quick.agent("alone")
    async def alone(run: Run, what: str) -> None:
        if what == "next":
            await run.next_item()
        elif what == "state":
            run.progress("x", state="done")
        elif what == "name":
            run.add_items(["a\nb"])
        else:
            run.progress("half", done=1, total=2, item="x", state="done", place="here")

    for what, said in (
        ("next", "of no series"),
        ("state", "give the item too"),
        ("name", "cannot name a work item"),
    ):
        ending = await (await quick.start(alone, what)).ending()
        assert said in str(ending.failure), what
    run = await quick.start(alone, "fine")
    await run.result()
    (noted,) = [e for e in await run.entries() if e.kind == Kind.PROGRESS]
    assert b'"place":"here"' in noted.payload and b'"state":"done"' in noted.payload
    with pytest.raises(ConfigError, match="cannot be a series"):
        await quick.start(alone, "x", series="a b")


def test_a_note_makes_no_marks_on_the_page() -> None:
    from datetime import UTC, datetime

    from perdure.runtime.progress import Note

    note = Note(text="# no\n[x](http://evil) <script> \x1b[31m", run="r", at=datetime(2026, 1, 1, tzinfo=UTC))
    page = Handover(series="s", number=1, notes=(note,)).markdown()
    assert "\n# no" not in page and "[x](" not in page and "\x1b" not in page
    assert page.count("<script>") == 0


def _plain(app: App) -> Store:
    store = app.store
    assert isinstance(store, SealedStore)
    return store.inner


async def _delete(app: App, keys: list[CellKey]) -> None:
    gone = dict.fromkeys(keys)
    await app.store.amend(Amendment(keys, lambda _cells, _now: (gone, None)))
