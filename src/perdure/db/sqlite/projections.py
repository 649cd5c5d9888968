"""Projections in SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ...core.ids import RunRef
from ...journal import (
    COUNTS,
    TALLY_COLUMNS,
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
from . import queries
from .batch import BatchWriter
from .connection import Connection, Row
from .past import conditions
from .rows import record

__all__ = ["ProjectionRows", "those_of"]

T = TypeVar("T")

PLACE = """
    select coalesce((select cursor from projected), -1), coalesce((select max(n) from audit_leaves), -1) + 1,
        (select until from projected)
"""
_RUN = ", ".join(f"r.{column}" for column in queries.RUN_COLUMNS.split(", "))
_RUN_WIDTH = len(queries.RUN_COLUMNS.split(", "))
_FIGURES = "f.rid, f.folded, f.goal, f.money, f.figures, f.state"
UNFOLDED = f"""
    select {_RUN}, {_FIGURES}, f.stale
    from (select rid, max(seq) as seq from audit_leaves where n > ?1 and n <= ?2 group by rid) m
    join runs r on r.rid = m.rid left join run_figures f on f.rid = m.rid
    where f.rid is null or f.stale or f.folded < m.seq order by r.rid
"""
TRACES = """
    select rid, seq, format, kind, key, at, took, actor, epoch, codec, fingerprint, salt,
        case when kind in ({kinds}) then coalesce(payload, (select data from blobs b where b.address = entries.blob
            and b.tenant = (select tenant from runs r where r.rid = entries.rid))) else x'' end, hash
    from entries where rid = ?1 and seq > ?2 order by seq limit ?3
"""
PUT_FIGURES = """
    insert into run_figures (rid, folded, goal, search, money, figures, state, pruned)
    select ?1, ?2, iif(p.pruned, null, ?3), iif(p.pruned, null, ?4), ?5, ?6, ?7, p.pruned
    from (select exists (select 1 from runs where rid = ?1 and pruned_at is not null) as pruned) p where true
    on conflict do update set folded = excluded.folded, stale = 0, money = excluded.money, figures = excluded.figures,
        state = excluded.state, goal = iif(pruned, null, excluded.goal), search = iif(pruned, null, excluded.search)
"""
_COUNTS = ", ".join(COUNTS)
ADD_TALLY = (
    f"insert into tallies ({', '.join(TALLY_COLUMNS)}, {_COUNTS}) "
    f"values ({', '.join('?' * (len(TALLY_COLUMNS) + len(COUNTS)))}) "
    f"on conflict do update set {', '.join(f'{c} = {c} + excluded.{c}' for c in COUNTS)}"
)
DROP_EMPTY = f"delete from tallies where {' and '.join(f'{c} = ?' for c in TALLY_COLUMNS)} and n = 0"
SET_PLACE = """
    insert into projected (one, cursor, until) values (1, ?1, ?2)
    on conflict do update set cursor = excluded.cursor, until = excluded.until
