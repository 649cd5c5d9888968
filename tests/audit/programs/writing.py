"""Writes runs and integrates them, as fast as it can, until it is killed: `writing.py URL NAME SEED_BASE64`."""

from __future__ import annotations

import asyncio
import base64
import sys

from perdure.app import open_store
from perdure.audit import Signer
from perdure.engines.sequencer import Sequencer
from perdure.journal import Store
from perdure.testing.conformance._scene import claimed
from perdure.testing.journals import JournalBuilder


async def write(store: Store, name: str) -> None:
    n = 0
    while True:
        n += 1
        run = (await claimed(store, f"{name}-{n}", session=name)).run
        builder = JournalBuilder.of(run)
        for _ in range(5):
            await store.append(builder.append(b"1", b"2"))


async def integrate(store: Store, signer: Signer) -> None:
    sequencer = Sequencer(store, signer)
    while True:
        await sequencer.tick()


async def main(url: str, name: str, seed: str) -> None:
    store = open_store(url)
    await store.open()
    signer = Signer("example.com/audit", base64.b64decode(seed))
    print("ready", flush=True)
    await asyncio.gather(*(write(store, f"{name}-{n}") for n in range(4)), integrate(store, signer))


asyncio.run(main(*sys.argv[1:]))
