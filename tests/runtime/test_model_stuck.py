"""Agents that go round in circles: warned once, in words that they can act on, then stopped. The same on replay."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from perdure import App, FailureClass, Handle, Run, RunFailed, Stuck, StuckRules
from perdure.journal import Kind
from perdure.runtime.boundary.diagnosis import diagnose
from perdure.runtime.conversation.messages import AssistantMessage, ModelReply, ModelRequest, UserMessage
from perdure.testing import MemoryStore, SkippingClock, survives
from tests.runtime.conversations import Answers, app_with, asks, of_kind, payload, says, turns

SEARCH = asks(("search", {"q": "a"}))


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with App("memory://", clock=SkippingClock()) as made:
        made.tool(effect="read")(search)
        yield made


def search(q: str) -> str:
    return f"nothing about {q}"


async def talk(app: App, provider: Any, /, **options: Any) -> Handle:
    app.models.register("fake", provider)

    @app.agent("searcher", stuck=options.pop("of_agent", None))
    async def searcher(run: Run) -> str:
        tools = list(app.tools.values())
        return await run.model("fake:m", "find it", tools=tools, **{"max_turns": 60, **options})

    return await app.start(searcher)


def warnings(request: ModelRequest) -> list[str]:
    users = [m.text for m in request.messages if isinstance(m, UserMessage)]
    return [text for text in users if "not getting anywhere" in text]


def when_warned(otherwise: ModelReply, then: ModelReply) -> Callable[[ModelRequest], ModelReply]:
    return lambda request: then if warnings(request) else otherwise


# warned, then stopped --------------------------------------------------------------------------------------------


async def test_an_agent_that_repeats_itself_is_warned_once_and_may_do_better(app: App) -> None:
    provider = Answers(then=when_warned(SEARCH, says("it is not there")))
    run = await talk(app, provider)
    assert await run.result() == "it is not there"
    assert len(provider.requests) == 4
    (told,) = warnings(provider.requests[-1])
    assert "you called `search` 3 times with the same arguments, and got the same" in told
    assert "Do something else" in told
    assert "stopped" in told
    last = payload((await turns(run))[-1])
    assert "`search` 3 times" in last["warned"]
    assert [m["role"] for m in last["messages"]] == ["tool", "user"]


async def test_one_that_goes_on_like_that_is_stopped(app: App) -> None:
    provider = Answers(then=lambda _: SEARCH)
    run = await talk(app, provider)
    with pytest.raises(
        RunFailed, match=r"Stuck: model `fake:m` \(before step `model/turn:5`\) .*told so once: .*4 tim"
    ):
        await run.result()
    assert len(provider.requests) == 4
    assert sum(len(warnings(r)) for r in provider.requests) == 1


async def test_stuck_has_its_class(app: App) -> None:
    caught: list[Stuck] = []
    app.models.register("fake", Answers(then=lambda _: SEARCH))

    @app.agent("searcher")
    async def searcher(run: Run) -> str:
        try:
            return await run.model("fake:m", "find it", tools=[app.tools["search"]])
        except Stuck as stuck:
            caught.append(stuck)
            return "given up"

    assert await (await app.start(searcher)).result() == "given up"
    assert diagnose(caught[0]).failure is FailureClass.STUCK


async def test_a_call_that_cannot_be_made_again_and_again(app: App) -> None:
    run = await talk(app, Answers(then=lambda _: asks(("serach", {}))))
    with pytest.raises(RunFailed, match=r"Stuck: .*`serach` 4 times"):
        await run.result()


async def test_back_and_forth(app: App) -> None:
    def then(request: ModelRequest) -> ModelReply:
        turn = sum(isinstance(m, AssistantMessage) for m in request.messages)
        return asks(("search", {"q": "ab"[turn % 2]}))

    run = await talk(app, Answers(then=then))
    with pytest.raises(RunFailed, match=r"Stuck: .*back and forth"):
        await run.result()


async def test_turns_without_progress(app: App) -> None:
    numbers = itertools.count()
    app.models.register("fake", Answers(then=lambda _: asks(("dig", {"n": next(numbers)}))))
    rules = StuckRules(without_progress=4)
    reports = 3

    @app.agent("digger")
    async def digger(run: Run) -> str:
        @app.tool(effect="read")
        async def dig(n: int) -> str:
            if n < reports:
                run.progress(f"dug {n}")
            return f"depth {n}"

        return await run.model("fake:m", "dig", tools=[dig], stuck=rules, max_turns=60)

    run = await app.start(digger)
    with pytest.raises(RunFailed, match=r"Stuck: .*in the last 4 turns no progress was recorded"):
        await run.result()
    assert len([e for e in await turns(run) if e.kind == Kind.RESULT]) == reports + 4 + 4


# whose rules -----------------------------------------------------------------------------------------------------


async def test_it_can_be_switched_off(app: App) -> None:
    provider = Answers(*[SEARCH] * 20, says("done"))
    run = await talk(app, provider, stuck=StuckRules.OFF)
    assert await run.result() == "done"


async def test_the_rules_of_the_call_go_before_the_agents(app: App) -> None:
    provider = Answers(*[SEARCH] * 5, says("done"))
    run = await talk(app, provider, of_agent=StuckRules.OFF)
    assert await run.result() == "done"


async def test_polling_is_not_stuck(app: App) -> None:
    counted = itertools.count(1)

    @app.tool(effect="read")
    def status() -> str:
        return f"{next(counted) * 10} % built"

    provider = Answers(*[asks(("status", {}))] * 9, says("built"))
    assert await (await talk(app, provider)).result() == "built"
    assert not any(warnings(r) for r in provider.requests)


# replay ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("better", [True, False])
async def test_it_survives_a_kill_at_every_boundary(better: bool) -> None:
    app = App("memory://")
    tool = app.tool(effect="read")(search)
    app.models.register("fake", Answers(then=when_warned(SEARCH, says("no")) if better else lambda _: SEARCH))

    @app.agent("searcher")
    async def searcher(run: Run) -> str:
        return await run.model("fake:m", "find it", tools=[tool])

    trials = await survives(app, searcher)
    for trial in trials:
        assert trial.result == ("no" if better else None)
        told = [
            payload(e)["warned"] for e in trial.entries if e.kind == Kind.RESULT and "warned" in payload_of(e)
        ]
        assert [w is not None for w in told] == [False, False, False, True], trial.boundary


def payload_of(entry: Any) -> dict[str, Any]:
    found = payload(entry)
    return found if isinstance(found, dict) else {}


async def test_a_replay_is_not_stopped_by_stricter_rules_than_it_ran_under() -> None:
    store = MemoryStore()

    def made(rules: StuckRules, provider: Any) -> App:
        app = app_with(provider, store, clock=SkippingClock())
        tool = app.tool(effect="read")(search)

        @app.agent("searcher")
        async def searcher(run: Run) -> str:
            said = await run.model("fake:m", "find it", tools=[tool], stuck=rules, max_turns=20)
            await run.receive("go on")
            return said

        return app

    async with made(StuckRules.OFF, Answers(*[SEARCH] * 8, says("found"))) as app:
        run = await app.start("searcher")
        async with asyncio.timeout(10):
            while not of_kind(await run.entries(), Kind.SUSPENDED):
                await store.changed(store.changes(), within=0.1)
    silent = Answers()
    async with made(StuckRules(same=2), silent) as again:
        await again.signal(run.id, "go on")
        assert await (await again.handle(run.id)).result() == "found"
    assert silent.requests == []
