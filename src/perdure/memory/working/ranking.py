"""Ranking in the process: by words (BM25), by meaning (cosine), and both fused. It is what a backend falls back to.

What is sealed can be ranked nowhere else: its text and its vectors are opened here, and closed with the search.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from .port import Found, Passage, Query
from .vectors import product
from .words import words_of

__all__ = [
    "B",
    "DEPTH",
    "K1",
    "MEANING",
    "MOST_RANKED",
    "WORDS",
    "Candidate",
    "by_meaning",
    "found",
    "fused",
    "idf",
    "matches",
    "ranked",
    "weight",
]

K = TypeVar("K", bound=Hashable)

MOST_RANKED = 5000
"""Passages that are looked at, the newest: more are not opened and ranked in a process for one search."""

K1, B = 1.2, 0.75
"""Of BM25, as Robertson and Zaragoza have them ("The Probabilistic Relevance Framework", 2009)."""

DEPTH = 5
"""Each list is as many times longer than what is asked for, so that what both know a little of is seen."""

_RRF = 10
"""Cormack, Clarke, Büttcher, "Reciprocal rank fusion outperforms Condorcet and ..." (SIGIR 2009), have 60, for lists of
a thousand: with that the tenth counts almost as the first, and what both lists know a little of goes before what one
knows well. `python -m benchmarks --only recall` shows what is better here."""

WORDS, MEANING = "words", "meaning"


class Candidate(NamedTuple):
    """A passage that may be found."""

    item: Passage
    model: str | None
    vector: bytes | None


def matches(item: Passage, query: Query) -> bool:
    """Whether the item is one of those that are asked for."""
    return (
        (not query.kinds or item.kind in query.kinds)
        and (not query.sources or item.source in query.sources)
        and not (query.without and set(query.without) & set(item.origin.labels))
    )


def ranked(candidates: Sequence[Candidate], query: Query) -> list[Found]:
    """The best of the candidates, the best first; of equals the newest, which stands first in `candidates`."""
    mine = [c for c in candidates if matches(c.item, query)]
    lists: dict[str, list[tuple[int, float]]] = {}
    if query.text:
        lists[WORDS] = _by_words([words_of(c.item.text) for c in mine], words_of(query.text))
    if query.vector is not None:
        lists[MEANING] = [(i, 1.0) for i in by_meaning(mine, query)]
    most = max(query.k * DEPTH, 50)
    ranks = fused({by: order[:most] for by, order in lists.items()})
    return [found(mine[i].item, score, by) for i, (score, by) in ranks[: query.k]]


def found(item: Passage, score: float, by: tuple[str, ...]) -> Found:
    """The item as a search hands it out."""
    return Found(
        id=item.id,
        part=item.part,
        kind=item.kind,
        source=item.source,
        text=item.text,
        n=item.n,
        at=item.at,
        origin=item.origin,
        score=round(score, 6),
        by=by,
    )


def fused(lists: Mapping[str, Sequence[tuple[K, float]]]) -> list[tuple[K, tuple[float, tuple[str, ...]]]]:
    """Lists of the best, the best first, as one: each with its score, and the lists in which it stood.

    A place in a list counts by its weight. Without one a passage that shares `the` and `my` with a question, and so
    stands first among those that share anything, would count as much as the one that means the same.
    """
    scores: dict[K, float] = {}
    where: dict[K, tuple[str, ...]] = {}
    for name, order in lists.items():
        for rank, (key, weight) in enumerate(order, 1):
            scores[key] = scores.get(key, 0.0) + weight / (_RRF + rank)
            where[key] = (*where.get(key, ()), name)
    best = sorted(scores, key=lambda key: -scores[key])
    return [(key, (scores[key], where[key])) for key in best]


def idf(items: int, having: int) -> float:
    """What a word tells that so many of the items have. Never below zero."""
    return math.log(1 + (items - having + 0.5) / (having + 0.5))


def weight(score: float, items: int) -> float:
    """What it says that a passage has words of a question: 1 where they tell as much as one that nobody else has.

    Squared: several words that are everywhere do not make up for one that is rare.
    """
    return min(1.0, score / idf(max(items, 1), 1)) ** 2


def _by_words(texts: Sequence[Sequence[str]], asked: Sequence[str]) -> list[tuple[int, float]]:
    wanted = set(asked)
    if not texts or not wanted:
        return []
    counted = [Counter(word for word in text if word in wanted) for text in texts]
    having = Counter(word for count in counted for word in count)
    weights = {word: idf(len(texts), n) for word, n in having.items()}
    usual = sum(len(text) for text in texts) / len(texts) or 1.0
    scores: dict[int, float] = {}
    for i, count in enumerate(counted):
        if count:
            norm = K1 * (1 - B + B * len(texts[i]) / usual)
            scores[i] = sum(weights[w] * n * (K1 + 1) / (n + norm) for w, n in count.items())
    best = sorted(scores, key=lambda i: (-scores[i], i))
    return [(i, weight(scores[i], len(texts))) for i in best]


def by_meaning(candidates: Sequence[Candidate], query: Query) -> list[int]:
    """Which of the candidates are nearest to the query's vector, the nearest first; of the same model alone."""
    assert query.vector is not None
    scores: dict[int, float] = {}
    for i, candidate in enumerate(candidates):
        vector = candidate.vector
        if vector is not None and candidate.model == query.model and len(vector) == len(query.vector):
            scores[i] = product(query.vector, vector)
    return sorted(scores, key=lambda i: (-scores[i], i))
