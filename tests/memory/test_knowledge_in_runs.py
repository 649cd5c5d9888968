"""Knowledge in runs: said once whoever is killed, known to the next run; in doubt a human says who is who."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from perdure import App, ConfigError, Kind, Refused, Run
from perdure.db.memory import MemoryStore
from perdure.memory import ItemQuery, Origin, Proposals, Whose
from perdure.testing import Boundary, kill_at, survives
from tests.approvals.desks import opened

HERE = Whose("default")


def desk(url: str = "memory://") -> App:
    app = App(url, memory={"one_at_a_time": ["works at"]})

    @app.agent("desk")
    async def agent(run: Run) -> list[Any]:
        known = run.knowledge
        ann = await known.entity("person", "Ann Smith", aliases=["Ann"])
        bolt, cog = await known.entity("company", "Bolt"), await known.entity("company", "Cog")
        await known.say(ann, "works at", bolt, valid_from="2020")
        moved = await known.say(ann, "works at", cog, valid_from="2026-06", confidence=0.9)
        wrong = await known.say(ann, "age", 41)
        gone = await known.retract(wrong, why="a guess")
        await known.undo(gone.write)
        same = await known.entity("person", "ann")
        reached = await known.traverse(bolt, as_of="2021")
        return [
            len(moved.dated),
            sorted(map(str, await known.about(same, as_of="2027"))),
            len(await known.history(ann)),
            [each.entity.name for each in reached.entities],
        ]

    @app.agent("reader")
    async def reader(run: Run) -> list[str]:
        found = await run.knowledge.find("person", "ANN")
        assert found.entity is not None
        facts = await run.knowledge.about(found.entity, "works_at", ever=True)
        return [fact.object.name for fact in facts if fact.object is not None]

    return app


EXPECTED = [
    1,
    ["Ann Smith age 41", "Ann Smith works_at Cog (from 2026-06-01)"],
    5,
    ["Bolt", "Ann Smith"],
]


async def test_a_run_reads_its_own_writes_and_the_next_run_knows_them_too(store_url: str) -> None:
    async with desk(store_url) as app:
        run = await app.start("desk")
        assert await run.result() == EXPECTED

        found = await app.memory.knowledge.find(HERE, "person", "Ann Smith")
        assert found.entity is not None and found.entity.origin.run == run.id
        keys = {e.key for e in await run.entries() if e.kind == Kind.INTENT}
        facts = await app.memory.knowledge.history(HERE, found.entity.id)
        assert {fact.origin.step for fact in facts} <= keys
        assert sorted(await (await app.start("reader")).result()) == ["Bolt", "Cog"]


async def test_it_survives_a_kill_at_every_boundary() -> None:
    trials = await survives(desk(), "desk")

    assert trials[0].result == EXPECTED
    assert len(trials) > 20


async def test_a_crash_between_the_write_and_its_record_does_not_double_it() -> None:
    for step in ("knowledge_entity", "knowledge_say:2", "knowledge_retract", "knowledge_undo"):
        trial = await kill_at(desk(), "desk", boundary=Boundary("before", "result", step=step))
        assert trial.result == EXPECTED


def clerk(url: str = "memory://") -> App:
    app = App(url)

    @app.agent("names")
    async def names(run: Run, asked: Any) -> list[Any]:
        name, doubt = (asked, "ask") if isinstance(asked, str) else asked
        entity = await run.knowledge.entity("person", name, doubt=doubt)
        return [entity.id, entity.name, list(entity.aliases)]

    return app


async def answered(app: App, name: str, choice: int | None) -> tuple[list[Any], dict[str, Any]]:
    """What came of the run, and what the human was shown who chose that candidate; None: none of them."""
    run = await app.start("names", name)
    asked = await opened(app, run)
    told: dict[str, Any] = asked.told
    value = told["choices"][-1 if choice is None else choice]
    await app.answer(run.id, asked.step, approved=True, by="eve", value=value)
    return await run.result(), {"question": asked.question, **told}


async def test_where_there_is_doubt_a_human_says_who_it_is() -> None:
    async with clerk() as app:
        first = await (await app.start("names", "Ann Smith")).result()

        (same, shown) = await answered(app, "Anne Smith", 0)
        (other, _) = await answered(app, "Anna Smith", None)

        assert "Which person is `Anne Smith`?" in shown["question"]
        assert "Ann Smith" in shown["choices"][0] and shown["choices"][-1] == "none of these"
        assert same == [first[0], "Ann Smith", ["Anne Smith"]]
        assert other[0] != first[0] and other[1:] == ["Anna Smith", []]
        for name, id in (("ANNE SMITH", first[0]), ("anna smith", other[0])):  # nobody is asked twice
            assert (await (await app.start("names", name)).result())[0] == id


async def test_without_a_human_nothing_is_taken_for_another() -> None:
    async with clerk() as app:
        first = await (await app.start("names", "Ann Smith")).result()
        second = await (await app.start("names", ["Anne Smith", "new"])).result()
        assert second[0] != first[0]


async def test_what_is_planned_is_not_known_and_what_cannot_be_is_refused() -> None:
    app = App("memory://")

    @app.agent("plans")
    async def plans(run: Run) -> int:
        known = run.knowledge
        async with run.planning():
            with pytest.raises(Refused):
                await known.entity("person", "Ann")
            found = await known.find("person", "Ann")
        with pytest.raises(ConfigError, match="no entity"):
            await known.about("Ann")  # type: ignore[arg-type]  # users do
        with pytest.raises(ConfigError, match="is not a time"):
            await known.say(1, "age", 41, valid_from="soon")
        return len(found.candidates)

    async with app:
        assert await (await app.start(plans)).result() == 0


async def test_what_one_agent_keeps_to_itself_others_do_not_know() -> None:
    app = App("memory://")

    @app.agent("keeps")
    async def keeps(run: Run) -> None:
        ann = await run.knowledge.of("keeps").entity("person", "Ann")
        await run.knowledge.of("keeps").say(ann, "likes", "tea")

    @app.agent("looks")
    async def looks(run: Run) -> list[bool]:
        return [
            (await each.find("person", "Ann")).entity is None
            for each in (run.knowledge, run.knowledge.of("looks"))
        ]

    async with app:
        await (await app.start(keeps)).result()
        assert await (await app.start(looks)).result() == [True, True]
        assert await app.memory.knowledge.realms("default") == [Whose("default", agent="keeps")]


async def test_what_waits_for_a_review_is_not_known_before_somebody_accepts_it() -> None:
    app = App("memory://", memory={"review": "untrusted"})

    @app.agent("hears")
    async def hears(run: Run) -> list[Any]:
        ann = await run.knowledge.entity("person", "Ann")
        said = await run.knowledge.say(ann, "likes", "tea")
        return [ann.id, ann.name, said.write]

    async with app:
        assert await (await app.start(hears)).result() == [0, "Ann", 0]
        assert await app.memory.knowledge.realms("default") == []
        waiting = await Proposals(app.store).ls("default")
        layer = next(each for each in app.memory.backends.remembered(app.store) if each.layer == "knowledge")
        for proposal in waiting:
            if proposal.write.tool == "knowledge_say":
                await layer.accept(proposal.write)  # and with it the name that it needs
                await layer.accept(proposal.write)
        found = await app.memory.knowledge.find(HERE, "person", "Ann")
        assert found.entity is not None and found.entity.origin.labels == ("untrusted",)
        (fact,) = await app.memory.knowledge.about(HERE, found.entity.id)
        assert str(fact) == "Ann likes tea"
        (page,) = [await layer.items(ItemQuery(tenant="default", text="tea"))]
        assert [(item.content, item.id) for item in page.items] == [
            ("Ann likes tea", f"{fact.origin.run}/{fact.origin.step}")
        ]


async def test_a_copy_to_postgres_knows_what_the_file_knew_and_goes_on(
    tmp_path: Path, postgres_url: str
) -> None:
    from perdure.db.postgres.transfer import PostgresTarget
    from perdure.db.sqlite.transfer import SqliteSource
    from perdure.db.transfer import transfer

    url = f"sqlite:///{tmp_path / 'test.db'}"
    async with desk(url) as app:
        assert await (await app.start("desk", run_id="first")).result() == EXPECTED
    moved = transfer(SqliteSource(url), PostgresTarget(postgres_url))
    assert moved.rows["knowledge_facts"] == 5

    async with desk(postgres_url) as app:
        assert sorted(await (await app.start("reader")).result()) == ["Bolt", "Cog"]
        found = await app.memory.knowledge.find(HERE, "person", "Ann")
        assert found.entity is not None
        origin = Origin(run="r", step="s")
        said = await app.memory.knowledge.say(
            HERE, found.entity.id, "works_at", value="Dash", valid_from="2030", origin=origin, key="new"
        )
        assert len(said.dated) == 1
        assert len(await app.memory.knowledge.history(HERE, found.entity.id)) == 7


async def test_a_store_that_keeps_no_knowledge_is_governed_and_says_so() -> None:
    store = MemoryStore()
    del store.ledger
    app = App(store)

    @app.agent("asks")
    async def asks(run: Run) -> None:
        with pytest.raises(ConfigError, match="keeps no knowledge"):
            await run.knowledge.find("person", "Ann")

    async with app:
        await (await app.start(asks)).result()
        layers = app.memory.backends.remembered(app.store)
        assert "knowledge" not in {layer.layer for layer in layers}
        await app.memory.erase_beside("default", "patient:1")
