"""What a program or a caller may get wrong: it is refused where it is seen, and named."""

from __future__ import annotations

import asyncio
import dataclasses
import resource
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from perdure import (
    App,
    ConfigError,
    InvalidInput,
    OutsideRun,
    Run,
    RunConflict,
    RunEnded,
    RunFailed,
    UnknownAgent,
    UnknownRun,
    UnknownStep,
)
from tests.faults.processes import kinds


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[App]:
    async with App(f"sqlite:///{tmp_path}/perdure.db") as made:
        yield made


async def failure(app: App, agent: Any, input: Any = None) -> RunFailed:
    """How the run failed."""
    run = await app.start(agent, input)
    with pytest.raises(RunFailed) as caught:
        await run.result()
    return caught.value


class Opaque:
    """Not to be written as JSON."""


@dataclasses.dataclass
class Crate:
    things: list[Any]


async def opaque() -> Any:
    return {"deep": [1, {"in": Opaque()}]}


async def typed_wrong() -> list[int]:
    return [1, 2, "three"]  # type: ignore[list-item]


async def comes_back_otherwise() -> Any:
    return {"when": datetime(2026, 1, 1, tzinfo=UTC)}


async def tuples() -> Any:
    return {"pair": (1, 2)}


async def int_keys() -> Any:
    return {"by": {1: "one"}}


async def endless() -> Any:
    loop: list[Any] = []
    loop.append(loop)
    return loop


async def surrogate() -> Any:
    return {"text": "\ud800"}


@pytest.mark.parametrize(
    ("function", "path", "said"),
    [
        (opaque, "$.deep[1].in", "`Opaque` cannot be written as JSON"),
        (typed_wrong, "$", "list"),
        (comes_back_otherwise, "$.when", "declare the type"),
        (tuples, "$.pair", "`tuple`"),
        (int_keys, "$.by.1", "`int key`"),
        (endless, "$", "cannot be written as JSON"),
        (surrogate, "$.text", "cannot be written as JSON"),
    ],
)
async def test_a_result_that_cannot_be_kept_is_named_with_its_path(
    app: App, function: Any, path: str, said: str
) -> None:
    @app.agent("careless")
    async def careless(run: Run) -> None:
        await run.step("bad", function)

    error = await failure(app, careless)

    assert "Unserialisable" in str(error)
    assert f"`{path}" in str(error) and said in str(error), str(error)


async def test_a_result_of_the_agent_that_cannot_be_kept_is_named_too(app: App) -> None:
    @app.agent("careless")
    async def careless(run: Run) -> Any:
        return Crate([Opaque()])

    assert "$.things[0]" in str(await failure(app, careless))


async def test_arguments_that_cannot_be_kept_are_named(app: App) -> None:
    @app.agent("careless")
    async def careless(run: Run) -> None:
        await run.step("bad", lambda x: None, {"a": Opaque()})

    error = str(await failure(app, careless))
    assert "Unserialisable" in error and "`Opaque`" in error


async def test_an_unserialisable_result_can_be_caught_and_replays(app: App) -> None:
    @app.agent("careful")
    async def careful(run: Run) -> str:
        try:
            await run.step("bad", opaque)
        except Exception as error:
            await run.receive("go on")
            return f"{type(error).__name__} {getattr(error, 'path', None)}"
        return "kept"

    run = await app.start(careful)
    await app.signal(run.id, "go on")
    assert await run.result() == "Unserialisable $.deep[1].in"


async def test_a_result_of_50_megabytes_comes_back_and_memory_stays_sane(app: App) -> None:
    megabytes = 50
    size = megabytes * 1024 * 1024

    async def huge() -> str:
        return "x" * size

    @app.agent("hoarder")
    async def hoarder(run: Run) -> int:
        text = await run.step("huge", huge)
        await run.receive("go on")  # unloaded here, and read again
        return len(text)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    run = await app.start(hoarder)
    await app.signal(run.id, "go on")
    async with asyncio.timeout(60):
        assert await run.result() == size
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kilobytes = 1024 if sys.platform == "darwin" else 1
    assert (after - before) / kilobytes < 12 * megabytes * 1024


