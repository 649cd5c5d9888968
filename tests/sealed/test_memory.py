"""What is remembered of a person is sealed at rest, is nobody else's, and goes with the person."""

from __future__ import annotations

from typing import Any

import pytest

from perdure import App, Run
from perdure.core.errors import SubjectErased
from perdure.memory import KINDS
from perdure.memory.working.cells import WORKING_KINDS
from tests.places import Place

from .clinic import on_disk

WORD = b"xanthophyll"


def new_app(url: str) -> App:
    app = App(url)

    @app.agent("clinic")
    async def clinic(run: Run) -> list[Any]:
        session = run.session("case")
        before = [m.content for m in await session.messages()]
        await session.append("user", WORD.decode())
        await session.set("key", WORD.decode())
        await session.compact(WORD.decode(), upto=1) if not before else None
        await run.working("notes").add(WORD.decode())
        found = await run.working("notes").search(WORD.decode().upper())
        assert len(found) == (2 if before else 1)
        kept = await session.get("key")
        return [before, None if kept is None else kept.value]

    return app


async def test_a_persons_memory_is_sealed_and_goes_with_the_person(place: Place, store_url: str) -> None:
    async with new_app(store_url) as app:
        first = await app.start("clinic", subject="patient:1")
        assert await first.result() == [[], WORD.decode()]
        assert WORD not in on_disk(place, store_url)
        again = await app.start("clinic", subject="patient:1")
        assert await again.result() == [[WORD.decode()], WORD.decode()]
        other = await app.start("clinic", subject="patient:2")
        assert await other.result() == [[], WORD.decode()]

        await app.erase("patient:1", by="user:officer")

        for kind in (*KINDS[:3], *WORKING_KINDS):
            assert {key.name.partition("/")[0] for key, _ in await app.store.cells(kind)} == {"patient%3A2"}
        with pytest.raises(SubjectErased):
            await app.start("clinic", subject="patient:1")
        third = await app.start("clinic", subject="patient:2")
        assert await third.result() == [[WORD.decode()], WORD.decode()]


async def test_what_waits_for_a_review_is_sealed_and_goes_with_the_person(
    place: Place, store_url: str
) -> None:
    """Decided or not; others' stays."""
    app = App(store_url, memory={"review": "all"})

    @app.agent("clinic")
    async def clinic(run: Run) -> list[int]:
        session = run.session("case")
        return [await session.append("user", WORD.decode()), await session.set("key", WORD.decode())]

    async with app:
        for subject in ("patient:1", "patient:2"):
            assert await (await app.start("clinic", subject=subject)).result() == [0, 0]
        assert WORD not in on_disk(place, store_url)
        waiting = await app.memory.proposals()
        assert [p.write.arguments.get("content") for p in waiting].count(WORD.decode()) == 2
        mine = next(p for p in waiting if p.write.whose.subject == "patient:1")
        await app.memory.reject(mine.id, by="user:officer")
        assert WORD not in on_disk(place, store_url)

        await app.erase("patient:1", by="user:officer")

        left = await app.memory.proposals(all=True)
        assert {p.write.whose.subject for p in left} == {"patient:2"}
        assert len(left) == len(await app.store.cells("memory_proposal")) == 2
