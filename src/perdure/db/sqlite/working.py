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
from . import working_queries as sql
from .connection import Connection, Row
from .store import SqliteStore

__all__ = ["SqliteWorking"]

FEW = 2000
"""Vectors that are all compared, and not only those whose signs are alike."""
LIKELY_EACH = 8
"""So many are looked at for each that is wanted."""
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
            if c.execute(sql.KNOWN, (*where, id)).get:
                return id
            number = c.execute(sql.PUT_SPACE, (*where, len(parts), now)).get
            first = c.execute(sql.NEXT).get
            common = origin.run, origin.step, labels, now, due_of(now, ttl)
            for i, part in enumerate(parts):
                texts = kind, source, part.text
                c.execute(sql.ADD, (first + i, first, number, id, i, *texts, *common))
                c.execute(sql.ADD_WORDS, (first + i, " ".join(scoped(number, part.text))))
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
            rows = {row[0]: row for row in c.execute(sql.ITEMS, (json.dumps([n for n, _ in best]),))}
            return [found(_passage(rows[n]), score, by) for n, (score, by) in best]

        return await self._store.look(run)

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order."""
        check_id(id)

        def run(c: Connection) -> list[Passage]:
            there = _space(c, space)
            values = None if there is None else (there[0], id, self._store.now())
            return [] if values is None else [_passage(row) for row in c.execute(sql.GET, values)]

        return await self._store.look(run)

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""

        def run(c: Connection) -> list[Passage]:
            there = _space(c, space)
            if there is None:
                return []
            last = HIGHEST if before is None else before
            values = {"space": there[0], "before": last, "now": self._store.now(), "limit": limit}
            return [_passage(row) for row in c.execute(sql.NEWEST, values)]

        return await self._store.look(run)

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        check_id(id)

        def run(c: Connection) -> bool:
            there = _space(c, space)
            if there is None:
                return False
            numbers = [row[0] for row in c.execute(sql.NUMBERS, (there[0], id)).fetchall()]
            if not numbers:
                return bool(c.execute(sql.FORGOTTEN_BY, (there[0], id, id_of(key))).get)
            _drop(c, numbers)
            until = self._store.now() + to_micros(FORGOTTEN_FOR)
            c.execute(sql.FORGOTTEN, (there[0], id, id_of(key), until))
            return True

        return await self._store.change(run)

    async def erase(self, tenant: str, subject: str) -> int:
        """There is nothing of a data subject here."""
        return 0

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys."""
        values = tenant, "" if after is None else after.key, limit
        rows = await self._store.look(lambda c: c.execute(sql.SPACES, values).fetchall())
        return [
            SpaceHead(space=Space.of(tenant, key), items=items, began=began, changed=changed)
            for key, items, began, changed in rows
        ]


def _space(c: Connection, space: Space) -> tuple[int, int] | None:
    """Its number, and how many items there were."""
    row = c.execute(sql.SPACE, (space.tenant, space.key)).fetchone()
    return None if row is None else (row[0], row[1])


def _by_words(
    c: Connection, space: int, items: int, text: str, values: dict[str, Any]
) -> list[tuple[int, float]]:
    """FTS5 ranks by how rare a word is in all spaces; here that is taken out again, and its rarity in this put in."""
    having = {w: n for word in set(scoped(space, text)) for w, n in c.execute(sql.VOCABULARY, (word,))}
    words = telling(having, items=items)
    if not words:
        return []
    everywhere = c.execute(sql.COUNT).get
    hits: list[str] = []
    values = dict(values)
    for i, (word, share) in enumerate(shares(words).items()):
        n = having[word]
        hits.append(sql.HITS.format(i=i))
        values[f"word_{i}"] = f'"{word}"'
        values[f"share_{i}"] = share
        values[f"weight_{i}"] = idf(max(items, n), n) / _their_idf(everywhere, n)
    narrowed = values["kinds"] or values["sources"] or values["without"]
    asking = sql.BY_WORDS.format(
        hits=" union all ".join(hits), best=sql.BEST_MATCHING if narrowed else sql.BEST
    )
    return [(n, weight(score, items)) for n, score in c.execute(asking, values)]


def _by_meaning(c: Connection, space: int, query: Query, vector: bytes, values: dict[str, Any]) -> list[int]:
    model = c.execute(sql.MODEL, (comparable(query.model or "", vector),)).get
    if model is None:
        return []
    likely = sql.LIKELY_ALL
    if c.execute(sql.SIGNED, (space, model, FEW + 1)).get > FEW:
        likely = sql.LIKELY_MATCHING if query.kinds or query.sources or query.without else sql.LIKELY
    values = {
        **values,
        "space": space,
        "model": model,
        "vector": vector,
        "signs": signs(vector),
        "likely": values["most"] * LIKELY_EACH,
    }
    return [row[0] for row in c.execute(sql.BY_MEANING.format(likely=likely), values)]


def _add_vector(c: Connection, n: int, space: int, name: str, vector: bytes) -> None:
    name = comparable(name, vector)
    c.execute(sql.ADD_MODEL, (name,))
    model = c.execute(sql.MODEL, (name,)).get
    c.execute(sql.ADD_VECTOR, (n, space, model, vector))
    c.execute(sql.ADD_SIGNS, (space, model, n, signs(vector)))


def _their_idf(rows: int, having: int) -> float:
    """As FTS5's `bm25` reckons it, which never goes below a millionth."""
    weight = math.log((rows - having + 0.5) / (having + 0.5))
    return weight if weight > 0 else 1e-6


def _sweep(c: Connection, now: int) -> None:
    """What is over goes with what comes."""
    _drop(c, [row[0] for row in c.execute(sql.OVER, (now,)).fetchall()])
    c.execute(sql.LONG_FORGOTTEN, (now,))


def _drop(c: Connection, numbers: Sequence[int]) -> None:
    for n in numbers:
        c.execute(sql.DROP_WORDS, (n,))
        c.execute(sql.DROP_SIGNS, (n,))
        c.execute(sql.DROP_VECTOR, (n,))
        c.execute(sql.DROP, (n,))


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
