"""What agents remember, over the API: viewers see where it comes from, approvers decide, admins forget."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2

from perdure import App, AsyncClient, Run
from perdure.access.viewings import Viewings
from perdure.server import asgi
from tests.api.desk import HOST, BelievingGate, as_, asked
from tests.api.transport import StreamingTransport

ITEM = "w/session_append"


@asynccontextmanager
async def remembering(*, review: str = "none") -> AsyncGenerator[tuple[App, httpx2.AsyncClient]]:
    """A server whose agent has written to memory, and whose other agent has recalled that."""
    app = App("memory://", memory={"review": review})

    @app.agent("keeper")
    async def keeper(run: Run) -> None:
        await run.session("case-17").append("user", "where is my tea")

    @app.agent("reader")
    async def reader(run: Run) -> int:
        return len(await run.session("case-17").messages())

    async with asked(app, worker=True) as client:
        await (await app.start(keeper, run_id="w")).result()
        await (await app.start(reader, run_id="r")).result()
        yield app, client


async def test_an_item_is_found_and_explained() -> None:
    async with remembering() as (_, client):
        found = (await client.get("/memory/items", params={"text": "TEA", "label": "untrusted"})).json()
        why = (await client.get("/memory/why", params={"item": ITEM})).json()
        nothing = await client.get("/memory/why", params={"item": "w/nothing"})
        wrong = await client.get("/memory/items", params={"layer": "dreams"})
    (item,) = found["items"]
    assert (item["id"], item["content"], found["next"]) == (
        ITEM,
        {"role": "user", "content": "where is my tea"},
        None,
    )
    assert (why["run"]["agent"], why["item"]["id"], why["tool"]) == ("keeper", ITEM, "session_append")
    assert [(r["run"], r["rank"]) for r in why["recalls"]] == [("r", 1)]
    assert (nothing.status_code, wrong.status_code) == (404, 422)


async def test_a_viewer_sees_where_it_comes_from_and_not_what_it_says() -> None:
    """Nor finds it out by searching; whoever sees it is on record."""
    async with remembering() as (app, client):
        listed = await client.get("/memory/items", headers=as_("viewer"))
        why = await client.get("/memory/why", params={"item": ITEM}, headers=as_("viewer"))
        probed = await client.get("/memory/items", params={"text": "t"}, headers=as_("viewer"))
        await client.get("/memory/items", headers=as_("operator", user="bob"))
        other = (await client.get("/memory/items", headers=as_("admin", tenant="other"))).json()["items"]
        await Viewings(app).write_up(all=True)
        looks = (await client.get("/runs", params={"agent": "perdure.views"})).json()["items"]
    assert listed.json()["items"][0]["id"] == ITEM and "tea" not in listed.text + why.text
    assert (probed.status_code, other) == (403, [])
    assert {row["principal"] for row in looks} == {"user:bob"}


async def test_who_may_change_what() -> None:
    async with remembering(review="untrusted") as (_, client):

        async def post(path: str, role: str, **body: str) -> int:
            return (await client.post(f"/memory/{path}", json=body, headers=as_(role))).status_code

        assert await post("reviews/accept", "operator", item=ITEM) == 403
        assert await post("undo", "viewer", target="w") == 403
        assert await post("forget", "approver", subject="ann") == 403
        assert (await client.get("/memory/export", headers=as_("operator"))).status_code == 403

        waits = (await client.get("/memory/reviews", headers=as_("viewer"))).json()["items"]
        assert [(p["id"], p["arguments"], p["state"]) for p in waits] == [(ITEM, None, "waits")]
        assert await post("reviews/accept", "approver", item=ITEM) == 200
        assert await post("reviews/reject", "approver", item=ITEM) == 409
        assert await post("reviews/reject", "approver", item="w/other") == 404
        assert await post("undo", "operator", target="nobody") == 404


async def test_the_client_withdraws_restores_and_forgets() -> None:
    app = App("memory://", memory={"review": "all"})

    @app.agent("keeper")
    async def keeper(run: Run) -> None:
        await run.session("case-17").append("user", "hello")

    async with app:
        await (await app.start(keeper, run_id="w")).result()
        transport = StreamingTransport(asgi(app, gate=BelievingGate()))
        async with AsyncClient(HOST, key="default/ann/admin", transport=transport) as client:
            (waits,) = await client.memory.reviews()
            assert (await client.memory.accept(waits.id, why="fine")).by == "user:ann"
            assert (await client.memory.undo("w", why="no")).fresh
            assert not (await client.memory.undo("w")).fresh
            assert [w.target for w in await client.memory.withdrawn()] == ["w"]
            page = await client.memory.search("hello")
            assert page.items[0].withdrawn is not None and page.items[0].withdrawn.why == "no"
            assert (await client.memory.restore("w")).fresh
            assert (await client.memory.spread("w")).complete
            assert (await client.memory.undo("w", spread=True)).further == []
            assert (await client.memory.restore("w")).fresh
            assert (await client.memory.why(waits.id)).complete
            assert (await client.memory.forget("ann")).items == 0


async def test_what_is_remembered_is_exported_as_lines() -> None:
    async with remembering() as (_, client):
        lines = (await client.get("/memory/export")).text.splitlines()
        nobody = (await client.get("/memory/export", params={"subject": "ann"})).text
        made = (await client.get("/runs", params={"agent": "perdure.changes"})).json()["items"]
    assert [json.loads(line)["id"] for line in lines] == [ITEM]
    assert (nobody, len(made)) == ("", 2)
