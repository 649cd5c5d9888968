"""Working memory in SQLite: words in an index of FTS5, vectors in a table, read by their signs first."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ...core.clock import to_micros
from ...memory import Origin
from ...memory.working import Found, Part, Passage, Query, Space, SpaceHead, fused
from ...memory.working.cells import FORGOTTEN_FOR, check_id, due_of, id_of
from ...memory.working.port import check_parts
from ...memory.working.ranking import DEPTH, MEANING, WORDS, found, idf, weight
from ...memory.working.scoped import scoped, shares, telling
from ...memory.working.vectors import comparable, signs
from .connection import Connection, Row
from .store import SqliteStore

__all__ = ["SqliteWorking"]

COLUMNS = "i.n, i.number, i.id, i.part, i.kind, i.source, i.text, i.at, i.run, i.step, i.labels"
SPACE = "select id, items from working_spaces where tenant = ? and key = ?"
PUT_SPACE = """
    insert into working_spaces (tenant, key, items, began, changed) values (?1, ?2, ?3, ?4, ?4)
    on conflict (tenant, key) do update set items = items + ?3, changed = ?4 returning id
"""
SPACES = (
    "select key, items, began, changed from working_spaces where tenant = ? and key > ? order by key limit ?"
)
KNOWN = """
    select exists (select 1 from working_items i join working_spaces s on s.id = i.space
            where s.tenant = ?1 and s.key = ?2 and i.id = ?3)
        or exists (select 1 from working_forgotten f join working_spaces s on s.id = f.space
            where s.tenant = ?1 and s.key = ?2 and f.id = ?3)
"""
NEXT = "select coalesce(max(n), 0) + 1 from working_items"
ADD = """
    insert into working_items (n, number, space, id, part, kind, source, text, run, step, labels, at, due)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
ADD_MODEL = "insert into working_models (name) values (?) on conflict do nothing"
MODEL = "select id from working_models where name = ?"
ADD_VECTOR = "insert into working_vectors (n, space, model, vector) values (?, ?, ?, ?)"
ADD_SIGNS = "insert into working_signs (space, model, n, signs) values (?, ?, ?, ?)"
DROP_SIGNS = """
    delete from working_signs where (space, model, n) = (select space, model, n from working_vectors where n = ?)
"""
DROP_VECTOR = "delete from working_vectors where n = ?"
ADD_WORDS = "insert into working_words (rowid, words) values (?, ?)"
DROP_WORDS = "delete from working_words where rowid = ?"
DROP = "delete from working_items where n = ?"
FORGOTTEN = "insert or replace into working_forgotten (space, id, by, until) values (?, ?, ?, ?)"
FORGOTTEN_BY = "select exists (select 1 from working_forgotten where space = ? and id = ? and by = ?)"
# `indexed by`: a plan that cannot use its index is an error, and not a disaster that no small test shows.
OVER = "select n from working_items indexed by working_items_due where due is not null and due <= ? limit 100"
LONG_FORGOTTEN = "delete from working_forgotten where until <= ?"
GET = f"""
    select {COLUMNS} from working_items i where i.space = ? and i.id = ? and (i.due is null or i.due > ?)
    order by i.part
"""
NUMBERS = "select n from working_items where space = ? and id = ?"
NEWEST = f"""
    select {COLUMNS} from working_items i indexed by working_items_newest
    where i.space = :space and (i.due is null or i.due > :now) and i.number in (
        select distinct number from working_items indexed by working_items_newest
        where space = :space and number < :before and (due is null or due > :now) order by number desc limit :limit)
    order by i.number desc, i.part
"""
VOCABULARY = "select term, doc from working_vocabulary where term = ?"
COUNT = "select items from working_count"
HITS = """
    select n, score from (
        select rowid as n, -bm25(working_words) * :weight_{i} as score from working_words
        where working_words match :word_{i} order by rowid desc limit :share_{i})
"""
MATCHES = """
    (i.due is null or i.due > :now)
    and (:kinds is null or i.kind in (select value from json_each(:kinds)))
    and (:sources is null or i.source in (select value from json_each(:sources)))
    and (:without is null or not exists (
        select 1 from json_each(i.labels) where value in (select value from json_each(:without))))
"""
BY_WORDS = f"""
    with hits as materialized ({{hits}}), best as materialized ({{best}})
    select b.n, b.score from best b cross join working_items i on i.n = b.n where {MATCHES}
    order by b.score desc, b.n desc limit :most
"""
BEST = "select n, sum(score) as score from hits group by n order by 2 desc, n desc limit 4 * :most"
"""Where nothing is narrowed: of few of these the time is over, and to read all items would take twice as long."""
BEST_MATCHING = "select n, sum(score) as score from hits group by n"
SIGNED = "select count(*) from (select 1 from working_signs where space = ? and model = ? limit ?)"
# Those whose signs are alike, by themselves.
BY_MEANING = f"""
    with likely as materialized ({{likely}})
    select v.n from likely l cross join working_vectors v on v.n = l.n cross join working_items i on i.n = v.n
    where {MATCHES}
    order by vec_distance_cosine(v.vector, :vector), v.n desc limit :most
"""
LIKELY_ALL = "select n from working_signs where space = :space and model = :model"
LIKELY = """
    select n from working_signs where space = :space and model = :model
    order by vec_distance_hamming(vec_bit(signs), vec_bit(:signs)) limit :likely
"""
LIKELY_MATCHING = f"""
    select s.n from working_signs s cross join working_items i on i.n = s.n
    where s.space = :space and s.model = :model and {MATCHES}
    order by vec_distance_hamming(vec_bit(s.signs), vec_bit(:signs)) limit :likely
"""
FEW = 2000
"""Vectors that are all compared, and not only those whose signs are alike."""
LIKELY_EACH = 8
"""So many are looked at for each that is wanted."""
ITEMS = f"select {COLUMNS} from working_items i where i.n in (select value from json_each(?))"
HIGHEST = 1 << 62
"""Above every number."""


