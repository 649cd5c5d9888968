"""Working memory: added once, found by words and by meaning, by nobody else, and not once it was forgotten.

A backend that is no journal store runs this suite alone: override `working`, and `working_of_another` where two
processes can share the data.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from ...core.errors import ConfigError
from ...core.ids import DEFAULT_TENANT
from ...journal.store import Store
from ...memory import Origin
from ...memory.working import CellWorking, Part, Query, Space, Working, packed
from ..clocks import ManualClock
from ._scene import Scene

__all__ = ["WorkingConformance"]

NOTES = Space(DEFAULT_TENANT, None, "desk", "notes")
ORIGIN = Origin(run="r1", step="working_add", labels=("untrusted",))
PLAIN = Origin(run="r1", step="working_add", labels=())


async def adds(
    working: Working,
    text: str,
    *,
    key: str = "",
    space: Space = NOTES,
    vector: Sequence[float] | None = None,
    **more: Any,
) -> str:
    """Add a text of one passage; its id."""
    told: dict[str, Any] = {"kind": "note", "source": "", "origin": ORIGIN, **more}
    parts = [Part(text=text, vector=None if vector is None else packed(vector))]
    return await working.add(space, parts, key=key or text, **told)


async def texts(working: Working, query: str = "", *, space: Space = NOTES, **more: Any) -> list[str]:
    """What a search finds."""
    vector: Sequence[float] | None = more.pop("vector", None)
    asked = Query(text=query, vector=None if vector is None else packed(vector), **more)
    return [item.text for item in await working.search(space, asked)]


@pytest.mark.asyncio
class WorkingConformance(Scene):
    """What holds for working memory, on whatever it is kept."""

    @pytest.fixture
    def working(self, store: Store) -> Working:
        """The working memory under test."""
        return CellWorking(store)

    @pytest.fixture
    def working_of_another(self, other: Store) -> Working:
        """The same, as another process has it."""
        return CellWorking(other)

    async def test_what_was_added_is_found_with_where_it_comes_from(
        self, working: Working, clock: ManualClock
    ) -> None:
        """The rarest word counts most; accents, case and plurals do not."""
        await adds(working, "the weather was fine in the morning")
        id = await adds(
            working,
            "Refunds go to the café's own account, within the week",
            kind="document",
            source="a",
        )
        await adds(working, "the account of the morning")

        found = await working.search(NOTES, Query(text="the refund of a CAFE", k=2))

        first = found[0]
        assert first.id == id
        assert (first.part, first.kind, first.source, first.origin, first.at) == (
            0,
            "document",
            "a",
            ORIGIN,
            clock.micros(),
        )
        assert first.by == ("words",) and first.score > found[1].score
        assert await texts(working, "nothing at_all_like-it") == []
        assert await texts(working, '"; --') == []
        assert [item.text for item in await working.get(NOTES, id)] == [first.text]
        assert await working.get(NOTES, "0" * 20) == []

    async def test_a_text_is_added_once_under_its_key(
        self, working: Working, working_of_another: Working
    ) -> None:
        """Also by two at once, and after what it wrote was forgotten."""
        both = [adds(each, f"tea {i}") for i in range(5) for each in (working, working_of_another)]
        assert len(set(await asyncio.gather(*both))) == 5
        id = await adds(working, "tea 0")
        assert len(await working.ls(NOTES)) == 5

        assert await working_of_another.forget(NOTES, id, key="gone")
        assert await working.forget(NOTES, id, key="gone")
        assert not await working.forget(NOTES, id, key="gone already")
        assert await adds(working, "tea 0") == id

        assert sorted(await texts(working, "tea")) == [f"tea {i}" for i in range(1, 5)]
        assert await working.get(NOTES, id) == []
        assert await texts(working, "tea", without=("untrusted",)) == []

    async def test_a_long_text_is_found_by_each_of_its_passages(self, working: Working) -> None:
        """And forgotten as a whole."""
        parts = [Part(text=f"passage {word}") for word in ("alpha", "beta", "gamma")]
        id = await working.add(NOTES, parts, kind="document", source="", origin=ORIGIN, key="long")
        found = await working.search(NOTES, Query(text="beta"))
        assert [(f.id, f.part, f.text) for f in found] == [(id, 1, "passage beta")]
        assert [item.part for item in await working.get(NOTES, id)] == [0, 1, 2]
        await working.forget(NOTES, id, key="gone")
        assert await texts(working, "passage") == []

    async def test_meaning_is_found_by_vectors_of_the_same_model(self, working: Working) -> None:
        """Words and meaning together put first what stands in both lists."""
        await adds(working, "tea is served at four", vector=[1, 0, 0], model="m")
        await adds(working, "coffee costs three euros", vector=[0.9, 0.1, 0], model="m")
        await adds(working, "the bus leaves at four", vector=[0, 0, 1], model="m")
        await adds(working, "of another model", vector=[1, 0, 0], model="other")
        await adds(working, "without a vector")

        near = await texts(working, vector=[1, 0.05, 0], model="m", k=2)
        both = await working.search(NOTES, Query(text="coffee", vector=packed([1, 0.05, 0]), model="m", k=3))

        assert near == ["tea is served at four", "coffee costs three euros"]
        assert both[0].text == "coffee costs three euros"
        assert [f.by for f in both] == [("words", "meaning"), ("meaning",), ("meaning",)]
        assert await texts(working, vector=[1, 0], model="m") == []

    async def test_searches_are_narrowed(self, working: Working) -> None:
        """By kind, source and label; to so many."""
        for i in range(6):
            await adds(
                working,
                f"tea {i}",
                kind="note" if i % 2 else "result",
                source=f"s{i % 3}",
                origin=ORIGIN if i < 3 else PLAIN,
            )
        assert sorted(await texts(working, "tea", kinds=("note",))) == ["tea 1", "tea 3", "tea 5"]
        assert sorted(await texts(working, "tea", kinds=("note", "result"), sources=("s0",))) == [
            "tea 0",
            "tea 3",
        ]
        assert sorted(await texts(working, "tea", without=("untrusted",))) == ["tea 3", "tea 4", "tea 5"]
        assert len(await texts(working, "tea", k=2)) == 2

    async def test_spaces_do_not_see_each_other(self, working: Working) -> None:
        """Tenants, agents, spaces whose names begin alike, or look like another's parts."""
        spaces = [
            NOTES,
            NOTES._replace(name="note"),
            NOTES._replace(name="notes/1"),
            NOTES._replace(agent=None),
            NOTES._replace(agent="other"),
            NOTES._replace(tenant="other"),
        ]
        ids = [
            await adds(working, f"tea {i}", space=space, vector=[1, i], model="m")
            for i, space in enumerate(spaces)
        ]
        for i, space in enumerate(spaces):
            assert await texts(working, "tea", space=space, vector=[1, 0], model="m") == [f"tea {i}"]
            assert [item.text for item in await working.ls(space)] == [f"tea {i}"]
        assert not await working.forget(NOTES, ids[1], key="gone") and await working.get(NOTES, ids[1]) == []
        listed = await working.spaces(DEFAULT_TENANT)
        assert {head.space for head in listed} == set(spaces[:5]) and {head.items for head in listed} == {1}
        assert await working.spaces(DEFAULT_TENANT, after=listed[1].space, limit=1) == listed[2:3]
        assert await texts(working, "tea", space=NOTES._replace(name="nobody's")) == []

    async def test_what_is_over_is_not_found(self, working: Working, clock: ManualClock) -> None:
        """Nor listed."""
        await adds(working, "tea for an hour", ttl=timedelta(hours=1))
        await adds(working, "tea")
        assert sorted(await texts(working, "tea")) == ["tea", "tea for an hour"]

        clock.advance(3600)

        assert await texts(working, "tea") == ["tea"]
        assert [passage.text for passage in await working.ls(NOTES)] == ["tea"]
        await adds(working, "more tea")
        assert await texts(working, "hour") == []

    async def test_the_newest_texts_are_listed_first_by_pages(self, working: Working) -> None:
        """Passages of one text together, in their order."""
        await adds(working, "old")
        parts = [Part(text=f"p{i}") for i in range(3)]
        await working.add(NOTES, parts, kind="document", source="", origin=ORIGIN, key="long")
        await adds(working, "new")
        first = await working.ls(NOTES, limit=2)
        assert [passage.text for passage in first] == ["new", "p0", "p1", "p2"]
        assert [p.text for p in await working.ls(NOTES, before=first[-1].n)] == ["old"]

    async def test_what_is_about_a_data_subject_is_erased(self, working: Working) -> None:
        """Of all agents, and of nobody else."""
        spaces = [NOTES, *(NOTES._replace(subject="ann", agent=agent) for agent in ("desk", None))]
        spaces.append(NOTES._replace(subject="anna"))
        for i, space in enumerate(spaces):
            await adds(working, f"tea {i}", space=space, vector=[1, i], model="m")
            assert await texts(working, "tea", space=space) == [f"tea {i}"]

        assert await working.erase(DEFAULT_TENANT, "ann") == 2
        assert await working.erase(DEFAULT_TENANT, "ann") == 0

        assert [await texts(working, "tea", space=space) for space in spaces] == [
            ["tea 0"],
            [],
            [],
            ["tea 3"],
        ]

    async def test_what_cannot_be_kept_or_asked_is_refused(self, working: Working) -> None:
        """Empty texts, names, numbers."""
        with pytest.raises(ConfigError, match="empty text"):
            await adds(working, " \n", key="k")
        with pytest.raises(ConfigError, match="cannot be a space's name"):
            await adds(working, "a", space=NOTES._replace(name=""))
        with pytest.raises(ConfigError, match="cannot be the kind"):
            await adds(working, "a", kind="")
        with pytest.raises(ConfigError, match="above zero"):
            await adds(working, "a", ttl=timedelta(0))
        with pytest.raises(ConfigError, match="1 to 1000"):
            await texts(working, "a", k=1001)
        with pytest.raises(ConfigError, match="is no id"):
            await working.get(NOTES, "../other")
        assert await working.ls(NOTES) == []
