"""The processes of the demo: the model, workers that can be killed, and commands as an operator types them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Stage:
    """Starts processes in a folder, and leaves none behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = dict(os.environ)
        self._processes: list[asyncio.subprocess.Process] = []

    async def model_server(self, script: Path) -> Mapping[str, str]:
        """A model provider that answers from a script; returns the variables that lead programs to it."""
        process = await self._start(
            "-m", "perdure.testing.model_server", str(script), "--json", keep="model.log"
        )
        while not (said := (self.folder / "model.log").read_text(encoding="utf-8").partition("\n"))[1]:
            if process.returncode is not None:
                raise RuntimeError(f"the model server did not start: see {self.folder / 'model.log'}")
            await asyncio.sleep(0.05)
        return json.loads(said[0])["environ"]

    async def worker(self, number: int) -> asyncio.subprocess.Process:
        return await self._start("-m", "perdure.cli", "worker", keep=f"worker-{number}.log")

    async def operator(self, *command: str) -> Any:
        """Run `perdure --json ...`; what it answers."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "perdure.cli",
            "--json",
            *command,
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self._processes.append(process)
        out, err = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"`perdure {' '.join(command)}` exits {process.returncode}: {err.decode()}")
        return json.loads(out) if out.strip() else None

    async def stop(self) -> None:
        for process in self._processes:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()

    async def _start(self, *arguments: str, keep: str) -> asyncio.subprocess.Process:
        with (self.folder / keep).open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._processes.append(process)
        return process
