"""`run.model` across crashes and deploys: no turn is asked twice, what has changed is noted or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import DID_NOT_HAPPEN, App, Handle, Happened, Retry, Run, RunFailed, StuckRules
from perdure.journal import Kind, RunStatus
from perdure.runtime.conversation.messages import ModelReply, ModelRequest
from perdure.testing import MemoryStore
from tests.runtime.conversations import Answers, app_with, asks, killed_after, of_kind, payload, says, turns


class Plan(BaseModel):
    angle: str


class Desk:
    """An agent with parallel reads, a write and a repair, and the world that its tools change."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def provider(self) -> Answers:
        return Answers(
            asks(("find", {"q": "a"}), ("find", {"q": "b"}), text="two things to look up"),
            asks(("send", {"to": "bob"}), ("find", {"q": "c"})),
            says("no JSON"),
            says('{"angle": "cost"}'),
        )

    def app(self, provider: Any, store: Any) -> App:
        app = app_with(provider, store)

        @app.tool(effect="read")
        async def find(q: str) -> str:
            await asyncio.sleep(0)
            return f"found {q}"

        def was_sent(to: str) -> Any:
            return Happened(f"mail {to}") if to in self.sent else DID_NOT_HAPPEN

        @app.tool(effect="write", verify=was_sent)
        async def send(to: str) -> str:
            self.sent.append(to)
            return f"mail {to}"

        @app.agent("desk")
        async def desk(run: Run) -> str:
            plan: Plan = await run.model("fake:m", "go", output=Plan, tools=[find, send])
            return plan.angle

        return app


APPENDS = 15
"""What a worker appends of that run: a claim, four turns with their decisions, five of tools, the ending."""

ENTRIES = 1 + APPENDS + 4
"""Of the whole run: its beginning, and the costs, which come with their turns."""


@pytest.mark.parametrize("entries", range(APPENDS))
async def test_after_a_crash_at_any_entry_no_recorded_turn_is_asked_again(entries: int):
    desk, store, first = Desk(), MemoryStore(), Desk().provider()
    await killed_after(entries, lambda s: desk.app(first, s), store, "desk")

    second = desk.provider()
    app = desk.app(second, store)
    await app.open()
    handle = await app.handle("r")
    recorded = len(await turns(handle))
    async with app:
        assert await handle.result() == "cost"

    assert len(second.requests) == 4 - recorded
    assert desk.sent == ["bob"]
    assert [payload(e)["reply"]["text"] for e in await turns(handle)][-1] == '{"angle": "cost"}'
    assert not of_kind(await handle.entries(), Kind.DRIFT)
    if second.requests:  # the one who takes over hears what the first one would have heard
        uninterrupted = desk.provider()
        async with desk.app(uninterrupted, MemoryStore()) as other:
            whole = await other.start("desk")
            await whole.result()
        assert (await whole.record()).head == ENTRIES
        assert [r.messages for r in second.requests] == [
            r.messages for r in uninterrupted.requests[recorded:]
        ]


async def test_a_conversation_grows_by_what_is_new():
    def dig(request: ModelRequest) -> ModelReply:
        return asks(("read", {})) if len(request.messages) < 400 else says("done")

    provider = Answers(then=dig)
    app = app_with(provider)

    @app.tool(effect="read")
    def read() -> str:
        return "x" * 100

    @app.agent("digger")
    async def digger(run: Run) -> str:
        return await run.model("fake:m", "p" * 1000, tools=[read], max_turns=300, stuck=StuckRules.OFF)

    async with app:
        handle = await app.start(digger)
        await handle.result()
    sizes = [len(e.payload) for e in await turns(handle)]
    assert len(sizes) > 190
    assert max(sizes[1:]) - min(sizes[1:]) < 100
    assert max(sizes[1:]) < 1000


async def test_a_provider_error_is_recorded_and_raised_again_without_asking():
    class Broken:
        asked = 0

        async def request(self, model: str, request: ModelRequest) -> ModelReply:
            Broken.asked += 1
            raise ConnectionError("gone")

    def app_on(store: Any) -> App:
        app = app_with(Broken(), store)

        @app.agent("asker")
        async def asker(run: Run) -> str:
            try:
                return await run.model("fake:m", "go", retry=Retry.NEVER)
            except ConnectionError as error:
                reason = str(error)
            return await run.step("after", lambda: f"given up: {reason}")

        return app

    store = MemoryStore()
    await killed_after(2, app_on, store, "asker")  # the claim and the failed turn
    async with app_on(store) as app:
        assert await (await app.handle("r")).result() == "given up: gone"
    assert Broken.asked == 1


# changes between two attempts ------------------------------------------------------------------------------------


