"""Questions on pages: what an approver is shown, and that an answer counts for that alone."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest

from perdure import App, Run
from perdure.access.callers import Role
from perdure.journal import RunRecord, RunStatus
from tests.web.scene import Reader, reading, text_of

FAKE = "\u0410cme \u202egnp.exe"


@pytest.fixture
async def app() -> AsyncIterator[App]:
    app = App("memory://", approvals={"most_per_hour": 0})

    @app.tool(effect="write", needs_approval=True)
    def pay(payee: str, cents: int, note: dict[str, str] | None = None) -> str:
        return f"{cents} to {payee}"

    @app.agent("payer")
    async def payer(run: Run, given: dict[str, Any]) -> str:
        await run.decide("due", ["pay", "wait"], "pay", reason="it is due", confidence=0.7)
        return await run.call(pay, **given)

    @app.agent("asker")
    async def asker(run: Run, choices: list[str]) -> str:
        return str(await run.ask("Which one?", choices=choices))

    async with app:
        yield app


@pytest.fixture
async def reader(app: App) -> AsyncIterator[Reader]:
    async with reading(app) as found:
        yield found


async def asked(app: App, given: dict[str, Any], id: str, by: str = "user:ann") -> str:
    """A run that asks; the digest of what it asks."""
    await app.start("payer", given, run_id=id, by=by)
    await rests(app, id)
    found = await app.open_approvals(id)
    return found[0].digest or ""


async def rests(app: App, id: str) -> RunRecord:
    while True:
        record = await app.store.get(app.ref(id))
        assert record is not None
        if (
            record.status not in (RunStatus.PENDING, RunStatus.RUNNING)
            and record.inbox_seq == record.drained_seq
        ):
            return record
        await app.store.changed(app.store.changes(), within=0.05)


async def test_nothing_to_decide_teaches_how_it_comes_to_be(reader: Reader) -> None:
    page = text_of(await reader.get("/approvals"))
    assert "Nothing waits for you" in page and "needs_approval=True" in page


async def test_what_is_asked_is_shown_with_why_and_what_differs(app: App, reader: Reader) -> None:
    digest = await asked(app, {"payee": "Acme", "cents": 100}, "pay-1")
    await reader.post("/approvals/pay-1", step="pay", verdict="approve", digest=digest, reason="as agreed")
    assert (await rests(app, "pay-1")).status is RunStatus.SUCCEEDED
    await asked(app, {"payee": "Acme", "cents": 99_900}, "pay-2")

    assert "99900" in text_of(await reader.get("/approvals"))
    page = await reader.get("/approvals/pay-2?step=pay")
    told = text_of(page)
    assert "May pay be called?" in told and "it is due" in told and "Confidence 70 %" in told
    assert "approved by user:dana: as agreed" in told
    row = (
        page[page.index(">cents<") : page.index(">note<")]
        if ">note<" in page
        else page[page.index(">cents<") :]
    )
    assert "<del>100</del>" in row
    assert "the same" in page[page.index(">payee<") : page.index(">cents<")]
    assert "Count(1)" not in page and "Approvals 1" in text_of(await reader.get("/runs"))


async def test_an_answer_is_for_what_was_shown(app: App, reader: Reader) -> None:
    """The form carries the digest of its page; any other, or none, counts for nothing."""
    digest = await asked(app, {"payee": "Acme", "cents": 100}, "pay-1")
    page = await reader.get("/approvals/pay-1?step=pay")
    assert set(re.findall(r'name="digest" value="(\w+)"', page)) == {digest}

    for other in ("", "0" * 64, digest[:16]):
        refused = await reader.post(
            "/approvals/pay-1", status=409, step="pay", verdict="approve", digest=other
        )
        assert "does not count" in text_of(refused.text)
    await reader.post("/approvals/pay-1", status=403, csrf="", step="pay", verdict="approve", digest=digest)
    assert len(await app.open_approvals("pay-1")) == 1
    await reader.post("/approvals/pay-1", step="pay", verdict="approve", digest=digest)
    assert (await rests(app, "pay-1")).status is RunStatus.SUCCEEDED
    again = await reader.post("/approvals/pay-1", status=409, step="pay", verdict="approve", digest=digest)
    assert "moved on" in text_of(again.text)


async def test_a_rejection_says_why(app: App, reader: Reader) -> None:
    digest = await asked(app, {"payee": "Acme", "cents": 100}, "pay-1")
    bare = await reader.post("/approvals/pay-1", status=422, step="pay", verdict="reject", digest=digest)
    assert "say why" in text_of(bare.text).lower()
    await reader.post("/approvals/pay-1", step="pay", verdict="reject", digest=digest, reason="paid already")
    record = await rests(app, "pay-1")
    assert record.status is RunStatus.FAILED and "paid already" in record.reasons[0]


async def test_arguments_are_changed_with_the_approval(app: App, reader: Reader) -> None:
    digest = await asked(app, {"payee": "Acme", "cents": 100, "note": {"a": "b"}}, "pay-1")
    form = {"step": "pay", "verdict": "edit", "digest": digest, "reason": "half of it"}
    same = {"argument payee": "Acme", "argument cents": "100", "argument note": '{"a": "b"}'}
    assert (
        "nothing was changed"
        in text_of((await reader.post("/approvals/pay-1", status=422, **form, **same)).text).lower()
    )
    wrong = {**same, "argument cents": "half"}
    assert "is not JSON" in text_of((await reader.post("/approvals/pay-1", status=422, **form, **wrong)).text)
    await reader.post("/approvals/pay-1", **form, **{**same, "argument cents": "50"})
    assert (await rests(app, "pay-1")).status is RunStatus.SUCCEEDED
    assert "50 to Acme" in text_of(await reader.get("/runs/pay-1?show=data"))


async def test_look_alike_text_is_flagged_and_never_answered_with_others(app: App, reader: Reader) -> None:
    """S27."""
    odd = await asked(app, {"payee": FAKE, "cents": 100}, "pay-1")
    plain = await asked(app, {"payee": "Acme", "cents": 200}, "pay-2")
    page = await reader.get("/approvals/pay-1?step=pay")
    assert "\\u0410cme \\u202egnp.exe" in page and "\u202e" not in unescape(page)[: page.index("<form")]
    assert "Careful: hidden characters" in text_of(page) and "mixes Cyrillic and Latin" in text_of(page)
    listed = await reader.get("/approvals")
    assert f'value="pay-2 {plain} pay"' in listed and f'value="pay-1 {odd} pay"' not in listed
    review = text_of(
        await reader.get(f"/approvals/~several?question=pay-1+{odd}+pay&question=pay-2+{plain}+pay")
    )
    assert "1 call, one answer" in review and "Not among them any more: pay-1" in review


async def test_several_are_answered_at_once_each_for_its_digest(app: App, reader: Reader) -> None:
    digests = [await asked(app, {"payee": "Acme", "cents": n}, f"pay-{n}") for n in (1, 2, 3)]
    keys = [f"pay-{n + 1} {digest} pay" for n, digest in enumerate(digests)]
    review = await reader.get(
        "/approvals/~several?" + "&".join(f"question={key.replace(' ', '+')}" for key in keys)
    )
    assert review.count('name="question"') == 3
    keys[1] = f"pay-2 {'0' * 64} pay"
    answered = await reader.post("/approvals/~several", status=200, question=keys, verdict="approve")
    told = text_of(answered.text)
    assert "2 of 3 answers were taken" in told and "what was seen is not what would be done" in told
    assert (await rests(app, "pay-1")).status is (await rests(app, "pay-3")).status is RunStatus.SUCCEEDED
    assert (await rests(app, "pay-2")).status is RunStatus.WAITING
    many = [f"pay-2 {digests[1]} pay"] * 21
    assert "1 to 20" in text_of(
        (await reader.post("/approvals/~several", status=422, question=many, verdict="approve")).text
    )


async def test_who_asked_for_it_cannot_approve_it(app: App, reader: Reader) -> None:
    digest = await asked(app, {"payee": "Acme", "cents": 100}, "pay-1", by="user:dana")
    page = await reader.get("/approvals/pay-1?step=pay")
    assert "Your answer would not count" in text_of(page) and "Approve this call" not in page
    assert "For others" in text_of(await reader.get("/approvals"))
    refused = await reader.post("/approvals/pay-1", status=409, step="pay", verdict="approve", digest=digest)
    assert "nobody approves what they have asked for themselves" in text_of(refused.text)


async def test_a_question_of_the_agents_own_is_answered(app: App, reader: Reader) -> None:
    await app.start("asker", ["red", "<b>blue</b>"], run_id="ask-1")
    await rests(app, "ask-1")
    page = await reader.get("/approvals/ask-1")
    assert "Which one?" in text_of(page) and "<b>blue" not in page
    (question,) = await app.open_approvals("ask-1")
    await reader.post("/approvals/ask-1", status=422, step=question.step, verdict="approve", value="green")
    await reader.post("/approvals/ask-1", step=question.step, verdict="approve", value="red")
    assert (await rests(app, "ask-1")).status is RunStatus.SUCCEEDED


async def test_it_takes_the_role(app: App, reader: Reader) -> None:
    digest = await asked(app, {"payee": "secret-payee", "cents": 100}, "pay-1")
    reader.gate.roles = frozenset({Role.VIEWER})
    assert "secret-payee" not in await reader.get("/approvals")
    await reader.get("/approvals/pay-1", status=403)
    await reader.post("/approvals/pay-1", status=403, step="pay", verdict="approve", digest=digest)
