"""What is known of a person is sealed at rest, is found all the same, and goes with the person."""

from __future__ import annotations

from typing import Any

from perdure import App, Run
from perdure.memory import Whose
from tests.places import Place

from .clinic import on_disk

WORDS = [b"Xanthophyll", b"Yarrowroot", b"zinnia"]


def new_app(url: str) -> App:
    app = App(url, memory={"one_at_a_time": ["lives_in"]})

    @app.agent("clinic")
    async def clinic(run: Run, name: str) -> list[Any]:
        known = run.knowledge
        ann = await known.entity("person", name, doubt="new", aliases=["Yarrowroot"])
        town = await known.entity("town", "Zinnia")
        await known.say(ann, "lives_in", "zinnia", valid_from="2020")
        moved = await known.say(ann, "lives_in", town, valid_from="2024")
        taken = await known.retract(await known.say(ann, "lives_in", "zinnia too"), why="zinnia")
        await known.undo(taken.write)
        near = await known.find("person", "Xanthophyl")
        reached = await known.traverse(ann, as_of="2025")
        return [
            ann.id,
            len(moved.dated),
            [str(fact) for fact in await known.about(ann, "lives_in", as_of="2021")][:1],
            [candidate.name for candidate in near.candidates],
            [each.entity.name for each in reached.entities],
        ]

    return app


async def test_what_is_known_of_a_person_is_sealed_and_goes_with_the_person(
    place: Place, store_url: str
) -> None:
    async with new_app(store_url) as app:
        first = await (await app.start("clinic", "Xanthophyll", subject="patient:1")).result()
        assert first[1:] == [
            1,
            ["Xanthophyll lives_in zinnia (from 2020-01-01, until 2024-01-01)"],
            ["Xanthophyll"],
            ["Xanthophyll", "Zinnia"],
        ]
        disk = on_disk(place, store_url).lower()
        assert [word for word in WORDS if word.lower() in disk] == []
        again = await (await app.start("clinic", "XANTHOPHYLL", subject="patient:1")).result()
        assert again[0] == first[0]
        other = await (await app.start("clinic", "Xanthophyll", subject="patient:2")).result()
        assert other[0] != first[0]

        await app.erase("patient:1", by="user:officer")

        assert await app.memory.knowledge.realms("default") == [Whose("default", "patient:2")]
        left = await (await app.start("clinic", "Xanthophyll", subject="patient:2")).result()
        assert left[0] == other[0]
