"""A call is made as a human saw it, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from perdure import (
    AnswerRefused,
    App,
    ConfigError,
    InvalidInput,
    NotDone,
    Retry,
    UnknownStep,
)
from perdure.journal import Post
from tests.approvals.desks import Till, approve, desk, digest, opened, shown, trail, until_entry, verdict


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url)


@pytest.fixture
def till() -> Till:
    return Till()


async def test_a_call_waits_until_somebody_approves_it(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], run_id="r", by="user:ann")
        asked = await opened(app, run)
        told = shown(asked)["show"]
        assert (asked.step, till.paid) == ("pay", [])
        assert told["arguments"] == {"to": "Ada", "amount": 5}
        assert (told["tool"], told["effect"], told["requester"], told["agent"]) == (
            "pay",
            "write",
            "user:ann",
            "desk",
        )
        await approve(app, run)
        assert await run.result() == ["paid 5 to Ada"]
        assert await trail(run, "pay") == ["waiting", "approved", "intent", "result"]
        assert await app.open_approvals() == []
    assert till.keys == ["r/pay"]


async def test_a_rejection_is_told_with_its_reason_and_nothing_leads_around_it(app: App, till: Till) -> None:
    @app.tool(effect="write")
    def cash(to: str, amount: int) -> str:
        raise AssertionError("a fallback led around a no")

    terms: dict[str, Any] = {"fallback": cash, "retry": Retry(attempts=5, on=["refused"])}
    terms["classify"] = lambda error: "refused"
    async with app:
        run = await app.start(desk(app, till, **terms), [5])
        asked = await opened(app, run)
        await app.answer(run.id, "pay", approved=False, by="boss", reason="too dear", digest=digest(asked))
        assert await run.result() == ["`pay` was not called: boss said no: too dear"]
        assert await trail(run, "pay") == ["waiting", "denied", "failed"]
        assert await app.open_approvals() == []
    assert till.keys == []


async def test_s6_another_call_with_other_arguments_needs_its_own_approval(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 5000])
        first = await approve(app, run)
        second = await opened(app, run, "pay:2")
        assert shown(second)["show"]["arguments"]["amount"] == 5000
        assert till.paid == [("Ada", 5)]
        with pytest.raises(AnswerRefused, match="what was seen is not what would be done"):
            await app.answer(run.id, "pay:2", approved=True, by="boss", digest=digest(first))
        await app.answer(run.id, "pay:2", approved=False, by="boss", reason="no", digest=digest(second))
        await run.result()
    assert till.paid == [("Ada", 5)]


async def test_s6_an_answer_that_is_forced_into_the_inbox_does_not_count_for_another_call(
    app: App, till: Till
) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 5000])
        first = await approve(app, run)
        await opened(app, run, "pay:2")
        body = b'{"approved":true,"digest":"%s"}' % digest(first).encode()
        post = Post(ref=run.ref, kind="answer", name="pay:2", id="forced", sender="boss", body=body)
        await app.store.post(post)
        refused = await until_entry(app, run, verdict("refused"))
        assert "what was seen is not what would be done" in refused["why"]
        assert till.paid == [("Ada", 5)]
        await approve(app, run)
        assert await run.result() == ["paid 5 to Ada", "paid 5000 to Ada"]


async def test_s23_what_was_seen_is_what_is_done(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        with pytest.raises(AnswerRefused, match="does not say what it approves"):
            await app.answer(run.id, "pay", approved=True, by="boss")
        with pytest.raises(AnswerRefused, match="Look again"):
            await app.answer(run.id, "pay", approved=True, by="boss", digest="0" * 64)
        assert (await opened(app, run)) == asked
        await approve(app, run)
        assert await run.result() == ["paid 5 to Ada"]


async def test_s23_edited_arguments_are_validated_and_both_are_kept(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5])
        asked = await opened(app, run)
        for wrong, said in (
            ({"to": "Ada", "amount": "much"}, "`amount`: must be of type integer"),
            ({"to": "Ada", "amount": 4, "cc": "Bob"}, "there is no `cc`"),
            ({"to": "Ada"}, "`amount` is missing"),
        ):
            with pytest.raises(InvalidInput, match=said):
                await app.answer(
                    run.id, "pay", approved=True, by="boss", digest=digest(asked), arguments=wrong
                )
        await approve(app, run, arguments={"to": "Ada", "amount": 4})
        assert await run.result() == ["paid 4 to Ada"]
        approved = await until_entry(app, run, verdict("approved"))
        assert approved["digest"] == digest(asked) != approved["edited"]["digest"]
        assert approved["edited"]["arguments"] == {"to": "Ada", "amount": 4}
        intent = await until_entry(app, run, lambda e, t: t.get("key") == f"{run.id}/pay")
        assert intent["arguments"] == {"to": "Ada", "amount": 4}


async def test_an_approval_that_was_used_is_no_use_again(app: App, till: Till) -> None:
    async with app:
        run = await app.start(desk(app, till), [5, 5])
        asked = await approve(app, run)
        again = await opened(app, run, "pay:2")
        assert digest(again) != digest(asked)
        with pytest.raises(UnknownStep):
            await app.answer(run.id, "pay", approved=True, by="boss", digest=digest(asked))
        with pytest.raises(AnswerRefused):
            await app.answer(run.id, "pay:2", approved=True, by="boss", digest=digest(asked))
        await approve(app, run)
        await run.result()
    assert till.paid == [("Ada", 5)] * 2


async def test_a_retry_of_a_call_is_the_same_use(app: App, till: Till) -> None:
    till.failures = [NotDone("busy"), NotDone("busy")]
    policy = Retry(attempts=3, first=timedelta())
    async with app:
        run = await app.start(desk(app, till, retry=policy), [5])
        await approve(app, run)
        assert await run.result() == ["paid 5 to Ada"]
        assert (await trail(run, "pay")).count("waiting") == 1
        assert (await trail(run, "pay")).count("approved") == 1
    assert len(till.keys) == 3


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("yes", "none of True, Approvers"),
        (lambda total: total > 5, "takes `total`, which the tool does not"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_at_once(app: App, till: Till, rule: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        desk(app, till, rule)
