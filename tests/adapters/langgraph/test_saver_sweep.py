"""`PerdureSaver` takes away checkpoints, and nothing that another one needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.graph import START, MessagesState, StateGraph

from perdure import App
from perdure.adapters.langgraph.cells import Shelf
from perdure.adapters.langgraph.saver import PerdureSaver

THREAD: Any = {"configurable": {"thread_id": "ada"}}


def saver_at(store_url: str) -> PerdureSaver:
    return PerdureSaver(App(store_url).store)


def talk(saver: PerdureSaver, turns: int, *, before: int = 0, run_ids: bool = False) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("say", lambda state: {"messages": [("ai", f"{len(state['messages'])} " + "x" * 300)]})
    graph.add_edge(START, "say")
    compiled = graph.compile(checkpointer=saver)
    for n in range(before, before + turns):
        config: Any = {**THREAD, "metadata": {"run_id": f"r{n}"}} if run_ids else THREAD
        compiled.invoke({"messages": [("user", f"{n} " + "y" * 300)]}, config)


def cells(saver: PerdureSaver, kind: str) -> set[str]:
    return {cell for cell, _ in saver._sync(saver._shelf.all(f"ada/{kind}/"))}


def test_the_latest_is_kept_and_goes_on(store_url: str) -> None:
    with saver_at(store_url) as saver:
        talk(saver, 18)
        before = saver.get_tuple(THREAD)
        assert before is not None

        saver.prune(["ada", "nobody"])

        (left,) = saver.list(THREAD)
        assert left._replace(parent_config=None) == before._replace(parent_config=None)
        assert left.parent_config is None, "it is not there any more"
        assert len(cells(saver, "v")) == 36 + 3, "each message, and what holds them together"
        talk(saver, 1, before=18)
        after = saver.get_tuple(THREAD)
        assert after is not None
        assert len(after.checkpoint["channel_values"]["messages"]) == 38
        saver.prune(["ada"], strategy="delete")
        assert not saver._sync(saver._shelf.all("ada/")), "not even its name"
    with pytest.raises(ValueError, match="`oldest` is no strategy"), saver_at(store_url) as saver:
        saver.prune(["ada"], strategy="oldest")


def test_the_checkpoints_of_a_run_go_with_what_is_theirs_alone(store_url: str) -> None:
    with saver_at(store_url) as saver:
        talk(saver, 3, run_ids=True)
        saver.delete_for_runs(["r2"])
        left = [one.metadata["run_id"] for one in saver.list(THREAD)]
        latest = saver.get_tuple(THREAD)

        assert set(left) == {"r0", "r1"}
        assert latest is not None
        assert [m.content[0] for m in latest.checkpoint["channel_values"]["messages"]] == ["0", "1", "1", "3"]
        assert all(b"2 yyy" not in data for _, data in saver._sync(saver._shelf.all("ada/")))
        saver.delete_for_runs(["r0", "r1"])
        assert saver.get_tuple(THREAD) is None


class Growing(TypedDict):
    items: Annotated[list[str], DeltaChannel(lambda state, writes: [*state, *(i for w in writes for i in w)])]


@pytest.mark.filterwarnings("ignore::Warning")  # it is in beta, and says so
def test_what_a_delta_channel_follows_from_is_kept(store_url: str) -> None:
    graph = StateGraph(Growing)
    graph.add_node("grow", lambda state: {"items": [f"and {len(state['items'])}"]})
    graph.add_edge(START, "grow")
    with saver_at(store_url) as saver:
        compiled = graph.compile(checkpointer=saver)
        for n in range(4):
            compiled.invoke({"items": [f"{n}"]}, {**THREAD, "metadata": {"run_id": f"r{n}"}})
        whole = compiled.get_state(THREAD).values

        saver.prune(["ada"])

        assert len(whole["items"]) == 8
        assert compiled.get_state(THREAD).values == whole
        with pytest.raises(ValueError, match="take the value of a `DeltaChannel` from it"):
            saver.delete_for_runs(["r1"])
        assert compiled.get_state(THREAD).values == whole


def checkpoint(id: str, said: str) -> Any:
    return {**empty_checkpoint(), "id": id, "channel_values": {"said": said * 300}}


def put(saver: PerdureSaver, id: str, said: str) -> None:
    saver.put({"configurable": {"thread_id": "ada", "checkpoint_ns": ""}}, checkpoint(id, said), {}, {})


@pytest.mark.parametrize("moment", ["meanwhile", "after"])
def test_a_value_that_is_taken_away_is_put_again(store_url: str, moment: str) -> None:
    """By another process, which stored it once and believes that it is there."""
    with saver_at(store_url) as saver, saver_at(store_url) as other:
        put(other, "1", "old")
        put(other, "2", "new")
        looked = Looked(saver._shelf, lambda: put(other, "3", "old") if moment == "meanwhile" else None)
        saver._shelf = looked  # type: ignore[assignment]

        saver.prune(["ada"])
        if moment == "after":
            put(other, "3", "old")
        put(other, "4", "old")

        assert looked.rounds == (2 if moment == "meanwhile" else 1), (
            "it looks again where somebody has written"
        )
        for id in ("3", "4"):
            found = other.get_tuple({"configurable": {"thread_id": "ada", "checkpoint_id": id}})
            assert found is not None
            assert found.checkpoint["channel_values"] == {"said": "old" * 300}


class Looked:
    """A shelf that calls `meanwhile` once a sweep has looked at what is there, the first time."""

    def __init__(self, shelf: Shelf, meanwhile: Callable[[], None]) -> None:
        self._shelf = shelf
        self._meanwhile = meanwhile
        self.rounds = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shelf, name)

    async def sweep(self, thread: str, decide: Any) -> None:
        def deciding(there: Mapping[str, bytes]) -> Any:
            self.rounds += 1
            if self.rounds == 1:
                self._meanwhile()
            return decide(there)

        await self._shelf.sweep(thread, deciding)


def test_a_thread_that_another_process_deleted_is_written_anew(store_url: str) -> None:
    with saver_at(store_url) as saver, saver_at(store_url) as other:
        put(saver, "1", "old")
        other.delete_thread("ada")
        put(saver, "2", "old")
        found = asyncio.run(saver.aget_tuple(THREAD))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"said": "old" * 300}
