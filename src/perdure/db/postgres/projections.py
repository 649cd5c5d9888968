"""Projections in PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.ids import RunRef
from ...journal import (
    COUNTS,
    TALLY_COLUMNS,
    CellKey,
    Counts,
    Entry,
    FiguresRow,
    ListedRuns,
    Projected,
    RunQuery,
    TallyKey,
    TallyQuery,
    ToFold,
    Unfolded,
)
from ..listing import Ahead, Found, listed, narrowed, searched
from ..run_rows import also, figures_row
from . import queries, rows
from .arrays import Ints, Texts
from .batch import BatchWriter
from .connection import Link, Row

__all__ = ["ProjectionRows"]

T = TypeVar("T")

PLACE = """
    select coalesce((select cursor from perdure.projected), -1),
        (select coalesce(max(n), -1) + 1 from perdure.audit_leaves), (select until from perdure.projected)
"""
BEGIN_PLACE = "insert into perdure.projected (one, cursor) values (1, -1) on conflict do nothing"
# Whoever else folds now is not waited for: what was read here will not be written anyway.
LOCK_PLACE = "select cursor, until from perdure.projected for update skip locked"
_RUN_WIDTH = len(queries.RUN_COLUMNS.split(", "))
_FIGURES = "f.rid, f.folded, f.goal, f.money, f.figures, f.state"
UNFOLDED = f"""
    select {queries.RUN_COLUMNS}, {_FIGURES}, f.stale
    from (
        select rid, max(seq) as seq from perdure.audit_leaves where n > %(cursor)s and n <= %(until)s group by rid
    ) m
    join perdure.runs r on r.rid = m.rid left join perdure.run_figures f on f.rid = m.rid
    where f.rid is null or f.stale or f.folded < m.seq order by r.rid
"""
TRACES = """
    select e.* from unnest(%(rids)s::bigint[], %(seqs)s::bigint[]) as a (rid, seq)
    cross join lateral (
        select rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
            case when kind = any(%(kinds)s::bigint[]) then coalesce(payload,
                (select data from perdure.blobs b where b.address = e.blob
                    and b.tenant = (select tenant from perdure.runs r where r.rid = e.rid))) else '' end, hash
        from perdure.entries e where e.rid = a.rid and e.seq > a.seq order by e.seq limit %(limit)s
    ) e
    order by e.rid, e.seq limit %(limit)s
"""
PUT_FIGURES = """
    insert into perdure.run_figures as f (rid, folded, goal, search, money, figures, state, pruned)
    select v.rid, v.folded, case when not p.pruned then nullif(v.goal, '') end,
        case when not p.pruned then nullif(v.search, '') end, v.money, v.figures, v.state, p.pruned
    from unnest(%(rid)s::bigint[], %(folded)s::bigint[], %(goal)s::text[], %(search)s::text[], %(money)s::bigint[],
        %(figures)s::text[], %(state)s::text[]) as v (rid, folded, goal, search, money, figures, state),
    lateral (
        select exists (select from perdure.runs r where r.rid = v.rid and r.pruned_at is not null) as pruned
    ) p
    order by v.rid
    on conflict (rid) do update set folded = excluded.folded, stale = false, money = excluded.money,
        figures = excluded.figures, state = excluded.state, pruned = f.pruned or excluded.pruned,
        goal = case when not f.pruned then excluded.goal end,
        search = case when not f.pruned then excluded.search end
"""
_KEY = ", ".join(TALLY_COLUMNS)
_TYPES = {"grain": "bigint", "at": "bigint"}
_KEY_ARRAYS = ", ".join(f"%({c})s::{_TYPES.get(c, 'text')}[]" for c in TALLY_COLUMNS)
ADD_TALLIES = (
    f"insert into perdure.tallies as t ({_KEY}, {', '.join(COUNTS)}) "
    f"select * from unnest({_KEY_ARRAYS}, {', '.join(f'%({c})s::bigint[]' for c in COUNTS)}) "
    f"on conflict ({_KEY}) do update set {', '.join(f'{c} = t.{c} + excluded.{c}' for c in COUNTS)}"
)
DROP_EMPTY = f"""
    delete from perdure.tallies t using unnest({_KEY_ARRAYS}) as v ({_KEY})
    where {" and ".join(f"t.{c} = v.{c}" for c in TALLY_COLUMNS)} and t.n = 0
