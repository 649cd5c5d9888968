"""Somebody else's loop: model turns and tool calls as they go by, in raw tasks and in any order."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pydantic_core
import pytest
from pydantic import BaseModel

from perdure import App, ConcurrentScope, Run, RunFailed, Tool
from perdure.core.codec import shape_of
from perdure.journal import Kind
from perdure.runtime.frameworks.crossing import Asked, Offered, Seen, conversation, current
from perdure.runtime.frameworks.declared import Declaration, Foreign
from perdure.testing import survives, until_waiting

Calls = list[tuple[str, dict[str, Any]]]


class Reply(BaseModel):
    text: str = ""
    calls: Calls = []


def see(reply: Reply) -> Seen:
    return Seen(calls=[name for name, _ in reply.calls], text=reply.text)


SHAPE = shape_of(Reply)


class Toy:
    """A framework of twenty lines: it begins the calls of a turn in whatever order it likes, each in a task."""

    def __init__(
        self, model: Callable[[list[Any]], Reply], tools: dict[str, Any], *, swallows: bool = False
    ) -> None:
        self.model = model
        self.tools = tools
        self.swallows = swallows
        self.asked = 0

    async def run(self, task: str) -> str:
        said: list[Any] = [task]
        while True:
            reply = await self.ask(said)
            if not reply.calls:
                return reply.text
            calls = list(enumerate(reply.calls))
            random.shuffle(calls)
            tasks = {i: asyncio.create_task(self.call(*call)) for i, call in calls}
            results = await asyncio.gather(*tasks.values(), return_exceptions=self.swallows)
            by_index = dict(zip(tasks, results, strict=True))
            said.append([str(by_index[i]) for i in range(len(calls))])

    async def ask(self, said: list[Any]) -> Reply:
        async def once() -> Reply:
            self.asked += 1
            await asyncio.sleep(0)
            return self.model(said)

        tools = [Offered(name, schema={"type": "object"}) for name in self.tools]
        asked = Asked(model="toy:1", messages=said, tools=tools)
        return await current().turn(once, asked, shape=SHAPE, see=see)

    async def call(self, name: str, arguments: dict[str, Any]) -> Any:
        tool = self.tools[name]
        if isinstance(tool, Tool):
            return await current().tool(tool, arguments)
        async with current().branch(name, arguments):
            return await tool(**arguments)


def by_turn(*replies: Reply) -> Callable[[list[Any]], Reply]:
    return lambda said: replies[len(said) - 1]


def wrapped(app: App, toy: Toy) -> Any:
    @app.agent("toy")
    async def agent(run: Run, task: str) -> str:
        async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
            return await toy.run(task)

    return agent


async def jitter() -> None:
    for _ in range(random.randrange(4)):
        await asyncio.sleep(0)


def app_with_tools(app: App) -> dict[str, Any]:
    @app.tool(effect="read")
    async def look(n: int) -> str:
        await jitter()
        return f"saw {n}"

    @app.tool(effect="idempotent")
    async def put(n: int) -> str:
        await jitter()
        return f"put {n}"

    @app.tool
    async def pay(n: int) -> str:
        await jitter()
        return f"paid {n}"

    return {"look": look, "put": put, "pay": pay}


async def test_a_worker_may_die_at_any_moment_of_parallel_calls_in_any_order() -> None:
    app = App("memory://")
    tools = app_with_tools(app)
    calls: Calls = [
        ("look", {"n": 1}),
        ("pay", {"n": 1}),
        ("look", {"n": 1}),
        ("put", {"n": 2}),
        ("pay", {"n": 2}),
    ]
    toy = Toy(by_turn(Reply(calls=calls), Reply(calls=[("look", {"n": 1})]), Reply(text="done")), tools)
    trials = await survives(app, wrapped(app, toy), "go", limit=60)
    assert trials[0].result == "done"
    assert len(trials) > 25


async def test_the_decision_of_a_turn_is_committed_with_its_answer() -> None:
    async def places_to_die(*, tools: bool) -> int:
        app = App("memory://")
        toy = Toy(by_turn(Reply(text="done")), app_with_tools(app) if tools else {})
        return len(await survives(app, wrapped(app, toy), "go"))

    # A turn without tools decides nothing; one with tools has no commit more, between which a worker could die.
    assert await places_to_die(tools=True) == await places_to_die(tools=False)


async def test_calls_are_named_by_what_they_mean() -> None:
    app = App("memory://")
    tools = app_with_tools(app)
    calls: Calls = [("look", {"n": 1}), ("look", {"n": 1}), ("look", {"n": 2})]
    toy = Toy(by_turn(Reply(text="look twice", calls=calls), Reply(text="done")), tools)
    async with app:
        run = await app.start(wrapped(app, toy), "go")
        assert await run.result() == "done"
        entries = await run.entries()
    keys = {e.key for e in entries if e.kind == Kind.RESULT}
    assert {"toy/turn", "toy/turn:2"} <= keys
    looks = sorted(key for key in keys if key.endswith("/look"))
    assert len(looks) == 3
    assert (
        len({key.partition(":")[0].removesuffix("/look") for key in looks}) == 2
    )  # one of them is the second of its kind
    decision = next(e for e in entries if e.kind == Kind.DECISION)
    assert b'"choice":["look","look","look"]' in decision.payload
    assert b'"reason":"look twice"' in decision.payload


class Held:
    """Something large that a framework holds while it makes a call."""


async def test_nothing_of_a_call_that_has_ended_is_left_to_the_garbage_collector() -> None:
    app = App("memory://")
    left: list[weakref.ref[Held]] = []
    alive: dict[str, int] = {}
    reading = Foreign("look", Declaration(effect="read"))

    def holds() -> Held:
        held = Held()
        left.append(weakref.ref(held))
        return held

    async def turn(n: int) -> None:
        held = holds()

        async def ask() -> Reply:
            return Reply(text=f"{held and n}")

        asked = Asked(model="toy:1", tools=[Offered("look")], prompt_tokens=lambda: len(repr(held)))
        await current().turn(ask, asked, shape=SHAPE, see=see)

    async def look(n: int) -> None:
        held = holds()

        async def execute(**given: Any) -> str:
            return f"{held and given}"

        await current().tool(reading.calling(execute, shape=shape_of(str)), {"n": n})

    @app.agent("toy")
    async def agent(run: Run) -> None:
        async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
            gc.disable()
            try:
                for what, call in (("turns", turn), ("tools", look)):
                    left.clear()
                    for n in range(5):
                        await call(n)
                    alive[what] = sum(ref() is not None for ref in left)
            finally:
                gc.enable()

    async with app:
        await (await app.start(agent)).result()
    assert alive == {"turns": 0, "tools": 0}


async def test_what_is_compared_of_a_turn_follows_its_tools_though_it_is_made_once_for_all_that_are_equal() -> (
    None
):
    app = App("memory://")
    number = {"type": "object", "properties": {"n": {"type": "integer"}}}
    text = {"type": "object", "properties": {"n": {"type": "string"}}}
    sets = [[Offered("a", "A.", number)], [Offered("a", "A.", dict(number))], [Offered("a", "B.", number)]]
    sets += [[Offered("a", "A.", text)], [Offered("a", "A.", number)]]

    @app.agent("toy")
    async def agent(run: Run) -> None:
        async with conversation(run._recorder, "toy") as inside:  # pyright: ignore[reportPrivateUsage]
            for tools in sets:
                await inside.turn(answer, Asked(model="toy:1", tools=tools), shape=SHAPE, see=see)

    async def answer() -> Reply:
        return Reply(text="yes")

    async with app:
        run = await app.start(agent)
        await run.result()
        results = [e for e in await run.entries() if e.kind == Kind.RESULT and e.key.startswith("toy/turn")]
    marks = [e.fingerprint for e in results]
    wording = [pydantic_core.from_json(e.payload)["asked"]["wording"] for e in results]
    assert [mark == marks[0] for mark in marks] == [True, True, True, False, True]
    assert [words == wording[0] for words in wording] == [True, True, False, True, True]


@pytest.mark.parametrize("swallows", [False, True])
async def test_where_all_calls_wait_the_run_is_suspended_whatever_the_framework_swallows(
    swallows: bool,
) -> None:
    app = App("memory://", lease=timedelta(seconds=2))
    holder: list[Run] = []
    ended: list[str] = []

    async def wait(name: str) -> str:
        return await holder[-1].receive(name, str)

    toy = Toy(
        by_turn(Reply(calls=[("wait", {"name": "a"}), ("wait", {"name": "b"})]), Reply(text="done")),
        {"wait": wait},
        swallows=swallows,
    )

    @app.agent("toy")
    async def agent(run: Run, task: str) -> str:
        holder.append(run)
        async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
            value = await toy.run(task)
        ended.append(value)
        return value

    async with app:
        run = await app.start(agent, "go")
        await until_waiting(app, run, "signal")
        await run.signal("b", "2")
        await run.signal("a", "1")
        assert await run.result() == "done"
        reasons = [e.payload for e in await run.entries() if e.kind == Kind.SUSPENDED]
    assert reasons
    assert len(holder) >= 2  # it was left, and began again
    assert ended == ["done"]
    assert toy.asked == 2


async def test_an_agent_inside_a_tool_stands_below_it() -> None:
    app = App("memory://")
    tools = app_with_tools(app)
    inner = Toy(by_turn(Reply(calls=[("pay", {"n": 7})]), Reply(text="inner done")), tools)
    recorders: list[Any] = []

    async def ask_expert(n: int) -> str:
        async with conversation(recorders[-1], "expert"):
            return await inner.run(f"question {n}")

    outer = Toy(
        by_turn(Reply(calls=[("expert", {"n": 1}), ("expert", {"n": 2})]), Reply(text="outer done")),
        {"expert": ask_expert},
    )

    @app.agent("outer")
    async def agent(run: Run, task: str) -> str:
        recorders.append(run._recorder)  # pyright: ignore[reportPrivateUsage]
        async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
            return await outer.run(task)

    trials = await survives(app, agent, "go", limit=60)
    assert trials[0].result == "outer done"
    paid = [e.key for e in trials[0].entries if e.kind == Kind.INTENT]
    assert len(paid) == 2
    assert all(key.startswith("toy/turn.expert.") and "/expert/turn.pay." in key for key in paid)


async def test_two_agents_at_once_in_one_scope_are_refused() -> None:
    app = App("memory://")
    toy = Toy(by_turn(Reply(text="done")), {})

    @app.agent("both")
    async def both(run: Run, task: str) -> list[str]:
        async def one() -> str:
            async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
                return await toy.run(task)

        works: list[Awaitable[str]] = [one(), one()]
        return list(await asyncio.gather(*works))

    async with app:
        run = await app.start(both, "go")
        with pytest.raises(RunFailed, match=ConcurrentScope.__name__):
            await run.result()


async def test_another_tool_than_was_recorded_never_goes_live() -> None:
    app = App("memory://", lease=timedelta(seconds=2))
    tools = app_with_tools(app)
    chosen = ["pay"]
    holder: list[Run] = []

    async def wait(name: str) -> str:
        return await holder[-1].receive(name, str)

    toy = Toy(
        by_turn(
            Reply(calls=[("look", {"n": 1})]), Reply(calls=[("wait", {"name": "a"})]), Reply(text="done")
        ),
        tools,
    )
    toy.tools = {**tools, "wait": wait}
    plain = toy.call

    async def other(name: str, arguments: dict[str, Any]) -> Any:
        return await plain(chosen[0] if name == "look" and len(holder) > 1 else name, arguments)

    toy.call = other  # type: ignore[method-assign]

    @app.agent("toy")
    async def agent(run: Run, task: str) -> str:
        holder.append(run)
        async with conversation(run._recorder, "toy"):  # pyright: ignore[reportPrivateUsage]
            return await toy.run(task)

    async with app:
        run = await app.start(agent, "go")
        await until_waiting(app, run, "signal")
        await run.signal("a", "1")
        await until_waiting(app, run, "nondeterministic")
        assert not [e for e in await run.entries() if e.kind == Kind.INTENT]
