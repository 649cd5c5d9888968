"""The processes of an end-to-end test or a demo: servers, workers that can be killed, commands that are typed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Stage"]

PATIENCE_SECONDS = 30.0
"""for a server to say that it listens"""
GRACE_SECONDS = 5.0
"""for a process to end when it is asked to"""


class Stage:
    """Starts processes in a folder, and leaves none behind.

        async with Stage(folder) as stage:
            stage.environment |= await stage.model_server(script)
            worker = await stage.worker()
            told = await stage.operator("runs", "ls")
            worker.kill()

    What they say goes to `*.log` in the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ)
        """of the processes that are started from now on"""
        self._processes: list[asyncio.subprocess.Process] = []
        self._workers = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def model_server(self, script: Path) -> Mapping[str, str]:
        """A model provider that answers from a script; returns the variables that lead programs to it."""
        told = await self.serve("-m", "perdure.testing.model_server", str(script), "--json", name="model")
        return told["environ"]

    async def serve(self, *arguments: str, name: str) -> dict[str, Any]:
        """A Python process that prints one line of JSON when it is ready: that, once it is there.

        Raises `RuntimeError` where it ends before, and `TimeoutError`.
        """
        log = self.folder / f"{name}.log"
        process = await self._start(*arguments, log=log)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (said := log.read_text(encoding="utf-8").partition("\n"))[1]:
                if process.returncode is not None:
                    raise RuntimeError(f"`{name}` did not start: see {log}")
                await asyncio.sleep(0.05)
        return json.loads(said[0])

    async def worker(self) -> asyncio.subprocess.Process:
        """Another worker of the project in the folder."""
        self._workers += 1
        return await self._start(
            "-m", "perdure.cli", "worker", log=self.folder / f"worker-{self._workers}.log"
        )

    async def operator(
        self, *command: str, answers: int = 0, environment: Mapping[str, str] | None = None
    ) -> Any:
        """Run `perdure --json ...`; what it says. Raises `RuntimeError` where it exits with anything but `answers`."""
        code, out, err = await self.run("-m", "perdure.cli", "--json", *command, environment=environment)
        if code != answers:
            raise RuntimeError(f"`perdure {' '.join(command)}` exits {code}: {err}{out}")
        return json.loads(out) if out.strip() else None

    async def run(
        self,
        *arguments: str,
        folder: Path | None = None,
        bare: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Run a Python process to its end: exit code, what it said, and what it complained of.

        `bare`: without the stage's environment, as on somebody else's machine.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            cwd=folder or self.folder,
            env=({} if bare else self.environment) | dict(environment or {}),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    async def stop(self) -> None:
        """End all that still goes on."""
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), GRACE_SECONDS)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _start(self, *arguments: str, log: Path) -> asyncio.subprocess.Process:
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )
        self._processes.append(process)
        return process
