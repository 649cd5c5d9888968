"""`python -m perdure.cli.alone TARGET STORE_URL TENANT RUN_ID SESSION`: one run, in a process of its own.

`-` for the URL means the variable PERDURE_STORE: a URL may hold a password, and everybody sees arguments.

Where a run has killed its workers, the next one starts this, so that the neighbours live. The session is registered
by whoever starts it, and ends with this process; when that worker has gone, this stops in good order too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from dataclasses import replace

from ..app import App
from ..core.errors import PerdureError
from ..core.identity_settings import IdentitySettings
from ..core.ids import RunRef
from ..engines import Worker
from ..engines.alone import CANNOT_IMPORT
from .target import load_app

__all__ = ["drive", "main"]

log = logging.getLogger("perdure.worker")

LOOK_SECONDS = 0.5
"""How often it looks whether the worker that started it is still there."""


async def drive(app: App, ref: RunRef, session: str) -> None:
    """Drive the run until it ends, waits, or is asked to stop by SIGTERM or SIGINT."""
    await app.open()
    worker = app.new_worker(replace(app.options, only=ref, session=session))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    orphaned = asyncio.create_task(_stop_with_parent(worker))
    try:
        await worker.run()
    finally:
        orphaned.cancel()
        await app.close()


async def _stop_with_parent(worker: Worker) -> None:
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110  # no event tells it, not on Linux and macOS alike
        await asyncio.sleep(LOOK_SECONDS)
    log.warning("the worker that started this is gone: the run is left to others")
    worker.stop()


def main(arguments: list[str]) -> int:
    """Exits with 0 when the run was let go in good order, whatever came of it; `CANNOT_IMPORT` where none was taken."""
    if len(arguments) != 5:
        print(__doc__, file=sys.stderr)
        return 2
    target, url, tenant, run_id, session = arguments
    logging.basicConfig(level=logging.INFO, format="alone %(process)d: %(message)s")
    try:
        app = load_app(target)
    except (PerdureError, SystemExit) as error:
        print(f"perdure: the app cannot be imported here: {error}", file=sys.stderr)
        return CANNOT_IMPORT
    try:
        if (given := os.environ.pop("PERDURE_ALONE_IDENTITY", None)) is not None:
            app.identity_settings = IdentitySettings.model_validate_json(given)
        app.use_store(os.environ["PERDURE_STORE"] if url == "-" else url)
        asyncio.run(drive(app, RunRef(tenant, run_id), session))
    except PerdureError as error:
        print(f"perdure: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
