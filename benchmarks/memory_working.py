"""What working memory costs when it is full: how long a write and a recall take, the slowest of twenty (p95)."""

from __future__ import annotations

import asyncio
import random
import struct
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import accumulate

from perdure.app.stores import open_store
from perdure.db.working import working_of
from perdure.journal import Store
from perdure.memory import Origin
from perdure.memory.working import Part, Query, Space, Working

from .workload import Measured

__all__ = ["p95", "working"]

ORIGIN = Origin(run="bench", step="add")
SPACE = Space("default", None, None, "notes")
DIMENSIONS = 256
WORDS, LONG = 20_000, 30
"""Different words, and those of an item; the nth is as frequent as 1/n, as in a language."""
AT_ONCE = 500


async def p95(what: str, calls: Sequence[Callable[[], Awaitable[object]]]) -> Measured:
    """Calls one after the other; their median and the slowest of twenty, in milliseconds."""
    took: list[float] = []
    for call in calls:
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1e3)
    took.sort()
    return {
        f"{what}, p50": (took[len(took) // 2], "ms"),
        f"{what}, p95": (took[min(len(took) - 1, len(took) * 95 // 100)], "ms"),
    }


def working(url: str, *, items: int, asked: int) -> Measured:
    """Fill a space of working memory with so many items, then add to it and search it `asked` times."""
    return asyncio.run(_working(url, items, asked))


async def _working(url: str, items: int, asked: int) -> Measured:
    _with_vectors(url)
    store: Store = open_store(url)
    await store.open()
    try:
        memory = working_of(store)
        texts = _Texts(7)
        began = time.perf_counter()
        for at in range(0, items, AT_ONCE):
            await asyncio.gather(*(_add(memory, texts, n) for n in range(at, min(at + AT_ONCE, items))))
        filled = time.perf_counter() - began
        _analysed(url)
        return {
            "items added, many at once": (items / filled, "1/s"),
            **await p95("append", [lambda n=n: _add(memory, texts, items + n) for n in range(asked)]),
            **await _recall("recall by words", memory, texts, asked, words=True, meaning=False),
            **await _recall("recall by meaning", memory, texts, asked, words=False, meaning=True),
            **await _recall("recall by both", memory, texts, asked, words=True, meaning=True),
        }
    finally:
        await store.close()


class _Texts:
    """Texts with the frequencies of a language, and vectors in clusters: what means alike lies together."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._words = [f"{self._random.getrandbits(40):010x}" for _ in range(WORDS)]
        self._weights = list(accumulate(1 / (n + 1) for n in range(WORDS)))
        self._centres = [[self._random.gauss(0, 1) for _ in range(DIMENSIONS)] for _ in range(200)]

    def text(self, words: int = LONG) -> str:
        return " ".join(self._random.choices(self._words, cum_weights=self._weights, k=words))

    def question(self) -> str:
        """Three words of a text, and one that is rare."""
        return f"{self.text(3)} {self._random.choice(self._words)}"

    def vector(self) -> bytes:
        centre = self._random.choice(self._centres)
        noise = self._random.random
        numbers = [value + 1.4 * (noise() - 0.5) for value in centre]
        length = sum(value * value for value in numbers) ** 0.5
        return struct.pack(f"<{DIMENSIONS}f", *(value / length for value in numbers))


async def _add(memory: Working, texts: _Texts, n: int) -> str:
    part = Part(text=texts.text(), vector=texts.vector())
    return await memory.add(
        SPACE, [part], kind="note", source="bench", origin=ORIGIN, key=str(n), model="bench:256"
    )


async def _recall(
    what: str, memory: Working, texts: _Texts, asked: int, *, words: bool, meaning: bool
) -> Measured:
    queries = [
        Query(
            text=texts.question() if words else "",
            vector=texts.vector() if meaning else None,
            model="bench:256",
        )
        for _ in range(asked)
    ]
    return await p95(what, [lambda q=query: memory.search(SPACE, q) for query in queries])


def _with_vectors(url: str) -> None:
    """PostgreSQL with pgvector, where the server has it."""
    if url.startswith("postgres"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("create extension if not exists vector")


def _analysed(url: str) -> None:
    """As autovacuum does within a minute."""
    if url.startswith("postgres"):
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("vacuum analyze")
