"""S22 to S25 with signatures: an answer counts when its author's own key signed it, over exactly what is done."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import AnswerRefused, App, Approvers, ConfigError, Handle
from perdure.audit.answers import VerifiedAnswer, verify_answers
from perdure.core.approver_keys import ApproverKey
from perdure.governance.signatures import revocation
from perdure.identity.approver_file import SigningKey
from perdure.journal import Approval, Kind, Post
from perdure.runtime.approval.proof import answer_statement, sign_answer
from perdure.testing import survives
from tests.approvals.desks import Till, desk, opened, trail, until_entry, verdict

BOSS = SigningKey.new("user:boss")
EVE = SigningKey.new("user:eve", "es256")
ANN = SigningKey.new("user:ann")
STRANGER = SigningKey.new("user:boss")
KEYS = {key.user: [key.public.key] for key in (BOSS, EVE, ANN)}


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url, approvals={"keys": KEYS})


@pytest.fixture
def till() -> Till:
    return Till()


def signed(app: App, asked: Approval, key: SigningKey, **said: Any) -> dict[str, Any]:
    """An answer as `App.answer` takes it, with its signature."""
    given: dict[str, Any] = {"by": key.user, "approved": True, **said}
    proof = sign_answer(asked, key, now=app.store.now() / 1e6, **given)
    return {**given, "digest": asked.digest, "proof": proof}


async def say(app: App, asked: Approval, answer: dict[str, Any]) -> bool:
    return await app.answer(asked.ref.id, asked.step, tenant=asked.ref.tenant, **answer)


async def force(app: App, asked: Approval, answer: dict[str, Any], name: str = "forced") -> None:
    """Past the app's own look at it: what counts is what the run finds."""
    sender = answer["by"]
    body = pydantic_core.to_json({k: v for k, v in answer.items() if k != "by"})
    post = Post(ref=asked.ref, kind="answer", name=asked.step, id=name, sender=sender, body=body)
    await app.store.post(post)


async def refused(app: App, run: Handle, asked: Approval, answer: dict[str, Any], why: str) -> None:
    """Told so at once, and refused by the run; the question stays open."""
    with pytest.raises(AnswerRefused, match=why):
        await say(app, asked, answer)
    before = (await trail(run, asked.step)).count("refused")
    await force(app, asked, answer, f"forced-{asked.step.replace(':', '-')}-{before}")
    while (await trail(run, asked.step)).count("refused") == before:
        await app.store.changed(app.store.changes(), within=0.1)
    last = [e for e in await run.entries() if e.key == asked.step][-1]
    assert why in pydantic_core.from_json(last.payload)["why"].replace("(", "").replace(")", "")


async def answers(app: App, run: Handle) -> list[VerifiedAnswer]:
    return verify_answers(run.ref, await run.entries(), app.approval_settings)


async def test_an_answer_counts_with_its_authors_signature(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 6, 7], by="user:ann")
        for step, key in (("pay", BOSS), ("pay:2", EVE)):
            asked = await opened(app, run, step)
            assert asked.told["signing"] == "required"
            await say(app, asked, signed(app, asked, key))
        asked = await opened(app, run, "pay:3")
        await say(app, asked, signed(app, asked, BOSS, approved=False, reason="enough"))
        said = await run.result()
        assert said[2] == "`pay` was not called: user:boss said no: enough"
        told = await until_entry(app, run, verdict("approved"))
        assert (told["signed"]["by"], told["signed"]["key"]) == ("user:boss", BOSS.public.kid)
        found = await answers(app, run)
        assert [(a.by, a.decision, a.signature) for a in found] == [
            ("user:boss", "approve", "good"),
            ("user:eve", "approve", "good"),
            ("user:boss", "reject", "good"),
        ]
    assert till.paid == [("Ada", 5), ("Ada", 6)]


