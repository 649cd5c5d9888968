"""Answers that an issuer vouches for: a sign-in that was for this answer, just now, by this person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic_core
import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from perdure import App, ApprovalSettings, ConfigError, verify_answers
from perdure.core.settings import load_settings
from perdure.core.statements import Statement
from perdure.identity.approvals import Signed
from perdure.journal import Approval
from perdure.runtime.approval.proof import answer_statement
from tests.approvals.desks import Till, desk, opened
from tests.approvals.test_signed import KEYS, refused, say

URL = "https://login.example.org"
KEY = ECKey.generate_key("P-256", {"kid": "k1"})
OTHER = ECKey.generate_key("P-256", {"kid": "k1"})


@pytest.fixture
def app(store_url: str, tmp_path: Path) -> App:
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    issuer = {"url": URL, "audience": "perdure-approvals", "jwks": str(jwks)}
    return App(store_url, approvals={"issuers": {"work": issuer}})


@pytest.fixture
def till() -> Till:
    return Till()


def signed_in(app: App, asked: Approval, sub: str = "boss", **changed: Any) -> dict[str, Any]:
    """An answer with the token of a sign-in for it; `changed`: claims, `key`, or what is said."""
    said = {name: changed.pop(name) for name in ("approved", "reason", "arguments") if name in changed}
    given: dict[str, Any] = {"by": f"user:{sub}", "approved": True, **said}
    now = app.store.now() // 1_000_000
    iat = changed.pop("said_at", now)
    key = changed.pop("key", KEY)
    nonce = answer_statement(asked, iat=iat, kid=None, **given).hash
    claims = {
        "iss": URL,
        "sub": sub,
        "aud": "perdure-approvals",
        "iat": now,
        "auth_time": now,
        "exp": now + 300,
        "nonce": nonce,
        **changed,
    }
    header = {"alg": "ES256", "typ": "JWT", "kid": "k1"}
    token = jws.serialize_compact(header, pydantic_core.to_json(claims), key, algorithms=["ES256"])
    return {**given, "digest": asked.digest, "proof": {"token": token, "iat": iat}}


async def test_a_sign_in_for_this_answer_counts(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 6], by="user:ann")
        asked = await opened(app, run)
        await say(app, asked, signed_in(app, asked, reason="it is due"))
        asked = await opened(app, run, "pay:2")
        await say(app, asked, signed_in(app, asked, arguments={"to": "Ada", "amount": 4}))
        assert await run.result() == ["paid 5 to Ada", "paid 4 to Ada"]
        entries = await run.entries()
        found = verify_answers(run.ref, entries, app.approval_settings)
        assert [(a.by, a.signature) for a in found] == [("user:boss", "good")] * 2
        # without the file of keys, by what the run has written down
        away = app.approval_settings.model_copy(
            update={
                "issuers": {
                    name: issuer.model_copy(update={"jwks": None})
                    for name, issuer in app.approval_settings.issuers.items()
                }
            }
        )
        assert [a.signature for a in verify_answers(run.ref, entries, away)] == ["unknown"] * 2
        changed = [
            e._replace(payload=e.payload.replace(b'"reason":"it is due"', b'"reason":"it is fine"'))
            for e in entries
        ]
        first = verify_answers(run.ref, changed, app.approval_settings)[0]
        assert (first.signature, "another answer" in first.why) == ("bad", True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"nonce": "0" * 64}, "the sign-in was for another answer"),
        ({"nonce": None}, "the sign-in was for another answer"),
        ({"aud": "perdure"}, "the token is for `perdure`"),
        ({"iss": "https://evil.example"}, "is not trusted here"),
        ({"exp": 1}, "expired"),
        ({"iat": 1, "exp": 2}, "expired"),
        ({"auth_time": 1}, "the sign-in is not fresh: its auth_time"),
        ({"auth_time": "now"}, "the sign-in is not fresh: its auth_time"),
        ({"said_at": 1}, "the sign-in is not fresh: its answer"),
        ({"key": OTHER}, "the token's signature is wrong"),
    ],
)
async def test_s22_a_sign_in_that_is_old_or_for_something_else(
    app: App, till: Till, changed: dict[str, Any], why: str
) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], run_id="r")
        asked = await opened(app, run)
        await refused(app, run, asked, signed_in(app, asked, **changed), why)
        assert till.paid == []
        await app.cancel("r")


async def test_s22_a_sign_in_of_somebody_else_or_for_another_question(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 5], run_id="r", by="user:ann")
        asked = await opened(app, run)
        eve = signed_in(app, asked, "eve")
        await refused(app, run, asked, eve | {"by": "user:boss"}, "`user:eve` has signed in")
        asked = await opened(app, run)
        await refused(app, run, asked, signed_in(app, asked, "ann"), "nobody approves what they have asked")
        asked = await opened(app, run)
        good = signed_in(app, asked)
        await refused(app, run, asked, good | {"proof": {**good["proof"], "x": 1}}, "cannot be read")
        await say(app, asked, good)
        second = await opened(app, run, "pay:2")
        await refused(
            app, run, second, good | {"digest": second.digest}, "the sign-in was for another answer"
        )
        assert till.paid == [("Ada", 5)]
        await app.cancel("r")


async def test_what_a_company_has_of_its_own_proves_an_answer_or_does_not(store_url: str, till: Till) -> None:
    class Badge:
        """Those who hold a badge to the reader."""

        def examine(
            self,
            proof: Mapping[str, Any],
            expected: Statement,
            settings: ApprovalSettings,
            *,
            at: int,
            now: int,
        ) -> Signed:
            if proof["badge"] != expected.hash:
                raise ValueError("the reader hums")
            return Signed(by=expected.sub, key="badge", public="", iat=0, checked_at=now)

    app = App(store_url, approvals={"keys": KEYS})
    app.approver_proof = Badge()
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        bare = {"by": "user:boss", "approved": True, "digest": asked.digest}
        wrong = {**bare, "proof": {"badge": "x"}}
        await refused(app, run, asked, wrong, "it could not be looked at: ValueError: the reader hums")
        asked = await opened(app, run)
        nonce = answer_statement(asked, by="user:boss", approved=True, iat=0, kid=None).hash
        await say(app, asked, {**bare, "proof": {"badge": nonce}})
        assert await run.result() == ["paid 5 to Ada"]


def test_approvals_are_an_application_of_their_own(tmp_path: Path) -> None:
    config = tmp_path / "perdure.toml"
    config.write_text(
        f'[identity.issuers.work]\nurl = "{URL}"\naudience = "perdure"\n'
        f'[approvals.issuers.work]\nurl = "{URL}"\naudience = "perdure"\n'
    )
    with pytest.raises(ConfigError, match="an application of their own"):
        load_settings(config)
    config.write_text(
        f'[identity.issuers.work]\nurl = "{URL}"\naudience = "perdure"\n'
        f'[approvals.issuers.work]\nurl = "{URL}"\naudience = "approvals"\njwks = "keys.json"\n'
    )
    found = load_settings(config).approvals
    assert found.signing == "required"
    assert found.issuers["work"].jwks == str(tmp_path / "keys.json")


def test_the_same_where_the_program_says_it() -> None:
    issuer = {"url": URL, "audience": "perdure"}
    app = App("memory://", approvals={"issuers": {"a": issuer}}, identity={"issuers": {"b": issuer}})
    with pytest.raises(ConfigError, match="an application of their own"):
        app.new_worker()


def test_systems_vouch_for_no_approver() -> None:
    issuer = {"url": URL, "audience": "x", "kind": "system"}
    with pytest.raises(ConfigError, match="vouches for systems"):
        App("memory://", approvals={"issuers": {"work": issuer}})
