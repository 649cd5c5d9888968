"""What `perdure doctor` says of a server that keeps sessions: whether it answers, and what its answers are worth."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

from ...core.errors import PerdureError

if TYPE_CHECKING:
    from ...app import App

__all__ = ["Said", "sessions_server"]

Said = tuple[Literal["ok", "warn", "fail"], str, str]
"""`ok`, `warn` or `fail`; what was found; what to do about it."""


async def sessions_server(app: App) -> AsyncIterator[Said]:
    """Nothing where sessions are in the store."""
    try:
        link = app.memory.server
        if link is None:
            return
        from ...db.redis import durability

        found = await durability(link)
    except PerdureError as error:
        yield "fail", str(error), "runs that remember wait until it is back; see docs/memory.md"
        return
    finally:
        await app.memory.close()
    said = f"sessions on {found.server}: {found.words}"
    if found.replica:
        yield (
            "fail",
            f"{said}; it is a replica and takes no writes",
            "name the primary in `[memory] sessions`",
        )
    elif found.evicts is not None:
        do = "set `maxmemory-policy noeviction` there: it must refuse a write, and not drop what was said"
        yield "fail", f"{said}; when it is full it throws sessions away (`{found.evicts}`)", do
    elif found.fsync == "always":
        yield "ok", said, ""
    else:
        do = "set `appendonly yes` and `appendfsync always` there, or live with it: see docs/memory.md"
        yield "warn", said, do