async def test_s22_an_answer_that_is_not_signed_or_by_another_key(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], by="user:ann")
        asked = await opened(app, run)
        good = signed(app, asked, BOSS)
        unsigned = {k: v for k, v in good.items() if k != "proof"}
        await refused(app, run, asked, unsigned, "it is not signed")
        await refused(app, run, asked, good | {"proof": "x.y.z"}, "the signature cannot be read")
        asked = await opened(app, run)
        await refused(app, run, asked, signed(app, asked, STRANGER), "no approver has the key")
        by_eve = {**good, "proof": sign_answer(asked, EVE, by="user:boss", approved=True)}
        await refused(app, run, asked, by_eve, "it is signed by a key of `user:eve`")
        head, text, _ = good["proof"].split(".")
        another = signed(app, asked, EVE)["proof"].split(".")[2]
        await refused(app, run, asked, good | {"proof": f"{head}.{text}.{another}"}, "the signature is wrong")
        assert till.paid == []
        await say(app, asked, signed(app, await opened(app, run), BOSS))
        assert await run.result() == ["paid 5 to Ada"]
        assert [a.signature for a in await answers(app, run)] == ["good"]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"tenant": "else"}, "its `tenant` is `else`"),
        ({"run": "r2"}, "its `run` is `r2`"),
        ({"step": "pay:2"}, "its `step` is `pay:2`"),
        ({"digest": "0" * 64}, "its `digest` is `000"),
        ({"nonce": "0" * 32}, "its `nonce` is `000"),
        ({"decision": "reject"}, "its `decision` is `reject`"),
        ({"reason": "for tea"}, "its `reason` is `for tea`"),
        ({"arguments": "0" * 64}, "its `arguments` is `000"),
        ({"sub": "user:eve"}, "its `sub` is `user:eve`"),
        ({"kid": "x"}, "its `kid` is `x`"),
        ({"iat": 1}, "s before it arrived"),
        ({"iat": 2**40}, "the signer's clock is wrong"),
    ],
)
async def test_s22_a_signature_over_something_else(
    app: App, till: Till, other: dict[str, Any], why: str
) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], run_id="r")
        asked = await opened(app, run)
        now = app.store.now() // 1_000_000
        said = answer_statement(asked, by="user:boss", approved=True, iat=now, kid=BOSS.public.kid)
        proof = BOSS.sign(replace(said, **other).text())
        answer = {"by": "user:boss", "approved": True, "digest": asked.digest, "proof": proof}
        await refused(app, run, asked, answer, why)
        assert till.paid == []
        await app.cancel("r")


async def test_s23_edited_arguments_are_signed_too(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        less = {"to": "Ada", "amount": 4}
        answer = signed(app, asked, BOSS, arguments=less)
        swapped = answer | {"arguments": {"to": "Eve", "amount": 4}}
        await refused(app, run, asked, swapped, "its `arguments` is")
        await refused(app, run, asked, answer | {"arguments": None}, "its `arguments` is")
        await refused(app, run, asked, signed(app, asked, BOSS) | {"arguments": less}, "its `arguments` is")
        await say(app, await opened(app, run), answer)
        assert await run.result() == ["paid 4 to Ada"]
        assert [a.signature for a in await answers(app, run)] == ["good"]


async def test_s24_a_signature_is_good_for_one_question(app: App, till: Till) -> None:
    async with app:
        agent = desk(app, till)
        run = await app.start(agent, [5, 5], run_id="r")
        asked = await opened(app, run)
        answer = signed(app, asked, BOSS)
        await say(app, asked, answer)
        second = await opened(app, run, "pay:2")
        with_its_digest = answer | {"digest": second.digest}
        await refused(app, run, second, with_its_digest, "its `")
        other = await app.start(agent, [5], run_id="other")
        asked = await opened(app, other)
        await refused(app, other, asked, answer | {"digest": asked.digest}, "its `")
        assert till.paid == [("Ada", 5)]
        for one in ("r", "other"):
            await app.cancel(one)


async def test_s25_a_valid_signature_makes_no_approver_of_the_requester_or_of_an_agent(
    app: App, till: Till
) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], by="user:ann")
        asked = await opened(app, run)
        await refused(app, run, asked, signed(app, asked, ANN), "nobody approves what they have asked for")
        as_boss = signed(app, asked, ANN, by="user:boss")
        await refused(app, run, asked, as_boss, "it is signed by a key of `user:ann`")
        for name in ("spiffe://example.org/t/default/agent/desk", "agent:desk", "Agent:desk", "system:x"):
            robot = SigningKey("x", BOSS.public, BOSS.private)
            await refused(app, run, asked, signed(app, asked, robot, by=name), "agents approve nothing")
        assert till.paid == []
        await app.cancel(run.id)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"spiffe://example.org/t/default/agent/desk": [BOSS.public.key]}, "agents approve nothing"),
        ({"user:ann": [ANN.public.key], "bob": [ANN.public.key]}, "have the same key"),
        ({"user:ann": ["ed25519:abc"]}, "is cut, or has too much"),
        ({"user:ann": ["rsa:abc"]}, "a key is written"),
        ({"user:ann": [{"key": ANN.public.key, "revoked_at": "2026-01-01T00:00:00"}]}, "which time zone"),
    ],
)
def test_keys_that_cannot_be_registered(keys: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        App("memory://", approvals={"keys": keys})


def test_a_person_with_one_key_needs_no_list() -> None:
    app = App("memory://", approvals={"keys": {"user:boss": BOSS.public.key, "eve": {"key": EVE.public.key}}})
    assert app.approval_settings.key(BOSS.public.kid) == ("user:boss", BOSS.public)
    assert app.approval_settings.key(EVE.public.kid) == ("eve", EVE.public)


def test_signatures_that_nobody_could_make() -> None:
    with pytest.raises(ConfigError, match="nobody has a key"):
        App("memory://", approvals={"signatures": "required"})
    with pytest.raises(ConfigError, match="silence is a signature"):
        Approvers("boss", signed=True, on_expiry="approve")


async def test_a_revoked_key_signs_nothing_that_counts(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        since = await app.store.amend(revocation("else", BOSS.public.kid, by="ops"))
        again = await app.store.amend(revocation("else", BOSS.public.kid, by="someone"))
        assert since == again
        await refused(app, run, asked, signed(app, asked, BOSS), "was revoked at")
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, EVE))
        assert await run.result() == ["paid 5 to Ada"]