class SqliteWorking:
    """The `Working` of a file. It keeps nothing that is about a data subject."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def add(
        self,
        space: Space,
        parts: Sequence[Part],
        *,
        kind: str,
        source: str,
        origin: Origin,
        key: str,
        model: str | None = None,
        ttl: timedelta | None = None,
    ) -> str:
        """Keep a text; its id."""
        check_parts(parts, kind=kind, source=source)
        id, where, labels = id_of(key), (space.tenant, space.key), json.dumps(sorted(origin.labels))
        due_of(0, ttl)  # refused here, and not in the writer

        def run(c: Connection) -> str:
            now = self._store.now()
            _sweep(c, now)
            if c.execute(KNOWN, (*where, id)).get:
                return id
            number = c.execute(PUT_SPACE, (*where, len(parts), now)).get
            first = c.execute(NEXT).get
            common = origin.run, origin.step, labels, now, due_of(now, ttl)
            for i, part in enumerate(parts):
                texts = kind, source, part.text
                c.execute(ADD, (first + i, first, number, id, i, *texts, *common))
                c.execute(ADD_WORDS, (first + i, " ".join(scoped(number, part.text))))
                if part.vector is not None:
                    _add_vector(c, first + i, number, model or "", part.vector)
            return id

        return await self._store.change(run)

    async def search(self, space: Space, query: Query) -> list[Found]:
        """The best passages, the best first."""
        query.check()

        def run(c: Connection) -> list[Found]:
            there = _space(c, space)
            if there is None:
                return []
            values = {
                "now": self._store.now(),
                "kinds": _listed(query.kinds),
                "sources": _listed(query.sources),
                "without": _listed(query.without),
                "most": max(query.k * DEPTH, 50),
            }
            lists = {WORDS: _by_words(c, *there, query.text, values)} if query.text else {}
            if query.vector is not None:
                near = _by_meaning(c, there[0], query, query.vector, values)
                lists[MEANING] = [(n, 1.0) for n in near]
            best = fused(lists)[: query.k]
            rows = {row[0]: row for row in c.execute(ITEMS, (json.dumps([n for n, _ in best]),))}
            return [found(_passage(rows[n]), score, by) for n, (score, by) in best]

        return await self._store.look(run)

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order."""
        check_id(id)

        def run(c: Connection) -> list[Passage]:
            there = _space(c, space)
            values = None if there is None else (there[0], id, self._store.now())
            return [] if values is None else [_passage(row) for row in c.execute(GET, values)]

        return await self._store.look(run)

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""

        def run(c: Connection) -> list[Passage]:
            there = _space(c, space)
            if there is None:
                return []
            last = HIGHEST if before is None else before
            values = {"space": there[0], "before": last, "now": self._store.now(), "limit": limit}
            return [_passage(row) for row in c.execute(NEWEST, values)]

        return await self._store.look(run)

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        check_id(id)

        def run(c: Connection) -> bool:
            there = _space(c, space)
            if there is None:
                return False
            numbers = [row[0] for row in c.execute(NUMBERS, (there[0], id)).fetchall()]
            if not numbers:
                return bool(c.execute(FORGOTTEN_BY, (there[0], id, id_of(key))).get)
            _drop(c, numbers)
            until = self._store.now() + to_micros(FORGOTTEN_FOR)
            c.execute(FORGOTTEN, (there[0], id, id_of(key), until))
            return True

        return await self._store.change(run)

    async def erase(self, tenant: str, subject: str) -> int:
        """There is nothing of a data subject here."""
        return 0

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys."""
        values = tenant, "" if after is None else after.key, limit
        rows = await self._store.look(lambda c: c.execute(SPACES, values).fetchall())
        return [
            SpaceHead(space=Space.of(tenant, key), items=items, began=began, changed=changed)
            for key, items, began, changed in rows
        ]


def _space(c: Connection, space: Space) -> tuple[int, int] | None:
    """Its number, and how many items there were."""
    row = c.execute(SPACE, (space.tenant, space.key)).fetchone()
    return None if row is None else (row[0], row[1])


def _by_words(
    c: Connection, space: int, items: int, text: str, values: dict[str, Any]
) -> list[tuple[int, float]]:
    """FTS5 ranks by how rare a word is in all spaces; here that is taken out again, and its rarity in this put in."""
    having = {w: n for word in set(scoped(space, text)) for w, n in c.execute(VOCABULARY, (word,))}
    words = telling(having, items=items)
    if not words:
        return []
    everywhere = c.execute(COUNT).get
    hits: list[str] = []
    values = dict(values)
    for i, (word, share) in enumerate(shares(words).items()):
        n = having[word]
        hits.append(HITS.format(i=i))
        values[f"word_{i}"] = f'"{word}"'
        values[f"share_{i}"] = share
        values[f"weight_{i}"] = idf(max(items, n), n) / _their_idf(everywhere, n)
    narrowed = values["kinds"] or values["sources"] or values["without"]
    sql = BY_WORDS.format(hits=" union all ".join(hits), best=BEST_MATCHING if narrowed else BEST)
    return [(n, weight(score, items)) for n, score in c.execute(sql, values)]


def _by_meaning(c: Connection, space: int, query: Query, vector: bytes, values: dict[str, Any]) -> list[int]:
    model = c.execute(MODEL, (comparable(query.model or "", vector),)).get
    if model is None:
        return []
    likely = LIKELY_ALL
    if c.execute(SIGNED, (space, model, FEW + 1)).get > FEW:
        likely = LIKELY_MATCHING if query.kinds or query.sources or query.without else LIKELY
    values = {
        **values,
        "space": space,
        "model": model,
        "vector": vector,
        "signs": signs(vector),
        "likely": values["most"] * LIKELY_EACH,
    }
    return [row[0] for row in c.execute(BY_MEANING.format(likely=likely), values)]


def _add_vector(c: Connection, n: int, space: int, name: str, vector: bytes) -> None:
    name = comparable(name, vector)
    c.execute(ADD_MODEL, (name,))
    model = c.execute(MODEL, (name,)).get
    c.execute(ADD_VECTOR, (n, space, model, vector))
    c.execute(ADD_SIGNS, (space, model, n, signs(vector)))


def _their_idf(rows: int, having: int) -> float:
    """As FTS5's `bm25` reckons it, which never goes below a millionth."""
    weight = math.log((rows - having + 0.5) / (having + 0.5))
    return weight if weight > 0 else 1e-6


def _sweep(c: Connection, now: int) -> None:
    """What is over goes with what comes."""
    _drop(c, [row[0] for row in c.execute(OVER, (now,)).fetchall()])
    c.execute(LONG_FORGOTTEN, (now,))


def _drop(c: Connection, numbers: Sequence[int]) -> None:
    for n in numbers:
        c.execute(DROP_WORDS, (n,))
        c.execute(DROP_SIGNS, (n,))
        c.execute(DROP_VECTOR, (n,))
        c.execute(DROP, (n,))


def _listed(wanted: Sequence[str]) -> str | None:
    return json.dumps(list(wanted)) if wanted else None


def _passage(row: Row) -> Passage:
    _, number, id, part, kind, source, text, at, run, step, labels = row
    return Passage(
        id=id,
        part=part,
        kind=kind,
        source=source,
        text=text,
        n=number,
        at=at,
        origin=Origin(run=run, step=step, labels=tuple(json.loads(labels))),
    )
