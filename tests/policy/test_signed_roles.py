"""Policies that ask several people: each signs, and what each has signed can be looked at again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cedarpy", reason='no Cedar: `pip install "perdure[policy]"`')

from perdure import AnswerRefused, App, sign_answer, verify_answers
from perdure.identity import SigningKey
from perdure.journal import Approval
from tests.policy.test_policy_stage import ALL, LIMIT, Bank, made, policies

BOB, EVE, JOE = (SigningKey.new(f"user:{name}") for name in ("bob", "eve", "joe"))
FOUR_EYES = LIMIT.replace('@role("finance")', '@role("finance") @quorum("2")')
LEGAL = """
@id("legal") @gate("human") @role("legal") @reason("large payments are looked at by lawyers")
forbid (principal, action == Action::"pay", resource) when { context.args.cents > 8000 }
unless { context.approvals.contains("legal") };
"""
APPROVALS = {
    "groups": {"finance": ["bob", "eve"], "legal": ["joe"]},
    "keys": {key.user: [key.public.key] for key in (BOB, EVE, JOE)},
}


@pytest.fixture
def bank() -> Bank:
    return Bank()


async def asked(app: App, *, but: str = "") -> Approval:
    while True:
        seen = app.store.changes()
        for found in await app.open_approvals():
            if f"{found.told['nonce']}.{found.told['round']}" != but:
                return found
        await app.store.changed(seen, within=0.1)


def mark(question: Approval) -> str:
    return f"{question.told['nonce']}.{question.told['round']}"


async def say(app: App, question: Approval, key: SigningKey, **said: Any) -> None:
    proof = sign_answer(question, key, approved=True, now=app.store.now() / 1e6, **said)
    await app.answer(
        question.ref.id,
        question.step,
        approved=True,
        by=key.user,
        digest=question.digest,
        proof=proof,
        **said,
    )


async def test_two_people_of_a_role_sign_the_same_question(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    folder = policies(tmp_path, ALL + FOUR_EYES)
    async with made(store_url, folder, bank, approvals=APPROVALS) as app:
        run = await app.start("desk", 9000, by="user:ann")
        first = await asked(app)
        await say(app, first, BOB)
        second = await asked(app, but=mark(first))
        with pytest.raises(AnswerRefused, match="a key of `user:bob`"):  # the first one's, under another name
            proof = sign_answer(second, BOB, approved=True, by="user:eve")
            await app.answer(run.id, "pay", approved=True, by="user:eve", digest=second.digest, proof=proof)
        await say(app, second, EVE)
        assert await run.result() == "paid 9000 to Ada"
        found = verify_answers(run.ref, await run.entries(), app.approval_settings)
        assert [(a.by, a.signature) for a in found] == [("user:bob", "good"), ("user:eve", "good")]


async def test_two_roles_sign_one_after_the_other_and_edits_of_the_first_hold(
    store_url: str, tmp_path: Path, bank: Bank
) -> None:
    folder = policies(tmp_path, ALL + LIMIT + LEGAL)
    async with made(store_url, folder, bank, approvals=APPROVALS) as app:
        run = await app.start("desk", 9000, by="user:ann")
        first = await asked(app)
        await say(app, first, BOB, arguments={"payee": "Ada", "cents": 8500})
        second = await asked(app, but=mark(first))
        assert second.arguments == {"payee": "Ada", "cents": 8500}
        await say(app, second, JOE)
        assert await run.result() == "paid 8500 to Ada"
        found = verify_answers(run.ref, await run.entries(), app.approval_settings)
        assert [(a.by, a.signature, a.why) for a in found] == [
            ("user:bob", "good", ""),
            ("user:joe", "good", ""),
        ]


async def test_two_roles_sign_the_same_call(store_url: str, tmp_path: Path, bank: Bank) -> None:
    folder = policies(tmp_path, ALL + LIMIT + LEGAL)
    async with made(store_url, folder, bank, approvals=APPROVALS) as app:
        run = await app.start("desk", 9000, by="user:ann")
        first = await asked(app)
        await say(app, first, BOB)
        second = await asked(app, but=mark(first))
        assert second.digest == first.digest
        await say(app, second, JOE)
        assert await run.result() == "paid 9000 to Ada"
        found = verify_answers(run.ref, await run.entries(), app.approval_settings)
        assert [(a.by, a.signature) for a in found] == [("user:bob", "good"), ("user:joe", "good")]
