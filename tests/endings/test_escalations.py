"""Escalations reach somebody: delivered, acknowledged, passed on, and in the end an alarm."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Mailbox

from perdure import App, BadSignature, ConfigError, Contact, Run, Smtp, UnknownRun, verify_webhook
from perdure.app.handle import Handle
from perdure.core.contacts import Contacts
from perdure.core.webhooks import signature
from perdure.engines.messenger import Messenger
from perdure.governance.notices import Notice, new_notice
from perdure.journal import Entry, Kind
from perdure.runtime import FailureClass, Retry
from perdure.testing import ManualClock
from tests.faults.processes import until

from .receiver import Receiver, receiving

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
FEW = Retry(attempts=2, first=timedelta(seconds=10), most=timedelta(seconds=10), on=frozenset(FailureClass))


@pytest.fixture
def desk() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def owner() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


class Office:
    """An app whose clock stands still, one escalated run, and messengers that look when they are told."""

    def __init__(self, app: App, clock: ManualClock, run: Handle) -> None:
        self.app, self.clock, self.run = app, clock, run

    def messenger(self, name: str = "m", contacts: Contacts | None = None) -> Messenger:
        there = contacts or self.app.contacts
        return Messenger(self.app.store, lambda: there, name=name, retry=FEW, draw=lambda: 1.0)

    async def said(self) -> list[dict[str, object]]:
        entries = [e for e in await self.run.entries() if e.kind == Kind.ESCALATION]
        return [_brief(e) for e in entries]


def _brief(entry: Entry) -> dict[str, object]:
    import pydantic_core

    told = pydantic_core.from_json(entry.payload)
    return {name: told.get(name) for name in ("what", "to", "by") if told.get(name) is not None}


async def office(store_url: str, contacts: Contacts, **options: object) -> Office:
    clock = ManualClock()
    app = App(store_url, clock=clock)
    app.contacts = Contacts()  # its own worker leaves the outbox to the test

    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        await run.escalate("nobody knows the customer", context={"customer": 12})

    async with app:
        run = await app.start(clerk, run_id="r1")
        await run.ending()
    await app.open()
    app.contacts = contacts
    return Office(app, clock, run)


async def test_an_escalation_is_delivered_signed_and_acknowledged(
    store_url: str, desk: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESK_SECRET", SECRET)
    contacts = Contacts({"desk": Contact(webhook=desk.url, secret_env="DESK_SECRET")})
    there = await office(store_url, contacts)

    await there.messenger().tick()

    (post,) = desk.posts
    told = verify_webhook(SECRET, post.headers, post.body, now=there.app.store.now() / 1e6)
    assert (told["type"], told["run"], told["to"]) == ("escalation", "r1", "desk")
    assert "nobody knows the customer" in told["subject"]
    assert '"customer": 12' in told["text"] and told["blocks"][0]["type"] == "header"
    with pytest.raises(BadSignature, match="not signed with this secret"):
        verify_webhook(SECRET, post.headers, post.body + b" ", now=there.app.store.now() / 1e6)
    with pytest.raises(BadSignature, match="of another time"):
        verify_webhook(SECRET, post.headers, post.body, now=there.app.store.now() / 1e6 + 301)

    await there.app.acknowledge("r1", by="ann", note="calls them")
    assert await there.said() == [
        {"what": "delivered", "to": "desk"},
        {"what": "acknowledged", "to": "desk", "by": "ann"},
    ]
    assert await there.app.escalations() == []
    with pytest.raises(UnknownRun, match="no open escalation"):
        await there.app.acknowledge("r1", by="bob")
    assert SECRET not in str([e.payload for e in await there.run.entries()])
    await there.app.close()


def test_the_signature_is_that_of_the_standard() -> None:
    # the example of the specification, of Standard Webhooks 1.0.0
    assert (
        signature(
            SECRET,
            id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_what_nobody_acknowledges_goes_to_the_next_and_ends_in_an_alarm(
    store_url: str, desk: Receiver, owner: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    contacts = Contacts(
        {
            "desk": Contact(webhook=desk.url, ack_within=timedelta(minutes=15), then="owner"),
            "owner": Contact(webhook=owner.url, ack_within=timedelta(hours=1)),
        }
    )
    there = await office(store_url, contacts)
    messenger = there.messenger()
    await messenger.tick()
    later(there, 14 * 60)
    await messenger.tick()
    assert (len(desk.posts), len(owner.posts)) == (1, 0)

    later(there, 61)
    await messenger.tick()
    await messenger.tick()
    assert (len(desk.posts), len(owner.posts)) == (1, 1)
    assert owner.posts[0].told["passed"] == ["desk"]
    assert owner.posts[0].headers["webhook-id"] == desk.posts[0].headers["webhook-id"]

    later(there, 3601)
    with caplog.at_level(logging.CRITICAL):
        await messenger.tick()
    assert "NOBODY ANSWERS" in caplog.text and "perdure escalations ack r1" in caplog.text
    assert [s["what"] for s in await there.said()] == ["delivered", "passed", "delivered", "unanswered"]
    (still,) = await there.app.escalations()
    assert still.notice.state == "unanswered"
    later(there, 10**6)
    await messenger.tick()
    assert len(owner.posts) == 1
    await there.app.close()


def later(there: Office, seconds: float) -> None:
    there.clock.advance(seconds)


async def test_a_delivery_that_fails_is_tried_again_then_passed_on(
    store_url: str, desk: Receiver, owner: Receiver
) -> None:
    desk.answers = [503, 500]
    contacts = Contacts(
        {
            "desk": Contact(webhook=desk.url, ack_within=timedelta(minutes=15), then="owner"),
            "owner": Contact(webhook=owner.url),
        }
    )
    there = await office(store_url, contacts)
    messenger = there.messenger()
    await messenger.tick()
    await messenger.tick()
    assert len(desk.posts) == 1
    (o,) = await there.app.escalations()
    assert o.notice.attempts == 1 and "503" in o.notice.why

    later(there, 10)
    await messenger.tick()
    await messenger.tick()
    assert (len(desk.posts), len(owner.posts)) == (2, 1)
    assert [s["what"] for s in await there.said()] == ["passed", "delivered"]
    await there.app.close()


async def test_where_a_webhook_has_moved_to_is_not_followed(store_url: str, desk: Receiver) -> None:
    desk.answers = [302]
    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url)}))
    await there.messenger().tick()
    (o,) = await there.app.escalations()
    assert len(desk.posts) == 1 and "302" in o.notice.why
    await there.app.close()


async def test_of_several_messengers_one_delivers(store_url: str, desk: Receiver) -> None:
    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url)}))
    await asyncio.gather(*(there.messenger(f"m{n}").tick() for n in range(5)))
    assert len(desk.posts) == 1
    await there.app.close()


async def test_a_notice_whose_messenger_died_is_delivered_by_another_under_the_same_id(
    store_url: str, desk: Receiver
) -> None:
    from perdure.engines.messenger import LEASE_MICROS
    from perdure.governance.notices import take_notice

    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url)}))
    (o,) = await there.app.escalations()
    assert await there.app.store.amend(take_notice(o.key, "dead", LEASE_MICROS)) is not None
    await there.messenger().tick()
    assert desk.posts == []
    later(there, LEASE_MICROS / 1e6 + 1)
    await there.messenger().tick()
    assert [p.headers["webhook-id"] for p in desk.posts] == [o.notice.id]
    await there.app.close()


async def test_a_worker_that_knows_no_such_contact_leaves_it_to_others(
    store_url: str, desk: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url)}))
    stranger = there.messenger("s", Contacts())
    await stranger.tick()
    await stranger.tick()
    assert caplog.text.count("no contact is configured") == 1
    await there.messenger().tick()
    assert len(desk.posts) == 1
    await there.app.close()


async def test_an_operator_hands_it_to_another(store_url: str, desk: Receiver, owner: Receiver) -> None:
    contacts = Contacts({"desk": Contact(webhook=desk.url), "owner": Contact(webhook=owner.url)})
    there = await office(store_url, contacts)
    await there.messenger().tick()
    with pytest.raises(ConfigError, match=r"no contact `nobody`; there are: `desk`, `owner`"):
        await there.app.pass_on("r1", to="nobody", by="ann")
    await there.app.pass_on("r1", to="owner", by="ann")
    await there.messenger().tick()
    assert len(owner.posts) == 1
    assert await there.said() == [
        {"what": "delivered", "to": "desk"},
        {"what": "passed", "to": "owner", "by": "ann"},
        {"what": "delivered", "to": "owner"},
    ]
    await there.app.close()


async def test_a_mail_is_sent(store_url: str, tmp_path: Path, unused_tcp_port: int) -> None:
    controller = Controller(Mailbox(tmp_path / "mail"), hostname="127.0.0.1", port=unused_tcp_port)
    controller.start()
    try:
        smtp = Smtp(host="127.0.0.1", port=unused_tcp_port, security="none", sender="runs@example.com")
        contacts = Contacts({"owner": Contact(email="owner@example.com")}, smtp)
        there = await office(store_url, contacts)
        await there.messenger().tick()
        assert [s["what"] for s in await there.said()] == ["delivered"]
        await there.app.close()
    finally:
        controller.stop()
    (mail,) = (tmp_path / "mail" / "new").iterdir()
    text = mail.read_text()
    assert "Subject: clerk: nobody knows the customer (r1)" in text
    assert "To: owner@example.com" in text and "perdure escalations ack r1" in text


async def test_a_secret_that_is_not_there_is_said_without_a_word_of_it(
    store_url: str, desk: Receiver, owner: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DESK_SECRET", raising=False)
    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url, secret_env="DESK_SECRET")}))
    await there.messenger().tick()
    (o,) = await there.app.escalations()
    assert desk.posts == [] and "`DESK_SECRET` is not set" in o.notice.why
    assert "DESK_SECRET" in str((await there.app.try_contacts())["desk"])
    await there.app.close()


async def test_a_notice_of_a_run_that_lives_is_delivered_once_and_gone(
    store_url: str, desk: Receiver
) -> None:
    there = await office(store_url, Contacts({"desk": Contact(webhook=desk.url)}))
    await there.app.acknowledge("r1", by="ann")
    notice = Notice(kind="approval.asked", run="other", subject="May it?", to="desk")
    await there.app.store.amend(new_notice("default", "approval.1", notice))
    await there.messenger().tick()
    assert [p.told["type"] for p in desk.posts] == ["approval.asked"]
    assert desk.posts[0].headers["webhook-id"] == "msg_approval.1"
    assert await there.app.store.cells("notice") == []
    await there.app.close()


async def test_a_worker_delivers_by_itself(store_url: str, desk: Receiver) -> None:
    app = App(store_url)
    app.contacts = Contacts({"desk": Contact(webhook=desk.url)})

    @app.agent("clerk")
    async def clerk(run: Run) -> None:
        await run.escalate("no further", to="desk")

    async with app:
        run = await app.start(clerk)
        await run.ending()
        await until(lambda: desk.posts, "the notice was delivered")
    assert desk.posts[0].told["run"] == run.id


@pytest.mark.parametrize(
    ("contacts", "wrong"),
    [
        ({"a": Contact(webhook="https://x", ack_within=timedelta(1), then="b")}, "`then = b` is no contact"),
        ({"a": Contact(webhook="https://x", then="a")}, "needs `ack_within`"),
        ({"a": Contact(email="a@b.c")}, r"\[smtp\]"),
    ],
)
def test_contacts_that_do_not_fit_together_are_refused(contacts: dict[str, Contact], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Contacts(contacts)
