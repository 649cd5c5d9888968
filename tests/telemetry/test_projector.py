"""What is folded bit by bit is what a rebuild makes, to the byte; and it is what the journals say."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import App, open_store
from perdure.governance import charges
from perdure.identity import MasterKeys
from perdure.journal import COUNTS, Grain, RunQuery, TallyColumn, TallyQuery
from perdure.telemetry import Projector, projections_digest
from perdure.views.runs import run_row
from tests.places import SqlitePlace

from .desk import asked, desk, fold, settled


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    url = {"memory": "memory://", "sqlite": f"sqlite:///{tmp_path / 'store.db'}"}.get(request.param)
    store = open_store(url or request.getfixturevalue("postgres_url"))
    app = desk(store)
    async with app:
        yield app


async def everyday(app: App) -> None:
    """Runs that are folded while they go on: paid, refused, failed early; one waits; what became of one is said."""
    await app.start("clerk", {"item": "book", "for": "Ann"}, run_id="paid", labels={"team": "red"})
    await app.start("clerk", {"item": "pen", "for": "Bob"}, run_id="refused")
    await app.start("clerk", {"item": "nothing", "for": "Cid"}, run_id="early", labels={"team": "blue"})
    await app.start("clerk", {"item": "cup", "for": "Dee"}, run_id="asks")
    for run in ("paid", "refused", "asks"):
        await asked(app, run)
    await fold(app.store)
    await app.answer("paid", "ask", approved=True, by="eve")
    await app.answer("refused", "ask", approved=False, by="eve")
    await settled(app, "paid", "refused", "early")
    await fold(app.store)
    await app.outcome("paid", True, by="eve")
    await fold(app.store)
    await app.outcome("paid", False, by="zoe")
    await app.outcome("early", False, by="zoe")
    await fold(app.store)


async def rebuilt(app: App) -> str:
    """The digest after a rebuild."""
    told = [step async for step in Projector(app.store).rebuild()]
    assert (told[0].done, told[-1].done) == (0, told[-1].of)
    return await projections_digest(app.store)


async def test_a_rebuild_comes_to_the_same_bytes(app: App) -> None:
    await everyday(app)
    bit_by_bit = await projections_digest(app.store)
    assert await rebuilt(app) == bit_by_bit
    assert (await app.store.projected()).until is None

    await app.store.prune(app.ref("paid"))
    pruned = await projections_digest(app.store)
    assert pruned != bit_by_bit, "its goal is gone"
    row = await run_row(app.store, app.ref("paid"))
    assert row is not None and row.figures is not None and row.figures.goal is None
    assert (row.figures.met, row.figures.approvals) == (False, 1), "what it came to is kept"
    assert await rebuilt(app) == pruned


async def test_two_who_fold_count_once(app: App) -> None:
    await everyday(app)
    alone = await projections_digest(app.store)
    await app.store.drop_projections()
    one, two = Projector(app.store), Projector(app.store)
    await asyncio.gather(one.catch_up(), two.catch_up())
    assert await projections_digest(app.store) == alone


async def test_tallies_are_what_the_journals_were_charged(app: App) -> None:
    """By each column, what `perdure cost` adds up from the journals."""
    await everyday(app)
    runs = await app.store.find(RunQuery())
    met = await app.last_outcomes([run.ref for run in runs])
    said = {True: "met", False: "not-met", None: ""}
    sums: dict[str, Counter[str]] = {
        by: Counter() for by in ("agent", "model", "tool", "outcome", "label", "all")
    }
    tokens = unpriced = 0
    async for charged in charges(app.store, runs):
        line, run = charged.line, charged.run
        assert line is not None
        spent = line.amount.money
        sums["all"][""] += spent
        sums["agent"][run.agent] += spent
        if line.what in ("model", "tool"):
            sums[line.what][line.name] += spent
        sums["outcome"][said[met.get(run.ref)]] += spent
        if "team" in run.labels:
            sums["label"][f'["team", "{run.labels["team"]}"]'] += spent
        tokens += line.amount.tokens
        unpriced += line.unpriced

    paid: dict[TallyColumn, list[str]] = {"what": ["model", "step", "human"]}
    assert await money(app, paid) == sums["all"]
    assert await money(app, paid, "agent") == sums["agent"]
    assert await money(app, {"what": ["model"]}, "name") == sums["model"]
    assert +(await money(app, {"what": ["step"]}, "name")) == sums["tool"], "what is free costs nothing"
    assert await money(app, paid, "outcome") == sums["outcome"]
    assert await money(app, paid, "label", grain=Grain.DAY) == sums["label"]
    for grain in (Grain.DAY, Grain.HOUR):
        assert await money(app, paid, grain=grain) == sums["all"]
    ((_, counts),) = await app.store.tallies(TallyQuery(by=(), where=paid))
    told = dict(zip(COUNTS, counts, strict=True))
    assert told["input_tokens"] + told["output_tokens"] == tokens > 0
    assert told["unpriced"] == unpriced > 0

    figures = [row for run in runs if (row := await run_row(app.store, run.ref)) is not None]
    assert sum(row.figures.money for row in figures if row.figures is not None) == sums["all"][""]


async def money(
    app: App, where: dict[TallyColumn, list[str]], *by: TallyColumn, grain: int = Grain.TOTAL
) -> Counter[str]:
    found = await app.store.tallies(TallyQuery(by=by, where=where, grain=grain))
    return Counter({str(group[0]) if group else "": c[COUNTS.index("money")] for group, c in found})


async def test_the_figures_of_a_run(app: App) -> None:
    await everyday(app)
    row = await run_row(app.store, app.ref("refused"))
    assert row is not None and row.figures is not None and row.current
    found = row.figures
    assert found.goal == "item: pen, for: Bob"
    assert (found.model_calls, found.input_tokens, found.output_tokens) == (2, 200, 100)
    assert (found.money, found.unpriced) == (600_000 + 250_000_000, 1)
    assert (found.approvals, found.guardrails, found.errors, found.retries) == (1, 1, 0, 0)
    assert (found.confidence, found.least_confidence, found.met) == (0.8, 0.8, None)
    assert found.step == "ask" and 0 < found.active < row.wall(app.store.now())
    early = await run_row(app.store, app.ref("early"))
    assert early is not None and early.figures is not None
    assert (early.figures.errors, early.figures.met) == (1, False)


async def test_how_runs_stand_and_end_is_counted(app: App) -> None:
    await everyday(app)

    async def counted(what: str, column: str = "n") -> dict[str, int]:
        of: dict[TallyColumn, list[str]] = {"what": [what], "agent": ["clerk"]}
        found = await app.store.tallies(TallyQuery(by=("name",), where=of))
        return {str(group[0]): c[COUNTS.index(column)] for group, c in found}

    assert await counted("run") == {"started": 4, "succeeded": 1, "failed": 2}
    assert await counted("standing") == {"waiting:approval": 1}
    assert (await counted("wait"))["approval"] == 2
    calls, errors = await counted("step", "calls"), await counted("step", "errors")
    assert (calls["look"], calls["pay"], errors["look"], errors["pay"]) == (4, 1, 1, 0)
    assert await counted("model", "calls") == {"fake:small": 3, "fake:free": 3}
    await app.cancel("asks")
    await settled(app, "asks")
    await fold(app.store)
    assert await counted("standing") == {}
    assert (await counted("run"))["cancelled"] == 1


async def test_of_a_run_about_a_person_no_text_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and names of steps are; and they stay what they are when the person is erased."""
    monkeypatch.setenv("PERDURE_MASTER_KEY", MasterKeys.new())
    path = tmp_path / "store.db"
    async with desk(f"sqlite:///{path}") as app:
        order = {"item": "crutches", "for": "Ann"}
        await app.start("clerk", order, run_id="r1", subject="user:ann")
        await asked(app, "r1")
        await app.answer("r1", "ask", approved=True, by="eve")
        await settled(app, "r1")
        await fold(app.store)
        row = await run_row(app.store, app.ref("r1"))
        assert row is not None and row.figures is not None
        assert (row.figures.approvals, row.figures.model_calls, row.figures.confidence) == (1, 2, 0.8)
        before = await projections_digest(app.store)
        assert await rebuilt(app) == before
        await app.erase("user:ann", by="eve")
        await fold(app.store)
        erased = await projections_digest(app.store)
        assert await rebuilt(app) == erased
        again = await run_row(app.store, app.ref("r1"))
        assert again is not None and again.figures == row.figures
    kept = "".join(str(r) for r in SqlitePlace().sql(f"sqlite:///{path}", "select * from run_figures"))
    assert "crutches" not in kept and "approval" in kept
