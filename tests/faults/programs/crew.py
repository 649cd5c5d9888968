"""What the programs under test share: their store, what they note of the world, and how they die."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import apsw

from perdure import App, open_store
from perdure.testing import Boundary, KillingStore, sigkill


def note(what: str) -> None:
    """Do something to the world: a line in a file that is there although the process dies right after."""
    file = os.open(os.environ["LEDGER"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, what.encode() + b"\n")
        os.fsync(file)
    finally:
        os.close(file)


def notes() -> list[str]:
    """All that was done so far, by any process."""
    try:
        with open(os.environ["LEDGER"], encoding="utf-8") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def noted(what: str) -> int:
    """How often this was done."""
    return notes().count(what)


def stop_here() -> None:
    """SIGSTOP, as a machine that swaps or a laptop that sleeps; returns after SIGCONT.

    On SQLite in the moment after a transaction: a process that is stopped inside one keeps the file's lock.
    """
    if os.environ["STORE"].startswith("sqlite:///"):
        connection = apsw.Connection(os.environ["STORE"].removeprefix("sqlite:///"))
        connection.set_busy_timeout(10_000)
        connection.execute("begin immediate; rollback")
        freeze()
        connection.close()
    else:
        freeze()


def freeze() -> None:
    """SIGSTOP; returns after SIGCONT."""
    os.write(2, b"stopping\n")
    os.kill(os.getpid(), signal.SIGSTOP)
    if threading.current_thread() is not threading.main_thread():
        time.sleep(0.05)  # it is the main thread that stops the process, and then the others
    os.write(2, b"going on\n")


DEATHS: dict[str, Callable[[], None]] = {"kill": sigkill, "stop": stop_here}


def new_app(**options: Any) -> App:
    """An app by the environment: STORE, LEASE (seconds), AT (a boundary, in JSON), DIE (`kill`, `stop`)."""
    store: Any = os.environ["STORE"]
    if "AT" in os.environ:
        boundary = Boundary(**json.loads(os.environ["AT"]))
        store = KillingStore(open_store(store), boundary, die=DEATHS[os.environ.get("DIE", "kill")])
    lease = timedelta(seconds=float(os.environ.get("LEASE", "1")))
    durability: Any = os.environ.get("DURABILITY", "pipelined")
    return App(store, lease=lease, durability=durability, **options)


def work(app: App) -> None:
    """Be a worker until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    asyncio.run(_work(app))


async def _work(app: App) -> None:
    await app.open()
    worker = app.new_worker()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    ready = asyncio.Event()
    task = asyncio.create_task(worker.run(ready))
    await asyncio.wait({task, asyncio.ensure_future(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
    os.write(2, b"ready\n")
    await task
    await app.close()
    os.write(2, b"left in good order\n")
