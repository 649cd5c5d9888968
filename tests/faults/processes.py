"""Worker processes under test: born in a nursery, observed through files, and waited for, never slept for."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from perdure import App
from perdure.core.ids import RunRef
from perdure.journal import ENDINGS, Entry, Kind, RunRecord, Store, verify_chain

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = float(os.environ.get("PERDURE_TEST_PATIENCE", "60"))
"""Seconds after which a condition that does not come true fails the test: the machine may be busy."""

T = TypeVar("T")


async def until(condition: Callable[[], T | Awaitable[T]], what: str, *, within: float = PATIENCE) -> T:
    """Poll until `condition` gives something true, and return that."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        assert loop.time() < deadline, f"waited {within:g} s in vain for this: {what}"
        await asyncio.sleep(0.02)


class Process:
    """A worker process."""

    def __init__(self, pid: int, log: Path, died: asyncio.Future[int]) -> None:
        self.pid = pid
        self.log = log
        self.died = died

    @property
    def dead(self) -> bool:
        return self.died.done()

    @property
    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        if not self.dead:
            os.kill(self.pid, number)

    async def death(self, *, within: float = PATIENCE) -> int:
        """Its exit status, negative where a signal killed it."""
        async with asyncio.timeout(within):
            return await asyncio.shield(self.died)

    async def says(self, text: str, *, within: float = PATIENCE) -> None:
        await until(lambda: text in self.said, f"`{text}` in the log of {self.pid}", within=within)


class Nursery:
    """Makes worker processes; kills them when the test is over. `modules` are imported once for all of them."""

    def __init__(self, *modules: str) -> None:
        self._modules = modules
        self._process: asyncio.subprocess.Process | None = None
        self._births: list[asyncio.Future[int]] = []
        self._deaths: dict[int, asyncio.Future[int]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Nursery:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(Path(__file__).with_name("nursery.py")),
            *self._modules,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._process is not None and self._process.stdin is not None and self._reader is not None
        self._process.stdin.close()  # it kills its children, and ends
        await self._reader
        await self._process.wait()

    async def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "status" in told:
                self._deaths[told["pid"]].set_result(told["status"])
                continue
            self._deaths[told["pid"]] = asyncio.get_running_loop().create_future()
            birth = self._births.pop(0)
            if not birth.done():  # else whoever waited for it was cancelled
                birth.set_result(told["pid"])

    async def bear(self, program: str, *, log: Path, environ: dict[str, str]) -> Process:
        """A process that runs `main()` of a program."""
        assert self._process is not None and self._process.stdin is not None
        birth: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._births.append(birth)
        order = {"program": program, "environ": environ, "log": str(log)}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        pid = await birth
        return Process(pid, log, self._deaths[pid])


class Site:
    """One store in a folder of its own, what its workers did to the world, and a client of it in this process."""

    def __init__(
        self,
        folder: Path,
        nursery: Nursery | None = None,
        *,
        url: str,
        lease: float = 1.0,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.url = url
        self.ledger = folder / "ledger"
        self.lease = lease
        self.app = App(self.url)
        self._nursery = nursery
        self._workers = 0

    async def __aenter__(self) -> Site:
        await self.app.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.app.close()

    @property
    def store(self) -> Store:
        return self.app.store

    def environ(self, **more: Any) -> dict[str, str]:
        given = {"STORE": self.url, "LEDGER": str(self.ledger), "LEASE": str(self.lease)}
        return {**given, **{k: v if isinstance(v, str) else json.dumps(v) for k, v in more.items()}}

    async def worker(self, program: str, **environ: Any) -> Process:
        """A worker process at this site; `environ` in upper case, JSON where it is not text."""
        assert self._nursery is not None
        self._workers += 1
        log = self.folder / f"worker{self._workers}.log"
        return await self._nursery.bear(program, log=log, environ=self.environ(**environ))

    def notes(self) -> list[str]:
        """What was done to the world, in order."""
        return self.ledger.read_text().splitlines() if self.ledger.exists() else []

    async def record(self, run_id: str) -> RunRecord:
        record = await self.store.get(RunRef("default", run_id))
        assert record is not None, f"no run `{run_id}`"
        return record

    async def entries(self, run_id: str) -> list[Entry]:
        """The journal, which verifies."""
        ref = RunRef("default", run_id)
        entries = await self.store.read(ref)
        verify_chain(ref, entries)
        return entries

    async def waits_for(self, run_id: str, *reasons: str, within: float = PATIENCE) -> str:
        """Return which of the reasons it is that the run waits for."""

        async def waiting() -> str | None:
            record = await self.record(run_id)
            found = [r for r in reasons if record.status == "waiting" and r in record.reasons]
            return found[0] if found else None

        reason = await until(waiting, f"run `{run_id}` waits for {' or '.join(reasons)}", within=within)
        assert reason is not None
        return reason

    async def waits_or_ends(self, run_id: str, reason: str) -> bool:
        """Whether the run came to wait for that reason before it had ended."""

        async def came() -> str | None:
            record = await self.record(run_id)
            if record.status in ENDINGS:
                return "ended"
            return "waits" if record.status == "waiting" and reason in record.reasons else None

        return await until(came, f"run `{run_id}` waits for {reason}, or has ended") == "waits"

    async def ended(self, run_id: str, *, within: float = PATIENCE) -> RunRecord:
        async def over() -> RunRecord | None:
            record = await self.record(run_id)
            return record if record.status not in ("pending", "running", "waiting") else None

        record = await until(over, f"run `{run_id}` has ended", within=within)
        assert record is not None
        return record


def kinds(entries: list[Entry], key: str | None = None) -> list[str]:
    """The kinds of the entries, or of those of one step."""
    return [Kind(e.kind).name.lower() for e in entries if key in (None, e.key)]
