"""Where answers are signed, so is what somebody says of a write in doubt."""

from __future__ import annotations

from typing import Any

import pydantic_core
import pytest

from perdure import Agent, AnswerRefused, App, Handle, Run, sign_settlement, verify_answers
from perdure.identity import SigningKey
from perdure.journal import Kind, Post
from perdure.runtime.boundary.settling import DoubtfulWrite
from tests.approvals.desks import trail

BOSS, EVE = SigningKey.new("user:boss"), SigningKey.new("user:eve")
STRANGER = SigningKey.new("user:boss")
KEYS = {key.user: [key.public.key] for key in (BOSS, EVE)}


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url, approvals={"keys": KEYS})


def payer(app: App) -> Agent:
    @app.tool
    async def pay(amount: int) -> str:
        raise TimeoutError("no answer from the bank")

    @app.agent("payer")
    async def payer(run: Run) -> str:
        try:
            return await run.call(pay, 5)
        except TimeoutError:
            return "not paid"

    return payer


async def lost(app: App, agent: Agent, run_id: str = "r") -> tuple[Handle, DoubtfulWrite]:
    """A run that does not know whether it has paid."""
    run = await app.start(agent, run_id=run_id)
    while not (found := await app.doubts(run_id)):
        await app.store.changed(app.store.changes(), within=0.1)
    return run, found[0]


def said(app: App, doubt: DoubtfulWrite, key: SigningKey, **what: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"by": key.user, "happened": True, "result": "paid", **what}
    return {**given, "proof": sign_settlement(doubt, key, now=app.store.now() / 1e6, **given)}


async def refused(app: App, run: Handle, doubt: DoubtfulWrite, word: dict[str, Any], why: str) -> None:
    with pytest.raises(AnswerRefused, match=why):
        await app.settle(run.id, doubt.step, **word)
    before = (await trail(run, doubt.step)).count("refused")
    body = pydantic_core.to_json({k: v for k, v in word.items() if k != "by"})
    post = Post(
        ref=run.ref,
        kind="settle",
        name=doubt.step,
        id=f"forced-{before}",
        sender=word["by"],
        body=body,
    )
    await app.store.post(post)
    while (await trail(run, doubt.step)).count("refused") == before:
        await app.store.changed(app.store.changes(), within=0.1)


async def test_a_word_counts_with_its_authors_signature(app: App) -> None:
    async with app:
        run, doubt = await lost(app, payer(app))
        assert doubt.shown["arguments"] == {"amount": 5}
        good = said(app, doubt, BOSS)
        bare = {k: v for k, v in good.items() if k != "proof"}
        await refused(app, run, doubt, bare, "it is not signed")
        await refused(app, run, doubt, said(app, doubt, STRANGER), "no approver has the key")
        await refused(app, run, doubt, good | {"by": "user:eve"}, "by a key of `user:boss`")
        await refused(app, run, doubt, good | {"happened": False}, "its `decision` is `happened`")
        await refused(app, run, doubt, good | {"result": "paid twice"}, "its `arguments` is")
        robot = said(app, doubt, SigningKey("x", BOSS.public, BOSS.private), by="agent:desk")
        await refused(app, run, doubt, robot, "is an agent")
        assert await app.settle("r", doubt.step, **good)
        assert await run.result() == "paid"
        (found,) = verify_answers(run.ref, await run.entries(), app.approval_settings)
        assert (found.decision, found.by, found.signature) == ("happened", "user:boss", "good")


async def test_a_word_is_good_for_one_doubt(app: App) -> None:
    async with app:
        agent = payer(app)
        run, doubt = await lost(app, agent)
        word = said(app, doubt, EVE, happened=False, result=None)
        other, another = await lost(app, agent, "other")
        assert another.digest != doubt.digest
        await refused(app, other, another, word, "its `digest` is|its `run` is")
        assert await app.settle("r", doubt.step, **word)
        assert await run.result() == "not paid"
        (found,) = verify_answers(run.ref, await run.entries(), app.approval_settings)
        assert (found.decision, found.signature) == ("did_not_happen", "good")

        entries = []
        for e in await run.entries():
            if e.kind == Kind.SETTLED:
                told = pydantic_core.from_json(e.payload)
                e = e._replace(payload=pydantic_core.to_json({**told, "happened": True}))
            entries.append(e)
        (found,) = verify_answers(run.ref, entries, app.approval_settings)
        assert found.signature == "bad"


async def test_without_keys_a_word_needs_no_signature(store_url: str) -> None:
    app = App(store_url)
    async with app:
        run, doubt = await lost(app, payer(app))
        assert await app.settle("r", doubt.step, happened=True, result="paid", by="ann")
        assert await run.result() == "paid"
        assert [a.signature for a in verify_answers(run.ref, await run.entries(), app.approval_settings)] == [
            "none"
        ]
