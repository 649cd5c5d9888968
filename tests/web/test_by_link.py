"""Links in notices: they show one question to whom it was sent, and answer nothing by themselves."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from perdure import App, Approvers, Run
from perdure.access.callers import Caller
from perdure.access.passkeys import Ceremonies
from perdure.access.viewings import Viewings
from perdure.audit import Done, Selection, deeds_of
from perdure.core.principal import Principal
from perdure.governance.notices import Notice
from perdure.journal import Approval
from perdure.testing import ManualClock
from perdure.web import pages
from tests.approvals.authenticator import Authenticator
from tests.endings.receiver import Receiver, receiving
from tests.web.scene import TestGate, text_of

URL = "https://perdure.example.org"


@pytest.fixture
def mailbox() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def desk(mailbox: Receiver, needs_approval: Any = Approvers(["bob", "cy"]), **options: Any) -> App:
    app = App(
        "memory://",
        access={"url": URL},
        contacts={"bobs": {"webhook": mailbox.url}, "all": {"webhook": mailbox.url}},
        approvals={
            "passkeys": {"host": "perdure.example.org"},
            "people": {"bob": "bobs", "cy": "all", "di": "all"},
        },
        **options,
    )

    @app.tool(effect="write", needs_approval=needs_approval)
    def pay(payee: str) -> str:
        return f"paid {payee}"

    @app.agent("payer")
    async def payer(run: Run) -> str:
        return await run.call(pay, "Ada & Co")

    return app


class Desk:
    def __init__(self, app: App, client: httpx.AsyncClient) -> None:
        self.app, self.client, self.device = app, client, Authenticator()

    async def asked(self) -> Approval:
        await self.app.start("payer", run_id="r", by="user:ann")
        while not (found := await self.app.open_approvals("r")):
            await self.app.store.changed(self.app.store.changes(), within=0.1)
        return found[0]

    async def register(self, name: str = "bob") -> None:
        ceremonies = Ceremonies(self.app)
        who = Caller(
            principal=Principal(subject=f"user:{name}", issuer="corp"),
            tenant="default",
            roles=frozenset(),
            via="session:1",
            proved_at=self.app.store.now(),
        )
        await ceremonies.finish(who, self.device.create(await ceremonies.begin(who)))

    async def link(self, contact: str = "bobs", kind: str = "approval.asked") -> str:
        notice = Notice(kind=kind, run="r", step="pay", subject="x")
        links = self.app.question_links()
        return (await links.of(notice, "default", contact, now=self.app.store.now()) or "").removeprefix(URL)


@pytest.fixture
async def there(mailbox: Receiver) -> AsyncIterator[Desk]:
    app = desk(mailbox)
    transport = httpx.ASGITransport(app=pages(app, TestGate(subject=None)))
    async with app, httpx.AsyncClient(transport=transport, base_url=URL, headers={"origin": URL}) as client:
        yield Desk(app, client)


async def test_a_notice_has_the_link_and_the_link_the_question(there: Desk, mailbox: Receiver) -> None:
    await there.asked()
    while not (mine := [p.told for p in mailbox.posts if p.told["to"] == "bobs"]):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    told = mine[0]
    url = re.search(r"https://\S+/q/\S+$", told["text"])[0]  # type: ignore[index]
    assert told["blocks"][-1]["text"]["text"] == f"<{url}|Look at it>"
    for _ in range(3):  # previews and scanners, too
        page = await there.client.get(url)
        assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    assert "Ada & Co" in text_of(page.text)
    assert 'name="verdict"' not in page.text  # he has no passkey
    assert "/sign-in?to=%2Fapprovals%2Fr" in page.text
    assert await there.app.open_approvals("r")
    # and it is known who has looked
    await Viewings(there.app).write_up(all=True)
    found = [
        deed.arguments
        async for _, deeds in deeds_of(there.app.store, Done(tool="view"), Selection(tenant="default"))
        for deed in deeds
    ]
    assert found == [{"run": "r", "what": "question", "via": "link", "times": 3, "step": "pay"}]


async def test_a_passkey_answers_there(there: Desk) -> None:
    asked = await there.asked()
    await there.register()
    link = await there.link()
    page = await there.client.get(link)
    assert f'data-confirm="{link}/confirmation"' in page.text
    form = {"verdict": "approve", "digest": asked.digest, "reason": "due"}
    told = (await there.client.post(f"{link}/confirmation", data=form)).json()
    assert (await there.client.post(link, data=form)).status_code == 403  # the link alone
    proof = json.dumps(there.device.get(told))
    swapped = {**form, "verdict": "reject", "proof": proof}
    assert (await there.client.post(link, data=swapped)).status_code == 409
    evil = await there.client.post(
        link, data={**form, "proof": proof}, headers={"origin": "https://evil.net"}
    )
    assert evil.status_code == 403
    done = await there.client.post(link, data={**form, "proof": proof})
    assert (done.status_code, "Approved" in text_of(done.text)) == (200, True)
    assert await (await there.app.handle("r")).result() == "paid Ada & Co"
    assert (await there.client.get(link)).status_code == 409  # it is not asked any more


async def test_a_mailbox_of_several_says_nothing_of_who_reads_it(there: Desk) -> None:
    asked = await there.asked()
    await there.register("cy")
    link = await there.link("all")
    page = await there.client.get(link)
    assert "Ada" not in page.text
    assert 'name="verdict"' not in page.text
    form = {"verdict": "approve", "digest": asked.digest or ""}
    assert (await there.client.post(f"{link}/confirmation", data=form)).status_code == 403


async def test_what_is_asked_of_everybody_takes_a_sign_in(mailbox: Receiver) -> None:
    """Who may approve at all, roles say, and a passkey alone says nothing of those."""
    app = desk(mailbox, needs_approval=True)
    transport = httpx.ASGITransport(app=pages(app, TestGate(subject=None)))
    async with app, httpx.AsyncClient(transport=transport, base_url=URL, headers={"origin": URL}) as client:
        there = Desk(app, client)
        asked = await there.asked()
        await there.register()
        link = await there.link()
        assert 'name="verdict"' not in (await client.get(link)).text
        form = {"verdict": "approve", "digest": asked.digest or ""}
        assert (await client.post(f"{link}/confirmation", data=form)).status_code == 403


async def test_a_link_that_nobody_made_leads_nowhere(there: Desk) -> None:
    await there.asked()
    link = await there.link()
    body, _, mac = link.removeprefix("/q/").partition(".")
    last = "A" if mac[-2] != "A" else "B"
    for wrong in (
        f"/q/{body}.",
        f"/q/{body}.{mac[:-2]}{last}{mac[-1]}",
        f"/q/{mac}.{mac}",
        "/q/x",
        "/q/%00.%ff",
    ):
        assert (await there.client.get(wrong)).status_code == 403
    assert await there.link(kind="approval.outcome") == ""
    assert await there.link(kind="escalation") == ""


async def test_a_link_ends(mailbox: Receiver) -> None:
    clock = ManualClock()
    app = desk(mailbox, clock=clock)
    await app.open()
    links = app.question_links()
    notice = Notice(kind="approval.asked", run="r", step="pay", subject="x")
    token = (await links.of(notice, "acme", "bobs", now=app.store.now()) or "").removeprefix(f"{URL}/q/")
    found = await links.read(token, now=app.store.now())
    assert found is not None
    assert (found.tenant, found.run, found.step, found.person) == ("acme", "r", "pay", "bob")
    assert await links.read(token, now=app.store.now() + 3 * 86_400_000_000) is None
    await app.close()
