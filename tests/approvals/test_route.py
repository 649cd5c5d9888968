"""Whom an approval is asked of, who may not give it, and what happens when nobody does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pydantic_core
import pytest

from perdure import (
    AnswerRefused,
    App,
    ApprovalSettings,
    Approvers,
    ConfigError,
    Contact,
    Handle,
    Run,
    RunFailed,
)
from perdure.journal import Post
from perdure.testing import SkippingClock, kill_at, survives
from tests.approvals.desks import Till, approve, desk, digest, opened, shown, trail, until_entry, verdict

HOUR = timedelta(hours=1)


@pytest.fixture
def app(store_url: str) -> App:
    return App(store_url)


@pytest.fixture
def till() -> Till:
    return Till()


async def forced(app: App, run: Handle, sender: str, step: str = "pay") -> None:
    """An answer past the app's own look at it."""
    asked = digest(await opened(app, run, step))
    body = b'{"approved":true,"digest":"%s"}' % asked.encode()
    name = f"forced-{sender}".replace(" ", "-").replace(":", "-")
    await app.store.post(Post(ref=run.ref, kind="answer", name=step, id=name, sender=sender, body=body))


@pytest.mark.parametrize("sender", ["ann", "user:ann", "Ann", "\uff41nn", "run r", "agent:desk", "run:x"])
async def test_s25_neither_the_requester_nor_an_agent_approves(app: App, till: Till, sender: str) -> None:
    async with app:
        run = await app.start(desk(app, till), [5], run_id="r", by="user:ann")
        asked = await opened(app, run)
        with pytest.raises(AnswerRefused, match=r"nobody approves what they have asked for|agents approve"):
            await app.answer("r", "pay", approved=True, by=sender, digest=digest(asked))
        await forced(app, run, sender)
        await until_entry(app, run, verdict("refused"))
        assert till.paid == []
        await approve(app, run)  # somebody else can, though an answer was refused before
        assert await run.result() == ["paid 5 to Ada"]


async def test_s25_no_tool_can_answer_an_approval(app: App, till: Till) -> None:
    said: list[str] = []
    async with app:

        @app.tool(effect="read")
        async def cheat(run_id: str, step: str) -> str:
            asked = (await app.open_approvals(run_id))[0]
            try:
                await app.answer(run_id, step, approved=True, by="boss", digest=digest(asked))
            except AnswerRefused as error:
                said.append(str(error))
            return "tried"

        @app.agent("cheater")
        async def cheater(run: Run) -> str:
            return await run.call(cheat, "r", "pay")

        run = await app.start(desk(app, till), [5], run_id="r")
        await opened(app, run)
        assert await (await app.start(cheater)).result() == "tried"
        assert "is an agent, and agents approve nothing" in said[0]
        assert till.paid == []
        await app.cancel("r")


async def test_s25_a_child_asks_for_whoever_started_its_parent(app: App, till: Till) -> None:
    async with app:
        child = desk(app, till)

        @app.agent("parent")
        async def parent(run: Run) -> list[str]:
            return await run.child(child, [5])

        run = await app.start(parent, run_id="p", by="user:ann")
        while not (found := await app.open_approvals("p")):
            await app.store.changed(app.store.changes(), within=0.1)
        asked = found[0]
        assert shown(asked)["requester"] == "user:ann"
        with pytest.raises(AnswerRefused, match="has started the run"):
            await app.answer(asked.ref.id, "pay", approved=True, by="ann", digest=digest(asked))
        await app.answer(asked.ref.id, "pay", approved=True, by="boss", digest=digest(asked))
        assert await run.result() == ["paid 5 to Ada"]


async def test_a_person_alone_may_approve_where_the_settings_say_so(app: App, till: Till) -> None:
    app.approval_settings = ApprovalSettings(self_approval=True)
    async with app:
        run = await app.start(desk(app, till), [5], by="user:ann")
        await approve(app, run, by="ann")
        assert await run.result() == ["paid 5 to Ada"]


