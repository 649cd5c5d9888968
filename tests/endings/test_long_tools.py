"""Long tools say that they live, are cut off where they do not, and leave no process behind: with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pydantic_core
import pytest

from perdure import App, ConfigError, ProcessFailed, Retry, Run, RunStatus, heartbeat, run_process
from perdure.journal import Kind
from perdure.testing import SkippingClock, survives
from tests.faults.processes import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups")


@pytest.fixture
async def app(store_url: str) -> AsyncIterator[App]:
    async with App(store_url) as made:
        yield made


@pytest.fixture
async def quick() -> AsyncIterator[App]:
    async with App("memory://") as made:
        yield made


# signs of life ----------------------------------------------------------------------------------------------------


async def test_a_tool_says_how_far_it_is_while_it_works(app: App) -> None:
    may_end = asyncio.Event()

    @app.tool(effect="read")
    async def count() -> str:
        for n in range(1000):  # of so many within a second one is written
            heartbeat("counting", done=n, total=1000)
        await may_end.wait()
        return "counted"

    @app.agent("counter")
    async def counter(run: Run) -> str:
        return await run.call(count)

    run = await app.start(counter)

    async def progress() -> str | None:
        return (await run.record()).progress

    shown = pydantic_core.from_json(await until(progress, "the progress stands in the row") or "{}")
    assert (shown["what"], shown["done"], shown["total"]) == ("counting", 0, 1000)
    may_end.set()
    assert await run.result() == "counted"
    beats = [e for e in await run.entries() if e.kind == Kind.HEARTBEAT]
    assert [e.key for e in beats] == ["count"]


async def test_a_sync_tool_says_so_from_its_thread(quick: App) -> None:
    @quick.tool(effect="read")
    def work() -> str:
        heartbeat("in a thread")
        return "done"

    @quick.agent("worker")
    async def worker(run: Run) -> str:
        run.heartbeat("begins")
        return await run.call(work)

    run = await quick.start(worker)
    assert await run.result() == "done"
    beats = [
        pydantic_core.from_json(e.payload)["what"] for e in await run.entries() if e.kind == Kind.HEARTBEAT
    ]
    assert beats == ["begins", "in a thread"]


async def test_a_replay_knows_nothing_of_signs_of_life() -> None:
    app = App("memory://", clock=SkippingClock())

    @app.tool(effect="read")
    def work() -> int:
        heartbeat("works")
        return 1

    @app.agent("worker")
    async def worker(run: Run) -> int:
        return await run.call(work) + await run.call(work)

    assert {t.result for t in await survives(app, worker)} == {2}


def test_outside_a_run_a_sign_of_life_is_nothing() -> None:
    heartbeat("nobody listens")


async def test_a_tool_without_a_sign_of_life_is_cut_off_and_tried_again(quick: App) -> None:
    tries: list[int] = []

    @quick.tool(effect="read", heartbeat=timedelta(seconds=0.2), retry=Retry(attempts=2, first=timedelta()))
    async def hangs() -> str:
        tries.append(1)
        if len(tries) == 1:
            await asyncio.Event().wait()
        return "the second time"

    @quick.agent("worker")
    async def worker(run: Run) -> str:
        return await run.call(hangs)

    run = await quick.start(worker)
    assert await run.result() == "the second time"
    (attempt,) = [pydantic_core.from_json(e.payload) for e in await run.entries() if e.kind == Kind.ATTEMPT]
    assert attempt["class"] == "transient"
    assert attempt["error"]["message"] == "`hangs` gave no sign of life for 0.2 s; it was cut off"


async def test_a_tool_that_gives_signs_of_life_may_take_longer(quick: App) -> None:
    @quick.tool(effect="read", heartbeat=timedelta(seconds=0.5))
    async def slow() -> int:
        for _ in range(12):
            await asyncio.sleep(0.1)
            heartbeat()
        return 12

    @quick.agent("worker")
    async def worker(run: Run) -> int:
        return await run.call(slow)

    assert await (await quick.start(worker)).result() == 12


def test_a_thread_cannot_be_cut_off() -> None:
    with pytest.raises(ConfigError, match="runs in a thread, which cannot be cut off"):
        App("memory://").tool(effect="read", heartbeat=timedelta(seconds=1), name="look")(lambda: None)


# programs ---------------------------------------------------------------------------------------------------------


async def test_a_program_says_what_it_has_to_say() -> None:
    said = await run_process("sh", "-c", "cat; echo wrong >&2", input="right")
    assert (said.code, said.stdout, said.stderr, said.dropped) == (0, "right", "wrong\n", 0)


async def test_output_beyond_the_limit_is_dropped_and_counted() -> None:
    said = await run_process("sh", "-c", "head -c 300000 /dev/zero | tr '\\0' x", limit=1000)
    assert (len(said.stdout), said.dropped) == (1000, 299_000)


async def test_another_exit_code_is_an_error_unless_it_is_expected() -> None:
    with pytest.raises(ProcessFailed, match="`sh` ended with exit code 3: no such file") as raised:
        await run_process("sh", "-c", "echo first >&2; echo no such file >&2; exit 3")
    assert raised.value.code == 3
    assert (await run_process("sh", "-c", "exit 3", check=False)).code == 3
    with pytest.raises(ProcessFailed, match="signal SIGTERM"):
        await run_process("sh", "-c", "kill -TERM $$")


TREE = 'sleep 1000 & echo "$$ $!" > pids; wait'
STUBBORN = 'trap "" TERM; sleep 1000 & echo "$$ $!" > pids; while :; do wait; done'


def pids(folder: Path) -> list[int]:
    file = folder / "pids"
    return [int(pid) for pid in file.read_text().split()] if file.exists() else []


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"  # whoever adopted it has yet to look


async def all_gone(folder: Path) -> None:
    await until(lambda: all(gone(pid) for pid in pids(folder)), "the program and what it started are gone")


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks into /proc")


@linux
@pytest.mark.parametrize("program", [TREE, STUBBORN], ids=["obeys", "does not obey"])
async def test_a_timeout_ends_the_program_and_what_it_started(tmp_path: Path, program: str) -> None:
    with pytest.raises(TimeoutError):
        await run_process(
            "sh", "-c", program, cwd=tmp_path, timeout=timedelta(seconds=1), grace=timedelta(seconds=0.2)
        )
    assert len(pids(tmp_path)) == 2
    await all_gone(tmp_path)


@linux
async def test_what_a_program_leaves_behind_is_ended(tmp_path: Path) -> None:
    await run_process("sh", "-c", 'sleep 1000 >/dev/null 2>&1 & echo "$!" > pids', cwd=tmp_path)
    await all_gone(tmp_path)


@linux
@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_cancellation_of_the_run_reaches_the_program(app: App, tmp_path: Path, effect: str) -> None:
    @app.tool(effect=effect)  # type: ignore[call-overload]
    async def work() -> None:
        await run_process("sh", "-c", TREE, cwd=tmp_path)

    @app.agent("worker")
    async def worker(run: Run) -> None:
        await run.call(work)

    run = await app.start(worker)
    await until(lambda: len(pids(tmp_path)) == 2, "the program runs")
    await run.cancel()
    assert (await run.ending()).status is RunStatus.CANCELLED
    await all_gone(tmp_path)


@linux
@pytest.mark.parametrize("program", [TREE, STUBBORN], ids=["obeys", "does not obey"])
async def test_the_death_of_its_worker_ends_a_program(tmp_path: Path, program: str) -> None:
    code = (
        "import asyncio, datetime, sys, perdure\n"
        "asyncio.run(perdure.run_process('sh', '-c', sys.argv[1], grace=datetime.timedelta(seconds=0.2)))"
    )
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code, program, cwd=tmp_path)
    await until(lambda: len(pids(tmp_path)) == 2, "the program runs")
    # The guard is there a moment after the program: it is a child of the worker too.
    await until(lambda: len(children(worker.pid)) == 2, "the guard is there")
    assert not any(gone(pid) for pid in pids(tmp_path))
    os.kill(worker.pid, signal.SIGKILL)
    await worker.wait()
    await all_gone(tmp_path)


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
