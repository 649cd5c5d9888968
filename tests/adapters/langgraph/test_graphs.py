"""Bare graphs: nodes at once, `Send`, subgraphs, sync nodes, and what they raise."""

from __future__ import annotations

import asyncio
import operator
import random
from collections import Counter
from datetime import timedelta
from typing import Annotated, Any, TypedDict

import pytest
from langchain.tools import tool
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, Send

from perdure import App, Run, RunFailed
from perdure.journal import Kind
from perdure.testing import Boundary, kill_at, survives, until_waiting
from tests.adapters.langgraph.models import Talker, by_turn, calls, says

done: Counter[str] = Counter()


@tool
def pay(n: int) -> str:
    """Pay somebody."""
    done[f"pay {n}"] += 1
    return f"paid {n}"


@tool
async def fail(n: int) -> str:
    """Fail."""
    done["fail"] += 1
    raise LookupError(f"no {n}")


class Report(TypedDict):
    topics: list[str]
    found: Annotated[list[str], operator.add]
    text: str


def about(messages: list[AnyMessage]) -> AIMessage:
    return AIMessage(content=f"about {messages[-1].content}")


async def jitter() -> None:
    for _ in range(random.randrange(6)):
        await asyncio.sleep(0)


def report(model: BaseChatModel) -> Any:
    """A node for each topic at once, half of them sync, each with a subgraph; then one that sums up."""
    inner = StateGraph(MessagesState)

    async def think(state: MessagesState) -> Any:
        await jitter()
        return {"messages": [await model.ainvoke(state["messages"])]}

    def think_again(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"])]}

    inner.add_node("think", think)
    inner.add_node("again", think_again)
    inner.add_edge(START, "think")
    inner.add_edge("think", "again")
    research = inner.compile()

    async def look(topic: str) -> Any:
        await jitter()
        said = await research.ainvoke({"messages": [HumanMessage(topic)]})
        paid = await pay.ainvoke({"n": len(topic)})
        return {"found": [f"{said['messages'][-1].content}: {paid}"]}

    def sum_up(state: Report) -> Any:
        return {"text": model.invoke("; ".join(state["found"])).content}

    outer = StateGraph(Report)
    outer.add_node("look", look)
    outer.add_node("sum up", sum_up)
    outer.add_conditional_edges(START, lambda state: [Send("look", t) for t in state["topics"]], ["look"])
    outer.add_edge("look", "sum up")
    outer.add_edge("sum up", END)
    return outer.compile()


def app_of(
    graph: Any, given: Any, result: Any = lambda state: state["text"], **declared: str
) -> tuple[App, Any]:
    app = App("memory://", lease=timedelta(seconds=2))
    for name, effect in declared.items():
        app.effects.declare(effect, name)  # type: ignore[arg-type]

    @app.agent("graph")
    async def agent(run: Run, task: Any) -> Any:
        return result(await run.wrap(graph, name="graph")(given if task is None else task))

    done.clear()
    return app, agent


async def test_branches_of_send_with_subgraphs_and_threads_survive() -> None:
    model = Talker(answer=about)
    app, agent = app_of(report(model), {"topics": ["a", "bb", "a"], "found": []})
    trials = await survives(app, agent, None, limit=90)
    assert trials[0].result == ("about about about a: paid 1; about about bb: paid 2; about about a: paid 1")
    keys = {e.key for e in trials[0].entries if e.kind == Kind.RESULT}
    assert {"graph/1.look.0/1.think/turn", "graph/1.look.2/2.again/turn", "graph/2.sum up/turn"} <= keys
    assert len([k for k in keys if k.endswith("/pay")]) == 3


async def test_a_turn_that_failed_once_is_tried_again_by_the_next_worker() -> None:
    """The worker dies between two attempts at a model turn of a node: its replay finds the turn unfinished."""
    model = Talker(answer=about, failures=[ConnectionResetError("reset by peer")])

    async def think(state: MessagesState) -> Any:
        return {"messages": [await model.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("think", think)
    graph.add_edge(START, "think")
    app, agent = app_of(graph.compile(), {"messages": "a"}, lambda state: state["messages"][-1].content)
    trial = await kill_at(app, agent, None, Boundary("after", "attempt"))
    assert trial.result == "about a"
    assert len(model.asked) == 2


@pytest.mark.parametrize("sync", [False, True])
async def test_a_tool_node_calls_several_at_once(sync: bool) -> None:
    model = Talker(
        answer=by_turn(calls(("pay", {"n": 1}), ("pay", {"n": 1}), ("pay", {"n": 2})), says("done"))
    )
    bound = model.bind_tools([pay])
    graph = StateGraph(MessagesState)

    async def ask(state: MessagesState) -> Any:
        return {"messages": [await bound.ainvoke(state["messages"])]}

    def ask_sync(state: MessagesState) -> Any:
        return {"messages": [bound.invoke(state["messages"])]}

    graph.add_node("ask", ask_sync if sync else ask)
    graph.add_node("tools", ToolNode([pay]))
    graph.add_edge(START, "ask")
    graph.add_conditional_edges("ask", lambda s: "tools" if s["messages"][-1].tool_calls else END)
    graph.add_edge("tools", "ask")
    app, agent = app_of(graph.compile(), {"messages": "go"}, lambda state: state["messages"][-1].content)
    trials = await survives(app, agent, None, limit=90)
    assert trials[0].result == "done"


async def test_an_error_is_told_when_its_siblings_have_finished() -> None:
    started = asyncio.Event()

    @tool
    async def slow(n: int) -> str:
        """Take a while."""
        started.set()
        await jitter()
        await asyncio.sleep(0.01)
        done["slow"] += 1
        return "slow"

    async def failing(state: Any) -> Any:
        await started.wait()
        await fail.ainvoke({"n": 1})

    async def paying(state: Any) -> Any:
        return {"found": [await slow.ainvoke({"n": 1})]}

    graph = StateGraph(Report)
    graph.add_node("failing", failing)
    graph.add_node("paying", paying)
    graph.add_edge(START, "failing")
    graph.add_edge(START, "paying")
    app, _ = app_of(None, None, fail="read")
    compiled = graph.compile()

    @app.agent("catches")
    async def catches(run: Run) -> str:
        try:
            await run.wrap(compiled)({"topics": [], "found": [], "text": ""})
        except LookupError as error:
            await run.step("note", str)
            return f"{type(error).__name__}: {error}"
        return "nothing"

    trials = await survives(app, catches, None, limit=60)
    assert trials[0].result == "LookupError: no 1"
    written = [Kind(e.kind) for e in trials[0].entries if e.key.endswith("/slow")]
    assert written == [Kind.INTENT, Kind.RESULT]


async def test_an_agent_that_is_a_tool_stands_below_its_call() -> None:
    from langchain.agents import create_agent

    expert = create_agent(Talker(answer=by_turn(calls(("pay", {"n": 7})), says("paid it"))), [pay])

    @tool
    async def ask_expert(task: str) -> str:
        """Ask the expert."""
        result = await expert.ainvoke({"messages": task})
        return str(result["messages"][-1].content)

    @tool
    def ask_expert_sync(task: str) -> str:
        """Ask the expert."""
        result = expert.invoke({"messages": task})
        return str(result["messages"][-1].content)

    boss = create_agent(
        Talker(
            answer=by_turn(
                calls(
                    ("ask_expert", {"task": "one"}),
                    ("ask_expert", {"task": "two"}),
                    ("ask_expert_sync", {"task": "one"}),
                ),
                says("all done"),
            )
        ),
        [ask_expert, ask_expert_sync],
    )
    declared = {"ask_expert": "delegate", "ask_expert_sync": "delegate"}
    app, agent = app_of(boss, {"messages": "go"}, lambda state: state["messages"][-1].content, **declared)
    trials = await survives(app, agent, None, limit=90)
    assert trials[0].result == "all done"
    paid = [e.key for e in trials[0].entries if e.kind == Kind.INTENT]
    assert len(set(paid)) == 3
    assert all(".ask_expert" in key for key in paid)


async def test_a_tool_that_asks_a_model_must_say_so() -> None:
    inner = Talker(answer=about)

    @tool
    async def summarise(text: str) -> str:
        """Sum up."""
        return str((await inner.ainvoke(text)).content)

    async def node(state: Any) -> Any:
        return {"text": await summarise.ainvoke({"text": "x"})}

    graph = StateGraph(Report)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    app, agent = app_of(graph.compile(), {"text": ""})
    async with app:
        with pytest.raises(RunFailed, match=r"tool `summarise` is one step.*delegate"):
            await (await app.start(agent, None)).result()
        assert inner.asked == []
        app.effects.allow("summarise")
        assert await (await app.start(agent, None)).result() == "about x"


async def test_a_handoff_by_command_is_read_back() -> None:
    @tool
    async def transfer(to: str) -> Any:
        """Hand over."""
        done["transfer"] += 1
        return Command(goto=to, graph=Command.PARENT, update={"found": [f"to {to}"]})

    async def desk(state: Report) -> Any:
        return await transfer.ainvoke({"to": "clerk"})

    async def clerk(state: Report) -> Any:
        return {"text": "clerk has it: " + await pay.ainvoke({"n": 3})}

    inner = StateGraph(Report)
    inner.add_node("desk", desk)
    inner.add_edge(START, "desk")
    outer = StateGraph(Report)
    outer.add_node("front", inner.compile())
    outer.add_node("clerk", clerk)
    outer.add_edge(START, "front")
    app, agent = app_of(
        outer.compile(), {"topics": [], "found": [], "text": ""}, lambda s: [s["found"], s["text"]]
    )
    trials = await survives(app, agent, None, limit=60)
    assert trials[0].result == [["to clerk"], "clerk has it: paid 3"]


async def test_a_graph_may_run_in_a_thread() -> None:
    model = Talker(answer=about)
    app, _ = app_of(None, None)
    topics = {"topics": ["a", "bb"], "found": []}

    def researching(state: Any) -> Any:
        said = model.invoke(state["topics"][0])
        return {"found": [said.content, pay.invoke({"n": 1})]}

    graph = StateGraph(Report)
    graph.add_node("one", researching)
    graph.add_node("two", researching)
    graph.add_edge(START, "one")
    graph.add_edge(START, "two")
    compiled = graph.compile()

    @app.agent("threaded")
    async def threaded(run: Run) -> Any:
        state = await asyncio.to_thread(run.wrap(compiled).invoke, topics)
        return state["found"]

    @app.agent("blocking")
    async def blocking(run: Run) -> Any:
        return run.wrap(compiled).invoke(topics)

    trials = await survives(app, threaded, None, limit=60)
    assert trials[0].result == ["about a", "paid 1", "about a", "paid 1"]
    async with app:
        with pytest.raises(RunFailed, match="would wait for itself"):
            await (await app.start(blocking, None)).result()


@pytest.mark.parametrize(
    ("compiled", "says"),
    [
        ({"checkpointer": InMemorySaver()}, "checkpointer of its own"),
        ({"interrupt_before": ["node"]}, "interrupt_before"),
    ],
)
async def test_what_cannot_be_covered_is_refused_by_name(compiled: Any, says: str) -> None:
    graph = StateGraph(Report)
    graph.add_node("node", lambda state: {"text": "x"})
    graph.add_edge(START, "node")
    app, agent = app_of(graph.compile(**compiled), {"text": ""})
    async with app:
        with pytest.raises(RunFailed, match=says):
            await (await app.start(agent, None)).result()


async def test_a_tool_of_the_provider_is_refused_unless_allowed() -> None:
    model = Talker(answer=about)
    bound = model.bind_tools([{"type": "web_search_preview"}])

    async def node(state: Any) -> Any:
        return {"text": (await bound.ainvoke("x")).content}

    graph = StateGraph(Report)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    app, agent = app_of(graph.compile(), {"text": ""})
    async with app:
        with pytest.raises(RunFailed, match="offers `web_search_preview`"):
            await (await app.start(agent, None)).result()
        assert model.asked == []
        app.effects.allow("web_search_preview")
        assert await (await app.start(agent, None)).result() == "about x"


async def test_nodes_that_wait_suspend_the_run() -> None:
    """Two wait for a signal each; a third has a sync node in a thread, which is still at work when they wait."""
    app = App("memory://", lease=timedelta(seconds=2))
    lives: list[Run] = []
    model = Talker(answer=about)

    async def waiting(name: str) -> Any:
        return {"found": [await lives[-1].receive(name, str)]}

    def working(state: Any) -> Any:
        return {"found": [model.invoke("w").content]}

    graph = StateGraph(Report)
    graph.add_node("waiting", waiting)
    graph.add_node("working", working)
    graph.add_conditional_edges(
        START,
        lambda s: [Send("waiting", "a"), Send("working", s), Send("waiting", "b")],
        ["waiting", "working"],
    )
    compiled = graph.compile()

    @app.agent("waits")
    async def waits(run: Run) -> Any:
        lives.append(run)
        return (await run.wrap(compiled)({"found": []}))["found"]

    async with app:
        run = await app.start(waits, None)
        await until_waiting(app, run, "signal")
        await run.signal("b", "2")
        await run.signal("a", "1")
        assert await run.result() == ["1", "about w", "2"]
        assert [e for e in await run.entries() if e.kind == Kind.SUSPENDED]
    assert len(lives) >= 2
    assert len(model.asked) == 1
