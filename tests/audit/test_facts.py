"""A journal is told whole to somebody who was not there: who, for whom, what, who let it, what came of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from perdure import App, Handle, NotDone, Retry, Run
from perdure.audit import Story, story_of
from perdure.core.digests import arguments_digest
from perdure.core.ids import RunRef
from perdure.journal import Kind, RunRecord
from perdure.testing import JournalBuilder, until_waiting
from tests.approvals.desks import Till, approve, desk, opened


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url)


async def told(run: Handle) -> Story:
    return story_of(await run.record(), await run.entries())


def whats(story: Story) -> list[str]:
    return [fact.what for fact in story.facts if not fact.quiet]


async def test_an_approved_call_is_told_with_who_asked_who_let_it_and_what_was_shown(app: App) -> None:
    async with app:
        run = await app.start(desk(app, Till()), [5], run_id="r", by="user:ann")
        await approve(app, run, by="user:boss", reason="it is due", arguments={"to": "Ada", "amount": 4})
        await run.result()
        story = await told(run)
    assert [what for what in whats(story) if what != "run.claimed"] == [
        "run.started",
        "approval.asked",
        "operator.answer",
        "approval.approved",
        "tool.called",
        "tool.answered",
        "run.ended",
    ]
    (deed,) = story.deeds
    assert (deed.agent, deed.behalf, deed.tool, deed.effect) == ("desk", "user:ann", "pay", "write")
    assert (deed.outcome, deed.result, deed.key, deed.attempts) == ("ok", "paid 4 to Ada", "r/pay", 1)
    assert deed.arguments == {"to": "Ada", "amount": 4}
    assert deed.digest == arguments_digest({"to": "Ada", "amount": 4})
    assert deed.approved_by == ["user:boss"]
    (asked,) = deed.enquiries
    assert asked.shown["arguments"] == {"to": "Ada", "amount": 5}
    assert (asked.decision, asked.by, asked.reason) == ("approved", "user:boss", "it is due")
    assert asked.edited["arguments"] == {"to": "Ada", "amount": 4}
    assert asked.answer["digest"] == asked.digest
    assert asked.digest_fits is True
    asked.shown["arguments"]["amount"] = 6
    assert asked.digest_fits is False
    called = next(fact for fact in story.facts if fact.what == "tool.called")
    assert (called.by, called.behalf, called.digest) == ("agent:desk", "user:ann", deed.digest)
    assert called.id == f"default/r/{called.seq}"
    bare = str([fact.to_json(contents=False) for fact in story.facts])
    assert "Ada" not in bare and "it is due" not in bare


async def test_a_denied_call_was_not_made_and_an_answer_that_does_not_count_is_told(app: App) -> None:
    async with app:
        run = await app.start(desk(app, Till()), [5], run_id="r", by="user:ann")
        asked = await opened(app, run)
        await app.post("r", "answer", "pay", b'{"approved":true,"digest":"00"}', "x", "user:eve", None)
        while not (await told(run)).enquiries[0].refused:
            await app.store.changed(app.store.changes(), within=0.1)
        asked = await opened(app, run)
        await app.answer("r", "pay", approved=False, by="user:boss", reason="no", digest=asked.digest)
        await run.result()
        story = await told(run)
    (deed,) = story.deeds
    assert (deed.outcome, deed.why, deed.attempts, deed.approved_by) == ("denied", "no", 0, [])
    (question,) = story.enquiries
    assert (question.decision, question.by) == ("denied", "user:boss")
    (refused,) = question.refused
    assert refused["by"] == "user:eve"
    assert "what was seen is not what would be done" in refused["why"]


async def test_a_write_in_doubt_is_told_with_who_settled_it(app: App) -> None:
    till = Till(failures=[TimeoutError("the bank hangs")])
    async with app:
        run = await app.start(desk(app, till, False), [5], run_id="r")
        await until_waiting(app, run, "in_doubt")
        assert (await told(run)).deeds[0].outcome == "in doubt"
        await app.settle("r", "pay", happened=True, result="paid by hand", by="user:grace")
        await run.result()
        story = await told(run)
    (deed,) = story.deeds
    assert (deed.outcome, deed.settled_by, deed.result) == ("ok", "user:grace (settle)", "paid by hand")
    assert [w for w in whats(story) if w.startswith("effect.")] == [
        "effect.in_doubt",
        "effect.asked",
        "effect.settled",
    ]
    (settle,) = [fact for fact in story.facts if fact.what == "operator.settle"]
    assert (settle.by, settle.outcome) == ("user:grace", "happened")


async def test_attempts_reads_questions_decisions_and_outcomes_are_told(app: App) -> None:
    failures: list[Exception] = [NotDone("no connection")]

    @app.tool(effect="idempotent", retry=Retry(attempts=2, first=timedelta(milliseconds=1)))
    def note(text: str) -> str:
        if failures:
            raise failures.pop()
        return text

    @app.tool(effect="read")
    def look(name: str) -> int:
        return 3

    @app.agent("clerk")
    async def clerk(run: Run) -> str:
        await run.call(look, "Ada")
        await run.decide("how", ["now", "later"], "now", reason="it is due")
        answer = await run.ask("Pay?", show={"to": "Ada"}, choices=["yes", "no"])
        await run.call(note, "it was asked")
        return str(answer.value)

    async with app:
        run = await app.start(clerk, run_id="c", labels={"order": "7"})
        asked = await opened(app, run)
        await app.answer("c", asked.step, approved=True, by="user:boss", value="yes")
        assert await run.result() == "yes"
        await app.outcome("c", False, by="user:auditor", evidence="it was paid twice")
        story = await told(run)
    read, noted = story.deeds
    assert (noted.tool, noted.attempts, noted.outcome) == ("note", 2, "ok")
    assert "step.retried" in whats(story)
    assert (read.tool, read.effect, read.outcome, read.result) == ("look", "read", "ok", 3)
    (question,) = story.enquiries
    assert (question.tool, question.shown, question.by) == (None, {"to": "Ada"}, "user:boss")
    assert (question.decision, question.digest_fits) == ("answered", True)
    assert question.answer["value"] == "yes"
    decided = next(fact for fact in story.facts if fact.what == "agent.decided")
    assert decided.why == "it is due"
    said = story.facts[-1]
    assert (said.what, said.by, said.outcome) == ("outcome.said", "user:auditor", "not_met")
    assert story.facts[0].contents["labels"] == {"order": "7"}


async def test_what_a_fork_took_over_was_not_done_by_it(app: App) -> None:
    async with app:
        run = await app.start(desk(app, Till(), False), [5, 6], run_id="r")
        await run.result()
        fork = await app.fork("r", from_step="pay:2", run_id="f", by="user:ann")
        await fork.result()
        story = await told(fork)
    assert story.facts[0].what == "run.forked"
    assert any(fact.taken_over for fact in story.facts)
    assert [deed.step for deed in story.deeds] == ["pay:2"]


def record_of(ref: RunRef, agent: str = "desk") -> RunRecord:
    made: dict[str, Any] = dict.fromkeys(RunRecord.__dataclass_fields__)
    return RunRecord(**{**made, "ref": ref, "agent": agent, "version": "1", "labels": {}, "reasons": ()})


def test_entries_of_a_newer_release_and_unreadable_ones_are_told_as_such() -> None:
    builder = JournalBuilder(RunRef("default", "r"))
    entries = [
        builder.entry(Kind.STARTED, payload=b'{"agent":"desk","version":"1","by":"user:ann","input":null}'),
        builder.entry(Kind.INTENT, "pay", payload=b'{"tool":"pay","key":"r/pay","arguments":{"to":"Ada"}}'),
        builder.entry(99, "pay", payload=b'{"new":1}'),  # type: ignore[arg-type]
        builder.entry(Kind.VERDICT, "pay", payload=b'{"stage":"mood","verdict":"fine","text":"secret"}'),
        builder.entry(Kind.RESULT, "pay", payload=b"\xff\x00 not JSON"),
    ]
    story = story_of(record_of(builder.ref), entries)
    assert whats(story) == ["run.started", "tool.called", "entry.99", "mood.fine", "tool.answered"]
    assert story.facts[2].contents == {"said": {"new": 1}}
    assert "secret" not in str(story.facts[3].to_json(contents=False))
    assert story.facts[4].erased and story.deeds[0].outcome == "ok"


def test_what_the_boundary_refuses_is_told_for_whom_and_because_of_whom() -> None:
    builder = JournalBuilder(RunRef("default", "r"))
    revoked = b'{"stage":"revocation","verdict":"denied","tool":"pay","by":"user:eve","reason":"stolen"}'
    entries = [
        builder.entry(Kind.STARTED, payload=b'{"agent":"desk","version":"1","by":"user:ann","input":null}'),
        builder.entry(Kind.CLAIMED, payload=b'{"worker":"w","version":"1","policies":"ab12"}'),
        builder.entry(Kind.VERDICT, "pay", payload=revoked),
        builder.entry(Kind.FAILED, "pay", payload=b'{"type":"Revoked","message":"no"}'),
    ]
    story = story_of(record_of(builder.ref), entries)
    assert story.facts[1].details["policies"] == "ab12"
    assert (story.facts[2].by, story.facts[2].details["because_of"]) == (None, "user:eve")
    (deed,) = story.deeds
    assert (deed.tool, deed.outcome, deed.behalf, deed.why) == ("pay", "denied", "user:ann", "stolen")


@pytest.mark.parametrize("effect", ["write", "idempotent"])
async def test_of_a_pruned_run_it_is_told_that_it_happened(app: App, effect: str) -> None:
    async with app:
        run = await app.start(desk(app, Till(), effect=effect), [5], run_id="r", by="user:ann")
        await approve(app, run)
        await run.result()
        await app.prune("r")
        story = await told(run)
    assert [fact.erased for fact in story.facts if fact.what == "tool.called"] == [True]
    (deed,) = [d for d in story.deeds if d.step == "pay"]
    assert (deed.tool, deed.outcome, deed.erased, deed.arguments) == ("pay", "ok", True, None)
    assert "Ada" not in str([f.to_json() for f in story.facts])
