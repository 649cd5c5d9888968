"""Agents, budgets, costs, policies, identity and audit over the API."""

from __future__ import annotations

import io
import json
import zipfile

from perdure.access.viewings import Viewings
from perdure.context import Definition
from perdure.core.openapi_settings import read_documents
from tests.api.desk import as_, asked, desk, ended

TEA = {"agent": "order", "input": {"item": "tea", "count": 2}}


async def test_what_is_registered_is_told_with_its_schemas() -> None:
    async with asked(desk()) as client:
        agents = {a["agent"]: a for a in (await client.get("/agents")).json()["items"]}
        one = (await client.get("/agents/order")).json()
        tools = {t["tool"]: t for t in (await client.get("/tools")).json()["items"]}
        nobody = await client.get("/agents/nobody")
    assert agents["order"] == one
    assert one["takes"]["properties"]["item"] == {"title": "Item", "type": "string"}
    assert agents["receives"]["takes"] is None
    assert (tools["refund"]["effect"], tools["send"]["declared"]) == ("write", False)
    assert nobody.status_code == 404


async def test_what_somebody_has_let_pass_of_others_is_told_to_their_tenant() -> None:
    app = desk()
    crm = {"document": "nowhere.json", "base_url": "https://crm.example"}  # which nobody reads for it
    app.openapi.settings = dict(read_documents({"crm": crm}, where="here"))
    find = Definition(name="find", arguments={}, annotations={"method": "GET", "path": "/customers"})
    async with asked(app) as client:
        await app.openapi.review("crm", {"find": find}, by="ann")
        (told,) = (await client.get("/tools/reviewed")).json()["items"]
        theirs = (await client.get("/tools/reviewed", headers=as_(tenant="other"))).json()["items"]
    assert (told["kind"], told["offered"], told["effect"], told["by"]) == (
        "openapi",
        "crm__find",
        "read",
        "ann",
    )
    assert told["digest"] == find.digest and theirs == []


async def test_a_budget_is_set_raised_and_put_back() -> None:
    async with asked(desk()) as client:
        put = await client.put(
            "/budgets", json={"scope": "agent/order", "budget": {"money": 5, "per": "day"}, "reason": "try"}
        )
        raised = await client.post("/budgets/raise", json={"scope": "agent/order", "more": {"money": "2.5"}})
        cleared = await client.put("/budgets", json={"scope": "agent/order", "budget": None})
        nothing = await client.put("/budgets", json={"scope": "tenant", "budget": {}})
        refused = await client.put(
            "/budgets", json={"scope": "tenant", "budget": {"money": 1}}, headers=as_("operator")
        )
    (budget,) = put.json()["items"]
    assert (budget["scope"], float(budget["limits"]["money"]), budget["source"]) == (
        "agent/order",
        5.0,
        "operator",
    )
    assert budget["history"][-1]["by"] == "user:ann"
    assert float(raised.json()["limits"]["money"]) == 7.5
    assert cleared.json()["items"] == []
    assert (nothing.status_code, refused.status_code) == (422, 403)


async def test_what_happened_comes_in_pieces_each_fact_once() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json=TEA)).json()["run"]
        await ended(client, run)
        whole = (await client.get("/audit/facts")).json()
        cursor, pieces = "0", []
        while True:
            piece = (await client.get("/audit/facts", params={"after": cursor, "limit": 1})).json()
            pieces += piece["items"]
            cursor = piece["cursor"]
            if not piece["more"]:
                break
        wrong = await client.get("/audit/facts", params={"after": "7.0123456789abcdef"})
        refused = await client.get("/audit/facts", headers=as_("operator"))
    assert whole["items"][0]["what"] == "run.started"
    assert [f["id"] for f in pieces] == [f["id"] for f in whole["items"]]
    assert "tea" not in json.dumps(whole)
    assert (wrong.status_code, refused.status_code) == (422, 403)


async def test_an_auditor_takes_a_bundle_away() -> None:
    async with asked(desk(), worker=True) as client:
        run = (await client.post("/runs", json=TEA)).json()["run"]
        await ended(client, run)
        bundle = await client.get("/audit/export", params={"run": run})
        absent = await client.get("/audit/export", params={"run": "absent"})
        nothing = await client.get("/audit/export")
    names = zipfile.ZipFile(io.BytesIO(bundle.content)).namelist()
    assert any(name.endswith("verify.py") for name in names)
    assert (bundle.headers["content-type"], absent.status_code, nothing.status_code) == (
        "application/zip",
        404,
        422,
    )


async def test_where_there_is_no_policy_and_no_identity_that_is_said() -> None:
    async with asked(desk()) as client:
        said = [await client.get(path) for path in ("/identity", "/jwks", "/agents/order/capabilities")]
        policies = await client.get("/policies")
    assert [answer.status_code for answer in said] == [404, 404, 404]
    assert policies.json()["items"] == []


async def test_who_read_what_is_on_record() -> None:
    app = desk()
    async with asked(app, worker=True) as client:
        run = (await client.post("/runs", json=TEA)).json()["run"]
        await ended(client, run)
        await client.get(f"/runs/{run}/entries", headers=as_("auditor", user="cem"))
        await client.get(f"/runs/{run}/entries", headers=as_("viewer", user="vic"))
        await Viewings(app).write_up(all=True)
        listed = (await client.get("/runs", params={"agent": "perdure.views"})).json()["items"]
        all_ = (await client.get("/runs")).json()["items"]
    assert "user:cem" in {row["principal"] for row in listed}
    assert "user:vic" not in {row["principal"] for row in listed}
    assert [row["run"] for row in all_] == [run], "a record of Perdure's own is no run of somebody's agent"


async def test_costs_are_asked_by_what_they_were_for() -> None:
    async with asked(desk()) as client:
        table = await client.get("/costs", params={"by": "agent"})
        wrong = await client.get("/costs", params={"by": "colour"})
    assert (table.json()["by"], table.json()["rows"], wrong.status_code) == ("agent", [], 422)
