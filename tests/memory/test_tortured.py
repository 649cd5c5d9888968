"""An agent that uses all three layers in the torture chamber: nothing twice, and each read sees what was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from perdure import App, Run, VersionConflict
from perdure.testing.torture import Report, torture

HANDBOOK = "Refunds are paid within five days, to the account that paid."


def desk() -> App:
    app = App("memory://", memory={"one_at_a_time": ["lives in"]})

    @app.agent("desk")
    async def desk(run: Run) -> dict[str, Any]:
        """What it reads in each layer: numbers, versions and counts, which a second write would change."""
        session, notes, known = run.session("case"), run.working("notes"), run.knowledge
        seen: dict[str, Any] = {}
        seen["first"] = await session.append("user", "Where is my refund?")
        seen["asked"] = [await session.set("asked", 1), await session.set("asked", 2, if_version=1)]
        try:
            await session.set("asked", 3, if_version=1)
        except VersionConflict as conflict:
            seen["conflict"] = conflict.version

        kept = await notes.add(HANDBOOK, kind="document", source="handbook")
        seen["found"] = [found.text for found in await notes.search("refund paid")]
        wrong = await notes.add("Refunds are paid at once.")
        seen["forgotten"] = [await notes.forget(wrong), await notes.forget(wrong)]
        seen["passages"] = [len(await notes.get(kept)), len(await notes.get(wrong))]
        seen["packed"] = len((await notes.pack("refund", budget_tokens=300)).items)

        nora = await known.entity("customer", "Nora Lind", aliases=["Nora"])
        lund = await known.say(nora, "lives in", "Lund", valid_from="2019")
        kiel = await known.say(nora, "lives in", "Kiel", valid_from="2026")
        seen["dated"] = [len(lund.dated), len(kiel.dated)]
        seen["lives"] = [str(fact) for fact in await known.about(nora, "lives in", as_of="2025")]
        guess = await known.say(nora, "age", 41)
        undone = await known.retract(guess, why="a guess")
        await known.undo(undone.write)
        seen["history"] = [fact.relation for fact in await known.history(nora)]
        same = await known.find("customer", "NORA")
        seen["same"] = same.entity is not None and same.entity.id == nora.id

        await session.compact("She asked for her refund.", upto=1)
        seen["last"] = await session.append("assistant", "It is on its way.")
        seen["messages"] = [f"{m.role}: {m.content}" for m in await session.messages(whole=True)]
        return seen

    return app


ALONE: dict[str, Any] = {
    "first": 1,
    "asked": [1, 2],
    "conflict": 2,
    "found": [HANDBOOK],
    "forgotten": [True, False],
    "passages": [1, 0],
    "packed": 1,
    "dated": [0, 1],
    "lives": ["Nora Lind lives_in Lund (from 2019-01-01, until 2026-01-01)"],
    "history": ["lives_in", "lives_in", "lives_in", "age", "age"],
    "same": True,
    "last": 2,
    "messages": ["user: Where is my refund?", "assistant: It is on its way."],
}

WRITES = (
    "session_append",
    "session_set:2",
    "working_add",
    "working_forget",
    "knowledge_entity",
    "knowledge_say:2",
    "knowledge_undo",
    "session_compact",
)
"""One of each kind: what is written by it, and not recorded, is where a write is done twice."""


async def tortured(store: str, **options: Any) -> Report:
    return await torture(desk(), "desk", store=store, faults=["kill", "store"], **options)


async def test_left_alone_it_reads_what_it_has_written() -> None:
    async with desk() as app:
        assert await (await app.start("desk")).result() == ALONE


async def test_killed_between_a_write_and_its_record_nothing_is_written_twice(tmp_path: Path) -> None:
    killed = "; ".join(f"kill before result {step}" for step in WRITES)
    file = tmp_path / "memory.db"
    report = await tortured(f"sqlite:///{file}", schedules=[killed])

    assert report.ok, str(report)
    assert all(row.reached for row in report.rows)
    kept = apsw.Connection(str(file)).execute("select count(*) from working_items").fetchall()
    assert kept == [(len(report.rows),)], "in the tables that serve where nobody wraps the store"


@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_killed_at_every_boundary_nothing_is_written_twice(store_url: str) -> None:
    report = await tortured(store_url)

    assert report.ok, str(report)
    kills = next(count for count in report.counts() if count.kind == "kill")
    assert kills.schedules > 80 and kills.not_reached == 0
