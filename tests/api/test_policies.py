"""The policies that hold over the API: as they were deployed, and as they were changed since, in each tenant."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import App, Run
from tests.api.desk import as_, asked

ALL = '@id("all") permit (principal, action, resource);\n'
NEVER = ALL + '@id("never") @reason("nobody is paid") forbid (principal, action == Action::"pay", resource);'


async def test_what_was_changed_is_what_is_told_and_explained(tmp_path: Path) -> None:
    for name, text in (("policies", ALL), ("stricter", NEVER)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "base.cedar").write_text(text)
    app = App("memory://", policies=tmp_path / "policies")

    @app.tool(effect="write")
    def pay(cents: int) -> str:
        return "paid"

    @app.agent("desk", ring="act_and_verify")  # and `pay` has no `check` by which it could
    async def desk(run: Run) -> str:
        return await run.call(pay, 1)

    call = {"agent": "desk", "tool": "pay", "arguments": {"cents": 1}}
    async with app:
        await app.policies.apply(tmp_path / "stricter", by="eve", reason="audit")
        async with asked(app) as client:
            mine = (await client.get("/policies")).json()["items"]
            said = (await client.post("/policies/explain", json=call)).json()
            (may,) = (await client.get("/agents/desk/capabilities")).json()["items"]
            theirs = (await client.get("/policies", headers=as_(tenant="acme"))).json()["items"]
    assert [p["id"] for p in mine] == ["all", "never"]
    assert (said["decision"], said["policies"]) == ("deny", ["never"])
    assert (may["tool"], may["may"], may["ring"]) == ("pay", "no", "act_after_approval")
    assert [p["id"] for p in theirs] == ["all"], "of another tenant, where nothing was changed"
