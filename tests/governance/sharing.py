"""One process of several that ask one breaker, or take places under one limit, all at once. Says what it got, as JSON.

python -m tests.governance.sharing URL NAME probes|places COUNT
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import timedelta

from perdure import Breaker, Rate, open_store
from perdure.core.clock import SystemClock
from perdure.governance import Admitted, Breakers, Limits
from perdure.journal import Store

POLICY = Breaker(failures=1, open_for=timedelta(milliseconds=1))
RATE = Rate(20)


async def probes(store: Store, name: str, count: int) -> list[str]:
    """Who of this process was given the probe."""
    breakers = Breakers(store, SystemClock())
    asked = await asyncio.gather(
        *(breakers.admit("t", "model:m", POLICY, by=f"{name}-{n}") for n in range(count))
    )
    assert all(verdict.probe is not None for verdict in asked if isinstance(verdict, Admitted))
    return [verdict.by for verdict in asked if isinstance(verdict, Admitted)]


async def places(store: Store, name: str, count: int) -> list[int | None]:
    limits = Limits(store)
    return await asyncio.gather(*(limits.take("t", "model:m", RATE) for _ in range(count)))


async def main(url: str, name: str, what: str, count: int) -> object:
    store = open_store(url)
    await store.open()
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        return await {"probes": probes, "places": places}[what](store, name, count)
    finally:
        await store.close()


if __name__ == "__main__":
    url, name, what, count = sys.argv[1:]
    print(json.dumps(asyncio.run(main(url, name, what, int(count)))))
