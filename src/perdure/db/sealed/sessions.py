"""Sessions on a backend of their own, sealed: what a data subject's runs say and keep is under the subject's key.

The store of the journals seals its cells itself. A backend beside it never has the key: contents, values and summaries
come to it sealed, and go back as they were. Names of sessions and values, roles and origins are not sealed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pydantic_core

from ...core.errors import StoreSealed, SubjectErased
from ...memory import Kept, Message, Origin, Place, SessionHead, Sessions, Written
from ...memory.limits import LONGEST_ITEM, item_bytes
from .keys import SubjectKeys
from .marks import TEXT_MARK

if TYPE_CHECKING:
    from .form import SubjectKey

__all__ = ["LONGEST_SEALED", "SealedSessions"]

LONGEST_SEALED = LONGEST_ITEM * 3 // 2
"""Bytes of an item of the longest content: base64 takes a third more."""


class SealedSessions:
    """`inner`, which takes items of `LONGEST_SEALED`, with what belongs to data subjects sealed."""

    def __init__(self, inner: Sessions, keys: SubjectKeys) -> None:
        self.inner = inner
        self._keys = keys

    # writing ---------------------------------------------------------------------------------------------------

    async def append(
        self,
        place: Place,
        role: str,
        content: Any,
        *,
        origin: Origin,
        key: str,
        ttl: timedelta | None = None,
    ) -> Written:
        """Add a message; its number. Raises `SubjectErased`, as all writes do."""
        item_bytes({"role": role, "content": content}, what="message")
        sealed = await self._sealed(place, content, "message")
        return await self.inner.append(place, role, sealed, origin=origin, key=key, ttl=ttl)

    async def set(
        self,
        place: Place,
        name: str,
        value: Any,
        *,
        origin: Origin,
        key: str,
        if_version: int | None = None,
        ttl: timedelta | None = None,
    ) -> Written:
        """Put a value under a name."""
        item_bytes({"key": name, "value": value}, what=f"value of `{name[:80]}`")
        sealed = await self._sealed(place, value, f"value|{name}")
        return await self.inner.set(
            place, name, sealed, origin=origin, key=key, if_version=if_version, ttl=ttl
        )

    async def delete(self, place: Place, name: str, *, key: str, if_version: int | None = None) -> Written:
        """Take a value away."""
        return await self.inner.delete(place, name, key=key, if_version=if_version)

    async def compact(self, place: Place, text: str, *, upto: int, origin: Origin, key: str) -> Written:
        """Let `text` stand for the messages up to `upto`."""
        item_bytes({"text": text}, what="summary")
        sealed = await self._sealed(place, text, f"summary|{upto}")
        return await self.inner.compact(place, sealed, upto=upto, origin=origin, key=key)

    async def _sealed(self, place: Place, content: Any, what: str) -> Any:
        if place.subject is None:
            return content
        secret = await self._keys.find(place.tenant, place.subject)
        if secret is None:
            raise SubjectErased(f"the data of `{place.subject}` was erased")
        return secret.seal_text(pydantic_core.to_json(content).decode(), _context(place, what))

    # reading ---------------------------------------------------------------------------------------------------

    async def get(self, place: Place, name: str) -> Kept | None:
        """A value; None also where its key is gone, or not here."""
        found = await self._opened_values(place, [await self.inner.get(place, name)])
        return found[0] if found else None

    async def values(self, place: Place, *, limit: int = 1000) -> list[Kept]:
        """Values, by name."""
        return await self._opened_values(place, await self.inner.values(place, limit=limit))

    async def _opened_values(self, place: Place, found: Sequence[Kept | None]) -> list[Kept]:
        there = [kept for kept in found if kept is not None]
        if place.subject is None or not there:
            return there
        secret = await self._key(place)
        opened: list[Kept] = []
        for kept in there:
            plain = _open(secret, place, kept.value, f"value|{kept.key}")
            if plain is not None:
                opened.append(replace(kept, value=pydantic_core.from_json(plain)))
        return opened

    async def messages(
        self, place: Place, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or those behind number `after`, that can be opened."""
        found = await self.inner.messages(place, last=last, after=after, limit=limit, whole=whole)
        if place.subject is None or not found:
            return found
        secret = await self._key(place)
        opened: list[Message] = []
        for i, message in enumerate(found):
            # A summary comes first; a program may write that role, too, so both are tried.
            ways = ["message"] if i or whole else [f"summary|{message.n}", "message"]
            plain = next(
                (p for w in ways if (p := _open(secret, place, message.content, w)) is not None), None
            )
            if plain is not None:
                opened.append(replace(message, content=pydantic_core.from_json(plain)))
        return opened

    async def head(self, place: Place) -> SessionHead | None:
        """The session as a whole; None also where its key is gone, or not here."""
        found = await self.inner.head(place)
        return None if found is None else await self._opened_head(found)

    async def ls(self, tenant: str, *, after: Place | None = None, limit: int = 100) -> list[SessionHead]:
        """Sessions of a tenant; without those whose key is gone, or not here."""
        found: list[SessionHead] = []
        while len(found) < limit:
            page = await self.inner.ls(tenant, after=after, limit=limit)
            heads = [await self._opened_head(head) for head in page]
            found += [head for head in heads if head is not None]
            if len(page) < limit:
                break
            after = page[-1].place
        return found[:limit]

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete all sessions of a data subject; how many messages, values and summaries there were."""
        return await self.inner.forget(tenant, subject)

    async def _opened_head(self, head: SessionHead) -> SessionHead | None:
        if head.place.subject is None:
            return head
        secret = await self._key(head.place)
        if secret is None:
            return None
        if head.summary is None:
            return head
        plain = _open(secret, head.place, head.summary.text, f"summary|{head.summary.upto}")
        text = "" if plain is None else pydantic_core.from_json(plain)
        return replace(head, summary=replace(head.summary, text=text))

    async def _key(self, place: Place) -> SubjectKey | None:
        try:
            return await self._keys.find(place.tenant, cast("str", place.subject))
        except StoreSealed:
            return None


def _open(secret: SubjectKey | None, place: Place, sealed: Any, what: str) -> str | None:
    """What it was; None: it does not open, or was never sealed, and nobody knows who put it there."""
    if secret is None or not isinstance(sealed, str) or not sealed.startswith(TEXT_MARK):
        return None
    return secret.open_text(sealed, _context(place, what))


def _context(place: Place, what: str) -> str:
    return f"session|{place.name}|{what}"
