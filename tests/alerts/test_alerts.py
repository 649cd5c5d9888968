"""Alerts: raised once, journaled, delivered signed and at least once, acknowledged, over."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Contact, Run, RunFailed, UnknownAlert, verify_webhook
from perdure.core.contacts import Contacts
from perdure.core.ids import RunRef
from perdure.engines.alerts import Alerts, Occurrence
from perdure.testing import ManualClock
from tests.endings.receiver import Receiver, receiving

from .scene import watched

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def desk() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def failing(app: App) -> Any:
    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        raise ValueError("no such customer <!here>")

    return clerk


async def fail(app: App, clerk: Any, run_id: str, **more: Any) -> None:
    with pytest.raises(RunFailed):
        await (await app.start(clerk, run_id=run_id, **more)).result()


async def test_an_alert_is_raised_once_delivered_signed_and_acknowledged(
    store_url: str, desk: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_SECRET", SECRET)
    contacts = Contacts({"desk": Contact(webhook=desk.url, secret_env="DESK_SECRET")})
    app = App(store_url, alerts={"runbooks": "https://run.example/books"})
    clerk = failing(app)
    async with watched(app, contacts) as scene:
        await fail(app, clerk, "r1")
        await fail(app, clerk, "r2")
        await scene.look()
        await scene.look()
        assert await scene.open() == [("run_failed", "clerk", 2)]
        (alert,) = await app.alerts()
        assert (alert.runs, alert.state, alert.told) == (("r1", "r2"), "open", 1)

        await scene.messenger.tick()
        (post,) = desk.posts
        told = verify_webhook(SECRET, post.headers, post.body, now=app.store.now() / 1e6)
        assert (told["type"], told["run"], told["tenant"]) == ("alert.run_failed", "r1", "default")
        for part in ("perdure runs show r1", "https://run.example/books/run-failed.md", f"ack {alert.id}"):
            assert part in told["text"]
        assert "<!here>" not in str(told["blocks"]) and "&lt;!here&gt;" in str(told["blocks"])

        with pytest.raises(UnknownAlert, match="no alert `al-none`"):
            await app.acknowledge_alert("al-none", by="ann")
        await app.acknowledge_alert(alert.id, by="ann", note="looks")
        assert [(a.state, a.by) for a in await app.alerts()] == [("acknowledged", "ann")]
        assert await app.store.cells("notice") == []
        await fail(app, clerk, "r3")
        await scene.look()
        await scene.messenger.tick()
        assert len(desk.posts) == 1  # somebody has taken it, and it was told a moment ago
        assert await scene.open() == [("run_failed", "clerk", 3)]
        assert await scene.said() == [
            ("raised", "run_failed"),
            ("delivered", "desk"),
            ("acknowledged", "run_failed"),
        ]


async def test_what_goes_on_is_told_again_and_what_does_not_is_over(desk: Receiver) -> None:
    clock = ManualClock()
    app = App("memory://", clock=clock, alerts={"repeat": "PT1H", "forget": "P7D"})
    contacts = Contacts({"desk": Contact(webhook=desk.url)})
    async with watched(app, contacts, work=False) as scene:

        async def happens(cause: str) -> None:
            await scene.alerts.raise_(
                Occurrence(
                    kind="run_failed",
                    tenant="t",
                    about="clerk",
                    subject="it failed",
                    runs=(cause,),
                    cause=cause,
                )
            )
            await scene.messenger.tick()

        await happens("a/1")
        await happens("a/1")
        await happens("b/1")
        assert (len(desk.posts), await scene.open("t")) == (1, [("run_failed", "clerk", 2)])
        (alert,) = await app.alerts(tenant="t")
        await app.acknowledge_alert(alert.id, by="ann", tenant="t")
        clock.advance(timedelta(hours=2).total_seconds())
        await happens("b/1")
        assert len(desk.posts) == 1
        await happens("c/1")
        assert len(desk.posts) == 2
        assert desk.posts[0].headers["webhook-id"] != desk.posts[1].headers["webhook-id"]
        assert [a.state for a in await app.alerts(tenant="t")] == ["open"]
        clock.advance(timedelta(days=8).total_seconds())
        await scene.alerts.hold([])
        assert await scene.open("t") == []
        said = [what for what, _ in await scene.said("t")]
        assert [what for what in said if what != "delivered"] == ["raised", "acknowledged", "raised", "over"]


async def test_a_condition_is_an_alert_for_as_long_as_it_holds(desk: Receiver) -> None:
    app = App("memory://", alerts={})
    contacts = Contacts({"desk": Contact(webhook=desk.url)})
    async with watched(app, contacts, work=False) as scene:
        seen = Occurrence(kind="run_in_doubt", tenant="t", about="clerk", subject="in doubt", count=2)
        for _ in range(3):
            await scene.alerts.hold([seen])
        await scene.messenger.tick()
        assert await scene.open("t") == [("run_in_doubt", "clerk", 2)]
        await scene.alerts.hold([])
        assert await scene.open("t") == []
        await scene.messenger.tick()
        assert [p.told["type"] for p in desk.posts] == ["alert.run_in_doubt", "alert.over"]


async def test_a_notice_that_could_not_be_delivered_is_under_the_same_id(desk: Receiver) -> None:
    clock = ManualClock()
    app = App("memory://", clock=clock, alerts={"to": "desk"})
    contacts = Contacts({"other": Contact(webhook="http://127.0.0.1:1"), "desk": Contact(webhook=desk.url)})
    desk.answers = [503]
    async with watched(app, contacts, work=False) as scene:
        await scene.alerts.raise_(
            Occurrence(kind="worker_lost", tenant="t", about="w", subject="a worker died", cause="c")
        )
        await scene.messenger.tick()
        clock.advance(timedelta(minutes=10).total_seconds())
        await scene.messenger.tick()
    assert len(desk.posts) == 2
    assert len({p.headers["webhook-id"] for p in desk.posts}) == 1


async def test_many_at_once_raise_one(store_url: str) -> None:
    app = App(store_url, alerts={})
    async with watched(app, work=False) as scene:
        seen = [
            Occurrence(kind="run_failed", tenant="t", about="clerk", subject="x", cause=f"{n % 6}")
            for n in range(12)
        ]
        others = [Alerts(app.store, scene.alerts._settings) for _ in range(3)]
        await asyncio.gather(*(others[n % 3].raise_(one) for n, one in enumerate(seen)))
        assert await scene.open("t") == [("run_failed", "clerk", 6)]
        assert await scene.said("t") == [("raised", "run_failed")]
        assert len(await app.store.cells("notice")) == 1


async def test_who_is_told_of_what_is_configured() -> None:
    app = App("memory://", alerts={"off": ["run_failed"], "to": "desk", "routes": {"run_partial": "owner"}})
    async with watched(app, work=False) as scene:
        for kind in ("run_failed", "run_partial", "run_escalated"):
            await scene.alerts.raise_(
                Occurrence(kind=kind, tenant="t", about="clerk", subject=kind, cause="c")
            )
        cells = await app.store.cells("notice")
        from perdure.governance.notices import Notice

        assert sorted((n.kind, n.to) for n in (Notice.of(k, c) for k, c in cells)) == [
            ("alert.run_escalated", "desk"),
            ("alert.run_partial", "owner"),
        ]


async def test_the_journal_of_alerts_is_no_run_that_anybody_misses(store_url: str) -> None:
    app = App(store_url, alerts={})
    async with watched(app, work=False) as scene:
        await scene.alerts.raise_(
            Occurrence(kind="run_failed", tenant="t", about="clerk", subject="x", cause="c")
        )
        record = await app.store.get(RunRef("t", (await app.store.find(_all()))[0].ref.id))
        assert record is not None and record.status == "succeeded"
        assert await app.store.demands() == []
        await scene.look()
        assert await scene.open() == []


def _all() -> Any:
    from perdure.journal import RunQuery

    return RunQuery(tenant="t")
