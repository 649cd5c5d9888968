"""Interrupts of Strands: a question to a human, and an agent that goes on where it stood."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

pytest.importorskip("strands", reason='Strands is not installed: pip install "perdure[strands]"')

from strands import Agent, ToolContext, tool
from strands.hooks import BeforeToolCallEvent, HookProvider, HookRegistry
from strands.models.openai import OpenAIModel

from perdure import App, Handle, Run
from perdure.journal import Kind
from perdure.testing import Boundary, ModelServer, Trial, Turns, kill_at, survives, until_waiting
from perdure.testing.model_server import Reply, Request, asks, call, says

PAID: list[tuple[int, Any]] = []


@tool(context=True)
async def pay(amount: int, tool_context: ToolContext) -> str:
    """Pay an amount to somebody whom a human names."""
    to = tool_context.interrupt("to", reason={"question": "To whom?", "amount": amount})
    PAID.append((amount, to))
    return f"paid {amount} to {to}"


@tool
async def look(item: str) -> str:
    """Look for an item."""
    return f"found the {item}"


class Guard(HookProvider):
    """Asks before anything is looked for."""

    def register_hooks(self, registry: HookRegistry, **_: Any) -> None:
        registry.add_callback(BeforeToolCallEvent, self.ask)

    def ask(self, event: BeforeToolCallEvent) -> None:
        if event.tool_use["name"] == "look" and not event.interrupt("leave", reason="May it look?"):
            event.cancel_tool = "nobody may look"


@pytest.fixture
def app() -> App:
    app = App("memory://", lease=timedelta(seconds=2))
    app.effects.declare("read", "look")
    app.effects.declare("write", "pay")
    return app


def actor(server: ModelServer, *tools: Any, **more: Any) -> Agent:
    args = {"base_url": server.openai_url, "api_key": "scripted"}
    model = OpenAIModel(client_args=args, model_id="gpt-5")
    return Agent(name="actor", model=model, tools=list(tools), callback_handler=None, **more)


def scene_of(app: App, agent: Agent) -> Any:
    @app.agent("scene")
    async def scene(run: Run, prompt: str) -> str:
        return str(await run.wrap(agent)(prompt)).strip()

    return scene


def answering(**by: Any) -> Any:
    """Answers each question once, by its text."""
    texts = {"to": "To whom?", "leave": "May it look?"}

    async def outside(app: App, run: Handle) -> None:
        ahead = {texts[name]: value for name, value in by.items()}
        answered = set[str]()
        while ahead:
            seen = app.store.changes()
            await until_waiting(app, run, "approval")
            for question in await app.open_approvals(run.id):
                if question.step not in answered and question.question in ahead:
                    answered.add(question.step)
                    said = ahead.pop(question.question)
                    await app.answer(run.id, question.step, by="boss", **said)
            await app.store.changed(seen, within=1.0)

    return outside


def asked_in(trial: Trial, text: str) -> set[str]:
    return {e.key for e in trial.entries if e.kind == Kind.WAITING and text.encode() in e.payload}


async def killed(app: App, scene: Any, outside: Any) -> list[Trial]:
    """One run that is left alone, and some whose workers die around the question."""
    places = [
        None,
        *(Boundary("after", kind) for kind in ("waiting", "suspended")),
        Boundary("before", "ended"),
    ]
    trials: list[Trial] = []
    for place in places:
        PAID.clear()
        trials.append(await kill_at(app, scene, "go", place, outside=outside, limit=60))
    return trials


async def test_a_tool_s_question_is_asked_once_and_its_answer_reaches_the_tool(app: App) -> None:
    with ModelServer(Turns([asks("pay", amount=7), says("done")])) as server:
        agent = actor(server, pay)

        trials = await survives(
            app, scene_of(app, agent), "go", setup=PAID.clear,
            outside=answering(to={"approved": True, "value": "Ann"}), limit=60,
        )  # fmt: skip
        told = {r.last for r in server.requests if r.turn == 2}

    assert trials[0].result == "done"
    assert told == {"paid 7 to Ann"}
    assert PAID == [(7, "Ann")]
    assert all(asked_in(trial, "To whom?") == {"actor/interrupt.0/to"} for trial in trials)


@pytest.mark.soak
async def test_an_approval_with_other_arguments_holds_for_the_call_that_goes_on(app: App) -> None:
    app.effects.declare("write", "pay", needs_approval=True)

    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        (question,) = await app.open_approvals(run.id)
        await app.answer(
            run.id, question.step, approved=True, by="boss", digest=question.digest, arguments={"amount": 5}
        )
        await answering(to={"approved": True, "value": "Ann"})(app, run)

    with ModelServer(Turns([asks("pay", amount=7), says("done")])) as server:
        agent = actor(server, pay)

        trials = await survives(app, scene_of(app, agent), "go", setup=PAID.clear, outside=boss, limit=60)

    assert trials[0].result == "done"
    assert PAID == [(5, "Ann")]
    for text in ("May `pay`", "To whom?"):
        assert all(len(asked_in(trial, text)) == 1 for trial in trials)


@pytest.mark.soak
async def test_a_hook_may_ask_and_a_no_is_told_to_the_model(app: App) -> None:
    with ModelServer(Turns([asks("look", item="lamp"), says("done")])) as server:
        agent = actor(server, look, hooks=[Guard()])

        trials = await survives(
            app, scene_of(app, agent), "go", outside=answering(leave={"approved": False}), limit=60
        )
        told = {r.last for r in server.requests if r.turn == 2}

    assert trials[0].result == "done"
    assert told == {"nobody may look"}


@pytest.mark.soak
async def test_what_several_ask_at_once_is_open_at_once_and_what_was_done_is_not_done_again(app: App) -> None:
    both = Reply(calls=(call("pay", amount=1), call("look", item="lamp"), call("pay", amount=2)))

    async def boss(app: App, run: Handle) -> None:
        await until_waiting(app, run, "approval")
        first, second = sorted(await app.open_approvals(run.id), key=lambda q: q.step)
        for question, to in ((second, "Bob"), (first, "Ann")):
            await app.answer(run.id, question.step, approved=True, by="boss", value=to)

    with ModelServer(Turns([both, says("done")])) as server:
        agent = actor(server, pay, look)

        trials = await survives(app, scene_of(app, agent), "go", setup=PAID.clear, outside=boss, limit=60)

    assert trials[0].result == "done"
    assert sorted(PAID) == [(1, "Ann"), (2, "Bob")]
    assert sum(e.kind == Kind.RESULT and e.key.endswith("/look") for e in trials[0].entries) == 1


async def test_an_agent_in_a_tool_asks_where_it_stands(app: App) -> None:
    def script(request: Request) -> Reply:
        if "expert" in request.system:
            return says(request.last) if request.results else asks("pay", amount=3)
        return says(request.last) if request.results else asks("expert", input="pay 3")

    with ModelServer(script) as server:
        expert = actor(server, pay, system_prompt="You are the expert.")
        expert.name = "expert"
        agent = actor(server, expert.as_tool())

        outside = answering(to={"approved": True, "value": "Ann"})
        trials = await killed(app, scene_of(app, agent), outside)

    assert all("paid 3 to Ann" in trial.result for trial in trials)
    assert PAID == [(3, "Ann")]
    assert all("/expert/interrupt.0/to" in key for trial in trials for key in asked_in(trial, "To whom?"))
