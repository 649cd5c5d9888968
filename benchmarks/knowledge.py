"""Knowledge: how long a fact takes to be said, read and walked over where a million are.

A SQLite store is filled by writes of many rows each. PostgreSQL gets its rows as a store that is moved there does.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from perdure import App
from perdure.core.ids import DEFAULT_TENANT
from perdure.memory import Knowledge, Ledger, Origin, Whose
from perdure.memory.knowledge import NEVER, EntityRow, FactRow, NameRow, View, WriteRow, digest

from .memory import p95, timed
from .workload import Measured

__all__ = ["facts"]

OF_ONE = 10
"""Facts of each person: nine lead to others, one says a value."""
AT_ONCE = 500
"""People of one transaction, while the store is filled."""
HERE = Whose(DEFAULT_TENANT)
ORIGIN = Origin(run="r", step="knowledge_say", labels=("untrusted",))
RELATIONS = ["knows", "manages", "works_with", "lives_with", "reports_to"]
SYLLABLES = ["ka", "lo", "mi", "ne", "ru", "sa", "ti", "vo", "xe", "zu"]
ONE = "works_at"
"""Of which one holds at a time."""


def facts(url: str, *, facts: int, samples: int) -> Measured:
    """Say facts to, and read them from, a store that holds so many."""
    return asyncio.run(_facts(url, max(100, facts // OF_ONE), samples))


async def _facts(url: str, people: int, samples: int) -> Measured:
    began = time.perf_counter()
    if url.startswith("sqlite:"):
        await _fill(url, people)
    else:
        with tempfile.TemporaryDirectory(prefix="perdure-bench-") as folder:
            source = f"sqlite:///{Path(folder) / 'perdure.db'}"
            await _fill(source, people)
            _moved(source, url)
    filled = time.perf_counter() - began
    app = App(url, memory={"one_at_a_time": [ONE]})
    await app.open()
    found = await _measured(app.memory.knowledge, people, samples)
    await app.close()
    return {**found, "filling": (filled, "s")}


def name_of(number: int) -> str:
    """Two words, as names have, each of three syllables; no two people share them."""
    parts = [SYLLABLES[int(digit)] for digit in f"{number:06d}"]
    return f"{''.join(parts[:3])} {''.join(parts[3:])}".title()


async def _fill(url: str, people: int) -> None:
    app = App(url)
    await app.open()
    ledger = app.memory.knowledge.ledger
    ids: list[int] = []
    drawn = random.Random(1)
    for first in range(0, people, AT_ONCE):
        numbers = range(first, min(people, first + AT_ONCE))
        ids += await _write(ledger, lambda view, numbers=numbers: [_person(view, n) for n in numbers])
    for first in range(0, people, AT_ONCE):
        some = ids[first : first + AT_ONCE]
        await _write(ledger, lambda view, some=some: [_say(view, each, ids, drawn) for each in some])
    await app.close()


async def _write(ledger: Ledger, change: Callable[[View], list[int]]) -> list[int]:
    return await ledger.write(HERE, [], change)


def _person(view: View, number: int) -> int:
    name = name_of(number)
    write = _added(view, f"e{number}", "entity")
    entity = view.add_entity(EntityRow(0, "person", name, 0, write))
    words = name.lower().split()
    blocks = [block for word in words for block in (f"{word[:3]}-", f"-{word[-3:]}")]
    view.add_name(NameRow(entity, "person", name, write), name.lower(), blocks)
    return entity


def _say(view: View, subject: int, ids: list[int], drawn: random.Random) -> int:
    for i in range(OF_ONE):
        value = f'"{drawn.randrange(1000)}"' if i == 0 else ""
        object = 0 if value else drawn.choice(ids)
        view.add_fact(
            FactRow(
                version=0,
                fact=0,
                subject=subject,
                relation=ONE if value else drawn.choice(RELATIONS),
                object=object,
                value=value,
                said_subject=subject,
                said_object=object,
                valid_from=drawn.randrange(view.now),
                valid_to=NEVER,
                said_to=NEVER,
                confidence=None,
                at=view.now,
                until=NEVER,
                write=(write := _added(view, f"s{subject}/{i}", "say")),
                made=write,
            ),
            digest(value),
        )
    return subject


def _added(view: View, key: str, kind: str) -> int:
    write = view.next_write()
    view.add_write(WriteRow(write, key, kind, "{}", view.now, ORIGIN.run, ORIGIN.step, '["untrusted"]'))
    return write


def _moved(source: str, url: str) -> None:
    from perdure.db.postgres.transfer import PostgresTarget
    from perdure.db.sqlite.transfer import SqliteSource
    from perdure.db.transfer import transfer

    transfer(SqliteSource(source), PostgresTarget(url))


async def _measured(knowledge: Knowledge, people: int, samples: int) -> Measured:
    drawn = random.Random(2)
    keys = iter(range(1_000_000_000))
    ids = [
        entity.id
        for _ in range(min(20, people // 10))
        for entity in await knowledge.ls(HERE, after=drawn.randrange(people), limit=10)
    ]

    async def said() -> None:
        one, other = drawn.choice(ids), drawn.choice(ids)
        await knowledge.say(HERE, one, "met", object=other, origin=ORIGIN, key=f"k{next(keys)}")

    async def dated() -> None:
        year = f"{drawn.randrange(1980, 2080)}-{drawn.randrange(1, 13):02d}"
        value = str(next(keys))
        await knowledge.say(
            HERE, drawn.choice(ids), ONE, value=value, valid_from=year, origin=ORIGIN, key=f"k{value}"
        )

    async def about() -> None:
        assert await knowledge.about(HERE, drawn.choice(ids), ever=True)

    async def found_by_name() -> None:
        found = await knowledge.find(HERE, "person", name_of(drawn.randrange(people)))
        assert found.entity is not None

    async def in_doubt() -> None:
        await knowledge.find(HERE, "person", f"{name_of(drawn.randrange(people))}h")

    async def walked() -> None:
        assert (await knowledge.traverse(HERE, drawn.choice(ids))).facts

    found: Measured = {}
    each: dict[str, Callable[[], Awaitable[None]]] = {
        "fact said": said,
        "fact of one at a time said": dated,
        "facts about one": about,
        "found by its name": found_by_name,
        "similar names": in_doubt,
        "two hops": walked,
    }
    for what, once in each.items():
        times = sorted([await timed(once) for _ in range(samples)])
        found[f"{what}, median"] = (times[len(times) // 2] * 1e3, "ms")
        found[f"{what}, p95"] = (p95(times) * 1e3, "ms")
    return found