async def test_a_key_is_revoked_by_the_settings_and_another_of_the_same_person_signs(
    store_url: str, till: Till
) -> None:
    old = {"key": BOSS.public.key, "revoked_at": datetime.now(UTC) - timedelta(days=1), "note": "lost"}
    app = App(store_url, approvals={"keys": {"user:boss": [old, STRANGER.public.key]}})
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        await refused(app, run, asked, signed(app, asked, BOSS), "was revoked at")
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, STRANGER))
        assert await run.result() == ["paid 5 to Ada"]


async def test_where_signatures_are_optional_the_journal_says_whether_there_was_one(
    store_url: str, till: Till
) -> None:
    app = App(store_url, approvals={"keys": KEYS, "signatures": "optional"})
    async with app:
        run = await app.start(desk(app, till), [5, 6])
        asked = await opened(app, run)
        forged = signed(app, asked, STRANGER)
        await refused(app, run, asked, forged, "no approver has the key")  # a bad one is no unsigned one
        asked = await opened(app, run)
        await say(app, asked, {"by": "boss", "approved": True, "digest": asked.digest})
        asked = await opened(app, run, "pay:2")
        await say(app, asked, signed(app, asked, BOSS))
        await run.result()
        found = await answers(app, run)
        assert [a.signature for a in found] == ["none", "good"]
        told = await until_entry(app, run, verdict("approved"))
        assert told["signed"] is False


async def test_a_rule_asks_for_a_signature_where_the_settings_do_not(store_url: str, till: Till) -> None:
    app = App(store_url, approvals={"keys": KEYS, "signatures": "optional"})
    async with app:
        run = await app.start(desk(app, till, Approvers("boss", signed=True)), [5])
        asked = await opened(app, run)
        assert asked.told["signing"] == "required"
        bare = {"by": "boss", "approved": True, "digest": asked.digest}
        await refused(app, run, asked, bare, "it is not signed")
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, BOSS))
        assert await run.result() == ["paid 5 to Ada"]


