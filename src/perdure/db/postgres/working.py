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
from ...memory.working import Candidate, Found, Part, Passage, Query, Space, SpaceHead, fused
from ...memory.working.cells import FORGOTTEN_FOR, check_id, due_of, id_of
from ...memory.working.port import check_parts
from ...memory.working.ranking import DEPTH, MEANING, WORDS, by_meaning, found, idf, weight
from ...memory.working.scoped import scoped, telling
from ...memory.working.vectors import comparable
from . import working_queries as sql
from .arrays import Byteas, Ints, Texts
from .connection import Link, Row
from .nearness import Near, near_table, place, written
from .store import PostgresStore

__all__ = ["PostgresWorking", "add_words"]

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
            c.execute(sql.SWEEP, {"now": now})
            there = c.execute(sql.SPACE, where).fetchone()
            if there is None:
                c.execute(sql.ADD_SPACE, {**where, "now": now})
                there = c.execute(sql.SPACE, where).fetchone()
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
            added: list[tuple[int, int]] = c.execute(sql.ADD, values).fetchall()  # type: ignore[assignment]
            if added:
                add_words(c, number, [(n, parts[i].text) for i, n in added])
                vectors = [(n, vector) for i, n in added if (vector := parts[i].vector) is not None]
                if vectors:
                    _add_vectors(c, number, model or "", vectors)
                c.execute(sql.COUNT, {"space": number, "parts": len(added), "now": now})
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
            rows = {row[0]: row for row in c.execute(sql.ITEMS, {"n": Ints([n for n, _ in best])}).fetchall()}
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
            return [_passage(row) for row in c.execute(sql.GET, values).fetchall()]

        return await self._store.look(run)

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""

        def run(c: Link) -> list[Passage]:
            there = _space(c, space)
            if there is None:
                return []
            last = HIGHEST if before is None else before
            values = {"space": there[0], "before": last, "now": self._store.now(), "limit": limit}
            return [_passage(row) for row in c.execute(sql.NEWEST, values).fetchall()]

        return await self._store.look(run)

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        check_id(id)

        def run(c: Link) -> bool:
            there = _space(c, space)
            if there is None:
                return False
            values = {"space": there[0], "id": id, "by": id_of(key)}
            if c.execute(sql.DROP, values).rowcount:
                until = self._store.now() + to_micros(FORGOTTEN_FOR)
                c.execute(sql.FORGOTTEN, {**values, "until": until})
                return True
            row = c.execute(sql.FORGOTTEN_BY, values).fetchone()
            return row is not None and row[0] == values["by"]

        return await self._store.change(lambda w: run(w.link))

    async def erase(self, tenant: str, subject: str) -> int:
        """There is nothing of a data subject here."""
        return 0

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys. Where many write at once, `items` may be a little low."""
        values = {"tenant": tenant, "after": "" if after is None else after.key, "limit": limit}
        rows = await self._store.look(lambda c: c.execute(sql.SPACES, values).fetchall())
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
    c.execute(sql.ADD_WORDS, values)


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
    row = c.execute(sql.MODEL, {"name": name}).fetchone()
    if row is None:
        c.execute(sql.ADD_MODEL, {"name": name})
        row = c.execute(sql.MODEL, {"name": name}).fetchone()
        assert row is not None
    values = {
        "space": space,
        "model": row[0],
        "n": Ints([n for n, _ in vectors]),
        "vector": Byteas([vector for _, vector in vectors]),
    }
    c.execute(sql.ADD_VECTORS, values)
    place(c, [(n, space, row[0], vector) for n, vector in vectors])


def _space(c: Link, space: Space) -> tuple[int, int] | None:
    """Its number, and how many items there were."""
    row = c.execute(sql.SPACE, {"tenant": space.tenant, "key": space.key}).fetchone()
    return None if row is None else (row[0], row[1])


def _by_words(c: Link, space: int, items: int, text: str, values: dict[str, Any]) -> list[tuple[int, float]]:
    asked = sorted(set(scoped(space, text)))
    if not asked:
        return []
    having = dict(c.execute(sql.HAVING, {"words": Texts(asked), "common": COMMON}).fetchall())
    words = telling(having, items=max(items, *having.values()))
    if not words:
        return []
    values = dict(values)
    ranks: list[str] = []
    for i, (word, n) in enumerate(words.items()):
        ranks.append(sql.RANK.format(i=i))
        values[f"word_{i}"] = f"'{word}'"
        values[f"weight_{i}"] = idf(max(items, n), n)
    rare = [f"'{word}'" for word, n in words.items() if n < COMMON]
    common = [f"'{word}'" for word, n in words.items() if n >= COMMON]
    # What has a rare word; only where that is too little what has all the common ones, and then what has one of them.
    tries = [" | ".join(rare), " & ".join(common) if len(common) > 1 else "", *common[:1]]
    narrowed = any(values[name] is not None for name in ("kinds", "sources", "without"))
    asking = sql.BY_WORDS.format(
        ranks=" + ".join(ranks), read=MOST_READ, best=MOST_READ if narrowed else values["most"] * 4
    )
    best: dict[int, float] = {}
    for query in filter(None, tries):
        for n, score in c.execute(asking, {**values, "any": query}).fetchall():
            best.setdefault(n, weight(score, items))
        if len(best) >= values["enough"]:
            break
    return list(best.items())[: values["most"]]


def _by_meaning(c: Link, space: int, query: Query, vector: bytes, values: dict[str, Any]) -> list[int]:
    row = c.execute(sql.MODEL, {"name": comparable(query.model or "", vector)}).fetchone()
    if row is None:
        return []
    values = {**values, "space": space, "model": row[0]}
    near = near_table(c, len(vector) // 4)
    if near is None:
        recent = c.execute(sql.RECENT, values).fetchall()
        candidates = [Candidate(_passage(r[:-1]), query.model, bytes(r[-1])) for r in recent]
        return [recent[i][0] for i in by_meaning(candidates, query)][: values["most"]]
    return _nearest(c, near, {**values, "vector": written(vector), "few": FEW + 1})


def _nearest(c: Link, near: Near, values: dict[str, Any]) -> list[int]:
    distance = f"v.vector {near.distance} %(vector)s::text::{near.type}"
    count = c.execute(sql.SIGNED.format(table=near.table), values).fetchone()
    assert count is not None
    if count[0] < values["few"] or not near.filtered:
        exact = sql.BY_MEANING.format(
            table=near.table, order=f"({distance}) + 0, v.n desc"
        )  # no index orders by a sum
        return [row[0] for row in c.execute(exact, values).fetchall()]
    c.execute(
        f"begin read only; set local hnsw.ef_search = {EXPLORED}; set local hnsw.iterative_scan = 'relaxed_order'"
    )
    try:
        return [
            row[0]
            for row in c.execute(sql.BY_MEANING.format(table=near.table, order=distance), values).fetchall()
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
