"""What a waiting run costs: Python objects and resident memory, as the slope between 2,000 and 10,000 of them."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

from perdure import App, Run, RunStatus
from perdure.journal import RunQuery


def resident_bytes() -> int:
    """Memory of this process now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


async def waiting(path: Path, *, trace: bool) -> float:
    """Bytes a waiting run holds: of Python objects (`trace`), or of the process, whose allocator keeps pages."""
    app = App(f"sqlite:///{path}")

    @app.agent("waits")
    async def waits(run: Run) -> object:
        return await run.receive("never")

    async def start(count: int) -> int:
        for _ in range(count):
            await app.start(waits)
        moving = RunQuery(statuses=frozenset({RunStatus.PENDING, RunStatus.RUNNING}), limit=1)
        while await app.store.find(moving):
            await app.store.changed(app.store.changes(), within=0.2)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] if trace else resident_bytes()

    if trace:
        tracemalloc.start()
    async with app:
        before = await start(2_000)
        after = await start(8_000)
    return max(0, after - before) / 8_000