async def test_forged_answers_do_not_use_up_what_one_may_answer_within_the_hour(
    store_url: str, till: Till
) -> None:
    app = App(store_url, approvals={"keys": KEYS, "most_per_hour": 1})
    async with app:
        agent = desk(app, till)
        forged = await app.start(agent, [5], run_id="forged")
        asked = await opened(app, forged)
        as_boss = signed(app, asked, STRANGER)
        await refused(app, forged, asked, as_boss, "no approver has the key")
        run = await app.start(agent, [6])
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, BOSS))
        assert await run.result() == ["paid 6 to Ada"]
        await app.cancel("forged")


async def test_a_signed_approval_survives_a_kill_at_every_boundary(till: Till) -> None:
    app = App("memory://", approvals={"keys": KEYS})
    agent = desk(app, till)

    async def outside(app: App, run: Handle) -> None:
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, BOSS))

    trials = await survives(app, agent, [5], setup=till.paid.clear, outside=outside)
    assert {trial.result[0] for trial in trials} == {"paid 5 to Ada"}
    for trial in trials:
        signs = [pydantic_core.from_json(e.payload) for e in trial.entries if e.kind == Kind.VERDICT]
        assert [told["signed"]["key"] for told in signs if told["verdict"] == "approved"] == [BOSS.public.kid]


async def test_the_key_of_a_finished_run_may_be_revoked_and_its_replay_asks_no_key(
    store_url: str, till: Till
) -> None:
    app = App(store_url, approvals={"keys": KEYS})
    async with app:
        run = await app.start(desk(app, till), [5, 6], run_id="r")
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, BOSS))
        await opened(app, run, "pay:2")
    gone = App(store_url, approvals={"keys": {"user:eve": KEYS["user:eve"]}})  # a deploy took the key away
    async with gone:
        agent = desk(gone, till)
        assert agent.name == "desk"
        handle = await gone.handle("r")
        asked = await opened(gone, handle, "pay:2")
        await say(gone, asked, signed(gone, asked, EVE))
        assert await handle.result() == ["paid 5 to Ada", "paid 6 to Ada"]
        assert [a.signature for a in await answers(gone, handle)] == ["unknown", "good"]
        assert [a.signature for a in await answers(app, handle)] == ["good", "good"]
    assert till.paid == [("Ada", 5), ("Ada", 6)]


async def test_evidence_that_was_changed_is_found(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], run_id="r")
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, BOSS, reason="it is due"))
        await run.result()
        entries = await run.entries()

    def changed(kind: Kind, what: Any) -> list[VerifiedAnswer]:
        made = []
        for e in entries:
            told = pydantic_core.from_json(e.payload)
            if e.kind == kind and (kind != Kind.VERDICT or told["verdict"] == "approved"):
                what(told)
                e = e._replace(payload=pydantic_core.to_json(told))
            made.append(e)
        return verify_answers(run.ref, made, app.approval_settings)

    assert [a.signature for a in verify_answers(run.ref, entries, app.approval_settings)] == ["good"]
    for kind, what in (
        (Kind.VERDICT, lambda told: told.update(reason="another")),
        (Kind.VERDICT, lambda told: told.update(by="user:eve")),
        (Kind.VERDICT, lambda told: told["signed"].update(by="user:eve")),
        (Kind.VERDICT, lambda told: told.update(verdict="denied")),
        (Kind.WAITING, lambda told: told["show"]["arguments"].update(amount=6)),
        (Kind.WAITING, lambda told: told.update(nonce="0")),
        (Kind.MESSAGE, lambda told: told["body"].update(proof=None)),
    ):
        (found,) = changed(kind, what)
        assert found.signature == "bad", (kind, found)


def test_a_keys_id_is_its_thumbprint() -> None:
    for key in (BOSS, EVE):
        assert key.public.kid == key.private.thumbprint()
        assert ApproverKey(key=key.public.key).jwk() == key.private.as_dict(private=False)


async def test_who_is_revoked_approves_nothing_though_the_signature_is_good(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        await app.revoke(user="boss", by="ops", reason="has left")
        await say(app, asked, signed(app, asked, BOSS))
        told = await until_entry(app, run, verdict("refused"))
        assert "user `user:boss` was revoked by ops: has left" in told["why"]
        assert till.paid == []
        asked = await opened(app, run)
        await say(app, asked, signed(app, asked, EVE))
        assert await run.result() == ["paid 5 to Ada"]
