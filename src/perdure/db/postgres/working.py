"""Working memory in PostgreSQL: words in an index of full text (GIN), vectors by `pgvector` where it is there.

Full text of PostgreSQL knows no rarity of words. So it is counted here, up to a limit for each word, and put into the
rank. Where `pgvector` is missing, the newest vectors of a space are compared in the process.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ...core.clock import to_micros
from ...memory import Origin
from ...memory.working import MOST_RANKED, Candidate, Found, Part, Passage, Query, Space, SpaceHead, fused
from ...memory.working.cells import FORGOTTEN_FOR, check_id, due_of, id_of
from ...memory.working.port import check_parts
from ...memory.working.ranking import DEPTH, K1, MEANING, WORDS, B, by_meaning, found, idf, weight
from ...memory.working.scoped import scoped, telling
from ...memory.working.vectors import comparable
from .arrays import Byteas, Ints, Texts
from .connection import Link, Row
from .nearness import Near, near_table, place, written
from .store import PostgresStore

__all__ = ["PostgresWorking", "add_words"]

ONE_WORD = 0.0607927
"""What `ts_rank` says of a text that has the one word of a question once."""
COLUMNS = "i.n, i.number, i.id, i.part, i.kind, i.source, i.text, i.at, i.run, i.step, i.labels"
SPACE = "select id, items from perdure.working_spaces where tenant = %(tenant)s and key = %(key)s"
ADD_SPACE = """
    insert into perdure.working_spaces (tenant, key, began, changed) values (%(tenant)s, %(key)s, %(now)s, %(now)s)
    on conflict (tenant, key) do nothing
"""
# Nobody waits for it: where another counts just now, these are not counted. It is a hint of how rare a word is.
COUNT = """
    update perdure.working_spaces set items = items + %(parts)s, changed = greatest(changed, %(now)s)
    where id = (select id from perdure.working_spaces where id = %(space)s for update skip locked)
"""
SPACES = """
    select key, items, began, changed from perdure.working_spaces
    where tenant = %(tenant)s and key > %(after)s order by key limit %(limit)s
"""
# Two that are added at once may have one number: they are listed together.
ADD = """
    with text as (
        select coalesce(max(number), 0) + 1 as number from perdure.working_items where space = %(space)s
    )
    insert into perdure.working_items (number, space, id, part, kind, source, text, run, step, labels, at, due)
    select t.number, %(space)s, %(id)s, p.part - 1, %(kind)s, %(source)s, p.text, %(run)s, %(step)s, %(labels)s,
        %(now)s, %(due)s
    from text t, unnest(%(texts)s::text[]) with ordinality as p (text, part)
    where not exists (select from perdure.working_forgotten where space = %(space)s and id = %(id)s)
    order by p.part
    on conflict (space, id, part) do nothing returning part, n
"""
ADD_WORDS = """
    insert into perdure.working_words (n, long, words)
    select n, long, words::tsvector from unnest(%(n)s::bigint[], %(long)s::bigint[], %(words)s::text[])
        as w (n, long, words)
"""
ADD_MODEL = "insert into perdure.working_models (name) values (%(name)s) on conflict do nothing"
MODEL = "select id from perdure.working_models where name = %(name)s"
ADD_VECTORS = """
    insert into perdure.working_vectors (n, space, model, vector)
    select n, %(space)s, %(model)s, vector from unnest(%(n)s::bigint[], %(vector)s::bytea[]) as v (n, vector)
"""
SWEEP = """
    with forgotten as (
        delete from perdure.working_forgotten where (space, id) in (
            select space, id from perdure.working_forgotten where until <= %(now)s limit 100 for update skip locked)
    )
    delete from perdure.working_items where n in (
        select n from perdure.working_items where due is not null and due <= %(now)s order by due limit 100
        for update skip locked)
"""
DROP = "delete from perdure.working_items where space = %(space)s and id = %(id)s"
FORGOTTEN = """
    insert into perdure.working_forgotten (space, id, by, until) values (%(space)s, %(id)s, %(by)s, %(until)s)
    on conflict (space, id) do nothing