"""
DROP_TALLIES = "delete from tallies"
ALL_STALE = "update run_figures set stale = 1"
DROP_STALE = "delete from run_figures where stale"
GET_FIGURES = f"select {_FIGURES} from run_figures f where f.rid in (select value from json_each(?))"
NAME = "select tenant, id from runs where rid = ?"


class ProjectionRows:
    """The part of `SqliteStore` that keeps projections."""

    if TYPE_CHECKING:

        def _change(
            self, function: Callable[[BatchWriter], T], *, news: bool = True
        ) -> asyncio.Future[T]: ...
        async def _query(self, function: Callable[[Connection], T]) -> T: ...

    async def projected(self) -> Projected:
        """How far the projections go."""
        return await self._query(_place)

    async def unfolded(self, *, limit: int = 256) -> Unfolded:
        """The runs of the next leaves, each once, but for those that were folded further."""

        def run(c: Connection) -> Unfolded:
            place = _place(c)
            until = min(place.cursor + limit, place.size - 1)
            rows = c.execute(UNFOLDED, (place.cursor, until)).fetchall()
            return Unfolded(cursor=place.cursor, next=until, runs=[_to_fold(row) for row in rows])

        return await self._query(run)

    async def traces(
        self, after: Sequence[tuple[int, int]], kinds: Sequence[int], *, limit: int = 5000
    ) -> list[tuple[int, Entry]]:
        """Entries of some runs, those of `kinds` with their payloads."""
        sql = TRACES.format(kinds=", ".join(str(int(kind)) for kind in kinds))

        def run(c: Connection) -> list[tuple[int, Entry]]:
            found: list[tuple[int, Entry]] = []
            for rid, seq in after:
                if len(found) >= limit:
                    break
                found += [(row[0], Entry(*row[1:])) for row in c.execute(sql, (rid, seq, limit - len(found)))]
            return found

        return await self._query(run)

    async def fold(
        self, cursor: int, to: int, rows: Sequence[FiguresRow], tallies: Mapping[TallyKey, Counts]
    ) -> bool:
        """Write what was folded, where nobody was first."""

        def run(w: BatchWriter) -> bool:
            c = w.connection
            place = _place(c)
            if place.cursor != cursor:
                return False
            for row in rows:
                search = None if row.goal is None else searched(row.goal)
                values = (row.rid, row.folded, row.goal, search, row.money, row.figures, row.state)
                c.execute(PUT_FIGURES, values)
            for key, counts in tallies.items():
                c.execute(ADD_TALLY, (*key, *counts))
                if counts[0] < 0:
                    c.execute(DROP_EMPTY, key)
            whole = place.until is None or to >= place.until
            c.execute(SET_PLACE, (to, None if whole else place.until))
            if whole and place.until is not None:
                c.execute(DROP_STALE)
            return True

        return await self._change(run, news=False)

    async def drop_projections(self) -> int:
        """Begin again with the first leaf."""

        def run(w: BatchWriter) -> int:
            c = w.connection
            until = _place(c).size - 1
            c.execute(DROP_TALLIES)
            c.execute(ALL_STALE)
            c.execute(SET_PLACE, (-1, until if until >= 0 else None))
            return until

        return await self._change(run, news=False)

    async def tallies(self, query: TallyQuery) -> list[tuple[tuple[str | int, ...], Counts]]:
        """Tallies, added up by the columns asked for."""
        sql, values = _tally_query(query)
        width = len(query.by)
        rows = await self._query(lambda c: c.execute(sql, values).fetchall())
        return sorted((row[:width], row[width:]) for row in rows)

    async def figures(self, rids: Sequence[int]) -> dict[int, FiguresRow]:
        """What is kept of some runs."""
        values = (f"[{','.join(str(int(rid)) for rid in rids)}]",)
        rows = await self._query(lambda c: c.execute(GET_FIGURES, values).fetchall())
        return {row[0]: FiguresRow(*row) for row in rows}

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
        ahead = _ahead(by)
        where, values = conditions(query, page=False)
        if money_above is not None:
            where, values = also(where, "f.money > ?"), [*values, money_above]
        if goal_has is not None:
            text = searched(goal_has)
            where = also(where, "(instr(f.search, ?) or instr(lower(r.id), ?))")
            values = [*values, text, text]
        looking = f"select count(*), min(rid) from ({ahead})"
        choosing = those_of(by, where)

        def run(c: Connection) -> ListedRuns:
            def look(before: int, n: int) -> tuple[int, int | None]:
                count, last = c.execute(looking, _bound(by, before, n)).fetchone() or (0, None)
                return count, last

            def matching(before: int, n: int, limit: int) -> list[Found]:
                rows = c.execute(choosing, [*_bound(by, before, n), *values, limit])
                return [(record(row[:_RUN_WIDTH]), figures_row(row[_RUN_WIDTH:])) for row in rows]

            def name(rid: int) -> RunRef:
                row = c.execute(NAME, (rid,)).fetchone()
                assert row is not None
                return RunRef(*row)

            return listed(query, exact=by.exact, window=window, ahead=look, matching=matching, name=name)

        return await self._query(run)


def _place(c: Connection) -> Projected:
    row = c.execute(PLACE).fetchone()
    assert row is not None
    return Projected(*row)


def _to_fold(row: Row) -> ToFold:
    return ToFold(run=record(row[:_RUN_WIDTH]), row=figures_row(row[_RUN_WIDTH:-1]), stale=bool(row[-1]))


_INDEXES = {
    "parent": "runs_parent",
    "subject": "runs_subject",
    "principal": "runs_principal",
    "agent": "runs_agent",
}


def those_of(by: Ahead, where: str) -> str:
    """Of the runs that an index finds, those that match, with their figures.

    `cross join`: in this order. By itself the planner may begin with all runs of the tenant, and look for each of them
    in what the index found: a minute, of 50,000 runs.
    """
    return f"""
        select {_RUN}, {_FIGURES} from ({_ahead(by)}) c cross join runs r on r.rid = c.rid
        left join run_figures f on f.rid = r.rid {where} order by r.rid desc limit ?
    """


def _ahead(by: Ahead) -> str:
    """The runs that an index finds, the newest first: their `rid`. Without the hint the planner may sort them all."""
    index = next((_INDEXES[column] for column in by.equals if column in _INDEXES), "runs_newest")
    if by.statuses:
        index = "runs_status"
    equals = [*by.equals, *(["status"] if by.statuses else [])]
    of = f"indexed by {index} where {' and '.join(f'{c} = ?' for c in equals)} and" if equals else "where"
    one = f"select rid from runs {of} rid < ? order by rid desc limit ?"
    if len(by.statuses) < 2:
        return one
    each = " union all ".join(f"select rid from ({one})" for _ in by.statuses)
    return f"select rid from ({each}) order by rid desc limit ?"


def _bound(by: Ahead, before: int, n: int) -> list[Any]:
    values: list[Any] = []
    for status in by.statuses or (None,):
        values += [*by.equals.values(), *(() if status is None else (status,)), before, n]
    return [*values, n] if len(by.statuses) > 1 else values


def _tally_query(query: TallyQuery) -> tuple[str, list[Any]]:
    by = list(query.by)
    if not set(by) | set(query.where) <= set(TALLY_COLUMNS):
        raise ValueError(f"`{by}` are not columns of a tally")
    where = ["grain = ?"]
    values: list[Any] = [query.grain]
    for condition, value in (("at >= ?", query.since), ("at < ?", query.until)):
        if value is not None:
            where.append(condition)
            values.append(value)
    for column, wanted in query.where.items():
        where.append(f"{column} in ({', '.join('?' * len(wanted))})")
        values += wanted
    where.append("label <> ''" if "label" in {*by, *query.where} else "label = ''")
    sums = ", ".join(f"sum({c})" for c in COUNTS)
    group = f"group by {', '.join(by)}" if by else "having count(*) > 0"
    columns = "".join(f"{c}, " for c in by)
    return f"select {columns}{sums} from tallies where {' and '.join(where)} {group}", values
