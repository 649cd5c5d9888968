"""`python -m perdure.cli.alone TARGET STORE_URL TENANT RUN_ID SESSION`: one run, in a process of its own.

Where a run has killed its workers, the next one starts this, so that the neighbours live. The session is registered
by whoever starts it, and ends with this process.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import replace

from ..app import App
from ..core.errors import PerdureError
from ..core.ids import RunRef
from .target import load_app

__all__ = ["drive", "main"]


async def drive(app: App, ref: RunRef, session: str) -> None:
    """Drive the run until it ends, waits, or is asked to stop by SIGTERM or SIGINT."""
    await app.open()
    worker = app.new_worker(replace(app.options, only=ref, session=session))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    try:
        await worker.run()
    finally:
        await app.close()


def main(arguments: list[str]) -> int:
    """Exits with 0 when the run was let go in good order, whatever came of it."""
    if len(arguments) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    target, url, tenant, run_id, session = arguments
    logging.basicConfig(level=logging.INFO, format="alone %(process)d: %(message)s")
    try:
        app = load_app(target)
        app.use_store(url)
        asyncio.run(drive(app, RunRef(tenant, run_id), session))
    except PerdureError as error:
        print(f"perdure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
