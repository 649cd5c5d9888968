"""`PerdureSaver` passes LangGraph's own suite of checkpointers, and stays linear."""

from __future__ import annotations

import asyncio
import itertools
import operator
from collections.abc import AsyncGenerator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_core.messages import AIMessage
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from perdure import App
from perdure.adapters.langgraph.saver import PerdureSaver
from tests.adapters.langgraph.models import Talker, calls, says


def saver_at(store_url: str) -> PerdureSaver:
    return PerdureSaver(App(store_url).store)


async def test_it_passes_the_suite_of_langgraph(store_url: str) -> None:
    tenants = itertools.count()

    @checkpointer_test(name="PerdureSaver")
    async def saver() -> AsyncGenerator[Any, None]:
        made = PerdureSaver(App(store_url).store, tenant=f"t{next(tenants)}")
        yield made
        await asyncio.to_thread(made.close)

    report = await validate(saver)
    failures = {
        name: result for name, result in report.to_dict()["results"].items() if result.get("failures")
    }
    assert report.passed_all(), failures


@tool
async def look(n: int) -> str:
    """Look."""
    return "saw " + "x" * 2000


def long_talk(turns: int) -> Talker:
    def answer(messages: list[Any]) -> AIMessage:
        n = sum(isinstance(m, AIMessage) for m in messages)
        return says("done") if n >= turns else calls(("look", {"n": n}), text="y" * 1000)

    return Talker(answer=answer)


async def bytes_of(store_url: str, turns: int) -> int:
    with saver_at(store_url) as saver:
        agent = create_agent(long_talk(turns), [look], checkpointer=saver)
        config: Any = {"configurable": {"thread_id": f"t{turns}"}, "recursion_limit": 10_000}
        state = await agent.ainvoke({"messages": "go"}, config)
        found = await saver.aget_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"]["messages"] == state["messages"]
        cells = saver._sync(saver._shelf.all(f"t{turns}/"))
    return sum(len(cell) + len(data) for cell, data in cells)


async def test_a_thread_grows_with_its_turns_and_not_with_their_square(store_url: str) -> None:
    short, long = await bytes_of(store_url, 10), await bytes_of(store_url, 40)
    assert long < short * 5


async def test_a_thread_goes_on_in_another_process_after_an_interrupt(store_url: str) -> None:
    def node(state: MessagesState) -> Any:
        return {"messages": [AIMessage(f"he said {interrupt('well?')}")]}

    graph = StateGraph(MessagesState)
    graph.add_node("node", node)
    graph.add_edge(START, "node")
    config: Any = {"configurable": {"thread_id": "a/b:c"}}
    with saver_at(store_url) as saver:
        asked = await graph.compile(checkpointer=saver).ainvoke({"messages": "hello"}, config)
        assert asked["__interrupt__"][0].value == "well?"
    with saver_at(store_url) as saver:
        done = await asyncio.to_thread(
            graph.compile(checkpointer=saver).invoke, Command(resume="yes"), config
        )
        assert [m.content for m in done["messages"]] == ["hello", "he said yes"]
        saver.delete_thread("a/b:c")
        assert saver.get_tuple(config) is None


@pytest.mark.parametrize("items", [0, 1, 2, 3, 32, 33, 1025])
async def test_lists_of_any_length_are_read_back(items: int) -> None:
    with PerdureSaver(App("memory://").store) as saver:
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        from langgraph.checkpoint.base import empty_checkpoint

        checkpoint = empty_checkpoint()
        values = [f"{n}" + "z" * (200 * (n % 2)) for n in range(items)]
        checkpoint["channel_values"] = {"list": values, "other": {"n": items}}
        saver.put(config, checkpoint, {}, {})
        found = saver.get_tuple(config)
        assert found is not None
        assert found.checkpoint["channel_values"] == {"list": values, "other": {"n": items}}


class Said(TypedDict):
    said: str


class Trail(TypedDict, total=False):
    said: str
    trail: Annotated[list[str], operator.add]


async def test_a_subgraph_is_replayed_from_where_its_parent_stood() -> None:
    """For that LangGraph asks for the checkpoints of a subgraph with a `checkpoint_id` that is there and is None."""
    seen: list[list[str]] = []

    def step(state: Trail) -> Any:
        seen.append(state.get("trail", []))
        return {"trail": [state["said"]]}

    inner = StateGraph(Trail)
    inner.add_node("step", step)
    inner.add_edge(START, "step")
    graph = StateGraph(Said)
    graph.add_node("inner", inner.compile(checkpointer=True))
    graph.add_edge(START, "inner")
    config: Any = {"configurable": {"thread_id": "t"}}
    with PerdureSaver(App("memory://").store) as saver:
        compiled = graph.compile(checkpointer=saver)
        for said in ("one", "two", "three"):
            compiled.invoke({"said": said}, config)
        past = list(compiled.get_state_history(config))
        before = next(s for s in past if s.next == ("inner",) and s.values["said"] == "two")

        compiled.invoke(None, before.config)

    assert seen == [[], ["one"], ["one", "two"], ["one"]]


def test_a_checkpoint_of_another_saver_goes_on() -> None:
    """Versions that it has counted as text are counted on as text, so that each is greater than the one before."""
    with PerdureSaver(App("memory://").store) as saver:
        assert saver.get_next_version("00000000000000000000000000000009.0.79", None) == f"{10:032}"
        assert saver.get_next_version(f"{10:032}", None) == f"{11:032}"
        assert (saver.get_next_version(None, None), saver.get_next_version(9, None)) == (1, 10)