async def test_an_agent_that_is_not_registered(app: App) -> None:
    with pytest.raises(UnknownAgent, match=r"no agent `nobody` is registered \(known: none\)"):
        await app.start("nobody")


async def test_an_agent_that_no_worker_knows_waits_for_one_that_does(app: App, tmp_path: Path) -> None:
    other = App(f"sqlite:///{tmp_path}/perdure.db")

    @other.agent("late")
    async def late(run: Run) -> str:
        return "here"

    run = await other.start(late)
    await asyncio.sleep(0)
    assert await run.status() == "pending"
    async with other:
        assert await run.result() == "here"


class Order(BaseModel):
    item: str
    count: int


async def test_input_that_does_not_fit(app: App) -> None:
    @app.agent("seller")
    async def seller(run: Run, order: Order) -> str:
        return order.item

    @app.agent("loner")
    async def loner(run: Run) -> None:
        """Takes nothing."""

    with pytest.raises(InvalidInput, match=r"agent `seller` cannot take this input"):
        await app.start(seller, {"item": "book"})
    with pytest.raises(InvalidInput, match=r"agent `loner` takes no input, and was given `5`"):
        await app.start(loner, 5)


async def test_one_id_with_other_input_is_a_conflict(app: App) -> None:
    @app.agent("echo")
    async def echo(run: Run, word: str) -> str:
        return word

    @app.agent("other")
    async def other(run: Run, word: str) -> str:
        return word

    run = await app.start(echo, "a", run_id="r1")
    assert await (await app.start(echo, "a", run_id="r1")).result() == "a"
    for agent, word in ((echo, "b"), (other, "a")):
        with pytest.raises(
            RunConflict, match="run `r1` exists already, of agent `echo`, and with other input"
        ):
            await app.start(agent, word, run_id="r1")
    assert await run.result() == "a"
    assert kinds(await run.entries()) == ["started", "claimed", "ended"]


async def test_messages_to_runs_that_take_none(app: App) -> None:
    @app.agent("brief")
    async def brief(run: Run) -> str:
        return "done"

    run = await app.start(brief, run_id="r1")
    assert await run.result() == "done"
    entries = await run.entries()

    with pytest.raises(RunEnded, match=r"run `r1` has ended \(succeeded\) and takes no more messages"):
        await app.signal("r1", "word")
    with pytest.raises(RunEnded):
        await app.cancel("r1")
    with pytest.raises(UnknownRun, match="no run `r2`"):
        await app.signal("r2", "word")
    with pytest.raises(UnknownStep, match="run `r1` has no open question at step `ask`"):
        await app.answer("r1", "ask", approved=True, by="ann")
    assert await run.entries() == entries


@pytest.mark.parametrize("name", ["", "a/b", "a:2", "ünder", "x" * 101, "-first", "new\nline"])
async def test_bad_step_names(app: App, name: str) -> None:
    @app.agent("misnamed")
    async def misnamed(run: Run) -> None:
        await run.step(name, lambda: None)

    error = str(await failure(app, misnamed))
    assert "ConfigError" in error and "cannot name a step" in error


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ünder", "x" * 201, "../etc"])
async def test_bad_run_ids(app: App, name: str) -> None:
    @app.agent("fine")
    async def fine(run: Run) -> None:
        """Nothing."""

    with pytest.raises(ConfigError, match="cannot be a run id"):
        await app.start(fine, run_id=name or " ")


async def test_a_run_context_outside_its_run(app: App) -> None:
    kept: list[Run] = []

    @app.agent("leaky")
    async def leaky(run: Run) -> str:
        kept.append(run)
        return "done"

    @app.agent("thief")
    async def thief(run: Run) -> None:
        await kept[0].step("theft", lambda: None)

    run = await app.start(leaky)
    assert await run.result() == "done"
    with pytest.raises(OutsideRun, match="there is no run here"):
        await kept[0].step("late", lambda: None)
    assert "OutsideRun" in str(await failure(app, thief))
    assert kinds(await run.entries()) == ["started", "claimed", "ended"]


async def test_a_store_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store `mysql://x` is not one that can be used"):
        App("mysql://x")
    with pytest.raises(ConfigError, match="make its folder first"):
        await App(f"sqlite:///{tmp_path}/missing/perdure.db").open()