"""
FORGOTTEN_BY = "select by from perdure.working_forgotten where space = %(space)s and id = %(id)s"
ALIVE = "(i.due is null or i.due > %(now)s)"
GET = f"""
    select {COLUMNS} from perdure.working_items i where i.space = %(space)s and i.id = %(id)s and {ALIVE}
    order by i.part
"""
NEWEST = f"""
    select {COLUMNS} from perdure.working_items i
    where i.space = %(space)s and {ALIVE} and i.number in (
        select distinct number from perdure.working_items i
        where i.space = %(space)s and i.number < %(before)s and {ALIVE} order by number desc limit %(limit)s)
    order by i.number desc, i.id, i.part
"""
HAVING = """
    select w.word, (select count(*) from (
        select from perdure.working_words where words @@ quote_literal(w.word)::tsquery limit %(common)s) h)
    from unnest(%(words)s::text[]) as w (word)
"""
MATCHES = f"""
    {ALIVE} and (%(kinds)s::text[] is null or i.kind = any(%(kinds)s))
    and (%(sources)s::text[] is null or i.source = any(%(sources)s))
    and (%(without)s::text[] is null or not jsonb_exists_any(i.labels::jsonb, %(without)s))
"""
# Lateral, so that items are looked up one by one: for so few the planner might read all there are.
BY_WORDS = f"""
    select r.n, r.rank from (
        select h.n, ({{ranks}}) * {K1 + 1} / (1 + {K1} * ({1 - B} + {B} * h.long / avg(h.long) over ())) as rank
        from (
            select n, long, words from perdure.working_words where words @@ %(any)s::text::tsquery
            order by n desc limit {{read}}
        ) h order by rank desc, n desc limit {{best}}
    ) r cross join lateral (select from perdure.working_items i where i.n = r.n and {MATCHES} offset 0) i
    order by r.rank desc, r.n desc limit %(most)s
"""
RANK = f"%(weight_{{i}})s * ts_rank(h.words, %(word_{{i}})s::text::tsquery) / {ONE_WORD}"
SIGNED = """
    select count(*) from (select from perdure.{table} where space = %(space)s and model = %(model)s limit %(few)s) v
"""
BY_MEANING = f"""
    select v.n from perdure.{{table}} v join perdure.working_items i on i.n = v.n
    where v.space = %(space)s and v.model = %(model)s and {MATCHES}
    order by {{order}} limit %(most)s
"""
RECENT = f"""
    select {COLUMNS}, v.vector from perdure.working_vectors v join perdure.working_items i on i.n = v.n
    where v.space = %(space)s and v.model = %(model)s and {MATCHES}
    order by v.n desc limit {MOST_RANKED}
