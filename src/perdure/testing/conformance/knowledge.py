"""Knowledge: dated facts that nothing overwrites, entities that are one only where somebody says so."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from ...core.errors import ConfigError
from ...core.ids import DEFAULT_TENANT
from ...journal.store import Store
from ...memory import Knowledge, Ledger, Origin, Whose, ledger_of
from ...memory.knowledge import Entity, Fact, Said
from ..clocks import ManualClock
from ._scene import Scene

__all__ = ["KnowledgeConformance"]

HERE = Whose(DEFAULT_TENANT)
ORIGIN = Origin(run="r1", step="knowledge_say", labels=("untrusted",))
FUNCTIONAL = ["works_at"]

_keys = itertools.count()


def key() -> str:
    """That of a write of its own."""
    return f"key {next(_keys)}"


async def named(knowledge: Knowledge, kind: str, name: str, realm: Whose = HERE, **more: Any) -> Entity:
    """The entity of a name."""
    given: dict[str, Any] = {"origin": ORIGIN, "key": key(), **more}
    made = await knowledge.entity(realm, kind, name, **given)
    assert made.entity is not None
    return made.entity


async def say(
    knowledge: Knowledge, subject: Entity, relation: str, what: Any, realm: Whose = HERE, **more: Any
) -> Said:
    """Say that a subject has a relation to an entity, or a value."""
    says: dict[str, Any] = {"object": what.id} if isinstance(what, Entity) else {"value": what}
    given: dict[str, Any] = {"origin": ORIGIN, "key": key(), **says, **more}
    return await knowledge.say(realm, subject.id, relation, **given)


def told(facts: list[Fact]) -> list[str]:
    """What facts say, in a fixed order."""
    return sorted(str(fact) for fact in facts)


@pytest.mark.asyncio
class KnowledgeConformance(Scene):
    """What holds for knowledge, on whatever it is kept."""

    @pytest.fixture
    def ledger(self, store: Store) -> Ledger:
        """What is under test."""
        return ledger_of(store)

    @pytest.fixture
    def ledger_of_another(self, other: Store) -> Ledger:
        """The same, as another process has it."""
        return ledger_of(other)

    @pytest.fixture
    def knowledge(self, ledger: Ledger) -> Knowledge:
        """Of `works_at` one fact holds at a time."""
        return Knowledge(ledger, functional=FUNCTIONAL)

    async def test_a_fact_has_two_times_and_says_where_it_comes_from(
        self, knowledge: Knowledge, clock: ManualClock
    ) -> None:
        """When it holds in the world, and since when it is known here."""
        before = clock.micros()
        clock.advance(60)
        ann, bolt = await named(knowledge, "person", "Ann"), await named(knowledge, "company", "Bolt")
        said = await say(
            knowledge, ann, "Works at", bolt, valid_from="2020-03-01", valid_to="2024", confidence=0.9
        )
        await say(knowledge, ann, "likes", {"tea": ["green", None, "\0"]})

        (fact,) = await knowledge.about(HERE, ann.id, "works_at", as_of="2021")

        assert (fact.id, fact.relation, fact.subject.name, fact.origin) == (
            said.fact,
            "works_at",
            "Ann",
            ORIGIN,
        )
        assert fact.object is not None and (fact.object.id, fact.object.kind) == (bolt.id, "company")
        assert (str(fact), fact.confidence, fact.at) == (
            "Ann works_at Bolt (from 2020-03-01, until 2024-01-01)",
            0.9,
            clock.micros(),
        )
        assert await knowledge.about(HERE, ann.id, "works_at", as_of="2019") == []
        assert await knowledge.about(HERE, ann.id, "works_at", as_of="2024") == []
        assert await knowledge.about(HERE, ann.id, as_of="2021", known_at=before) == []
        (likes,) = await knowledge.about(HERE, ann.id, "likes")
        assert (likes.value, likes.valid_from, likes.valid_to) == ({"tea": ["green", None, "\0"]}, None, None)
        assert told(await knowledge.about(HERE, bolt.id, direction="in", ever=True)) == [str(fact)]
        assert len(await knowledge.about(HERE, ann.id, direction="both", ever=True)) == 2

    async def test_of_what_holds_one_at_a_time_a_later_fact_dates_the_end(
        self, knowledge: Knowledge, clock: ManualClock
    ) -> None:
        """In whatever order it is said, and what was known before stays readable; other relations are left alone."""
        ann = await named(knowledge, "person", "Ann")
        cog, bolt, dash = [await named(knowledge, "company", name) for name in ("Cog", "Bolt", "Dash")]
        third = await say(knowledge, ann, "works_at", dash, valid_from="2026-06")
        clock.advance(60)
        known = clock.micros()
        clock.advance(60)
        first = await say(knowledge, ann, "works_at", bolt, valid_from="2020")
        second = await say(knowledge, ann, "works_at", cog, valid_from="2023")
        for what in (bolt, cog):
            await say(knowledge, ann, "knows", what, valid_from="2020")

        assert (first.dated, second.dated) == ((first.fact,), (first.fact, second.fact))
        assert (first.contradicts, third.dated) == ((), ())
        assert told(await knowledge.about(HERE, ann.id, "works_at", ever=True)) == [
            "Ann works_at Bolt (from 2020-01-01, until 2023-01-01)",
            "Ann works_at Cog (from 2023-01-01, until 2026-06-01)",
            "Ann works_at Dash (from 2026-06-01)",
        ]
        assert told(await knowledge.about(HERE, ann.id, as_of="2023-02")) == [
            "Ann knows Bolt (from 2020-01-01)",
            "Ann knows Cog (from 2020-01-01)",
            "Ann works_at Cog (from 2023-01-01, until 2026-06-01)",
        ]
        assert told(await knowledge.about(HERE, ann.id, "works_at", ever=True, known_at=known)) == [
            "Ann works_at Dash (from 2026-06-01)"
        ]
        versions = await knowledge.fact(HERE, first.fact)
        assert [v.valid_to and v.valid_to.year for v in versions] == [2026, 2023]
        assert (versions[0].until, versions[1].until) == (clock.micros(), None)

    async def test_a_contradiction_is_kept_and_told(self, knowledge: Knowledge, clock: ManualClock) -> None:
        """Two that begin at once, and one that ends later than it can: nobody guesses which is right."""
        ann = await named(knowledge, "person", "Ann")
        cog, bolt, dash = [await named(knowledge, "company", name) for name in ("Cog", "Bolt", "Dash")]
        one = await say(knowledge, ann, "works_at", bolt, valid_from="2020", valid_to="2025")
        two = await say(knowledge, ann, "works_at", cog, valid_from="2024")
        three = await say(knowledge, ann, "works_at", dash, valid_from="2024")

        assert (one.contradicts, two.contradicts) == ((), (one.fact,))
        assert (three.contradicts, three.dated) == ((one.fact, two.fact), ())
        found = {f.id: f for f in await knowledge.about(HERE, ann.id, as_of="2024-06")}
        assert {id: f.contradicts for id, f in found.items()} == {
            one.fact: (two.fact, three.fact),
            two.fact: (one.fact, three.fact),
            three.fact: (one.fact, two.fact),
        }
        assert [f.contradicts for f in await knowledge.about(HERE, ann.id, as_of="2021")] == [()]
        for fact in (one, two):
            clock.advance(60)
            await knowledge.retract(HERE, fact.fact, origin=ORIGIN, key=key())
        four = await say(knowledge, ann, "works_at", cog, valid_from="2024")
        assert four.contradicts == (three.fact,)
        told_by = {f.id: f.contradicts for f in await knowledge.history(HERE, ann.id)}
        assert told_by[one.fact] == (two.fact, three.fact), (
            "what was never known together contradicts nothing"
        )

    async def test_what_is_taken_back_is_not_known_any_more_and_was(
        self, knowledge: Knowledge, clock: ManualClock
    ) -> None:
        """Ends that followed from it follow anew, and again when that is undone."""
        ann = await named(knowledge, "person", "Ann")
        cog, bolt = await named(knowledge, "company", "Cog"), await named(knowledge, "company", "Bolt")
        first = await say(knowledge, ann, "works_at", bolt, valid_from="2020")
        second = await say(knowledge, ann, "works_at", cog, valid_from="2024")
        both = told(await knowledge.about(HERE, ann.id, ever=True))
        known = clock.micros()
        clock.advance(60)

        gone = await knowledge.retract(HERE, second.fact, why="a mistake", origin=ORIGIN, key="r")
        assert (gone.done, gone.dated) == (True, (first.fact,))
        assert told(await knowledge.about(HERE, ann.id, ever=True)) == ["Ann works_at Bolt (from 2020-01-01)"]
        assert told(await knowledge.about(HERE, ann.id, ever=True, known_at=known)) == both
        late = await knowledge.retract(HERE, second.fact, origin=ORIGIN, key=key())
        assert (late.done, late.dated) == (False, ())
        clock.advance(60)
        back = await knowledge.undo(HERE, gone.write, origin=ORIGIN, key=key())
        assert (back.undid, back.facts) == ("retract", (first.fact, second.fact))
        assert told(await knowledge.about(HERE, ann.id, ever=True)) == both
        assert (await knowledge.undo(HERE, gone.write, origin=ORIGIN, key=key())).undid == ""
        undone = await knowledge.undo(HERE, second.write, origin=ORIGIN, key=key())
        assert (undone.undid, undone.facts) == ("say", (first.fact, second.fact))
        assert len(await knowledge.history(HERE, ann.id)) == 7
        (why,) = await knowledge.writes(HERE, [gone.write])
        assert (why.kind, why.run, why.undone) == ("retract", "r1", back.write)
        assert "a mistake" in why.did

    async def test_what_is_known_is_written_once_under_its_key(self, knowledge: Knowledge) -> None:
        """Whatever was written meanwhile, and with the same answer; and the very same fact is kept once."""
        made = [
            await knowledge.entity(HERE, "person", "Ann", origin=ORIGIN, key="e", another=True) for _ in "12"
        ]
        assert made[0] == made[1] and made[0].entity is not None
        ann, bolt = made[0].entity, await named(knowledge, "company", "Bolt")
        said = await say(knowledge, ann, "works_at", bolt, key="s")
        gone = await knowledge.retract(HERE, said.fact, origin=ORIGIN, key="g")
        assert await say(knowledge, ann, "works_at", bolt, key="s") == said
        assert await knowledge.retract(HERE, said.fact, origin=ORIGIN, key="g") == gone
        undone = await knowledge.undo(HERE, gone.write, origin=ORIGIN, key="u")
        assert await knowledge.undo(HERE, gone.write, origin=ORIGIN, key="u") == undone
        again = await say(knowledge, ann, "works_at", bolt)
        assert (again.new, again.fact) == (False, said.fact)
        trusted = await say(knowledge, ann, "works_at", bolt, origin=Origin(run="r2", step="s"))
        assert trusted.new
        assert len(await knowledge.about(HERE, ann.id)) == 2
        other = await named(knowledge, "person", "Ann B")
        merged = await knowledge.merge(HERE, other.id, ann.id, origin=ORIGIN, key="m")
        assert await knowledge.merge(HERE, other.id, ann.id, origin=ORIGIN, key="m") == merged

    async def test_a_name_is_found_however_it_is_written_and_a_similar_one_is_a_candidate(
        self, knowledge: Knowledge
    ) -> None:
        """Aliases too; of one kind; nothing is taken for another because it is similar."""
        ann = await named(knowledge, "person", "Ann  O'Brien", aliases=["Annie"])
        bolt = await named(knowledge, "company", "Bolt")
        await say(knowledge, ann, "works_at", bolt)

        for name in ("ann o'brien", "ANN O’BRIEN ", "annie"):
            assert (await knowledge.find(HERE, "Person", name)).entity == ann
        assert (await knowledge.find(HERE, "person", "Nan", aliases=["Annie"])).entity == ann
        found = await knowledge.find(HERE, "person", "O'Brien, Anne")
        assert found.entity is None
        assert [(c.entity.id, c.name) for c in found.candidates] == [(ann.id, "Ann O'Brien")]
        assert 0.8 < found.candidates[0].similarity < 1
        assert told(list(found.candidates[0].facts)) == ["Ann O'Brien works_at Bolt"]
        for name in ("Bob", "Zoë"):
            assert (await knowledge.find(HERE, "person", name)).candidates == ()
        assert (await knowledge.find(HERE, "company", "Ann O'Brien")).candidates == ()
        more = await knowledge.alias(HERE, ann.id, "A. O'Brien", origin=ORIGIN, key=key())
        assert more.entity is not None and more.entity.aliases == ("Annie", "A. O'Brien")
        await knowledge.undo(HERE, more.write, origin=ORIGIN, key=key())
        assert (await knowledge.find(HERE, "person", "A. O'Brien")).entity is None

    async def test_several_of_one_name_are_never_chosen_from(self, knowledge: Knowledge) -> None:
        """They come as candidates, with what is known of each."""
        one = await named(knowledge, "person", "Ann")
        two = await named(knowledge, "person", "Ann", another=True)
        assert one.id != two.id

        found = await knowledge.find(HERE, "person", "ann")

        assert found.entity is None
        assert [(c.entity.id, c.similarity) for c in found.candidates] == [(one.id, 1.0), (two.id, 1.0)]
        bob = await named(knowledge, "person", "Bob")
        known = await knowledge.find(HERE, "person", "Bob", aliases=["Ann"])
        assert known.entity == bob, "a name counts before an alias"
        none = await knowledge.entity(HERE, "person", "Ann", origin=ORIGIN, key=key())
        assert (none.entity, none.new) == (None, False)
        assert [e.id for e in await knowledge.ls(HERE, kind="person")] == [one.id, two.id, bob.id]
        assert [e.id for e in await knowledge.ls(HERE, after=one.id, limit=1)] == [two.id]

    async def test_two_that_are_one_have_the_facts_of_both_until_that_is_undone(
        self, knowledge: Knowledge
    ) -> None:
        """Facts of which one holds at a time date each other, and do not afterwards."""
        ann, annie = await named(knowledge, "person", "Ann"), await named(knowledge, "person", "Annie Smith")
        cog, bolt = await named(knowledge, "company", "Cog"), await named(knowledge, "company", "Bolt")
        eve = await named(knowledge, "person", "Eve")
        await say(knowledge, ann, "works_at", bolt, valid_from="2020")
        await say(knowledge, annie, "works_at", cog, valid_from="2024")
        await say(knowledge, eve, "knows", annie)
        before = [await knowledge.history(HERE, each.id) for each in (ann, annie)]

        merged = await knowledge.merge(HERE, annie.id, ann.id, why="one mail", origin=ORIGIN, key=key())

        assert (merged.into, merged.moved) == (ann.id, 2)
        both = [
            "Ann works_at Bolt (from 2020-01-01, until 2024-01-01)",
            "Ann works_at Cog (from 2024-01-01)",
        ]
        for id in (ann.id, annie.id):
            assert told(await knowledge.about(HERE, id, ever=True)) == both
        assert told(await knowledge.about(HERE, eve.id)) == ["Eve knows Ann"]
        one = await knowledge.get(HERE, annie.id)
        assert one is not None and (one.id, one.aliases, one.merged) == (
            ann.id,
            ("Annie Smith",),
            (annie.id,),
        )
        assert (await knowledge.find(HERE, "person", "annie smith")).entity == one
        since = await say(knowledge, annie, "likes", "tea")
        assert (await knowledge.merge(HERE, ann.id, annie.id, origin=ORIGIN, key=key())).moved == 0
        with pytest.raises(ConfigError, match="is no `company`"):
            await knowledge.merge(HERE, ann.id, cog.id, origin=ORIGIN, key=key())

        undone = await knowledge.undo(HERE, merged.write, origin=ORIGIN, key=key())

        assert undone.undid == "merge"
        assert told(await knowledge.about(HERE, ann.id, ever=True)) == ["Ann works_at Bolt (from 2020-01-01)"]
        assert told(await knowledge.about(HERE, annie.id, ever=True)) == [
            "Annie Smith likes tea",
            "Annie Smith works_at Cog (from 2024-01-01)",
        ]
        assert since.new
        assert told(await knowledge.about(HERE, eve.id)) == ["Eve knows Annie Smith"]
        assert [f.id for f in before[0]] == [(await knowledge.history(HERE, ann.id))[0].id]

    async def test_what_is_reached_over_facts(self, knowledge: Knowledge) -> None:
        """By hops, relations, direction and time; each entity once, in circles too; no further than the limit."""
        a, b, c, d, e = [await named(knowledge, "person", name * 3) for name in "ABCDE"]
        ab = await say(knowledge, a, "knows", b)
        bc = await say(knowledge, b, "knows", c, valid_from="2020", valid_to="2030")
        await say(knowledge, c, "knows", a)
        cd = await say(knowledge, c, "manages", d)
        await say(knowledge, d, "knows", e)
        await say(knowledge, b, "age", 41)

        async def reached(start: Entity, **how: Any) -> dict[str, int]:
            given: dict[str, Any] = {"as_of": "2025", **how}
            found = await knowledge.traverse(HERE, start.id, **given)
            return {each.entity.name[0]: each.hops for each in found.entities}

        assert await reached(a, hops=1, direction="out") == {"A": 0, "B": 1}
        assert await reached(a, hops=3, direction="out") == {"A": 0, "B": 1, "C": 2, "D": 3}
        assert await reached(a, hops=2) == {"A": 0, "B": 1, "C": 1, "D": 2}
        assert await reached(e, hops=2, direction="in") == {"E": 0, "D": 1, "C": 2}
        assert await reached(a, hops=5, direction="out", relations=["knows"]) == {"A": 0, "B": 1, "C": 2}
        assert await reached(a, hops=5, direction="out", as_of="2031") == {"A": 0, "B": 1}
        found = await knowledge.traverse(HERE, a.id, hops=3, direction="out", as_of="2025")
        assert {f.id for f in found.facts} >= {ab.fact, bc.fact, cd.fact}
        assert not found.cut
        short = await knowledge.traverse(HERE, a.id, hops=3, as_of="2025", limit=1)
        assert short.cut and len(short.facts) == 1
        await knowledge.retract(HERE, bc.fact, origin=ORIGIN, key=key())
        assert await reached(a, hops=2, direction="out") == {"A": 0, "B": 1}
        with pytest.raises(ConfigError, match="number of hops"):
            await knowledge.traverse(HERE, a.id, hops=6)

    async def test_realms_do_not_see_each_other(self, knowledge: Knowledge) -> None:
        """Nobody reads, dates or merges what another tenant, or another agent, has said, whatever id it names."""
        realms = [HERE, Whose("other"), HERE._replace(agent="desk")]
        anns = [await named(knowledge, "person", "Ann", realm=realm) for realm in realms]
        said = [
            await say(knowledge, ann, "works_at", f"{realm}", realm=realm, valid_from="2020")
            for ann, realm in zip(anns, realms, strict=True)
        ]
        assert [s.dated for s in said] == [(), (), ()]
        for ann, realm in zip(anns, realms, strict=True):
            assert [f.value for f in await knowledge.about(realm, ann.id)] == [f"{realm}"]
        theirs, ours = anns[1], anns[0]
        for wrong in (
            knowledge.about(HERE, theirs.id),
            say(knowledge, theirs, "likes", "tea"),
            say(knowledge, ours, "knows", theirs),
            knowledge.merge(HERE, theirs.id, ours.id, origin=ORIGIN, key=key()),
            knowledge.traverse(HERE, theirs.id),
        ):
            with pytest.raises(ConfigError, match="no entity"):
                await wrong
        with pytest.raises(ConfigError, match="no fact"):
            await knowledge.retract(HERE, said[1].fact, origin=ORIGIN, key=key())
        with pytest.raises(ConfigError, match="no write"):
            await knowledge.undo(HERE, said[1].write, origin=ORIGIN, key=key())
        assert await knowledge.get(HERE, theirs.id) is None
        assert await knowledge.realms("other") == [realms[1]]
        assert set(await knowledge.realms(DEFAULT_TENANT)) == {realms[0], realms[2]}
        assert await knowledge.forget(realms[1]) > 0
        assert await knowledge.realms("other") == []
        assert len(await knowledge.about(HERE, ours.id)) == 1

    async def test_many_that_write_at_once_make_one_entity_and_dates_that_fit(
        self, knowledge: Knowledge, ledger_of_another: Ledger
    ) -> None:
        """From two processes."""
        both = [knowledge, Knowledge(ledger_of_another, functional=FUNCTIONAL)]
        anns = await asyncio.gather(*(named(each, "person", "Ann") for each in both * 4))
        assert len({ann.id for ann in anns}) == 1
        ann = anns[0]

        said = await asyncio.gather(
            *(
                say(each, ann, "works_at", f"{year} {n}", valid_from=f"{year}")
                for n, each in enumerate(both)
                for year in range(2000, 2010, 2)
            )
        )

        assert len({s.fact for s in said}) == 10
        facts = await knowledge.about(HERE, ann.id, ever=True)
        ends = {f.valid_from.year: set[Any]() for f in facts if f.valid_from is not None}
        for fact in facts:
            assert fact.valid_from is not None
            ends[fact.valid_from.year].add(fact.valid_to and fact.valid_to.year)
        assert ends == {2000: {2002}, 2002: {2004}, 2004: {2006}, 2006: {2008}, 2008: {None}}
        assert all(len(f.contradicts) == 1 for f in facts)

    async def test_what_cannot_be_known_is_refused(self, knowledge: Knowledge) -> None:
        """Names, times, confidences, values, pages."""
        ann = await named(knowledge, "person", "Ann")
        for what, match in (
            ({"valid_from": "2024", "valid_to": "2024"}, "before it begins"),
            ({"valid_from": "soon"}, "is not a time"),
            ({"valid_to": 10**18}, "is not a time"),
            ({"confidence": 2}, "no confidence"),
            ({"relation": " "}, "a relation"),
            ({"what": "x" * 70_000}, "at most 65,536"),
        ):
            given: dict[str, Any] = {"relation": "likes", "what": "tea", **what}
            with pytest.raises(ConfigError, match=match):
                await say(knowledge, ann, given.pop("relation"), given.pop("what"), **given)
        for name in ("", "x" * 501, "\0"):
            with pytest.raises(ConfigError, match="an entity's name"):
                await named(knowledge, "person", name)
        with pytest.raises(ConfigError, match="page by page"):
            await knowledge.about(HERE, ann.id, limit=1001)
        assert await knowledge.history(HERE, ann.id) == []
