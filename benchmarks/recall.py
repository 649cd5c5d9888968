"""How well working memory finds: recall@5 and MRR, by words, by meaning and by both, on each kind of question.

Meaning is what `wordllama:256` knows, a real model of 16 MB. For comparison there is a hash of letters, which knows
nothing: a difference between the two is meaning, and not luck.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from perdure.adapters.wordllama import WordLlamaEmbedder
from perdure.db.working import working_of
from perdure.memory import Origin
from perdure.memory.working import Part, Query, Space, Working, packed
from perdure.testing.model_server.embeddings import vector_of

from .recall_set import DOCUMENTS, QUERIES, Asked
from .workload import Measured

__all__ = ["quality"]

SPACE = Space("default", None, None, "handbook")
ORIGIN = Origin(run="bench", step="add")
MOST = 10
"""MRR looks no further."""


def quality(url: str, *, by: str, every: int = 1) -> Measured:
    """`by`: `words`, `meaning`, `both`, `hash` (vectors of no model), `words and hash`; only `every` nth question."""
    return asyncio.run(_quality(url, by, QUERIES[::every]))


async def _quality(url: str, by: str, queries: Sequence[Asked]) -> Measured:
    from perdure.app.stores import open_store

    store = open_store(url)
    await store.open()
    try:
        working = working_of(store)
        texts = [*DOCUMENTS, *(query.text for query in queries)]
        vectors = await _vectors(texts, by)
        await asyncio.gather(
            *(_add(working, i, vectors[i] if vectors else None) for i in range(len(DOCUMENTS)))
        )
        of_queries = vectors[len(DOCUMENTS) :] if vectors else [None] * len(queries)
        ranks = [
            await _rank(working, query, vector, words=by in ("words", "both", "words and hash"))
            for query, vector in zip(queries, of_queries, strict=True)
        ]
    finally:
        await store.close()
    return _measured(queries, ranks)


async def _add(working: Working, i: int, vector: bytes | None) -> None:
    part = Part(text=DOCUMENTS[i], vector=vector)
    await working.add(SPACE, [part], kind="document", source=str(i), origin=ORIGIN, key=str(i), model="m")


async def _vectors(texts: Sequence[str], by: str) -> list[bytes]:
    if by == "words":
        return []
    if "hash" in by:
        return [packed(vector_of(text)) for text in texts]
    model = WordLlamaEmbedder(256)
    found = await model.embed("wordllama:256", texts, query=False, timeout=60)
    return [packed(vector) for vector in found.vectors]


async def _rank(working: Working, query: Asked, vector: bytes | None, *, words: bool) -> int | None:
    """From 1; None: not among the first."""
    asked = Query(text=query.text if words else "", vector=vector, model="m", k=MOST)
    found = [int(item.source) for item in await working.search(SPACE, asked)]
    return found.index(query.answer) + 1 if query.answer in found else None


def _measured(queries: Sequence[Asked], ranks: Sequence[int | None]) -> Measured:
    measured: Measured = {}
    kinds = {query.kind: None for query in queries}
    for kind in ("all", *kinds):
        mine = [rank for rank, query in zip(ranks, queries, strict=True) if kind in ("all", query.kind)]
        hit = sum(rank is not None and rank <= 5 for rank in mine) / len(mine)
        reciprocal = sum(1 / rank for rank in mine if rank is not None) / len(mine)
        measured[f"recall@5, {kind}"] = (hit, "share")
        measured[f"MRR, {kind}"] = (reciprocal, "share")
    return measured
