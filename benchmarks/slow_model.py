"""A model that takes 20 ms, in a process of its own: a line in, and after that time a line out.

Not a timer of the loop that is measured: a loop that is woken meanwhile rounds what is left up to whole milliseconds
(`epoll_wait` knows no smaller ones), and half a millisecond of that would look like the cost of durability.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from .workload import ANSWER

__all__ = ["SlowModel", "slow_model"]

MODEL_SECONDS = 0.02


class SlowModel:
    """The other end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin and process.stdout
        self._ask, self._answer = process.stdin, process.stdout

    async def think(self, turn: int) -> str:
        """An answer, 20 ms after the question."""
        self._ask.write(b"%d\n" % turn)
        return (await self._answer.readline()).decode().strip()


@asynccontextmanager
async def slow_model() -> AsyncGenerator[SlowModel]:
    """The model, while it is needed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.slow_model",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield SlowModel(process)
    finally:
        process.kill()
        await process.wait()


def main() -> None:
    """Answer until the other end is gone."""
    answer = ANSWER.encode() + b"\n"
    for _ in sys.stdin.buffer:
        time.sleep(MODEL_SECONDS)
        sys.stdout.buffer.write(answer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