class Changing:
    """An agent of three turns that crashed before the last; it comes back changed."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        find = (asks(("find", {"q": q})) for q in "ab")
        self.provider = Answers(*find, says('{"angle": "x"}'))

    def app(
        self,
        *,
        prompt: str = "monday",
        system: str = "be brief",
        model: str = "fake:m",
        settings: dict[str, Any] | None = None,
        output: type[BaseModel] = Plan,
        tool: Callable[..., Any] | None = None,
        name: str = "find",
        store: Any = None,
    ) -> App:
        app = app_with(self.provider, store or self.store)

        def find(q: str) -> str:
            """Look it up."""
            return f"found {q}"

        declared = app.tool(effect="read", name=name)(tool or find)

        @app.agent("asker")
        async def asker(run: Run) -> str:
            answer = await run.model(
                model, prompt, system=system, settings=settings, output=output, tools=[declared]
            )
            return answer.model_dump_json()

        return app

    async def crash_after(self, entries: int, **as_it_was: Any) -> None:
        await killed_after(entries, lambda s: self.app(store=s, **as_it_was), self.store, "asker")
        self.provider.requests.clear()
        self.provider.models.clear()

    async def crash_before_the_last_turn(self) -> None:
        await self.crash_after(7)  # the claim; of two turns each the reply, the decision, the tool's result

    async def resume(self, **changed: Any) -> Handle:
        async with self.app(**changed) as app:
            handle = await app.handle("r")
            await handle.result()
        return handle


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"prompt": "tuesday"}, ["prompt"]),
        ({"system": "be kind"}, ["prompt"]),
        ({"model": "fake:n"}, ["model"]),
        ({"settings": {"temperature": 1}}, ["settings"]),
        ({"prompt": "tuesday", "model": "fake:n"}, ["model", "prompt"]),
    ],
)
async def test_the_recorded_answer_wins_over_a_changed_question_and_the_change_is_noted_once(
    changed: dict[str, Any], what: list[str]
):
    scene = Changing()
    await scene.crash_before_the_last_turn()

    await scene.crash_after(2, **changed)  # the claim and the note
    handle = await scene.resume(**changed)

    (drift,) = of_kind(await handle.entries(), Kind.DRIFT)
    assert drift.key == "model/turn"
    noted = payload(drift)
    assert noted["changed"] == what
    assert set(noted["recorded"]) == set(noted["now"]) == set(what)
    (request,) = scene.provider.requests
    # The conversation goes on as it began; the model and its settings are today's.
    assert [m.text for m in request.messages[:2]] == ["be brief", "monday"]
    assert scene.provider.models == [changed.get("model", "fake:m")]
    assert request.settings == changed.get("settings", {})


async def test_the_wording_of_a_tool_or_a_type_is_soft():
    scene = Changing()
    await scene.crash_before_the_last_turn()

    def find(q: str) -> str:
        """Find it, wherever it is."""
        return f"found {q}"

    class Plan(BaseModel):
        """Another docstring."""

        angle: str

    handle = await scene.resume(tool=find, output=Plan)
    (drift,) = of_kind(await handle.entries(), Kind.DRIFT)
    assert payload(drift)["changed"] == ["wording"]


class Wider(BaseModel):
    angle: str
    confidence: float


def find_more(q: str, limit: int = 3) -> str:
    return f"found {q}"


@pytest.mark.parametrize("changed", [{"output": Wider}, {"tool": find_more}, {"name": "search"}])
async def test_a_changed_form_is_a_mismatch_and_nothing_is_asked(changed: dict[str, Any]):
    scene = Changing()
    await scene.crash_before_the_last_turn()
    async with scene.app(**changed) as app:
        handle = await app.handle("r")
        await reached(app, handle, RunStatus.WAITING)
    assert (await handle.record()).reasons == ("nondeterministic",)
    assert not scene.provider.requests

    async with scene.app() as app:  # the old code is put back
        await app.resume("r")
        handle = await app.handle("r")
        assert await handle.result() == '{"angle":"x"}'
    assert len(of_kind(await handle.entries(), Kind.MISMATCH)) == 1


async def reached(app: App, handle: Handle, status: RunStatus) -> None:
    async with asyncio.timeout(10):
        while True:
            seen = app.store.changes()
            if await handle.status() == status:
                return
            await app.store.changed(seen, within=1)


# in doubt --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("happened", [True, False])
async def test_a_write_in_doubt_holds_the_conversation_until_it_is_settled(happened: bool):
    provider = Answers(asks(("send", {"to": "bob"})), says("done"))
    app = app_with(provider)
    sent: list[str] = []

    @app.tool
    async def send(to: str) -> str:
        sent.append(to)
        raise TimeoutError("the server did not answer")

    @app.agent("sender")
    async def sender(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[send])

    async with app:
        handle = await app.start(sender, run_id="r")
        await reached(app, handle, RunStatus.WAITING)
        assert (await handle.record()).reasons == ("in_doubt",)
        await app.settle("r", "model/turn.0/send", happened=happened, result="mail 7" if happened else None)
        assert await handle.result() == "done"

    told = "mail 7" if happened else "`send` failed: TimeoutError: the server did not answer"
    assert provider.told() == [told]
    assert sent == ["bob"]
    assert len(provider.requests) == 2


async def test_conversations_in_branches_replay_each_by_itself():
    store = MemoryStore()

    def app_on(provider: Any, store: Any) -> App:
        app = app_with(provider, store)

        @app.tool(effect="read")
        async def find(q: str) -> str:
            await asyncio.sleep(0)
            return q

        @app.agent("both")
        async def both(run: Run) -> list[str]:
            return await run.gather(
                run.model("fake:m", "a", tools=[find], name="ask"),
                run.model("fake:m", "b", tools=[find], name="ask"),
            )

        return app

    def answer(request: ModelRequest) -> ModelReply:
        mine = request.messages[0].text
        return asks(("find", {"q": mine})) if len(request.messages) < 5 else says(f"end {mine}")

    for entries in range(1, 16):
        first, second = Answers(then=answer), Answers(then=answer)
        await killed_after(entries, partial(app_on, first), store, "both", run_id=f"r{entries}")
        async with app_on(second, store) as app:
            handle = await app.handle(f"r{entries}")
            assert await handle.result() == ["end a", "end b"]
        steps = [r.step for r in second.requests]
        assert len(steps) == len(set(steps))
        keys = [e.key for e in of_kind(await handle.entries(), Kind.RESULT)]
        assert len(keys) == len(set(keys))
        assert {"gather.0/ask/turn", "gather.1/ask/turn.0/find", "gather.1/ask/turn:3"} <= set(keys)


async def test_a_note_from_a_task_beside_a_conversation_is_no_mismatch():
    provider = Answers(asks(("find", {"q": "a"})), says("done"))
    store = MemoryStore()

    def app_on(store: Any, *, note: bool = False) -> App:
        app = app_with(provider, store)

        @app.tool(effect="read")
        def find(q: str) -> str:
            return q

        @app.agent("asker")
        async def asker(run: Run) -> str:
            async def beside() -> None:
                if note:
                    run.progress("half")

            task = asyncio.create_task(beside())
            answer = await run.model("fake:m", "go", tools=[find])
            await task
            return answer

        return app

    await killed_after(5, app_on, store, "asker")  # both turns are recorded, the note is not yet
    async with app_on(store, note=True) as app:
        handle = await app.handle("r")
        async with asyncio.timeout(10):
            assert await handle.result() == "done"
    assert len(of_kind(await handle.entries(), Kind.PROGRESS)) == 1


@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_step_that_was_begun_and_is_gone_is_found_before_the_model_is_asked(effect: Any):
    store = MemoryStore()

    def app_on(provider: Any, early: bool, store: Any) -> App:
        app = app_with(provider, store)

        @app.agent("asker")
        async def asker(run: Run) -> str:
            if early:
                await run.step("early", lambda: 1, effect=effect)
            return await run.model("fake:m", "go")

        return app

    # the claim, and the result of the read or the intent of the write
    await killed_after(2, partial(app_on, Answers(says("x")), True), store, "asker")
    provider = Answers(says("x"))
    async with app_on(provider, False, store) as app:
        handle = await app.handle("r")
        await reached(app, handle, RunStatus.WAITING)
    assert (await handle.record()).reasons == ("nondeterministic",)
    assert not provider.requests


async def test_what_only_the_provider_can_read_is_kept_and_sent_back():
    sealed = {"theirs": {"signature": "s-1"}}
    provider = Answers(asks(("find", {}), native=sealed), says("ok"))
    app = app_with(provider)

    @app.tool(effect="read")
    def find() -> str:
        return "x"

    @app.agent("asker")
    async def asker(run: Run) -> str:
        return await run.model("fake:m", "go", tools=[find])

    async with app:
        handle = await app.start(asker)
        await handle.result()
    said = provider.requests[1].messages[1]
    assert said.role == "assistant"
    assert said.native == sealed


async def test_the_cause_of_a_failed_run_is_what_the_conversation_raised():
    app = app_with(Answers(says("no"), says("no")))

    @app.agent("asker")
    async def asker(run: Run) -> str:
        plan: Plan = await run.model("fake:m", "go", output=Plan)
        return plan.angle

    async with app:
        handle = await app.start(asker)
        with pytest.raises(RunFailed, match="InvalidOutput"):
            await handle.result()