async def test_an_app_takes_its_approvals_and_contacts_as_the_tables_of_the_settings(till: Till) -> None:
    with pytest.raises(ConfigError, match=r"`most_per_hour` = `-1` \(App\(approvals=...\)\)"):
        App("memory://", approvals={"most_per_hour": -1})
    with pytest.raises(
        ConfigError, match=r"App\(contacts=...\), contact `desk`\): .*one of `webhook` and `email`"
    ):
        App("memory://", contacts={"desk": {}})
    with pytest.raises(ConfigError, match="`then = boss` is no contact"):
        App("memory://", contacts={"desk": {"webhook": "https://a.b", "ack_within": "PT1M", "then": "boss"}})
    contacts = {
        "desk": {"webhook": "https://example.com/desk"},
        "eve": Contact(webhook="https://example.com/eve"),
    }
    app = App("memory://", contacts=contacts, approvals={"self_approval": True})
    assert list(app.contacts.by_name.values()) == [
        Contact(webhook=f"https://example.com/{n}") for n in contacts
    ]
    async with app:
        run = await app.start(desk(app, till), [5], by="user:ann")
        await approve(app, run, by="ann")
        assert await run.result() == ["paid 5 to Ada"]


async def test_only_those_who_are_asked_may_answer(app: App, till: Till) -> None:
    app.approval_settings = ApprovalSettings(groups={"finance": ("bob", "eve", "ann")})
    async with app:
        run = await app.start(desk(app, till, Approvers("finance")), [5], by="user:ann")
        asked = await opened(app, run)
        assert shown(asked)["people"] == ["bob", "eve"]  # not who wants it
        with pytest.raises(AnswerRefused, match="`joe` is not among those who are asked: `bob`, `eve`"):
            await app.answer(run.id, "pay", approved=True, by="joe", digest=digest(asked))
        await approve(app, run, by="eve")
        assert await run.result() == ["paid 5 to Ada"]


def late(app: App, till: Till, *to: Any, **more: Any) -> Any:
    return desk(app, till, Approvers(*to, within=HOUR, **more))


@pytest.mark.soak_on("postgres")
async def test_without_an_answer_it_passes_to_the_next_and_in_the_end_is_denied(till: Till) -> None:
    app = App("memory://")
    agent = late(app, till, "ann", "bob", remind=timedelta(minutes=25))
    trials = await survives(app, agent, [5])
    said = "`pay` was not called: nobody approved it in time. Go on without it, or say what is left undone"
    assert [t.result for t in trials] == [[said]] * len(trials)
    verdicts = [e for e in trials[0].entries if e.key == "pay"]
    assert (
        len(verdicts) == 1 + 2 + 1 + 2 + 1 + 1
    )  # asked, reminded twice, passed, reminded twice, denied, failed
    assert till.paid == []


async def test_the_next_in_the_route_can_answer_and_so_can_the_first_who_is_late(till: Till) -> None:
    app = App("memory://")
    agent = late(app, till, "ann", "bob")
    for who in ("ann", "bob"):

        async def outside(app: App, run: Handle, who: str = who) -> None:
            while True:
                asked = await opened(app, run)
                if shown(asked)["people"] == ["ann", "bob"]:
                    break
                await app.store.changed(app.store.changes(), within=0.05)
            await app.answer(run.id, "pay", approved=True, by=who, digest=digest(asked))

        for trial in await survives(app, agent, [5], setup=till.paid.clear, outside=outside):
            assert trial.result == ["paid 5 to Ada"]


async def test_silence_is_a_yes_only_where_the_tool_says_so(till: Till) -> None:
    app = App("memory://")
    for trial in await survives(app, late(app, till, on_expiry="approve"), [5], setup=till.paid.clear):
        assert trial.result == ["paid 5 to Ada"]


@pytest.mark.parametrize("effect", ["write", "read"])
async def test_silence_is_a_value_that_the_tool_names_and_it_is_labelled(till: Till, effect: Any) -> None:
    app = App("memory://")
    undone: list[int] = []

    def unpay(amount: int) -> None:
        undone.append(amount)

    compensate = {} if effect == "read" else {"compensate": unpay}
    named = Approvers("ann", within=HOUR, on_expiry="default", default="nothing was paid")

    @app.tool(effect=effect, needs_approval=named, **compensate)
    def pay(amount: int) -> str:
        return till.pay("Ada", amount, "")

    @app.agent("labels", on_failure={"permanent": "compensate"})
    async def labels(run: Run) -> list[Any]:
        found = await run.called(pay, 5)
        await run.step("after", list)  # a kill behind it: the label comes from the journal
        return [found.value, found.source, found.because]

    @app.agent("fails", on_failure={"permanent": "compensate"})
    async def fails(run: Run) -> None:
        await run.call(pay, 5)
        raise ValueError("no use")

    trials = await survives(app, labels)
    assert {str(t.result) for t in trials} == {
        "['nothing was paid', 'default', 'nobody approved the call in time']"
    }
    ended = pydantic_core.from_json(trials[0].entries[-1].payload)
    assert ended["degraded"] == [{"step": "pay", "source": "default", "by": "on_expiry", "age": None}]
    await kill_at(app, fails)
    assert (till.paid, undone) == ([], [])  # what did not happen is not undone


