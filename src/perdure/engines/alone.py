"""Isolation: a run that killed its workers is driven in a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ..journal import Claim
from .worker import Isolate, NotBegun

__all__ = ["CANNOT_IMPORT", "find_target", "isolation"]

CANNOT_IMPORT = 65
"""The exit code of a process that could not import the app: nobody's death, and nothing was begun."""


def isolation(app: Any, store_url: str) -> Isolate | None:
    """How to run a claim of this app alone; None where no other process can import it or share its store."""
    if store_url.startswith("memory:"):
        return None
    target = app.target or find_target(app)
    if target is None:
        return None

    async def isolate(claim: Claim, session: str, stop: asyncio.Event) -> NotBegun | None:
        ref = claim.run.ref
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "perdure.cli.alone",
            target,
            "-",
            ref.tenant,
            ref.id,
            session,
            env={  # no arguments: everybody sees those
                **os.environ,
                "PERDURE_STORE": store_url,
                "PERDURE_ALONE_IDENTITY": app.identity_settings.model_dump_json(),
            },
        )
        ended = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not ended.done():
                process.terminate()  # it drains, as this worker does
            code = await ended
        finally:
            asked.cancel()
            if process.returncode is None:
                process.kill()
                await process.wait()
        if stop.is_set() and code == -signal.SIGTERM:
            return NotBegun()  # it was still importing the app: later it drains
        if code == CANNOT_IMPORT:
            return NotBegun(
                f"`{target}` cannot be imported by a process of its own, where this run is to go alone; the worker's "
                f"log says why. When that is mended: `perdure runs resume {ref}`"
            )
        return None

    return isolate


def find_target(app: Any) -> str | None:
    """`module:attribute` or `path.py:attribute` of an app that stands at the top of a module; None otherwise.

    A script is taken only where its own work is guarded by `if __name__ == "__main__"`: importing it must not run it.
    """
    for name, module in list(sys.modules.items()):
        for attribute, value in list(vars(module).items()) if hasattr(module, "__dict__") else ():
            if value is not app:
                continue
            if name != "__main__":
                return f"{name}:{attribute}"
            file = getattr(module, "__file__", None)
            if file is not None and "__main__" in Path(file).read_text(encoding="utf-8", errors="replace"):
                return f"{Path(file).resolve()}:{attribute}"
    return None
