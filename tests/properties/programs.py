"""Random programs: trees of steps, waits, races and failures, and what they do to a small world that keeps count."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from perdure import CANNOT_TELL, DID_NOT_HAPPEN, App, EffectKey, Happened, Run

Node = tuple[Any, ...]


class Boom(Exception):
    """What a failing step raises."""


@dataclass
class World:
    """Everything outside the runtime: it outlives workers, and says which of them are alive."""

    executions: Counter[str] = field(default_factory=Counter[str])
    """how often each effect was executed, by the key that the program gives it"""
    applied: Counter[str] = field(default_factory=Counter[str])
    """how often each write took hold, by idempotency key"""
    alive: set[int] = field(default_factory=set[int])
    buried: asyncio.Event = field(default_factory=asyncio.Event)
    """the tasks of dead workers may end"""
    answers: dict[str, set[bool]] = field(default_factory=dict[str, set[bool]])
    """what each patch said, over all segments"""
    forbidden: bool = False
    """replay only: an effect now is an error"""

    async def effect(self, worker: int, name: str, delay: int) -> None:
        """Something happens; a dead worker's effects never do."""
        for _ in range(delay):
            await asyncio.sleep(0)
        if worker not in self.alive:
            await self.buried.wait()
            raise Boom("a dead worker does nothing")
        assert not self.forbidden, f"effect `{name}` during a pure replay"
        self.executions[name] += 1


def build(app: App, world: World, worker: int, program: Node) -> Any:
    """The agent that interprets `program`, for one worker."""

    async def was_written(name: str, delay: int, mode: str, key: EffectKey) -> Any:
        if mode == "unverifiable":
            return CANNOT_TELL
        return Happened(f"wrote {name}") if world.applied[key] else DID_NOT_HAPPEN

    @app.tool(effect="write", verify=was_written)
    async def write(name: str, delay: int, mode: str, key: EffectKey) -> str:
        await world.effect(worker, f"write {name}", delay)
        if mode != "lost":
            world.applied[key] += 1
        if mode in ("raises", "lost") and world.executions[f"write {name}"] == 1:
            raise Boom(f"{name} raised after it was sent")
        return f"wrote {name}"

    @app.tool(effect="idempotent")
    async def put(name: str, delay: int, key: EffectKey) -> str:
        await world.effect(worker, f"put {name}", delay)
        world.applied[key] = 1
        return f"put {name}"

    @app.tool(effect="read")
    async def look(name: str, delay: int) -> list[str]:
        await world.effect(worker, f"look {name}", delay)
        return [name]

    async def compute(name: str, delay: int, fails: bool) -> str:
        await world.effect(worker, f"step {name}", delay)
        if fails:
            raise Boom(name)
        return f"did {name}"

    def plain(name: str) -> str:
        if worker in world.alive:
            world.executions[f"sync {name}"] += 1
        return f"sync {name}"

    async def run_node(run: Run, node: Node, path: str, log: list[str]) -> Any:
        match node:
            case ("step", delay, fails):
                return await run.step("compute", compute, path, delay, fails)
            case ("sync",):
                return await run.step("plain", plain, path)
            case ("look", delay):
                return await run.call(look, path, delay)
            case ("put", delay):
                return await run.call(put, path, delay)
            case ("write", delay, mode):
                try:
                    return await run.call(write, path, delay, mode)
                except Boom:
                    return await run.call(write, path, delay, mode)
            case ("sleep", seconds):
                await run.sleep(timedelta(seconds=seconds))
                return "slept"
            case ("receive", name):
                return await run.receive(name)
            case ("timeout", seconds):
                try:
                    return await run.receive("never", timeout=timedelta(seconds=seconds))
                except TimeoutError:
                    return "timed out"
            case ("value",):
                return [str(run.uuid()), run.random(), run.now().isoformat()]
            case ("progress",):
                run.progress(path)
                await run.decide("choice", [1, 2], 1, reason=path)
                return None
            case ("seq", *children):
                return [await run_node(run, c, f"{path}.{i}", log) for i, c in enumerate(children)]
            case ("gather", *children):
                works = (logged(run, c, f"{path}.{i}", log) for i, c in enumerate(children))
                found = await run.gather(*works, return_exceptions=True)
                # What the branches wrote into shared memory, in the order in which they did: it must replay.
                order = await run.step("order", compute, ",".join(log[-len(children) :]), 0, False)
                return [[str(f) for f in found], order]
            case ("first", *children):
                which, value = await run.first(
                    *(run_node(run, c, f"{path}.{i}", log) for i, c in enumerate(children))
                )
                return [which, value]
            case ("branch", beside, then):
                branch = run.branch("beside", run_node(run, beside, f"{path}.b", log))
                after = await run_node(run, then, f"{path}.t", log)
                return [after, await branch]
            case ("patched", name, new, child):
                taken = run.patched(name)
                world.answers.setdefault(name, set()).add(taken)
                extra = [await run_node(run, new, f"{path}.p", log)] if taken else []
                return [*extra, await run_node(run, child, path, log)]
            case ("try", child):
                try:
                    return await run_node(run, child, f"{path}.c", log)
                except Boom as error:
                    return f"caught {error}"
            case _:
                raise AssertionError(node)

    async def logged(run: Run, node: Node, path: str, log: list[str]) -> Any:
        try:
            return await run_node(run, node, path, log)
        finally:
            log.append(path)

    @app.agent("program")
    async def agent(run: Run) -> Any:
        return await run_node(run, program, "r", [])

    return agent


_delay = st.integers(0, 4)
_leaf = st.one_of(
    st.tuples(st.just("step"), _delay, st.booleans()),
    st.tuples(st.just("sync")),
    st.tuples(st.just("look"), _delay),
    st.tuples(st.just("put"), _delay),
    st.tuples(st.just("write"), _delay, st.sampled_from(["plain", "raises", "lost"])),
    st.tuples(st.just("sleep"), st.sampled_from([0, 0.2, 30, 86_400])),
    st.tuples(st.just("timeout"), st.sampled_from([0.1, 40])),
    st.tuples(st.just("receive"), st.just("news")),
    st.tuples(st.just("value")),
    st.tuples(st.just("progress")),
)


def _grow(inner: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    some = st.lists(inner, min_size=1, max_size=4)
    return st.one_of(
        some.map(lambda c: ("seq", *c)),
        some.map(lambda c: ("gather", *c)),
        st.lists(inner, min_size=2, max_size=3).map(lambda c: ("first", *c)),
        st.tuples(st.just("branch"), inner, inner),
        inner.map(lambda c: ("try", c)),
    )


programs = st.recursive(_leaf, _grow, max_leaves=12).map(lambda p: ("seq", p, ("step", 0, False)))


def receives(node: Any) -> int:
    """How many signals the program may take."""
    if not isinstance(node, tuple):
        return 0
    return (node[0] == "receive") + sum(receives(child) for child in node[1:])