"""
SET_PLACE = "update perdure.projected set cursor = %(to)s, until = %(until)s"
DROP_TALLIES = "delete from perdure.tallies"
ALL_STALE = "update perdure.run_figures set stale = true"
DROP_STALE = "delete from perdure.run_figures where stale"
GET_FIGURES = f"select {_FIGURES} from perdure.run_figures f where f.rid = any(%(rids)s::bigint[])"
NAME = "select tenant, id from perdure.runs where rid = %(rid)s"


class ProjectionRows:
    """The part of `PostgresStore` that keeps projections."""

    if TYPE_CHECKING:

        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True, cells: Sequence[CellKey] = ()
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Link], T]) -> T: ...

    async def projected(self) -> Projected:
        """How far the projections go."""
        return await self._query(_place)

    async def unfolded(self, *, limit: int = 256) -> Unfolded:
        """The runs of the next leaves, each once, but for those that were folded further."""

        def run(c: Link) -> Unfolded:
            place = _place(c)
            until = min(place.cursor + limit, place.size - 1)
            found = c.execute(UNFOLDED, {"cursor": place.cursor, "until": until}).fetchall()
            return Unfolded(cursor=place.cursor, next=until, runs=[_to_fold(row) for row in found])

        return await self._query(run)

    async def traces(
        self, after: Sequence[tuple[int, int]], kinds: Sequence[int], *, limit: int = 5000
    ) -> list[tuple[int, Entry]]:
        """Entries of some runs, those of `kinds` with their payloads."""
        values = {
            "rids": Ints([rid for rid, _ in after]),
            "seqs": Ints([seq for _, seq in after]),
            "kinds": Ints([int(kind) for kind in kinds]),
            "limit": limit,
        }
        found = await self._query(lambda c: c.execute(TRACES, values).fetchall())
        return [(row[0], Entry(*row[1:])) for row in found]

    async def fold(
        self, cursor: int, to: int, rows: Sequence[FiguresRow], tallies: Mapping[TallyKey, Counts]
    ) -> bool:
        """Write what was folded, where nobody was first."""

        def run(w: BatchWriter) -> bool:
            c = w.link
            if cursor < 0:
                c.execute(BEGIN_PLACE)
            place = c.execute(LOCK_PLACE).fetchone()
            if place is None or place[0] != cursor:
                return False
            if rows:
                c.execute(PUT_FIGURES, _figure_columns(rows))
            # In the order of their keys, as every other list of rows is locked.
            keys = sorted(tallies)
            if keys:
                c.execute(ADD_TALLIES, {**_key_columns(keys), **_count_columns([tallies[k] for k in keys])})
                emptied = [key for key in keys if tallies[key][0] < 0]
                if emptied:
                    c.execute(DROP_EMPTY, _key_columns(emptied))
            whole = place[1] is None or to >= place[1]
            c.execute(SET_PLACE, {"to": to, "until": None if whole else place[1]})
            if whole and place[1] is not None:
                c.execute(DROP_STALE)
            return True

        return await self._change(run, news=False)

    async def drop_projections(self) -> int:
        """Begin again with the first leaf."""

        def run(w: BatchWriter) -> int:
            c = w.link
            c.execute(BEGIN_PLACE)
            c.execute("select from perdure.projected for update")
            until = _place(c).size - 1
            c.execute(DROP_TALLIES)
            c.execute(ALL_STALE)
            c.execute(SET_PLACE, {"to": -1, "until": until if until >= 0 else None})
            return until

        return await self._change(run, news=False)

    async def tallies(self, query: TallyQuery) -> list[tuple[tuple[str | int, ...], Counts]]:
        """Tallies, added up by the columns asked for."""
        sql, values = _tally_query(query)
        width = len(query.by)
        found = await self._query(lambda c: c.execute(sql, values).fetchall())
        return sorted((row[:width], row[width:]) for row in found)

    async def figures(self, rids: Sequence[int]) -> dict[int, FiguresRow]:
        """What is kept of some runs."""
        values = {"rids": Ints([*rids])}
        found = await self._query(lambda c: c.execute(GET_FIGURES, values).fetchall())
        return {row[0]: FiguresRow(*row) for row in found if row[1]}

    async def figured(
        self,
        query: RunQuery,
        *,
        money_above: int | None = None,
        goal_has: str | None = None,
        window: int = 10_000,
    ) -> ListedRuns:
        """Runs with their figures, the newest first."""
        by = narrowed(query, more=money_above is not None or goal_has is not None)
        where, values = rows.conditions(query, page=False)
        if money_above is not None:
            where, values = also(where, "f.money > %(money_above)s"), {**values, "money_above": money_above}
        if goal_has is not None:
            has = '(position(%(has)s in f.search) > 0 or position(%(has)s in lower(r.id collate "C")) > 0)'
            where, values = also(where, has), {**values, "has": searched(goal_has)}
        ahead = _ahead(by)
        looking = f"select count(*), min(rid) from ({ahead}) a"
        choosing = f"""
            select {queries.RUN_COLUMNS}, {_FIGURES} from ({ahead}) a join perdure.runs r on r.rid = a.rid
            left join perdure.run_figures f on f.rid = r.rid {where} order by r.rid desc limit %(page)s
        """
        values |= {f"by_{column}": value for column, value in by.equals.items()}
        values |= {f"by_status{i}": status for i, status in enumerate(by.statuses)}

        def run(c: Link) -> ListedRuns:
            def look(before: int, n: int) -> tuple[int, int | None]:
                count, last = c.execute(looking, {**values, "below": before, "n": n}).fetchone() or (0, None)
                return count, last

            def matching(before: int, n: int, limit: int) -> list[Found]:
                found = c.execute(choosing, {**values, "below": before, "n": n, "page": limit})
                return [(rows.record(row[:_RUN_WIDTH]), figures_row(row[_RUN_WIDTH:])) for row in found]

            def name(rid: int) -> RunRef:
                row = c.execute(NAME, {"rid": rid}).fetchone()
                assert row is not None
                return RunRef(*row)

            return listed(query, exact=by.exact, window=window, ahead=look, matching=matching, name=name)

        return await self._query(run)


def _place(c: Link) -> Projected:
    row = c.execute(PLACE).fetchone()
    assert row is not None
    return Projected(*row)


def _to_fold(row: Row) -> ToFold:
    return ToFold(run=rows.record(row[:_RUN_WIDTH]), row=figures_row(row[_RUN_WIDTH:-1]), stale=bool(row[-1]))


def _ahead(by: Ahead) -> str:
    """The runs that an index finds, the newest first: their `rid`."""
    equals = [f"{column} = %(by_{column})s" for column in by.equals]

    def one(*more: str) -> str:
        where = " and ".join([*equals, *more, "rid < %(below)s"])
        return f"select rid from perdure.runs where {where} order by rid desc limit %(n)s"

    if not by.statuses:
        return one()
    each = " union all ".join(f"({one(f'status = %(by_status{i})s')})" for i in range(len(by.statuses)))
    return f"select rid from ({each}) s order by rid desc limit %(n)s"


def _tally_query(query: TallyQuery) -> tuple[str, dict[str, Any]]:
    by = list(query.by)
    if not set(by) | set(query.where) <= set(TALLY_COLUMNS):
        raise ValueError(f"`{by}` are not columns of a tally")
    where = ["grain = %(grain)s"]
    values: dict[str, Any] = {"grain": query.grain}
    for name, condition, value in (
        ("since", "at >= %(since)s", query.since),
        ("until", "at < %(until)s", query.until),
    ):
        if value is not None:
            where.append(condition)
            values[name] = value
    for column, wanted in query.where.items():
        where.append(f"{column} = any(%({column})s::text[])")
        values[column] = [*wanted]
    where.append("label <> ''" if "label" in {*by, *query.where} else "label = ''")
    sums = ", ".join(f"sum({c})::bigint" for c in COUNTS)
    group = f"group by {', '.join(by)}" if by else "having count(*) > 0"
    columns = "".join(f"{c}, " for c in by)
    return f"select {columns}{sums} from perdure.tallies where {' and '.join(where)} {group}", values


def _figure_columns(found: Sequence[FiguresRow]) -> dict[str, Any]:
    goals = [row.goal or "" for row in found]
    return {
        "rid": Ints([row.rid for row in found]),
        "folded": Ints([row.folded for row in found]),
        "goal": Texts(goals),
        "search": Texts([searched(goal) for goal in goals]),
        "money": Ints([row.money for row in found]),
        "figures": Texts([row.figures for row in found]),
        "state": Texts([row.state for row in found]),
    }


def _key_columns(keys: Sequence[TallyKey]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for i, column in enumerate(TALLY_COLUMNS):
        values: list[Any] = [key[i] for key in keys]
        columns[column] = Ints(values) if column in _TYPES else Texts(values)
    return columns


def _count_columns(counts: Sequence[Counts]) -> dict[str, Any]:
    return {name: Ints([row[i] for row in counts]) for i, name in enumerate(COUNTS)}