"""
ITEMS = f"select {COLUMNS} from perdure.working_items i where i.n = any(%(n)s::bigint[])"

COMMON = 2001
"""Items that have a word are counted up to this: one of more is common, and does not choose what is ranked."""
MOST_READ = 6000
"""Items that are ranked by their words."""
FEW = 2000
"""Vectors that are all compared, and not only those that the index finds."""
EXPLORED = 200
"""Of the index: the longer the list that it keeps while it looks, the more of the nearest it finds."""
LONGEST_POSITION, MOST_POSITIONS = 16_383, 255
HIGHEST = 1 << 62


class PostgresWorking:
    """The `Working` of a database. It keeps nothing that is about a data subject."""

    def __init__(self, store: PostgresStore) -> None:
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
        due_of(0, ttl)  # refused here, and not in the writer
        id = id_of(key)
        where = {"tenant": space.tenant, "key": space.key}

        def run(c: Link) -> str:
            now = self._store.now()
            c.execute(SWEEP, {"now": now})
            there = c.execute(SPACE, where).fetchone()
            if there is None:
                c.execute(ADD_SPACE, {**where, "now": now})
                there = c.execute(SPACE, where).fetchone()
                assert there is not None
            number = there[0]
            values = {
                "space": number,
                "id": id,
                "kind": kind,
                "source": source,
                "run": origin.run,
                "step": origin.step,
                "labels": json.dumps(sorted(origin.labels)),
                "now": now,
                "due": due_of(now, ttl),
                "texts": Texts([part.text for part in parts]),
            }
            added: list[tuple[int, int]] = c.execute(ADD, values).fetchall()  # type: ignore[assignment]
            if added:
                add_words(c, number, [(n, parts[i].text) for i, n in added])
                vectors = [(n, vector) for i, n in added if (vector := parts[i].vector) is not None]
                if vectors:
                    _add_vectors(c, number, model or "", vectors)
                c.execute(COUNT, {"space": number, "parts": len(added), "now": now})
            return id

        return await self._store.change(lambda w: run(w.link))

    async def search(self, space: Space, query: Query) -> list[Found]:
        """The best passages, the best first."""
        query.check()

        def run(c: Link) -> list[Found]:
            there = _space(c, space)
            if there is None:
                return []
            values = {
                "now": self._store.now(),
                "kinds": _listed(query.kinds),
                "sources": _listed(query.sources),
                "without": _listed(query.without),
                "most": max(query.k * DEPTH, 50),
                "enough": query.k,
            }
            lists = {WORDS: _by_words(c, *there, query.text, values)} if query.text else {}
            if query.vector is not None:
                near = _by_meaning(c, there[0], query, query.vector, values)
                lists[MEANING] = [(n, 1.0) for n in near]
            best = fused(lists)[: query.k]
            rows = {row[0]: row for row in c.execute(ITEMS, {"n": Ints([n for n, _ in best])}).fetchall()}
            return [found(_passage(rows[n]), score, by) for n, (score, by) in best if n in rows]

        return await self._store.look(run)

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order."""
        check_id(id)

        def run(c: Link) -> list[Passage]:
            there = _space(c, space)
            if there is None:
                return []
            values = {"space": there[0], "id": id, "now": self._store.now()}
            return [_passage(row) for row in c.execute(GET, values).fetchall()]

        return await self._store.look(run)

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""

        def run(c: Link) -> list[Passage]:
            there = _space(c, space)
            if there is None:
                return []
            last = HIGHEST if before is None else before
            values = {"space": there[0], "before": last, "now": self._store.now(), "limit": limit}
            return [_passage(row) for row in c.execute(NEWEST, values).fetchall()]

        return await self._store.look(run)

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        check_id(id)

        def run(c: Link) -> bool:
            there = _space(c, space)
            if there is None:
                return False
            values = {"space": there[0], "id": id, "by": id_of(key)}
            if c.execute(DROP, values).rowcount:
                until = self._store.now() + to_micros(FORGOTTEN_FOR)
                c.execute(FORGOTTEN, {**values, "until": until})
                return True
            row = c.execute(FORGOTTEN_BY, values).fetchone()
            return row is not None and row[0] == values["by"]

        return await self._store.change(lambda w: run(w.link))

    async def erase(self, tenant: str, subject: str) -> int:
        """There is nothing of a data subject here."""
        return 0

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys. Where many write at once, `items` may be a little low."""
        values = {"tenant": tenant, "after": "" if after is None else after.key, "limit": limit}
        rows = await self._store.look(lambda c: c.execute(SPACES, values).fetchall())
        return [
            SpaceHead(space=Space.of(tenant, key), items=items, began=began, changed=changed)
            for key, items, began, changed in rows
        ]


def add_words(c: Link, space: int, texts: Sequence[tuple[int, str]]) -> None:
    """Index the words of items."""
    told = [scoped(space, text) for _, text in texts]
    values = {
        "n": Ints([n for n, _ in texts]),
        "long": Ints([len(words) for words in told]),
        "words": Texts([_vector_of(words) for words in told]),
    }
    c.execute(ADD_WORDS, values)


def _vector_of(words: Sequence[str]) -> str:
    """As a `tsvector` is written: each word once, with its places."""
    places: dict[str, list[int]] = {}
    for i, word in enumerate(words, 1):
        where = places.setdefault(word, [])
        if len(where) < MOST_POSITIONS:
            where.append(min(i, LONGEST_POSITION))
    return " ".join(f"'{word}':{','.join(map(str, where))}" for word, where in places.items())


def _add_vectors(c: Link, space: int, name: str, vectors: Sequence[tuple[int, bytes]]) -> None:
    name = comparable(name, vectors[0][1])
    row = c.execute(MODEL, {"name": name}).fetchone()
    if row is None:
        c.execute(ADD_MODEL, {"name": name})
        row = c.execute(MODEL, {"name": name}).fetchone()
        assert row is not None
    values = {
        "space": space,
        "model": row[0],
        "n": Ints([n for n, _ in vectors]),
        "vector": Byteas([vector for _, vector in vectors]),
    }
    c.execute(ADD_VECTORS, values)
    place(c, [(n, space, row[0], vector) for n, vector in vectors])


def _space(c: Link, space: Space) -> tuple[int, int] | None:
    """Its number, and how many items there were."""
    row = c.execute(SPACE, {"tenant": space.tenant, "key": space.key}).fetchone()
    return None if row is None else (row[0], row[1])


def _by_words(c: Link, space: int, items: int, text: str, values: dict[str, Any]) -> list[tuple[int, float]]:
    asked = sorted(set(scoped(space, text)))
    if not asked:
        return []
    having = dict(c.execute(HAVING, {"words": Texts(asked), "common": COMMON}).fetchall())
    words = telling(having, items=max(items, *having.values()))
    if not words:
        return []
    values = dict(values)
    ranks: list[str] = []
    for i, (word, n) in enumerate(words.items()):
        ranks.append(RANK.format(i=i))
        values[f"word_{i}"] = f"'{word}'"
        values[f"weight_{i}"] = idf(max(items, n), n)
    rare = [f"'{word}'" for word, n in words.items() if n < COMMON]
    common = [f"'{word}'" for word, n in words.items() if n >= COMMON]
    # What has a rare word; only where that is too little what has all the common ones, and then what has one of them.
    tries = [" | ".join(rare), " & ".join(common) if len(common) > 1 else "", *common[:1]]
    narrowed = any(values[name] is not None for name in ("kinds", "sources", "without"))
    sql = BY_WORDS.format(
        ranks=" + ".join(ranks), read=MOST_READ, best=MOST_READ if narrowed else values["most"] * 4
    )
    best: dict[int, float] = {}
    for query in filter(None, tries):
        for n, score in c.execute(sql, {**values, "any": query}).fetchall():
            best.setdefault(n, weight(score, items))
        if len(best) >= values["enough"]:
            break
    return list(best.items())[: values["most"]]


def _by_meaning(c: Link, space: int, query: Query, vector: bytes, values: dict[str, Any]) -> list[int]:
    row = c.execute(MODEL, {"name": comparable(query.model or "", vector)}).fetchone()
    if row is None:
        return []
    values = {**values, "space": space, "model": row[0]}
    near = near_table(c, len(vector) // 4)
    if near is None:
        recent = c.execute(RECENT, values).fetchall()
        candidates = [Candidate(_passage(r[:-1]), query.model, bytes(r[-1])) for r in recent]
        return [recent[i][0] for i in by_meaning(candidates, query)][: values["most"]]
    return _nearest(c, near, {**values, "vector": written(vector), "few": FEW + 1})


def _nearest(c: Link, near: Near, values: dict[str, Any]) -> list[int]:
    distance = f"v.vector {near.distance} %(vector)s::text::{near.type}"
    count = c.execute(SIGNED.format(table=near.table), values).fetchone()
    assert count is not None
    if count[0] < values["few"] or not near.filtered:
        sql = BY_MEANING.format(
            table=near.table, order=f"({distance}) + 0, v.n desc"
        )  # no index orders by a sum
        return [row[0] for row in c.execute(sql, values).fetchall()]
    c.execute(
        f"begin read only; set local hnsw.ef_search = {EXPLORED}; set local hnsw.iterative_scan = 'relaxed_order'"
    )
    try:
        return [
            row[0]
            for row in c.execute(BY_MEANING.format(table=near.table, order=distance), values).fetchall()
        ]
    finally:
        c.execute("rollback")


def _listed(wanted: Sequence[str]) -> Texts | None:
    return Texts(list(wanted)) if wanted else None


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
