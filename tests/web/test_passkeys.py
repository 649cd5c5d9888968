"""A passkey is registered and signs an answer, by the forms that pages have; the device is one in software."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from starlette.requests import Request

from perdure import App, Run
from perdure.access.callers import Caller
from perdure.access.passkeys import FRESH, Ceremonies
from perdure.core.principal import Principal
from tests.approvals.authenticator import Authenticator
from tests.web.scene import Reader, TestGate, reading, text_of
from tests.web.test_approvals import asked

HOST = "perdure.example.org"


@dataclass
class SignedIn(TestGate):
    """Somebody who has signed in with a provider, some time ago."""

    __test__ = False
    app: App = field(kw_only=True)
    ago: int = 0

    async def caller_of(self, request: Request) -> Caller:
        found = await super().caller_of(request)
        return replace(
            found,
            principal=Principal(subject=self.subject or "", issuer="https://login.example.org"),
            proved_at=self.app.store.now() - self.ago,
        )


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App("memory://", approvals={"passkeys": {"host": HOST}})

    @app.tool(effect="write", needs_approval=True)
    def pay(payee: str, cents: int) -> str:
        return f"{cents} to {payee}"

    @app.agent("payer")
    async def payer(run: Run, given: dict[str, Any]) -> str:
        return await run.call(pay, **given)

    async with app:
        yield app


@pytest.fixture
async def reader(app: App) -> AsyncIterator[Reader]:
    async with reading(app, SignedIn(app=app)) as found:
        yield found


async def register(reader: Reader, device: Authenticator) -> None:
    options = (await reader.post("/passkeys/options", status=200)).json()
    answer = await reader.post("/passkeys", passkey=device.create(options), note="my phone")
    assert answer.headers["location"] == "/passkeys?done=registered"


async def test_an_answer_is_signed_on_its_page(app: App, reader: Reader) -> None:
    device, digest = Authenticator(), await asked(app, {"payee": "Ada", "cents": 5}, "r")
    page = await reader.get("/approvals/r?step=pay")
    assert "Register a passkey" in text_of(page)
    assert "passkeys.js" not in page
    assert 'name="verdict"' not in page  # nobody is offered what would not count

    await register(reader, device)
    assert "my phone" in text_of(await reader.get("/passkeys"))
    page = await reader.get("/approvals/r?step=pay")
    assert "passkeys.js" in page
    url = re.search(r'data-confirm="([^"]+)"', page)[1]  # type: ignore[index]
    form = {"step": "pay", "verdict": "approve", "digest": digest, "reason": "it\r\nis due"}
    told = (await reader.post(url, status=200, **form)).json()
    assert await app.open_approvals("r")  # nothing was answered by that

    unsigned = await reader.post("/approvals/r", status=409, **form)
    assert "It is not signed" in unsigned.text or "it is not signed" in unsigned.text
    proof = json.dumps(device.get(told))
    changed = await reader.post("/approvals/r", status=409, **{**form, "verdict": "reject"}, proof=proof)
    assert "another answer was confirmed" in changed.text
    done = await reader.post("/approvals/r", **form, proof=proof)
    assert done.headers["location"].startswith("/approvals?done=approved")
    assert await (await app.handle("r")).result() == "5 to Ada"


async def test_an_edited_answer_is_signed_with_its_arguments(app: App, reader: Reader) -> None:
    device, digest = Authenticator(), await asked(app, {"payee": "Ada", "cents": 5}, "r")
    await register(reader, device)
    form = {
        "step": "pay",
        "verdict": "edit",
        "digest": digest,
        "argument payee": "Ada",
        "argument cents": "3",
        "reason": "half",
    }
    told = (await reader.post("/approvals/r/confirmation", status=200, **form)).json()
    proof = json.dumps(device.get(told))
    other = {**form, "argument cents": "3000"}
    assert (
        "another answer was confirmed"
        in (await reader.post("/approvals/r", status=409, **other, proof=proof)).text
    )
    await reader.post("/approvals/r", **form, proof=proof)
    assert await (await app.handle("r")).result() == "3 to Ada"


async def test_what_has_changed_since_the_page_was_loaded_is_not_confirmed(app: App, reader: Reader) -> None:
    await register(reader, Authenticator())
    await asked(app, {"payee": "Ada", "cents": 5}, "r")
    form = {"step": "pay", "verdict": "approve", "digest": "0" * 64}
    assert "has changed" in (await reader.post("/approvals/r/confirmation", status=409, **form)).text


async def test_only_forms_of_ours_count(app: App, reader: Reader) -> None:
    """S30: without the token of the page nothing is registered, revoked, confirmed or answered."""
    device = Authenticator()
    await register(reader, device)
    digest = await asked(app, {"payee": "Ada", "cents": 5}, "r")
    form = {"step": "pay", "verdict": "approve", "digest": digest, "csrf": "guessed"}
    for path in (
        "/approvals/r",
        "/approvals/r/confirmation",
        "/passkeys",
        "/passkeys/options",
        "/passkeys/revoke",
    ):
        await reader.post(path, status=403, **form)
        assert (await reader.client.get(path, params=form)).status_code in (200, 404, 405)
    assert await app.open_approvals("r")


async def test_a_passkey_is_revoked_by_its_owner(app: App, reader: Reader) -> None:
    await register(reader, Authenticator())
    (passkey,) = await Ceremonies(app).passkeys.ls(tenant="default")
    reader.gate.subject = "user:eve"
    assert (
        "You have no such passkey" in (await reader.post("/passkeys/revoke", status=404, id=passkey.id)).text
    )
    reader.gate.subject = "user:dana"
    await reader.post("/passkeys/revoke", id=passkey.id)
    assert "revoked" in text_of(await reader.get("/passkeys"))


async def test_a_session_that_was_left_open_registers_none(app: App, reader: Reader) -> None:
    reader.gate.ago = FRESH + 1_000_000  # type: ignore[attr-defined]
    assert "You signed in a while ago" in text_of(await reader.get("/passkeys"))
    await reader.post("/passkeys/options", status=401)


async def test_where_there_are_no_passkeys_the_page_says_how() -> None:
    app = App("memory://")
    async with app, reading(app, SignedIn(app=app)) as reader:
        assert "[approvals.passkeys]" in text_of(await reader.get("/passkeys"))
