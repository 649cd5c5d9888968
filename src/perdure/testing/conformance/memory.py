"""Sessions of memory: written once, in order, compared and set; what is over, what is summed up.

A backend that is no journal store runs this suite alone: override `sessions`, and `sessions_of_another` where two
processes can share the data; `now` and `pass_time` where it goes by a clock of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from ...core.errors import ConfigError
from ...core.ids import DEFAULT_TENANT
from ...journal.store import Store
from ...memory import CellSessions, Origin, Place, Sessions
from ..clocks import ManualClock
from ._scene import Scene

__all__ = ["MemoryConformance"]

CASE = Place(DEFAULT_TENANT, None, "case-17")
ORIGIN = Origin(run="r1", step="session_append", labels=("untrusted",))


async def says(sessions: Sessions, content: Any, *, key: str, place: Place = CASE, **more: Any) -> int:
    """Append a message of the user's; its number."""
    return (await sessions.append(place, "user", content, origin=ORIGIN, key=key, **more)).version


async def contents(sessions: Sessions, place: Place = CASE, **which: Any) -> list[Any]:
    """What the messages say."""
    return [m.content for m in await sessions.messages(place, **which)]


@pytest.mark.asyncio
class MemoryConformance(Scene):
    """What holds for sessions, on whatever they are kept."""

    @pytest.fixture
    def sessions(self, store: Store) -> Sessions:
        """The sessions under test."""
        return CellSessions(store)

    @pytest.fixture
    def sessions_of_another(self, other: Store) -> Sessions:
        """The same sessions, as another process has them."""
        return CellSessions(other)

    @pytest.fixture
    def now(self, clock: ManualClock) -> Callable[[], int]:
        """The time of the backend, in microseconds."""
        return clock.micros

    @pytest.fixture
    def pass_time(self, clock: ManualClock) -> Callable[[timedelta], Awaitable[None]]:
        """Let so much time pass for the backend."""

        async def pass_(time: timedelta) -> None:
            clock.advance(time.total_seconds())

        return pass_

    async def test_messages_come_back_in_order_with_where_they_come_from(
        self, sessions: Sessions, now: Callable[[], int]
    ) -> None:
        """By pages and from the end; numbers begin with 1."""
        began = now()
        for i, content in enumerate(["\0", {"é": [1, None]}, 3, "four", "five"], 1):
            assert await says(sessions, content, key=f"k{i}") == i

        found = await sessions.messages(CASE)

        assert [m.content for m in found] == ["\0", {"é": [1, None]}, 3, "four", "five"]
        assert [(m.n, m.role, m.origin) for m in found[:1]] == [(1, "user", ORIGIN)]
        assert all(began <= m.at <= now() for m in found)
        assert await contents(sessions, last=2) == ["four", "five"]
        assert await contents(sessions, after=1, limit=2) == [{"é": [1, None]}, 3]
        assert await contents(sessions, after=5) == []
        head = await sessions.head(CASE)
        assert head is not None and (head.messages, head.version, head.summary) == (5, 0, None)

    async def test_a_write_is_done_once_under_its_key(self, sessions: Sessions) -> None:
        """Whatever was written meanwhile, and with the same answer: numbers, versions, deletions, summaries."""
        for _ in range(2):
            assert await says(sessions, "a", key="once") == 1
        assert (await sessions.set(CASE, "k", 1, origin=ORIGIN, key="set")).version == 1
        assert (await sessions.set(CASE, "k", 2, origin=ORIGIN, key="other")).version == 2
        again = await sessions.set(CASE, "k", 1, origin=ORIGIN, key="set", if_version=0)
        assert (again.version, again.conflict) == (1, False)
        kept = await sessions.get(CASE, "k")
        assert kept is not None and kept.value == 2
        assert (await sessions.delete(CASE, "k", key="gone")).version == 3
        assert (await sessions.set(CASE, "k", 4, origin=ORIGIN, key="back")).version == 4
        assert (await sessions.delete(CASE, "k", key="gone")).version == 3
        kept = await sessions.get(CASE, "k")
        assert kept is not None and kept.value == 4
        for _ in range(2):
            done = await sessions.compact(CASE, "s", upto=1, origin=ORIGIN, key="sum")
            assert (done.version, done.conflict) == (1, False)
        assert await contents(sessions, whole=True) == ["a"]

    async def test_of_two_that_read_one_version_one_writes(
        self, sessions: Sessions, sessions_of_another: Sessions
    ) -> None:
        """Nobody's write is lost, also where the key was deleted and made again between."""

        async def add(each: Sessions, who: str) -> int:
            tries = 0
            while True:
                there = await each.get(CASE, "sum")
                value, version = (0, 0) if there is None else (there.value, there.version)
                tries += 1
                done = await each.set(
                    CASE,
                    "sum",
                    value + 1,
                    origin=ORIGIN,
                    key=f"{who}{tries}{version}",
                    if_version=version,
                )
                if not done.conflict:
                    return done.version

        both = [
            add(each, f"{i}{each is sessions}") for i in range(8) for each in (sessions, sessions_of_another)
        ]
        versions = await asyncio.gather(*both)

        assert sorted(versions) == list(range(1, 17))
        kept = await sessions.get(CASE, "sum")
        assert kept is not None and (kept.value, kept.version) == (16, 16)
        await sessions.delete(CASE, "sum", key="gone", if_version=16)
        await sessions.set(CASE, "sum", 1, origin=ORIGIN, key="new", if_version=0)
        late = await sessions.set(CASE, "sum", 17, origin=ORIGIN, key="late", if_version=16)
        assert (late.version, late.conflict) == (18, True)
        assert (await sessions.delete(CASE, "sum", key="late too", if_version=16)).conflict

    async def test_messages_of_many_at_once_are_numbered_without_a_gap(
        self, sessions: Sessions, sessions_of_another: Sessions
    ) -> None:
        """From two processes."""
        both = [
            says(each, f"{i}", key=f"{i}{each is sessions}")
            for i in range(10)
            for each in (sessions, sessions_of_another)
        ]
        assert sorted(await asyncio.gather(*both)) == list(range(1, 21))
        assert [m.n for m in await sessions.messages(CASE)] == list(range(1, 21))

    async def test_what_is_over_is_not_seen(
        self, sessions: Sessions, pass_time: Callable[[timedelta], Awaitable[None]]
    ) -> None:
        """A page is filled up with older ones; a value that is over has no version."""
        hour = timedelta(hours=1)
        for i in range(1, 7):
            await says(sessions, i, key=f"k{i}", ttl=hour if i in (4, 6) else None)
        await sessions.set(CASE, "k", 1, origin=ORIGIN, key="set", ttl=hour)
        await sessions.set(CASE, "stays", 1, origin=ORIGIN, key="stays")
        assert await contents(sessions, last=3) == [4, 5, 6]

        await pass_time(hour)

        assert await contents(sessions, last=3) == [2, 3, 5]
        assert await contents(sessions, after=1, limit=3) == [2, 3, 5]
        assert await sessions.get(CASE, "k") is None
        assert [kept.key for kept in await sessions.values(CASE)] == ["stays"]
        assert not (await sessions.set(CASE, "k", 2, origin=ORIGIN, key="new", if_version=0)).conflict
        assert await says(sessions, 7, key="k7") == 7

    async def test_a_summary_stands_for_what_is_still_there(self, sessions: Sessions) -> None:
        """It comes first, and only goes further; the originals are read with `whole`."""
        for i in range(1, 6):
            await says(sessions, i, key=f"k{i}")
        await sessions.compact(CASE, "one to three", upto=3, origin=ORIGIN, key="s1")

        (first, *rest) = await sessions.messages(CASE)
        assert (first.n, first.role, first.content, first.origin) == (3, "summary", "one to three", ORIGIN)
        assert [m.n for m in rest] == [4, 5]
        assert await contents(sessions, last=1) == ["one to three", 5]
        assert await contents(sessions, after=3) == [4, 5]
        assert await contents(sessions, whole=True) == [1, 2, 3, 4, 5]
        assert await contents(sessions, whole=True, last=4) == [2, 3, 4, 5]
        behind = await sessions.compact(CASE, "less", upto=2, origin=ORIGIN, key="s2")
        assert (behind.version, behind.conflict) == (3, True)
        with pytest.raises(ConfigError, match="has 5 messages"):
            await sessions.compact(CASE, "more", upto=6, origin=ORIGIN, key="s3")

    async def test_places_do_not_see_each_other(self, sessions: Sessions) -> None:
        """Tenants, subjects, sessions whose names begin alike, or that look like another's parts."""
        places = [
            CASE,
            CASE._replace(session="case-1"),
            CASE._replace(session="case-17/000000000001"),
            CASE._replace(session="%2F"),
            CASE._replace(agent="desk"),
            CASE._replace(agent="desk", subject="ann"),
            CASE._replace(subject="@desk"),
            CASE._replace(tenant="other"),
        ]
        for i, place in enumerate(places):
            await says(sessions, i, key=f"k{i}", place=place)
            await sessions.set(place, "a", i, origin=ORIGIN, key=f"a{i}")
            await sessions.set(place, "a/b", -i, origin=ORIGIN, key=f"b{i}")

        for i, place in enumerate(places):
            assert await contents(sessions, place) == [i]
            assert [(k.key, k.value) for k in await sessions.values(place)] == [("a", i), ("a/b", -i)]
        listed = await sessions.ls(DEFAULT_TENANT)
        assert {head.place for head in listed} == set(places[:-1])
        assert await sessions.ls(DEFAULT_TENANT, after=listed[1].place, limit=1) == listed[2:3]
        assert await sessions.head(CASE._replace(session="case")) is None
        assert await contents(sessions, CASE._replace(session="case")) == []

    async def test_what_is_about_a_person_is_forgotten(self, sessions: Sessions) -> None:
        """Of all agents, and of nobody whose name begins alike; what is written afterwards begins anew."""
        whose = [
            CASE._replace(subject="ann"),
            CASE._replace(subject="ann", agent="desk"),
            CASE._replace(subject="anna"),
            CASE,
        ]
        for i, place in enumerate(whose):
            await says(sessions, "hello", key=f"k{i}", place=place)
            await sessions.set(place, "name", "Ann", origin=ORIGIN, key=f"s{i}")
            await sessions.compact(place, "greets", upto=1, origin=ORIGIN, key=f"c{i}")

        assert await sessions.forget(DEFAULT_TENANT, "ann") == 6

        assert await sessions.forget(DEFAULT_TENANT, "ann") == 0
        assert {head.place for head in await sessions.ls(DEFAULT_TENANT)} == set(whose[2:])
        assert await sessions.messages(whose[0]) == [] and await sessions.values(whose[1]) == []
        assert await says(sessions, "hello again", key="new", place=whose[0]) == 1

    async def test_what_cannot_be_kept_is_refused(self, sessions: Sessions) -> None:
        """Names, sizes, times, pages."""
        for place in (
            CASE._replace(session=""),
            CASE._replace(session="é" * 200),
            CASE._replace(session="\0"),
        ):
            with pytest.raises(ConfigError, match="cannot be a session's name"):
                await says(sessions, 1, key="k", place=place)
        with pytest.raises(ConfigError, match="key of a value"):
            await sessions.get(CASE, "x" * 301)
        with pytest.raises(ConfigError, match="at most 262,144"):
            await says(sessions, "x" * 300_000, key="k")
        with pytest.raises(ConfigError, match="above zero"):
            await says(sessions, 1, key="k", ttl=timedelta(0))
        with pytest.raises(ConfigError, match="page by page"):
            await sessions.messages(CASE, limit=1001)
        assert await sessions.ls(DEFAULT_TENANT) == []
