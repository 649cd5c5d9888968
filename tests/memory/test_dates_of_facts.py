"""Where facts end of which one holds at a time: by what was said, in whatever order; what was known stays as it was."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure.db.memory import MemoryStore
from perdure.memory import Knowledge, Origin, Whose
from perdure.testing import ManualClock

HERE = Whose("default")
ORIGIN = Origin(run="r1", step="s")
DAY = 86_400_000_000

Said = tuple[int, int | None, str]
"""From which day, to which (None: open), that she works where."""

statements = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.integers(1, 5)), st.sampled_from("ABC")).map(
        lambda s: (s[0], None if s[1] is None else s[0] + s[1], s[2])
    ),
    min_size=1,
    max_size=6,
    unique=True,
)


def expected(said: list[Said]) -> list[tuple[int, int | None, str]]:
    """The rule, as a reader of the docs would apply it."""
    found: list[tuple[int, int | None, str]] = []
    for since, until, where in said:
        later = [s for s, _, w in said if s > since and w != where]
        found.append((since, min(later, default=None) if until is None else until, where))
    return sorted(found, key=str)


class World:
    """One person, and what is said of her."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.knowledge = Knowledge(MemoryStore(self.clock).ledger, functional=["works_at"])
        self.keys = 0
        self.seen: list[tuple[int, list[Any]]] = []
        """what was known at some times"""

    def key(self) -> dict[str, Any]:
        self.keys += 1
        self.clock.advance(1)
        return {"origin": ORIGIN, "key": str(self.keys)}

    async def begin(self) -> None:
        made = await self.knowledge.entity(HERE, "person", "Ann", **self.key())
        assert made.entity is not None
        self.ann = made.entity.id

    async def say(self, said: Said) -> Any:
        since, until, where = said
        dates = {"valid_from": since * DAY, "valid_to": None if until is None else until * DAY}
        return await self.knowledge.say(HERE, self.ann, "works_at", value=where, **dates, **self.key())

    async def known(self, **when: Any) -> list[tuple[int, int | None, str]]:
        facts = await self.knowledge.about(HERE, self.ann, "works_at", ever=True, **when)
        days = [[d and round(d.timestamp() / 86400) for d in (f.valid_from, f.valid_to)] for f in facts]
        return sorted(((s or 0, u, f.value) for (s, u), f in zip(days, facts, strict=True)), key=str)

    async def look(self) -> None:
        self.seen.append((self.clock.micros(), await self.known()))
        self.clock.advance(1)

    async def check_the_past(self) -> None:
        for at, was in self.seen:
            assert await self.known(known_at=at) == was


@settings(max_examples=40, deadline=None)
@given(statements, st.randoms(use_true_random=False))
def test_ends_follow_from_what_was_said_in_whatever_order(said: list[Said], random: Any) -> None:
    async def run() -> None:
        random.shuffle(said)
        world = World()
        await world.begin()
        for i, each in enumerate(said):
            await world.say(each)
            assert await world.known() == expected(said[: i + 1])
            await world.look()
        await world.check_the_past()

    asyncio.run(run())


@settings(max_examples=40, deadline=None)
@given(statements, st.data())
def test_what_is_taken_back_leaves_no_trace_in_what_is_known_and_comes_back_whole(
    said: list[Said], data: st.DataObject
) -> None:
    async def run() -> None:
        world = World()
        await world.begin()
        facts = [(await world.say(each)).fact for each in said]
        await world.look()
        gone = data.draw(st.integers(0, len(said) - 1))
        taken = await world.knowledge.retract(HERE, facts[gone], **world.key())
        assert await world.known() == expected([*said[:gone], *said[gone + 1 :]])
        await world.look()
        await world.knowledge.undo(HERE, taken.write, **world.key())
        assert await world.known() == expected(said)
        await world.check_the_past()

    asyncio.run(run())


@settings(max_examples=40, deadline=None)
@given(statements, st.data())
def test_facts_that_overlap_and_differ_are_told_and_no_others(said: list[Said], data: st.DataObject) -> None:
    async def run() -> None:
        world = World()
        await world.begin()
        for each in said:
            await world.say(each)
        day = data.draw(st.integers(0, 15))
        facts = await world.knowledge.about(HERE, world.ann, "works_at", as_of=day * DAY)
        for fact in facts:
            assert set(fact.contradicts) == {f.id for f in facts if f.value != fact.value}

    asyncio.run(run())
