"""Passkeys: who registers one, and what an answer that was confirmed by it says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perdure import AnswerRefused, App, ConfigError, verify_answers
from perdure.access.callers import Caller
from perdure.access.passkeys import Ceremonies
from perdure.core.errors import BadSignature, Forbidden, Unauthenticated, UnknownKey
from perdure.core.principal import Principal
from perdure.governance.passkeys import Passkey
from perdure.journal import Approval
from tests.approvals.authenticator import Authenticator
from tests.approvals.desks import Till, desk, opened
from tests.approvals.test_signed import refused, say

HOST = "perdure.example.org"


@pytest.fixture
def app(tmp_path: Path) -> App:
    return App(f"sqlite:///{tmp_path}/a.db", approvals={"passkeys": {"host": HOST}})


def caller(app: App, name: str = "bob", **changed: Any) -> Caller:
    """Somebody who has signed in just now."""
    who = Principal(subject=f"user:{name}", issuer="https://login.example.org")
    made = Caller(
        principal=who,
        tenant="default",
        roles=frozenset(),
        via=f"session:{name}",
        proved_at=app.store.now(),
    )
    return replace(made, **changed)


async def registered(app: App, device: Authenticator, name: str = "bob") -> Passkey:
    ceremonies, who = Ceremonies(app), caller(app, name)
    return await ceremonies.finish(who, device.create(await ceremonies.begin(who)), note="phone")


async def confirmed(
    app: App, asked: Approval, device: Authenticator, by: str = "user:bob", **said: Any
) -> dict[str, Any]:
    """An answer, as it is sent."""
    given: dict[str, Any] = {"by": by, "approved": True, **said}
    options = await Ceremonies(app).confirmation(asked, **given)
    return {**given, "digest": asked.digest, "proof": device.get(options)}


async def told(app: App, asked: Approval, answer: dict[str, Any]) -> str:
    """Why it does not count, as whoever sends it is told at once."""
    with pytest.raises(AnswerRefused) as refusal:
        await say(app, asked, answer)
    return str(refusal.value)


async def test_an_answer_counts_that_a_passkey_has_confirmed(app: App) -> None:
    till, device = Till(), Authenticator()
    async with app:
        passkey = await registered(app, device)
        run = await app.start(desk(app, till), [5, 6], by="user:ann")
        asked = await opened(app, run)
        bare = {"by": "user:bob", "approved": True, "digest": asked.digest}
        assert "it is not signed" in await told(app, asked, bare)
        await say(app, asked, await confirmed(app, asked, device, reason="it is due"))
        asked = await opened(app, run, "pay:2")
        await say(app, asked, await confirmed(app, asked, device, arguments={"to": "Ada", "amount": 1}))
        await run.result()
        entries = await run.entries()

    assert till.paid == [("Ada", 5), ("Ada", 1)]
    # an auditor who has the key in a file of their own; and one who has not
    keys = {"user:bob": [passkey.key.key]}
    settings = app.approval_settings
    listed = type(settings).model_validate({"passkeys": {"host": HOST}, "keys": keys})
    for known, signature in ((listed, "good"), (settings, "unknown"), (type(settings)(), "unknown")):
        answers = verify_answers(run.ref, entries, known)
        assert [(a.by, a.decision, a.signature) for a in answers] == [("user:bob", "approve", signature)] * 2
    assert {answer.key for answer in answers} == {passkey.key.kid}
    elsewhere = type(settings).model_validate({"passkeys": {"host": "example.net"}, "keys": keys})
    assert {a.signature for a in verify_answers(run.ref, entries, elsewhere)} == {"bad"}
    other = type(settings).model_validate(
        {"passkeys": {"host": HOST}, "keys": {"user:eve": keys["user:bob"]}}
    )
    assert {a.signature for a in verify_answers(run.ref, entries, other)} == {"bad"}


async def test_what_does_not_count(app: App) -> None:
    """S22 to S25: forged, over something else, used before, by the requester."""
    bob, eve, ann = Authenticator(), Authenticator(), Authenticator()
    async with app:
        await registered(app, bob)
        await registered(app, eve, "eve")
        await registered(app, ann, "ann")
        run = await app.start(desk(app, Till()), [5, 6], by="user:ann")
        asked = await opened(app, run)
        good = await confirmed(app, asked, bob)

        # S22: of another key, under bob's name
        theirs = await confirmed(app, asked, eve, by="user:eve")
        assert "`user:bob` has not registered that passkey" in await told(
            app, asked, {**theirs, "by": "user:bob"}
        )
        # the run looks again by itself: whoever puts it past the first look gets no further
        forged = {**theirs, "by": "user:bob"}
        await refused(app, run, asked, forged, "`user:bob` has not registered that passkey")
        mixed = {**good["proof"]["passkey"], "signature": theirs["proof"]["passkey"]["signature"]}
        assert "does not count" in await told(
            app, asked, {**good, "proof": {**good["proof"], "passkey": mixed}}
        )
        # S23: something else was confirmed than is sent
        for changed in (
            {"approved": False},
            {"reason": "never said"},
            {"arguments": {"to": "Eve", "amount": 5}},
        ):
            assert "another answer was confirmed" in await told(app, asked, {**good, **changed})
        changed = {**good, "arguments": {"to": "Eve", "amount": 5}}
        await refused(app, run, asked, changed, "another answer was confirmed")
        later = {**good, "proof": {**good["proof"], "iat": good["proof"]["iat"] + 1}}
        assert "another answer was confirmed" in await told(app, asked, later)
        # S25: the requester
        own = await confirmed(app, asked, ann, by="user:ann")
        assert "nobody approves what they have asked for themselves" in await told(app, asked, own)
        # nonsense
        for proof in (
            {"passkey": {}, "iat": 1},
            {"passkey": good["proof"]["passkey"], "iat": "now"},
            {"passkey": good["proof"]["passkey"]},
            {"passkey": {**good["proof"]["passkey"], "signature": "%"}, "iat": good["proof"]["iat"]},
            {"passkey": {**good["proof"]["passkey"], "clientDataJSON": "AAAA"}, "iat": good["proof"]["iat"]},
        ):
            assert await told(app, asked, {**good, "proof": proof})

        await say(app, asked, good)
        # S24: the same again, for the next question
        second = await opened(app, run, "pay:2")
        assert "another answer was confirmed" in await told(app, second, {**good, "digest": second.digest})


async def test_the_device_was_unlocked_at_a_page_of_the_host(app: App) -> None:
    async with app:
        device = Authenticator()
        await registered(app, device)
        run = await app.start(desk(app, Till()), [5], by="user:ann")
        asked = await opened(app, run)
        locked = replace(device, unlocked=False)
        assert "does not count" in await told(app, asked, await confirmed(app, asked, locked))
        elsewhere = replace(device, origin="https://perdure.example.org.evil.net")
        assert "origin" in await told(app, asked, await confirmed(app, asked, elsewhere))
        options = await Ceremonies(app).confirmation(asked, by="user:bob", approved=True)
        other = replace(device, host="evil.net").get(options, host="evil.net")
        said = {"by": "user:bob", "approved": True, "digest": asked.digest, "proof": other}
        assert "RP ID" in await told(app, asked, said)


async def test_an_old_or_revoked_confirmation_does_not_count(app: App) -> None:
    async with app:
        device = Authenticator()
        passkey = await registered(app, device)
        run = await app.start(desk(app, Till()), [5], by="user:ann")
        asked = await opened(app, run)
        options = await Ceremonies(app).confirmation(asked, by="user:bob", approved=True)
        good = await confirmed(app, asked, device)
        await Ceremonies(app).passkeys.revoke(passkey.id, tenant="default", by="user:bob")
        assert "the passkey was revoked by `user:bob`" in await told(app, asked, good)
        with pytest.raises(Forbidden, match="`user:bob` has registered no passkey"):
            await confirmed(app, asked, device)
        assert options["publicKey"]["userVerification"] == "required"


async def test_only_listed_passkeys_count_where_the_settings_say_so(tmp_path: Path) -> None:
    """Who writes into the database puts no passkey of theirs there."""
    device, other = Authenticator(), Authenticator()
    store = f"sqlite:///{tmp_path}/a.db"
    strict = {"host": HOST, "registered": False}
    first = App(store, approvals={"passkeys": strict})
    await first.open()
    passkey = await registered(first, device)
    await first.close()
    app = App(store, approvals={"passkeys": strict, "keys": {"bob": passkey.key.key}})
    async with app:
        await registered(app, other)
        run = await app.start(desk(app, Till()), [5], by="user:ann")
        asked = await opened(app, run)
        options = await Ceremonies(app).confirmation(asked, by="user:bob", approved=True)
        said = {"by": "user:bob", "approved": True, "digest": asked.digest}
        assert "this one does not" in await told(app, asked, {**said, "proof": other.get(options)})
        await say(app, asked, {**said, "proof": device.get(options)})
        assert await run.result() == ["paid 5 to Ada"]


async def test_a_passkey_is_registered_by_who_has_just_signed_in(app: App) -> None:
    ceremonies, device = Ceremonies(app), Authenticator()
    await app.open()
    bob, hour = caller(app), 3_600_000_000
    options = await ceremonies.begin(bob)
    made = device.create(options)

    with pytest.raises(Forbidden, match="not asked for here and now"):  # in another's session
        await ceremonies.finish(caller(app, "eve"), made)
    with pytest.raises(Forbidden, match="not asked for here and now"):  # and that has used it up
        await ceremonies.finish(bob, made)

    passkey = await registered(app, device)
    assert (passkey.owner, passkey.note, passkey.by) == ("user:bob", "phone", "https://login.example.org")
    again = await ceremonies.begin(bob)
    assert [c["id"] for c in again["excludeCredentials"]] == [passkey.id]
    assert b"bob" not in json.dumps(again["user"]["id"]).encode()
    with pytest.raises(UnknownKey, match="registered already"):
        await ceremonies.passkeys.add(
            passkey.id, tenant="default", owner="user:eve", key=passkey.key, note="", by="x"
        )

    for wrong in (
        caller(app, proved_at=app.store.now() - hour),
        caller(app, proved_at=None),  # a key, or a token
        caller(app, principal=Principal(subject="user:bob")),
        caller(app, principal=Principal(subject="system:ci", issuer="perdure")),
    ):
        with pytest.raises((Forbidden, Unauthenticated)):
            await ceremonies.begin(wrong)
    for odd in (
        replace(device, unlocked=False),
        replace(device, origin="https://evil.net"),
        replace(device, algorithm=-257),
    ):
        with pytest.raises(BadSignature, match="the passkey cannot be registered"):
            await registered(app, odd)
    with pytest.raises(Forbidden, match="cannot be read"):
        await ceremonies.finish(bob, "{}")
    await app.close()


def test_where_passkeys_cannot_be() -> None:
    for given in (
        {"host": "127.0.0.1:7000"},
        {"host": "perdure.example.org", "origins": "https://evil.net"},
        {"host": "perdure.example.org", "origins": "http://perdure.example.org"},
        {"host": "perdure.example.org", "origins": "https://perdure.example.org/path"},
    ):
        with pytest.raises(ConfigError):
            App("memory://", approvals={"passkeys": given})
