"""`perdure import langgraph`: threads of LangGraph's own savers go on with `PerdureSaver`."""

from __future__ import annotations

import asyncio
import operator
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypedDict

import pytest
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from perdure import App
from perdure.adapters.langgraph.importing import take_over
from perdure.adapters.langgraph.saver import PerdureSaver
from perdure.core.saved_threads import SavedCheckpoint, SavedWrite
from tests.cli.conftest import Answer, Cli
from tests.places import Place


class Talk(TypedDict):
    messages: Annotated[list[Any], operator.add]
    found: Annotated[list[str], operator.add]


def talk() -> StateGraph[Any]:
    """It says something, looks at two things at once, and asks a human in a subgraph."""

    def say(state: Talk) -> Any:
        return {"messages": [("ai", f"turn {len(state['messages'])} " + "x" * 200)]}

    def look(at: str) -> Any:
        return {"found": [f"saw {at}"]}

    def ask(state: Talk) -> Any:
        return {"messages": [("ai", f"a human said {interrupt('well?')}")]}

    inner = StateGraph(Talk)
    inner.add_node("ask", ask)
    inner.add_edge(START, "ask")
    graph = StateGraph(Talk)
    graph.add_node("say", say)
    graph.add_node("look", look)
    graph.add_node("human", inner.compile())
    graph.add_edge(START, "say")
    graph.add_conditional_edges("say", lambda state: [Send("look", "a"), Send("look", "b")], ["look"])
    graph.add_conditional_edges("look", lambda s: "human" if "?" in str(s["messages"]) else END)
    return graph


@pytest.fixture
def source(place: Place, tmp_path: Path) -> str:
    """Where LangGraph's own saver keeps threads: of the kind of the store that they are taken into."""
    (tmp_path / "theirs").mkdir()
    return place.url(tmp_path / "theirs")


@contextmanager
def theirs(source: str, serde: Any = None) -> Iterator[Any]:
    if source.startswith("sqlite:///"):
        with SqliteSaver.from_conn_string(source.removeprefix("sqlite:///")) as saver:
            saver.serde = serde or saver.serde
            yield saver
    else:
        with PostgresSaver.from_conn_string(source) as saver:
            saver.serde = serde or saver.serde
            saver.setup()
            yield saver


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


def fill(source: str, *names: str) -> None:
    """Three turns of each thread; the last waits for a human."""
    with theirs(source) as saver:
        graph = talk().compile(checkpointer=saver)
        for name in names:
            for said in ("hello", "go on", "really?"):
                graph.invoke({"messages": [("user", said)], "found": []}, thread(name))


def seen(saver: Any, name: str) -> list[Mapping[str, Any]]:
    """All that a saver tells of a thread, but for the versions, which it counts in its own way."""
    return [
        {
            "config": one.config,
            "parent": one.parent_config,
            "metadata": one.metadata,
            "values": one.checkpoint["channel_values"],
            "seen": sorted(one.checkpoint["versions_seen"]),
            "writes": one.pending_writes,
        }
        for one in saver.list(thread(name))
    ]


def taken(cli: Cli, source: str, store: str, *options: str) -> Answer:
    return cli("import", "langgraph", source, "--store", store, *options, bare=True)


def statuses(answer: Answer) -> dict[str, str]:
    return {one["thread"]: one["status"] for one in answer.json["threads"]}


def test_threads_are_taken_whole_and_go_on(cli: Cli, source: str, store_url: str) -> None:
    fill(source, "ada", "b/ö b")

    tried = taken(cli, source, store_url, "--json", "--dry-run")
    first = taken(cli, source, store_url, "--json")
    again = taken(cli, source, store_url, "--json")

    assert statuses(tried) == statuses(first) == {"ada": "taken", "b/ö b": "taken"}
    assert statuses(again) == {"ada": "there", "b/ö b": "there"}
    assert [one["taken"] for one in again.json["threads"]] == [0, 0]
    assert (tried.code, first.code, again.code) == (0, 0, 0)
    with theirs(source) as old, PerdureSaver(App(store_url).store) as new:
        for name in ("ada", "b/ö b"):
            assert len(seen(old, name)) == first.json["threads"][0]["checkpoints"] > 10
            assert seen(new, name) == seen(old, name)
        both = [talk().compile(checkpointer=saver) for saver in (old, new)]
        answered = [graph.invoke(Command(resume="yes"), thread("ada")) for graph in both]
        assert answered[1] == answered[0]
        assert answered[1]["messages"][-1] == ("ai", "a human said yes")
        more = both[1].invoke({"messages": [("user", "bye")], "found": []}, thread("ada"))
        assert len(more["messages"]) == len(answered[1]["messages"]) + 2, "the human has not answered"


