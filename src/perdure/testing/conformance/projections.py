"""Projections: written once with the place up to which they go, and dropped and made again."""

from __future__ import annotations

import pytest

from ...audit import LogGrower
from ...journal.entry import Kind
from ...journal.projections import COUNTS, FiguresRow, Grain, TallyKey, TallyQuery
from ...journal.state import RunStatus
from ...journal.store import RunQuery, Store
from ..journals import JournalBuilder
from ._scene import Scene, begin, claimed, record_of, release, run_ref, started

__all__ = ["ProjectionConformance"]


def row_of(rid: int, *, folded: int = 1, goal: str | None = "find Ann", money: int = 0) -> FiguresRow:
    """What is kept of a run."""
    return FiguresRow(rid, folded, goal, money, '{"folded":1}', '{"began":1}')


def key_of(name: str = "m", *, outcome: str = "", label: str = "", tenant: str = "acme") -> TallyKey:
    """A tally of a model."""
    return TallyKey(Grain.DAY, 0, tenant, "greeter", "1", "model", name, outcome, label)


def counts(n: int = 1, money: int = 0) -> list[int]:
    """So many facts, and so much money."""
    found = [0] * len(COUNTS)
    found[0], found[COUNTS.index("money")] = n, money
    return found


async def integrated(store: Store) -> None:
    """All heads that moved are leaves."""
    while (await store.integrate(LogGrower())).more:
        pass


