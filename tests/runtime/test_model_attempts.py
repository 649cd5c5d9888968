"""Turns that fail: tried again by their policy, then answered by another model; all of it in the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from perdure import App, ConfigError, FailureClass, Handle, Instead, Retry, Run, RunCancelled, RunFailed
from perdure.journal import Kind
from perdure.runtime.conversation.messages import ModelReply, ModelRequest
from perdure.testing import MemoryStore, SkippingClock, survives, with_store
from tests.runtime.conversations import asks, of_kind, payload, says, turns

AT_ONCE = Retry(attempts=3, first=timedelta(), most=timedelta())


class Overloaded(Exception):
    """What a provider raises that has too much to do."""

    status_code = 529


class Denied(Exception):
    """What a provider raises for a key that it does not know."""

    status_code = 401


class Provider:
    """Fails or answers as the list of each model says; the last of a list stays."""

    def __init__(self, **models: list[ModelReply | Exception]) -> None:
        self.models = models
        self.asked: list[str] = []
        self.requests: list[ModelRequest] = []

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        name = model.partition(":")[2]
        self.asked.append(name)
        self.requests.append(request)
        script = self.models[name]
        answer = script.pop(0) if len(script) > 1 else script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
async def app() -> AsyncIterator[App]:
    made = App("memory://", clock=SkippingClock())
    made.classify(lambda error: FailureClass.OVERLOADED if isinstance(error, Overloaded) else None)
    async with made:
        yield made


async def talk(app: App, provider: Provider, models: Any, /, **options: Any) -> Handle:
    """A run of an agent that asks `models`, started."""
    app.models.register("fake", provider)

    @app.agent("asker")
    async def asker(run: Run) -> Any:
        return await run.model(models, "go", **options)

    return await app.start(asker)


async def attempts(run: Handle) -> list[tuple[Any, ...]]:
    found = [payload(e) for e in of_kind(await run.entries(), Kind.ATTEMPT)]
    return [(a["attempt"], a["by"], a["class"], (a["then"] or {}).get("name")) for a in found]


async def ended(run: Handle) -> Any:
    return payload((await run.entries())[-1])


# trying again ----------------------------------------------------------------------------------------------------


async def test_a_turn_that_fails_for_the_moment_is_tried_again_without_being_told(app: App) -> None:
    provider = Provider(m=[ConnectionResetError("gone"), Overloaded("busy"), says("here")])
    run = await talk(app, provider, "fake:m")
    assert await run.result() == "here"
    assert await attempts(run) == [(1, "fake:m", "transient", None), (2, "fake:m", "overloaded", None)]
    assert len(await turns(run)) == 3  # two attempts and the result, of one step
    assert "degraded" not in await ended(run)


@pytest.mark.parametrize(("retry", "expected"), [(None, 2), (AT_ONCE, 3)])
async def test_the_policy_of_the_call_goes_before_that_of_the_model_and_the_agents(
    app: App, retry: Retry | None, expected: int
) -> None:
    app.models.terms("fake:*", retry=Retry(attempts=2, first=timedelta()))
    provider = Provider(m=[ConnectionResetError("gone")])
    app.models.register("fake", provider)

    @app.agent("asker", retry=Retry.NEVER)
    async def asker(run: Run) -> str:
        return await run.model("fake:m", "go", retry=retry)

    with pytest.raises(RunFailed, match="gone"):
        await (await app.start(asker)).result()
    assert len(provider.asked) == expected


async def test_what_was_said_last_of_a_model_holds_and_the_rest_stays(app: App) -> None:
    app.models.terms("*", retry=AT_ONCE, fallback="fake:b")
    app.models.terms("fake:a", retry=Retry.NEVER)
    assert app.models.terms_of("fake:a").retry == Retry.NEVER
    assert app.models.terms_of("fake:a").fallback == ("fake:b",)
    assert app.models.terms_of("fake:b").retry == AT_ONCE
    with pytest.raises(ConfigError, match=r"no `cache`: .*fallback, .*rate, retry"):
        app.models.terms("*", cache=timedelta(minutes=1))


async def test_a_turn_that_hangs_is_given_up_and_tried_again(app: App) -> None:
    class Hangs(Provider):
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            if not self.asked:
                self.asked.append("hung")
                await asyncio.Event().wait()
            return await super().request(model, request)

    provider = Hangs(m=[says("awake")])
    run = await talk(app, provider, "fake:m", timeout=timedelta(milliseconds=50))
    assert await run.result() == "awake"
    assert await attempts(run) == [(1, "fake:m", "transient", None)]
    assert provider.requests[0].timeout == 0.05


async def test_a_turn_under_way_is_cut_off_when_the_run_is_cancelled(app: App) -> None:
    begun, left = asyncio.Event(), asyncio.Event()

    class Hangs:
        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                left.set()
            raise AssertionError

    app.models.register("slow", Hangs())

    @app.agent("asker")
    async def asker(run: Run) -> str:
        try:
            return await run.model("slow:m", "go")
        except RunCancelled:
            return await run.step("never", lambda: "swallowed")

    run = await app.start(asker)
    await begun.wait()
    await run.cancel(reason="enough")
    with pytest.raises(RunFailed, match="enough"):
        await run.result()
    assert left.is_set()


# other models ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["several", "fallback", "terms"])
async def test_another_model_answers_where_the_first_is_overloaded_and_is_named_everywhere(
    app: App, how: str
) -> None:
    app.tool(effect="read")(look)
    provider = Provider(
        a=[Overloaded("busy")], b=[asks(("look", {}), model="b-2026"), says("done", model="b-2026")]
    )
    tools: Any = {"tools": [app.tools["look"]], "retry": AT_ONCE}
    match how:
        case "several":
            run = await talk(app, provider, ["fake:a", "fake:b"], **tools)
        case "fallback":
            run = await talk(app, provider, "fake:a", fallback=["fake:b"], **tools)
        case _:
            app.models.terms("fake:a", fallback="fake:b")
            run = await talk(app, provider, "fake:a", **tools)
    assert await run.result() == "done"

    # the conversation stays with the model that answers
    assert provider.asked == ["a", "a", "a", "b", "b"]
    assert await attempts(run) == [
        (1, "fake:a", "overloaded", None),
        (2, "fake:a", "overloaded", None),
        (3, "fake:a", "overloaded", "fake:b"),
    ]
    results = [payload(e) for e in await turns(run) if e.kind == Kind.RESULT]
    assert [(r["by"], r["reply"]["model"]) for r in results] == [("fake:b", "b-2026")] * 2
    assert [payload(e)["by"] for e in of_kind(await run.entries(), Kind.DECISION)] == ["b-2026"] * 2
    assert (await ended(run))["degraded"] == [
        {"step": "model/turn", "source": "fallback", "by": "fake:b", "age": None}
    ]


def look() -> str:
    return "seen"


async def test_a_failure_that_stays_goes_to_the_next_model_at_once(app: App) -> None:
    provider = Provider(a=[Denied("no such key")], b=[says("done")])
    run = await talk(app, provider, ["fake:a", "fake:b"])
    assert await run.result() == "done"
    assert await attempts(run) == [(1, "fake:a", "permanent", "fake:b")]


async def test_what_the_provider_refuses_is_asked_of_no_other_model(app: App) -> None:
    app.classify(lambda error: FailureClass.REFUSED if "filtered" in str(error) else None)
    provider = Provider(a=[ValueError("filtered")], b=[says("done")])
    run = await talk(app, provider, ["fake:a", "fake:b"])
    with pytest.raises(RunFailed, match="filtered"):
        await run.result()
    assert provider.asked == ["a"]


async def test_where_all_models_fail_the_last_error_is_raised(app: App) -> None:
    provider = Provider(a=[Denied("first")], b=[Denied("second")])
    run = await talk(app, provider, ["fake:a", "fake:b"])
    with pytest.raises(RunFailed, match="second"):
        await run.result()


async def test_a_degraded_answer_stands_in_where_no_model_answers(app: App) -> None:
    provider = Provider(a=[Denied("no")])
    run = await talk(app, provider, "fake:a", output=list[int], fallback=Instead([1, 2]))
    assert await run.result() == [1, 2]
    assert payload((await turns(run))[-1])["by"] == "answer"
    assert (await ended(run))["degraded"][0]["by"] == "answer"


async def test_a_model_that_cannot_be_had_is_found_before_it_is_needed(app: App) -> None:
    provider = Provider(a=[says("fine")])
    run = await talk(app, provider, ["fake:a", "scripted:/no/such/file.json"])
    with pytest.raises(RunFailed, match=r"/no/such/file\.json"):
        await run.result()
    assert provider.asked == []
    assert not await turns(run)


@pytest.mark.parametrize(
    ("models", "said"), [([], "no model is named"), ([Instead("x")], "no model is named"), ([7], "`7`")]
)
async def test_what_is_no_model_is_refused(app: App, models: Any, said: str) -> None:
    run = await talk(app, Provider(), models)
    with pytest.raises(RunFailed, match=said):
        await run.result()


# crashes ---------------------------------------------------------------------------------------------------------


def faulty() -> Provider:
    return Provider(
        a=[ConnectionResetError("gone"), asks(("look", {})), Overloaded("busy")],
        b=[asks(("write", {"what": "x"})), ConnectionResetError("gone"), says("done")],
    )


class Faulty:
    """The nth turn fails as often as the journal does not yet say that it did: as the world is, whoever asks."""

    async def request(self, model: str, request: ModelRequest) -> ModelReply:
        turn = sum(m.role == "assistant" for m in request.messages)
        if model == "fake:a":
            if turn == 0:
                return asks(("look", {}))
            raise Overloaded("busy")
        return asks(("write", {"what": "x"})) if turn == 1 else says("done")


async def test_a_conversation_with_faults_survives_a_kill_at_every_boundary() -> None:
    app = App("memory://")
    app.classify(lambda error: FailureClass.OVERLOADED if isinstance(error, Overloaded) else None)
    app.models.register("fake", Faulty())
    written: list[str] = []

    @app.tool(effect="write", verify=None)
    def write(what: str) -> str:
        written.append(what)
        return f"wrote {what}"

    tools = [app.tool(effect="read")(look), write]

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model(["fake:a", "fake:b"], "go", tools=tools, retry=AT_ONCE)

    trials = await survives(app, asker, setup=written.clear)
    assert trials[0].result == "done"
    for trial in trials:
        ending = payload(trial.entries[-1])
        assert ending["degraded"][0]["by"] == "fake:b", trial.boundary
        by_key = [e.key for e in trial.entries if e.kind == Kind.ATTEMPT]
        assert by_key.count("model/turn:2") == 3, trial.boundary


async def test_a_replay_asks_no_model() -> None:
    store = MemoryStore()
    provider = faulty()
    app = App(store, clock=SkippingClock())
    app.classify(lambda error: FailureClass.OVERLOADED if isinstance(error, Overloaded) else None)
    app.models.register("fake", provider)
    tools = [app.tool(effect="read")(look), app.tool(effect="read", name="write")(lambda what: what)]

    @app.agent("asker")
    async def asker(run: Run) -> str:
        said = await run.model(["fake:a", "fake:b"], "go", tools=tools, retry=AT_ONCE)
        await run.receive("go on")
        return said

    async with app:
        run = await app.start(asker)
        async with asyncio.timeout(10):
            while not of_kind(await run.entries(), Kind.SUSPENDED):
                await store.changed(store.changes(), within=0.1)
    asked = list(provider.asked)
    async with with_store(app, store) as again:
        await again.signal(run.id, "go on")
        assert await (await again.handle(run.id)).result() == "done"
    assert provider.asked == asked