def test_a_message_is_stored_once(cli: Cli, source: str, store_url: str) -> None:
    def speak(saver: Any, name: str) -> None:
        graph = talk().compile(checkpointer=saver)
        for n in range(8):
            graph.invoke({"messages": [("user", f"{n} " + "y" * 500)], "found": []}, thread(name))

    def values(saver: PerdureSaver, name: str) -> set[str]:
        cells = saver._sync(saver._shelf.all(f"{name}/v/"))
        return {cell.removeprefix(f"{name}/") for cell, data in cells if b"yyyyy" in data}

    with theirs(source) as old:
        speak(old, "ada")

    taken(cli, source, store_url)

    with PerdureSaver(App(store_url).store) as new:
        speak(new, "bob")
        assert values(new, "ada") == values(new, "bob"), "as if it had been here from the beginning"
        assert len(values(new, "ada")) == 16, "each in the input and in the list"


def test_a_dry_run_makes_no_store(cli: Cli, tmp_path: Path) -> None:
    source = f"sqlite:///{tmp_path / 'theirs.db'}"
    fill(source, "ada")

    answer = taken(cli, source, f"sqlite:///{tmp_path / 'ours.db'}", "--dry-run")

    assert answer.code == 0, answer
    assert answer.stdout.startswith("would take 1 threads with ")
    assert not (tmp_path / "ours.db").exists()


def test_what_has_come_since_is_taken_the_next_time(cli: Cli, source: str, store_url: str) -> None:
    fill(source, "ada")
    taken(cli, source, store_url)
    with theirs(source) as saver:
        talk().compile(checkpointer=saver).invoke(Command(resume="yes"), thread("ada"))

    answer = taken(cli, source, store_url, "--json")

    assert statuses(answer) == {"ada": "taken"}
    assert 0 < answer.json["threads"][0]["taken"] < answer.json["threads"][0]["checkpoints"]
    with theirs(source) as old, PerdureSaver(App(store_url).store) as new:
        assert seen(new, "ada") == seen(old, "ada")


def test_a_broken_thread_is_told_of_and_the_others_are_taken(
    cli: Cli, source: str, store_url: str, place: Place
) -> None:
    fill(source, "ada", "bob", "eve")
    with theirs(source) as saver:
        if isinstance(saver, SqliteSaver):
            saver.conn.execute("update checkpoints set checkpoint = x'81a1' where thread_id = 'bob'")
            saver.conn.commit()
        else:
            saver.conn.execute("update checkpoint_blobs set blob = '\\x92a1' where thread_id = 'bob'")

    answer = taken(cli, source, store_url, "--json")
    told = taken(cli, source, store_url, "--thread", "bob", "--thread", "nobody")

    assert statuses(answer) == {"ada": "taken", "bob": "broken", "eve": "taken"}
    assert answer.code == 1
    assert "checkpoint `" in next(one["why"] for one in answer.json["threads"] if one["thread"] == "bob")
    assert "not taken: bob: checkpoint `" in told.stdout
    assert "not taken: nobody: the source has no such thread" in told.stdout
    with PerdureSaver(App(store_url).store) as new:
        assert seen(new, "bob") == [], "nothing of it"


def test_a_thread_that_has_gone_on_at_both_places_is_left_alone(
    cli: Cli, source: str, store_url: str
) -> None:
    fill(source, "ada")
    taken(cli, source, store_url)
    with theirs(source) as old, PerdureSaver(App(store_url).store) as new:
        for saver, said in ((new, "here"), (old, "there")):
            talk().compile(checkpointer=saver).invoke(Command(resume=said), thread("ada"))
        before = seen(new, "ada")

    answer = taken(cli, source, store_url, "--json")

    assert statuses(answer) == {"ada": "gone_on"}
    assert answer.code == 1
    with PerdureSaver(App(store_url).store) as new:
        assert seen(new, "ada") == before


