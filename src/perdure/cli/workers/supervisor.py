"""Several worker processes under one that replaces those that die, and lets their runs go at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process

from ...app import open_store
from ...core.errors import ConfigError, StoreError
from ...core.ids import new_id
from ...journal import Store
from ..command import Cli
from ..outcome import Exit
from .worker import SESSION_VARIABLE, on_stop

__all__ = ["Supervisor", "spawn"]

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 30.0
"""Seconds before a worker that dies again and again is started again: doubled from the one to the other."""

HEALTHY_SECONDS = 30.0
"""After this a worker counts as well, and its next death as the first."""


async def spawn(
    cli: Cli, target: str | None, arguments: list[str], *, session: str, name: str = "worker"
) -> Process:
    """Start `perdure worker`, or what `name` says, in a process group of its own: Ctrl-C reaches us alone, and goes on.

    Its standard input is a pipe that we hold: it stops when we are gone. The store's URL travels in the environment,
    for it may hold a password, and everybody on the machine sees arguments.
    """
    given = cli.given
    repeated = [
        word
        for flag, value in (
            ("--config", given.config),
            ("--tenant", given.tenant),
            ("--app", given.app),
        )
        if value is not None
        for word in (flag, str(value))
    ]
    repeated += ["--json"] if given.json else []
    repeated += ["-v"] * given.verbose
    environment = {**os.environ, SESSION_VARIABLE: session}
    if given.store is not None:
        environment["PERDURE_STORE"] = given.store
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "perdure.cli",
        name,
        *([target] if target else []),
        *arguments,
        *repeated,
        stdin=PIPE,
        env=environment,
        process_group=0,
    )


class Supervisor:
    """Keeps `processes` workers alive until it is asked to stop."""

    def __init__(self, cli: Cli, target: str | None, arguments: list[str], *, processes: int) -> None:
        self._cli = cli
        self._target = target
        self._arguments = arguments
        self._count = processes
        self._running: set[Process] = set()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Exit code 0 where every worker left in good order."""
        store = await self._open_store()
        on_stop(self._cli, self._stop)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupted)
        try:
            codes = await asyncio.gather(*(self._keep(store) for _ in range(self._count)))
        finally:
            for process in self._running:
                process.kill()
            await store.close()
        return max(codes)

    async def _open_store(self) -> Store:
        app = self._cli.load_app(self._target)
        url = app.store.url
        if url == "memory://":
            raise ConfigError("several processes cannot share a `memory://` store; use `sqlite:///PATH`")
        store = open_store(url)
        await store.open()
        return store

    def _stop(self) -> None:
        self._stopping.set()
        for process in self._running:
            process.terminate()

    def _interrupted(self) -> None:
        if self._stopping.is_set():
            for process in self._running:
                process.kill()
        else:
            self._cli.note("stopping the workers; Ctrl-C again: at once")
            self._stop()

    async def _keep(self, store: Store) -> int:
        """One place: a worker, and after its death another."""
        loop = asyncio.get_running_loop()
        pause = FIRST_PAUSE
        while True:
            session = f"w-{new_id()[:12]}"
            began = loop.time()
            process = await spawn(self._cli, self._target, self._arguments, session=session)
            self._running.add(process)
            if self._stopping.is_set():
                process.terminate()
            code = await process.wait()
            self._running.discard(process)
            if code != 0:
                await self._let_go(store, session)
            if self._stopping.is_set():
                # killed by our own SIGTERM: it had not yet come so far as to handle it, and held nothing
                return 0 if code in (Exit.OK, -signal.SIGTERM) else abs(code)
            if code in (Exit.OK, Exit.USAGE):
                return code
            if loop.time() - began > HEALTHY_SECONDS:
                pause = FIRST_PAUSE
            self._say(process.pid, code, pause)
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                return Exit.OK
            except TimeoutError:
                pause = min(pause * 2, LONGEST_PAUSE)

    async def _let_go(self, store: Store, session: str) -> None:
        """It is dead: its runs need not wait until its lease has run out."""
        try:
            await store.expire(session)
            await store.recover()
        except StoreError as error:
            self._cli.note(f"the runs of session {session} wait for its lease to run out: {error}")

    def _say(self, pid: int, code: int, pause: float) -> None:
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
        if self._cli.json:
            self._cli.answer({"event": "died", "pid": pid, "code": code})
        else:
            self._cli.note(f"worker {pid} {how}; another starts in {pause:.1f} s")
