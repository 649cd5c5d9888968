"""What `perdure doctor` says of memory: of a server that keeps sessions, and whether texts can be found by meaning."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Literal

from ...core.errors import PerdureError

if TYPE_CHECKING:
    from ...app import App

__all__ = ["Said", "meaning", "sessions_server"]

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


async def meaning(app: App) -> AsyncIterator[Said]:
    """Whether working memory is found by meaning as `[memory] embeddings` says; nothing where it says nothing."""
    model = app.memory.settings.embeddings
    if model is None:
        return
    try:
        app.models.embedder(model)
    except PerdureError as error:
        yield "fail", str(error), "mend `[memory] embeddings`, or leave it out: memory is then found by words"
        return
    finally:
        await app.models.close()
    said = f"working memory is found by `{model}`"
    url = app.store.url
    if url.startswith("sqlite:"):
        from ...db.sqlite.nearness import has_extension

        if not has_extension():
            yield "warn", f"{said}, without sqlite-vec ten times slower", 'pip install "perdure[vectors]"'
            return
    elif url.startswith("postgres"):
        from ...db.postgres.connection import Link
        from ...db.postgres.nearness import has_extension as has_pgvector

        link = Link(url)
        try:
            there = has_pgvector(link)
        except Exception:  # the database itself: that is said elsewhere
            return
        finally:
            link.drop()
        if not there:
            yield (
                "warn",
                f"{said}, among the newest 5,000 passages of a space: the database has no pgvector",
                "let its owner run `create extension vector`; a server without it: https://github.com/pgvector/pgvector",
            )
            return
    yield "ok", said, ""