def test_a_class_that_is_not_there_loses_nothing(
    cli: Cli, source: str, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = ModuleType("shop_of_theirs")

    class Order(BaseModel):
        item: str

    Order.__module__, Order.__qualname__ = "shop_of_theirs", "Order"
    module.Order = Order  # type: ignore[attr-defined]
    order = Order(item="lamp")

    class State(TypedDict):
        orders: list[Any]
        last: Any

    graph = StateGraph(State)
    graph.add_node("order", lambda state: {"orders": [order, {"of": order}], "last": order})
    graph.add_edge(START, "order")
    serde = JsonPlusSerializer(allowed_msgpack_modules=[("shop_of_theirs", "Order")])
    monkeypatch.setitem(sys.modules, "shop_of_theirs", module)
    with theirs(source, serde) as old:
        graph.compile(checkpointer=old).invoke({"orders": [], "last": None}, thread("ada"))

    with monkeypatch.context() as without:
        without.delitem(sys.modules, "shop_of_theirs")
        taken(cli, source, store_url)

    with PerdureSaver(App(store_url).store, serde=serde) as new:
        found = new.get_tuple(thread("ada"))
        assert found is not None
        values = found.checkpoint["channel_values"]
        assert values == {"orders": [order, {"of": order}], "last": order}


VAULT = '''
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

class Vault:
    """Encrypts, after a fashion."""

    inner = JsonPlusSerializer()

    def dumps_typed(self, value):
        kind, data = self.inner.dumps_typed(value)
        return f"{kind}+vault", bytes(b ^ 42 for b in data)

    def loads_typed(self, told):
        return self.inner.loads_typed((told[0].removesuffix("+vault"), bytes(b ^ 42 for b in told[1])))
'''


def test_what_is_encrypted_stays_so(
    cli: Cli, source: str, store_url: str, tmp_path: Path, place: Place
) -> None:
    (tmp_path / f"vault_{place.kind}.py").write_text(VAULT)
    scope: dict[str, Any] = {}
    exec(VAULT, scope)
    vault = scope["Vault"]()
    with theirs(source, vault) as old:
        talk().compile(checkpointer=old).invoke({"messages": [("user", "secret")], "found": []}, thread("a"))

    without = taken(cli, source, store_url)
    answer = taken(cli, source, store_url, "--serde", f"vault_{place.kind}.py:Vault", "--json")

    assert "`msgpack+vault`, which takes its serializer" in without.stdout
    assert statuses(answer) == {"a": "taken"}
    with theirs(source, vault) as old, PerdureSaver(App(store_url).store, serde=vault) as new:
        assert seen(new, "a") == seen(old, "a")
        assert all(b"secret" not in data for _, data in new._sync(new._shelf.all("a/")))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("mysql://x", "threads cannot be taken from `mysql://x`"),
        ("sqlite:///nowhere.db", "there is no file"),
        ("sqlite:///empty.db", "holds no threads of LangGraph"),
    ],
)
def test_what_is_no_source_is_said(cli: Cli, tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "empty.db").touch()
    answer = taken(cli, source, cli.store)
    assert answer.code == 2
    assert says in answer.stderr


class Rows:
    """A source as its rows."""

    name = "rows"

    def __init__(self, *rows: SavedCheckpoint) -> None:
        self.rows = rows

    def threads(self) -> list[str]:
        return ["t"]

    def checkpoints(self, thread: str) -> Iterator[SavedCheckpoint]:
        return iter(self.rows)

    def close(self) -> None: ...


def test_what_an_old_release_wrote_is_brought_up() -> None:
    """Before format 4, what `Send` had begun stood with the writes of the parent, and values might be JSON."""
    old = b'{"v": 3, "id": "%s", "ts": "", "channel_versions": {"n": "%s.0.7"}, "versions_seen": {"x": {"n": "3"}}}'
    writes = [
        SavedWrite("t2", "~2", 0, "__pregel_tasks", ("json", b'"second"')),
        SavedWrite("t1", "~1", 0, "__pregel_tasks", ("json", b'"first"')),
    ]
    parent = SavedCheckpoint("", "1", None, ("json", old % (b"1", b"003")), b"{}", {}, writes)
    child = SavedCheckpoint(
        "", "2", "1", ("json", old % (b"2", b"004")), b'{"step": 1}', {"n": ("json", b"[1, null]")}, []
    )
    store = App("memory://").store
    with PerdureSaver(store) as saver:

        async def take() -> Any:
            return await take_over(Rows(parent, child), store, tenant="default")

        (told,) = asyncio.run_coroutine_threadsafe(take(), saver._loop).result()
        found = saver.get_tuple(thread("t"))

    assert (told.status, told.taken) == ("taken", 2)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"n": [1, None], "__pregel_tasks": ["first", "second"]}
    assert found.checkpoint["channel_versions"] == {"n": 4, "__pregel_tasks": 4}
    assert found.checkpoint["versions_seen"] == {"x": {"n": 3}}
    assert found.metadata == {"step": 1}