@pytest.mark.asyncio
class ProjectionConformance(Scene):
    """What was folded is written once, whoever folds; lists hold runs that were not folded yet."""

    async def test_the_next_runs_are_those_whose_heads_moved(self, store: Store) -> None:
        """Each once, with its head; a page ends at a leaf, and what was folded further is left out."""
        for name in ("r1", "r2"):
            await started(store, name)
        await integrated(store)
        run = (await claimed(store)).run
        await store.append(JournalBuilder.of(run).append(b"1", b"2"))
        await integrated(store)

        assert await store.projected() == (-1, 3, None)
        page = await store.unfolded(limit=2)
        assert (page.cursor, page.next) == (-1, 1)
        assert [(f.run.ref.id, f.run.head, f.row, f.stale) for f in page.runs] == [
            ("r1", 3, None, False),
            ("r2", 1, None, False),
        ]
        r1, r2 = (f.run.rid for f in page.runs)
        assert await store.fold(-1, 1, [row_of(r1, folded=3), row_of(r2)], {})
        rest = await store.unfolded(limit=2)
        assert (rest.cursor, rest.next, rest.runs) == (1, 2, []), "the third leaf was folded with the first"
        assert await store.fold(1, 2, [], {})
        assert (await store.projected()).behind == 0
        assert await store.figures([r1, r2, 99]) == {r1: row_of(r1, folded=3), r2: row_of(r2)}

    async def test_of_two_who_fold_at_once_one_writes(self, store: Store) -> None:
        """The other's rows and tallies are nowhere."""
        rid = (await started(store)).rid
        await integrated(store)
        assert await store.fold(-1, 0, [row_of(rid)], {key_of(): counts()})
        assert not await store.fold(-1, 0, [row_of(rid, goal="another")], {key_of(): counts(5)})
        assert (await store.figures([rid]))[rid].goal == "find Ann"
        assert [c[0] for _, c in await store.tallies(TallyQuery(by=("name",), grain=Grain.DAY))] == [1]

    async def test_traces_hold_the_payloads_that_are_read(self, store: Store) -> None:
        """By run and number, behind what each has; also where a payload lies in a blob."""
        large = b'"' + b"x" * 100_000 + b'"'
        one = (await claimed(store)).run
        await store.append(JournalBuilder.of(one).append(b"1", large))
        two = await started(store, "r2")
        found = await store.traces([(one.rid, 1), (two.rid, 0)], [Kind.RESULT])
        assert [(rid, e.seq, e.payload) for rid, e in found] == [
            (one.rid, 2, b"1"),
            (one.rid, 3, large),
            (two.rid, 1, b""),
        ]
        assert all(e.salt for _, e in found if e.payload)
        short = await store.traces([(one.rid, 0), (two.rid, 0)], [], limit=2)
        assert [(rid, e.seq, e.payload) for rid, e in short] == [(one.rid, 1, b""), (one.rid, 2, b"")]

    async def test_tallies_are_added_up_by_what_is_asked(self, store: Store) -> None:
        """Those of one label are another question; one that comes to nothing is gone."""
        label = '["team", "red"]'
        await started(store)
        await integrated(store)
        tallies = {
            key_of("a"): counts(1, 10),
            key_of("a", outcome="met"): counts(2, 20),
            key_of("b"): counts(4, 40),
            key_of("b", tenant="other"): counts(8, 80),
            key_of("", label=label): counts(16, 160),
        }
        assert await store.fold(-1, 0, [], tallies)

        async def asked(query: TallyQuery) -> list[tuple[object, ...]]:
            return [(*group, c[0], c[COUNTS.index("money")]) for group, c in await store.tallies(query)]

        day = Grain.DAY
        assert await asked(TallyQuery(by=(), grain=day)) == [(15, 150)]
        assert await asked(TallyQuery(by=("name",), grain=day)) == [("a", 3, 30), ("b", 12, 120)]
        mine = TallyQuery(by=("name", "outcome"), grain=day, where={"tenant": ["acme"], "name": ["a", "c"]})
        assert await asked(mine) == [("a", "", 1, 10), ("a", "met", 2, 20)]
        assert await asked(TallyQuery(by=("label",), grain=day)) == [(label, 16, 160)]
        assert await asked(TallyQuery(by=(), grain=day, since=1)) == []
        assert await asked(TallyQuery(by=(), grain=day, until=0)) == []
        assert await asked(TallyQuery(by=("name",))) == [], "of all time nothing was added"
        assert await store.fold(0, 0, [], {key_of("a"): counts(-1, -10), key_of("c"): counts(1)})
        assert await asked(mine) == [("a", "met", 2, 20), ("c", "", 1, 0)]

    async def test_what_was_dropped_is_made_again_from_the_first_leaf(self, store: Store) -> None:
        """Rows stay until they are folded anew, and say that they are old; at the end none is left that was not."""
        rids = [(await started(store, name)).rid for name in ("r1", "r2")]
        await integrated(store)
        assert await store.fold(-1, 1, [row_of(rid) for rid in rids], {key_of(): counts()})
        assert await store.drop_projections() == 1
        assert await store.projected() == (-1, 2, 1)
        assert await store.tallies(TallyQuery(by=("name",), grain=Grain.DAY)) == []
        page = await store.unfolded()
        assert [(f.run.rid, f.row, f.stale) for f in page.runs] == [(rid, row_of(rid), True) for rid in rids]
        assert await store.fold(-1, 0, [row_of(rids[0], money=7)], {})
        assert await store.projected() == (0, 2, 1)
        assert await store.fold(0, 1, [], {})
        assert await store.projected() == (1, 2, None)
        assert await store.figures(rids) == {rids[0]: row_of(rids[0], money=7)}

    async def test_of_a_run_that_was_pruned_no_text_is_kept(self, store: Store) -> None:
        """Neither of one that was folded before, nor of one that is folded by somebody who read it before."""
        run = (await claimed(store)).run
        await release(store, run, RunStatus.SUCCEEDED)
        other = (await claimed(store, "r2")).run
        await release(store, other, RunStatus.SUCCEEDED)
        await integrated(store)
        assert await store.fold(-1, 0, [row_of(run.rid, money=5)], {})
        for name in ("r1", "r2"):
            await store.prune(run_ref(name))
        assert await store.figures([run.rid, other.rid]) == {run.rid: row_of(run.rid, goal=None, money=5)}
        assert await store.fold(0, 1, [row_of(run.rid), row_of(other.rid)], {})
        found = await store.figures([run.rid, other.rid])
        assert [found[rid].goal for rid in (run.rid, other.rid)] == [None, None]
        assert not (await store.figured(RunQuery(), goal_has="ann")).rows

    async def test_runs_are_listed_with_their_figures(self, store: Store) -> None:
        """Also those that were not folded yet; by cost, and by a part of the goal or the id, whatever its case."""
        rids = [
            (await store.create(begin(f"r{n}", labels={"n": str(n % 2)}, agent="ab"[n % 2])))[0].rid
            for n in range(6)
        ]
        await integrated(store)
        goals = ["find Ann", "pay Bob", "FIND Öl", None, "pay Ann"]
        rows = [
            row_of(rid, goal=goal, money=n) for n, (rid, goal) in enumerate(zip(rids, goals, strict=False))
        ]
        assert await store.fold(-1, 5, rows, {})

        async def asked(query: RunQuery, **more: object) -> list[str]:
            found = await store.figured(query, **more)  # type: ignore[arg-type]
            assert all(row is None or row.rid == run.rid for run, row in found.rows)
            return [run.ref.id for run, _ in found.rows]

        whole = await store.figured(RunQuery(tenant="default"))
        assert [(r.ref.id, None if f is None else f.money) for r, f in whole.rows] == [
            ("r5", None),
            *((f"r{n}", n) for n in (4, 3, 2, 1, 0)),
        ]
        assert whole.last is None
        assert await asked(RunQuery(tenant="default"), money_above=2) == ["r4", "r3"]
        assert await asked(RunQuery(tenant="default"), goal_has="ANN") == ["r4", "r0"]
        assert await asked(RunQuery(tenant="default"), goal_has="öL") == ["r2"]
        assert await asked(RunQuery(tenant="default"), goal_has="R5") == ["r5"]
        assert await asked(RunQuery(tenant="default"), goal_has="\0") == ["r4", "r2", "r1", "r0"]
        assert await asked(RunQuery(tenant="default", agent="a"), goal_has="find") == ["r2", "r0"]
        assert await asked(RunQuery(tenant="default", labels={"n": "1"}), money_above=1) == ["r3"]
        assert await asked(RunQuery(tenant="elsewhere")) == []
        pending = frozenset({RunStatus.PENDING, RunStatus.WAITING})
        assert await asked(RunQuery(statuses=pending, tenant="default", agent="b")) == ["r5", "r3", "r1"]
        assert await asked(RunQuery(statuses=frozenset(RunStatus), tenant="default"), goal_has="pay") == [
            "r4",
            "r1",
        ]

    async def test_a_page_looks_at_no_more_runs_than_it_may(self, store: Store) -> None:
        """It ends there, and the next goes on behind."""
        for n in range(7):
            await started(store, f"r{n}")
        page = await store.figured(RunQuery(tenant="default"), goal_has="r0", window=3)
        assert page.last is not None and not page.rows
        seen: list[str] = []
        last = page.last
        while last is not None:
            before = (await record_of(store, last.id)).rid
            page = await store.figured(RunQuery(tenant="default", before=before), goal_has="r0", window=3)
            seen += [run.ref.id for run, _ in page.rows]
            last = page.last
        assert seen == ["r0"]
        first = await store.figured(RunQuery(tenant="default", limit=2))
        assert [run.ref.id for run, _ in first.rows] == ["r6", "r5"]
        assert first.last == run_ref("r5")
