"""S32: another tenant's id is not there, wherever an id is taken. Walks the OpenAPI document: new endpoints too."""

from __future__ import annotations

import re
from typing import Any

import pytest

from perdure.api import api
from perdure.views.watching import Watch
from tests.api.desk import BelievingGate, as_, asked, desk

BODIES: dict[str, Any] = {
    "/runs/{run}/signal": {"name": "reply"},
    "/runs/{run}/cancel": {},
    "/runs/{run}/settle": {"step": "send", "happened": True},
    "/runs/{run}/fork": {"from_step": "look"},
    "/runs/{run}/budget": {"more": None},
    "/approvals/{run}/answer": {"step": "ask", "approved": True},
}
"""What is sent to those that need something."""

OF_ALL = {"{agent}", "{hook}"}
"""Names of what the program and its settings say: they are the same for all tenants."""


def with_ids() -> list[tuple[str, str]]:
    app = desk()
    document = api(app, BelievingGate(), watch=Watch(app.store)).openapi()
    return [
        (method, path)
        for path, operations in document["paths"].items()
        for method in operations
        if set(re.findall(r"{\w+}", path)) - OF_ALL
    ]


@pytest.mark.parametrize(("method", "path"), with_ids(), ids=lambda part: part)
async def test_another_tenants_id_is_not_there(method: str, path: str) -> None:
    stranger = as_("admin", tenant="other", user="eve")
    async with asked(desk(), worker=True) as client:
        for agent in ("asks", "fails"):
            await client.post("/runs", json={"agent": agent, "run_id": agent})
        for run in ("asks", "fails"):
            at = path.replace("{series}", "nightly").replace(
                "{alert}", "al-1"
            )  # that of another tenant is asked for in test_operations.py
            there = at.replace("{run}", run)
            answer = await client.request(method, there, json=BODIES.get(path), headers=stranger)
            absent = await client.request(
                method, at.replace("{run}", "absent"), json=BODIES.get(path), headers=stranger
            )
            assert answer.status_code == 404, answer.text
            assert answer.text.replace(run, "absent") == absent.text  # nor can it be told from what never was


async def test_lists_have_only_the_callers_own() -> None:
    async with asked(desk()) as client:
        await client.post("/runs", json={"agent": "asks", "run_id": "mine"})
        theirs = await client.get("/runs", headers=as_(tenant="other"))
        page = await client.get("/runs", params={"after": "mine"}, headers=as_(tenant="other"))
    assert theirs.json()["items"] == []
    assert page.status_code == 404
