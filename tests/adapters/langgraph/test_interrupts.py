"""`interrupt(...)`: a question, and a node that goes on where it stood; models that are streamed in a node."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypedDict

from langchain.tools import tool
from langchain_core.messages import AIMessage
from langgraph.graph import START, StateGraph
from langgraph.types import interrupt

from perdure import App, Handle, Run
from perdure.journal import Kind
from perdure.testing import survives, until_waiting
from tests.adapters.langgraph.models import Talker


class State(TypedDict, total=False):
    text: str


@tool
async def pay(n: int) -> str:
    """Pay."""
    return f"paid {n}"


@tool
async def ask_then_pay(n: int) -> str:
    """Ask, then pay."""
    return f"paid {n} to {interrupt('to whom?')}"


def about(messages: list[Any]) -> AIMessage:
    return AIMessage(content=f"about {messages[-1].content}")


async def answers(app: App, run: Handle) -> None:
    said = {"who?": "Ada", "when?": "now", "to whom?": "Bob"}
    for _ in said:
        await until_waiting(app, run, "approval")
        (question,) = await app.open_approvals(run.id)
        await app.answer(run.id, question.step, approved=True, by="boss", value=said[question.question])
        seen = app.store.changes()
        while any(q.step == question.step for q in await app.open_approvals(run.id)):
            await app.store.changed(seen, within=1.0)
            seen = app.store.changes()


async def test_what_a_node_called_before_it_asked_is_not_called_again() -> None:
    model = Talker(answer=about)
    app = App("memory://", lease=timedelta(seconds=2))

    async def node(state: State) -> Any:
        said = await model.ainvoke("x")
        paid = await pay.ainvoke({"n": 1})
        who, when = interrupt("who?"), interrupt("when?")
        again = await model.ainvoke("y")
        then = await ask_then_pay.ainvoke({"n": 2})
        return {"text": f"{said.content}, {paid}, {who}, {when}, {again.content}, {then}"}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    compiled = graph.compile()

    @app.agent("asks")
    async def asks(run: Run) -> str:
        return (await run.wrap(compiled)({}))["text"]

    trials = await survives(app, asks, None, outside=answers, limit=60)
    assert trials[0].result == "about x, paid 1, Ada, now, about y, paid 2 to Bob"
    results = [e.key for e in trials[0].entries if e.kind == Kind.RESULT]
    assert len([k for k in results if "/turn" in k and k.endswith(("turn", "turn:2"))]) == 2
    assert len([k for k in results if k.endswith("/pay")]) == 1


async def test_a_model_that_a_node_streams_is_a_step() -> None:
    model = Talker(answer=about)
    app = App("memory://", lease=timedelta(seconds=2))

    async def node(state: State) -> Any:
        return {"text": "".join([str(chunk.content) async for chunk in model.astream("x")])}

    def sync_node(state: State) -> Any:
        return {"text": state["text"] + "".join(str(chunk.content) for chunk in model.stream("y"))}

    graph = StateGraph(State)
    graph.add_node("node", node)
    graph.add_node("sync", sync_node)
    graph.add_edge(START, "node")
    graph.add_edge("node", "sync")
    compiled = graph.compile()

    @app.agent("streams")
    async def streams(run: Run) -> list[Any]:
        said = [m.content async for m, _ in run.wrap(compiled).astream({}, stream_mode="messages")]
        return ["".join(said)]

    trials = await survives(app, streams, None, limit=60)
    assert trials[0].result == ["about xabout y"]
    assert len([e for e in trials[0].entries if e.kind == Kind.RESULT]) == 2