def test_a_value_that_the_tool_cannot_return_is_refused_where_it_is_declared() -> None:
    app = App("memory://")
    with pytest.raises(
        ConfigError, match=r"`default='much'` of its approvers is nothing that the tool returns"
    ):

        @app.tool(needs_approval=Approvers("ann", on_expiry="default", default="much"))
        def count() -> int:
            return 1


async def test_a_question_that_nobody_answers_has_a_default_and_the_recorded_one_counts() -> None:
    app = App("memory://")
    said = [10]

    @app.agent("asks")
    async def asks(run: Run) -> list[Any]:
        percent = await run.ask("Which discount?", answer=int, timeout=HOUR, default=said[0])
        said[0] = 99  # a deploy changes what the code says; what was asked is in the journal
        carrier = await run.ask("By whom?", answer=["post", "bike"], timeout=HOUR, default="bike", name="c")
        return [percent, carrier]

    def setup() -> None:
        said[0] = 10

    trials = await survives(app, asks, setup=setup)
    assert {str(t.result) for t in trials} == {"[10, 'bike']"}


async def test_a_default_that_is_no_answer_is_refused() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.agent("asks")
    async def asks(run: Run) -> str:
        return await run.ask("By whom?", answer=["post", "bike"], timeout=HOUR, default="plane")

    @app.agent("forever")
    async def forever(run: Run) -> str:
        return await run.ask("By whom?", answer=["post", "bike"], default="bike")

    async with app:
        with pytest.raises(RunFailed, match="the default `'plane'` is not one of the choices: post, bike"):
            await (await app.start(asks)).result()
        with pytest.raises(RunFailed, match="give both"):
            await (await app.start(forever)).result()


async def test_s26_who_has_had_too_many_is_asked_no_more_and_the_next_is(app: App, till: Till) -> None:
    app.approval_settings = ApprovalSettings(most_per_hour=2)
    async with app:
        agent = desk(app, till, Approvers("ann", "bob"))
        runs = [await app.start(agent, [5], run_id=f"r{i}") for i in range(5)]
        asked = [await opened(app, run) for run in runs]
        people = sorted(",".join(shown(a)["people"]) for a in asked)
        assert people == ["", "ann", "ann", "bob", "bob"]
        held = next(a for a in asked if shown(a)["nobody"])
        assert set(shown(held)["held"]) == {"ann", "bob"}
        with pytest.raises(AnswerRefused, match="held back until"):
            await app.answer(held.ref.id, "pay", approved=True, by="ann", digest=digest(held))
        for run in runs:
            await app.cancel(run.id)


async def test_s26_who_answers_too_much_is_held_back(app: App, till: Till) -> None:
    app.approval_settings = ApprovalSettings(most_per_hour=2)
    async with app:
        agent = desk(app, till)
        runs = [await app.start(agent, [5], run_id=f"r{i}") for i in range(3)]
        for run in runs[:2]:
            await approve(app, run, by="ann")
            await run.result()
        asked = await opened(app, runs[2])
        with pytest.raises(AnswerRefused, match="held back until"):
            await app.answer("r2", "pay", approved=True, by="ann", digest=digest(asked))
        await forced(app, runs[2], "ann")
        assert "held back until" in (await until_entry(app, runs[2], verdict("refused")))["why"]
        await approve(app, runs[2], by="bob")
        assert await runs[2].result() == ["paid 5 to Ada"]
        assert await trail(runs[2], "pay") == ["waiting", "refused", "approved", "intent", "result"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Approvers(""),
        lambda: Approvers("a", within=timedelta()),
        lambda: Approvers("a", on_expiry="later"),  # type: ignore[arg-type]
        lambda: Approvers("a", default=1),
        lambda: Approvers("a", on_expiry="default", default=object()),
    ],
)
def test_a_route_that_leads_nowhere_is_refused(make: Any) -> None:
    with pytest.raises(ConfigError):
        make()
