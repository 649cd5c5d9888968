"""The feed of facts from a cursor that says exactly which were taken, also within one leaf of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator

from ..audit.fact import Fact
from ..audit.feed import Cursor, Feed
from ..core.errors import ConfigError
from ..journal import Store

__all__ = ["facts_after", "newest"]

_DIGITS = 9


async def newest(store: Store) -> str:
    """The cursor behind all that is in the log now."""
    size = await store.log_size()
    found = await store.leaves(after=size - 2, limit=1) if size else []
    return str(Cursor.of(found[0])) if found else "0"


async def facts_after(
    store: Store, tenant: str | None, cursor: str, *, follow: bool = False
) -> AsyncIterator[tuple[Fact | None, str]]:
    """Each fact behind `cursor`, with the cursor behind it; then None: there is no more now. `follow`: on and on.

    Raises `ConfigError` for a cursor that is none of this store's log. `CURSOR~3`: three facts behind that were taken.
    """
    said, _, told = cursor.partition("~")
    if told and not (told.isascii() and told.isdecimal() and len(told) <= _DIGITS):
        raise ConfigError(f"cursor `{cursor[:80]}` is none of this feed: `0` is the beginning")
    feed = Feed(store, tenant=tenant, since=Cursor.parse(said))
    await feed.check()
    skip = place = int(told or 0)
    async for sent in feed.facts(follow=follow):
        if sent is None:
            said, place, skip = str(feed.cursor), 0, 0
            yield None, said
        elif skip:
            skip -= 1
        else:
            place = place + 1 if str(sent.cursor) == said else 0
            said = str(sent.cursor)
            yield sent.fact, f"{said}~{place}" if place else said
