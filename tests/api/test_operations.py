"""Stops, alerts, and who asks, over the API."""

from __future__ import annotations

from perdure import App, AsyncClient
from perdure.core.alert_settings import AlertSettings
from perdure.engines.alerts import Occurrence
from perdure.server import asgi
from tests.api.desk import HOST, BelievingGate, as_, asked, desk, ended
from tests.api.transport import StreamingTransport

TEA = {"agent": "order", "input": {"item": "tea"}, "run_id": "tea"}


async def alarmed(app: App, *, kind: str = "run_failed") -> str:
    """An app in which somebody was alarmed; the alert's id."""
    app.alert_settings = AlertSettings(runbooks="https://books.test/")
    await app.open()
    seen = Occurrence(kind=kind, tenant="default", about="order", subject="`order` fails", why="no tea, Ada")
    await app.alarms.raise_(seen)
    (alert,) = await app.alerts()
    return alert.id


async def test_a_stopped_agent_does_nothing_until_it_is_let_go_on() -> None:
    app = desk()
    async with asked(app, worker=True) as client:
        stop = {"what": "agent", "name": "order", "reason": "the price list is wrong"}
        done = await client.post("/stops", json=stop)
        again = await client.post("/stops", json={**stop, "reason": "another"}, headers=as_(user="bob"))
        await client.post("/runs", json=TEA)
        async with client.stream("GET", "/runs/tea/events") as events:
            async for line in events.aiter_lines():
                if '"stopped"' in line:
                    break
        listed = (await client.get("/stops", headers=as_("viewer"))).json()["items"]
        lifted = await client.post("/stops/lift", json={**stop, "reason": "it is right"})
        row = await ended(client, "tea")
        nothing = await client.post("/stops/lift", json=stop)
        left = (await client.get("/stops")).json()["items"]
    assert (done.status_code, done.json(), again.status_code, again.json()) == (
        201,
        {"fresh": True},
        200,
        {"fresh": False},
    )
    (one,) = listed
    assert (one["what"], one["name"], one["by"], one["reason"]) == (
        "agent",
        "order",
        "user:ann",
        "the price list is wrong",
    )
    assert (lifted.json(), row["status"]) == ({"runs": 1}, "succeeded")
    assert (nothing.status_code, nothing.json()["title"], left) == (409, "Run conflict", [])


async def test_who_may_stop_what() -> None:
    async with asked(desk()) as client:

        async def stop(headers: dict[str, str], **what: object) -> int:
            return (await client.post("/stops", json=what, headers=headers)).status_code

        assert await stop(as_("viewer"), what="agent", name="order") == 403
        assert await stop(as_("operator"), what="tenant") == 201
        assert await stop(as_("operator"), what="everything") == 403
        assert await stop(as_("admin", tenant="acme"), what="everything") == 403
        assert await stop(as_("operator", tenant="acme"), what="user", name="ada") == 201
        assert await stop(as_("admin"), what="everything") == 201
        assert await stop(as_("admin"), what="agent") == 422
        assert await stop(as_("admin"), what="tenant", name="acme") == 422
        here, there = [
            {(s["what"], s["name"]) for s in (await client.get("/stops", headers=who)).json()["items"]}
            for who in (as_(), as_(tenant="acme"))
        ]
        refused = await client.post("/stops/lift", json={"what": "everything"}, headers=as_("operator"))
    assert here == {("tenant", None), ("everything", None)}
    assert there == {("user", "user:ada"), ("everything", None)}
    assert refused.status_code == 403


async def test_alerts_are_listed_taken_and_tried() -> None:
    app = desk()
    alert = await alarmed(app)
    async with asked(app) as client:
        seen = (await client.get("/alerts", headers=as_("viewer"))).json()["items"][0]
        elsewhere = (await client.get("/alerts", headers=as_(tenant="acme"))).json()["items"]
        path = f"/alerts/{alert}/acknowledge"
        refused = await client.post(path, headers=as_("viewer"))
        foreign = await client.post(path, headers=as_(tenant="acme"))
        taken = (await client.post(path, json={"note": "I am at it"}, headers=as_("operator"))).json()
        untold = await client.post("/alerts/test")
    assert (seen["alert"], seen["why"], seen["state"]) == (alert, None, "open")
    assert seen["runbook"] == "https://books.test/run-failed.md"
    assert (elsewhere, refused.status_code, foreign.status_code) == ([], 403, 404)
    assert (taken["state"], taken["by"], taken["note"], taken["why"]) == (
        "acknowledged",
        "user:ann",
        "I am at it",
        "no tea, Ada",
    )
    assert untold.status_code == 422 and "[contacts]" in untold.json()["detail"]


async def test_what_a_watcher_says_is_for_those_who_see_payloads() -> None:
    app = desk()
    await alarmed(app, kind="watcher_finding")
    async with asked(app) as client:
        subjects = [
            (await client.get("/alerts", headers=as_(role))).json()["items"][0]["subject"]
            for role in ("viewer", "auditor")
        ]
    assert subjects == ["a watcher has found something", "`order` fails"]


async def test_the_client_has_it_all() -> None:
    app = desk()
    alert = await alarmed(app)
    application = asgi(app, gate=BelievingGate())
    async with (
        application.life,
        AsyncClient(HOST, key="default/ann/operator", transport=StreamingTransport(application)) as client,
    ):
        me = await client.me()
        fresh = await client.stops.stop("run", "tea", reason="wait")
        stopped = await client.stops.list()
        lifted = await client.stops.lift("run", "tea")
        (open_,) = await client.alerts.list()
        taken = await client.alerts.acknowledge(alert, note="mine")
    assert (me.subject, me.tenant, list(me.roles), me.via, me.sees_payloads) == (
        "user:ann",
        "default",
        ["operator"],
        "test",
        True,
    )
    assert (fresh.fresh, stopped[0].name, lifted.runs) == (True, "tea", 0)
    assert (open_.state, taken.by) == ("open", "user:ann")
