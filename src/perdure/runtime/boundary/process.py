"""Programs that tools run: nothing of them outlives the call.

Each gets a process group of its own. When the call is cancelled, times out, or gives no sign of life, the group is
asked to end (SIGTERM), and killed a moment later. When the worker dies, a guard does the same: a shell that waits for
the end of a pipe which only the worker holds.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from ...core.errors import ConfigError, ProcessFailed
from .pulse import heartbeat

__all__ = ["Output", "run_process"]

_GUARD = 'read _; kill -TERM -"$1" 2>/dev/null; sleep "$2"; kill -KILL -"$1" 2>/dev/null'
_CHUNK = 65_536


@dataclass(frozen=True, slots=True)
class Output:
    """What a program said."""

    code: int
    """its exit code; below 0: the signal that ended it"""
    stdout: str
    stderr: str
    dropped: int = 0
    """bytes of output beyond the limit, which were read and thrown away"""


async def run_process(
    *command: str | os.PathLike[str],
    input: str | bytes | None = None,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout: timedelta | None = None,
    grace: timedelta = timedelta(seconds=5),
    limit: int = 1_000_000,
    check: bool = True,
) -> Output:
    """Run a program, for use in a tool or a step, and return what it said.

    Its output counts as a sign of life. `limit` bytes of each of stdout and stderr are kept. `grace` is what the
    program and its children get between SIGTERM and SIGKILL. Raises `ProcessFailed` where it exits with another code
    than 0, unless told not to `check`; `TimeoutError`; and `OSError` where it cannot be started.
    """
    if sys.platform == "win32":
        raise ConfigError("`run_process` needs process groups, which Windows does not have")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL if input is None else pipe,
        stdout=pipe,
        stderr=pipe,
        cwd=cwd,
        env=None if env is None else dict(env),
        start_new_session=True,
    )
    try:
        guard, hold = await _guard(process.pid, grace.total_seconds())
    except BaseException:
        _kill(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    try:
        async with asyncio.timeout(None if timeout is None else timeout.total_seconds()):
            said, dropped = await _talk(process, input, limit)
            code = await process.wait()
    except BaseException:
        await _end(process, grace.total_seconds())
        raise
    finally:
        _kill(process.pid, signal.SIGKILL)  # what it started and left behind
        guard.kill()
        os.close(hold)
        await asyncio.shield(guard.wait())
    output = Output(code, said[0], said[1], dropped)
    if check and code != 0:
        last = output.stderr.strip().splitlines()[-1:] or [""]
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        raise ProcessFailed(f"`{os.fspath(command[0])}` ended with {how}: {last[0][:500]}", code=code)
    return output


async def _guard(group: int, grace: float) -> tuple[asyncio.subprocess.Process, int]:
    """A process that ends the group where this one dies, and the end of the pipe that tells it so."""
    watched, hold = os.pipe()
    try:
        guard = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            _GUARD,
            "sh",
            str(group),
            f"{grace:g}",
            stdin=watched,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # what ends this process's group must not end the guard first
        )
    except BaseException:
        os.close(hold)
        raise
    finally:
        os.close(watched)
    return guard, hold


async def _talk(
    process: asyncio.subprocess.Process, input: str | bytes | None, limit: int
) -> tuple[Sequence[str], int]:
    dropped = 0

    async def read(stream: asyncio.StreamReader | None) -> str:
        nonlocal dropped
        kept = bytearray()
        while stream is not None and (chunk := await stream.read(_CHUNK)):
            heartbeat()
            room = limit - len(kept)
            kept += chunk[:room]
            dropped += max(len(chunk) - room, 0)
        return kept.decode(errors="replace")

    async def write() -> None:
        if process.stdin is None or input is None:
            return
        try:
            process.stdin.write(input.encode() if isinstance(input, str) else input)
            await process.stdin.drain()
            process.stdin.close()
        except (BrokenPipeError, ConnectionResetError):
            return  # it did not want to hear all of it

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        streams = [group.create_task(read(s)) for s in (process.stdout, process.stderr)]
    return [task.result() for task in streams], dropped


async def _end(process: asyncio.subprocess.Process, grace: float) -> None:
    """Ask the group to end, and kill what has not; whoever cancels meanwhile only shortens the grace."""
    _kill(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await asyncio.shield(process.wait())
    except (TimeoutError, asyncio.CancelledError):
        pass
    _kill(process.pid, signal.SIGKILL)
    await process.wait()


def _kill(group: int, number: signal.Signals) -> None:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return
