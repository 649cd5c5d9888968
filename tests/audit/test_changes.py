"""What people change beside runs is in the audit log: who, when, why, and the hash of what is kept elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic_core
import pytest

from perdure import App, Run
from perdure.app.changes import record_change
from perdure.journal import CHANGES_AGENT, Entry, Kind, RunQuery

TABLE: dict[str, Any] = {"mcp": {"desk": {"command": "none"}}, "trust": {}}


async def told(app: App) -> list[tuple[str, str, dict[str, Any]]]:
    """What was done, by whom, with what; in order."""
    runs = await app.store.find(RunQuery(tenant=app.tenant, agent=CHANGES_AGENT, limit=100))
    found: list[tuple[int, str, str, dict[str, Any]]] = []
    for run in runs:
        for entry in await app.store.read(run.ref):
            if entry.kind == Kind.INTENT:
                call = pydantic_core.from_json(entry.payload)
                found.append((run.rid, call["tool"], entry.actor, call["arguments"]))
    return [(what, who, arguments) for _, what, who, arguments in sorted(found, key=lambda one: one[0])]


async def test_stops_and_revocations_say_who_and_why() -> None:
    async with App("memory://") as app:
        await app.stop(agent="desk", by="user:ann", reason="odd mails")
        await app.stop(agent="desk", by="user:bob")  # it was: nothing is told
        await app.go_on(agent="desk", by="user:bob", reason="looked at")
        await app.revoke(user="eve", by="user:ann")
        await app.restore(user="eve", by="user:bob")
        found = await told(app)
    assert found == [
        ("stop", "user:ann", {"what": "agent", "name": "desk", "reason": "odd mails"}),
        ("go_on", "user:bob", {"what": "agent", "name": "desk", "reason": "looked at"}),
        ("revoke", "user:ann", {"what": "user", "name": "user:eve", "reason": ""}),
        ("restore", "user:bob", {"what": "user", "name": "user:eve"}),
    ]


async def test_a_review_says_which_definitions_were_let_pass() -> None:
    from perdure.context import Definition

    async with App("memory://", mcp=TABLE["mcp"]) as app:
        tool = Definition(name="refund", arguments={"type": "object"})
        await app.mcp.review("desk", {"refund": tool}, by="user:ann", forget=["gone"])
        found = await told(app)
    arguments = {"source": "desk", "tools": {"refund": tool.digest}, "taken_back": ["gone"]}
    assert found == [("mcp_review", "user:ann", arguments)]


async def test_a_narrower_ring_names_its_record() -> None:
    app = App("memory://", trust=TABLE["trust"])

    @app.agent("desk", ring="act_and_verify")
    async def desk(run: Run) -> None: ...

    async with app:
        record = await app.trust.narrow("desk", reason="a wrong refund", by="user:ann")
        found = await told(app)
    assert record is not None
    assert [(what, who, a["ring"], a["hash"]) for what, who, a in found] == [
        ("trust_narrow", "user:ann", record.ring, record.hash)
    ]


async def test_a_change_of_policies_that_nobody_told_of_is_told_with_the_next(tmp_path: Path) -> None:
    """Given a change whose maker died before it was told. When the next one is made. Then both are, once each."""
    pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        text = f'@id("all") @reason("{name}") permit (principal, action, resource);\n'
        (tmp_path / name / "base.cedar").write_text(text)
    async with App("memory://", policies=tmp_path / "a") as app:
        versions = app.policies.versions()
        untold = await versions.apply(
            app.tenant, app.policies.read(tmp_path / "b"), by="user:ann", reason="first", now=app.store.now
        )
        made = await app.policies.apply(tmp_path / "c", by="user:bob", reason="second")
        await app.policies.run_beside(tmp_path / "a", by="user:bob", reason="third")
        found = await told(app)
        hashes = {change.hash for change in await app.policies.history()}
    assert {(what, who, a["reason"]) for what, who, a in found} == {
        ("policy_apply", "user:ann", "first"),
        ("policy_apply", "user:bob", "second"),
        ("policy_shadow", "user:bob", "third"),
    }
    assert len(found) == 3
    assert {a["hash"] for _, _, a in found} == hashes > {untold.hash, made.hash}


async def test_what_was_told_under_a_name_is_not_told_again() -> None:
    async with App("memory://") as app:
        for by in ("user:ann", "user:ann"):
            await record_change(app.store, app.tenant, "stop", {}, by=by, name="once", at=1_000_000)
        assert len(await told(app)) == 1
        run = (await app.store.find(RunQuery(tenant=app.tenant, agent=CHANGES_AGENT)))[0]
        entries: list[Entry] = await app.store.read(run.ref)
    assert [Kind(e.kind).name for e in entries] == ["STARTED", "INTENT", "RESULT", "ENDED"]
