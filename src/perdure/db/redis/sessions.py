"""The `Sessions` of a Redis or Valkey server.

A message that was written is seen by every read after it, for all go to one server. What the server says is on disk may
be lost with it all the same: see `health`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pydantic_core

from ...memory import Kept, Message, Origin, Place, SessionHead, Summary, Written
from ...memory.limits import (
    DONE_FOR,
    LONGEST_ITEM,
    MOST,
    check_lifetime,
    check_page,
    item_bytes,
    origin_fields,
    origin_from,
    too_few,
    value_name,
)
from .connection import RedisLink, Script
from .scripts import APPEND, COMPACT, DELETE, FORGET, SET, STATES

__all__ = ["RedisSessions"]

_HEAD = ("n", "v", "began", "changed", "summary")


class RedisSessions:
    """Sessions on the server behind `link`. `longest`: bytes of an item as it comes here, which may be sealed."""

    def __init__(self, link: RedisLink, *, longest: int = LONGEST_ITEM) -> None:
        self.link = link
        self._longest = longest

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
        """Add a message; its number."""
        told = {"role": role, "content": content, **origin_fields(origin)}
        item = item_bytes(told, what="message", longest=self._longest)
        return await self._write(APPEND, place, key, "said", item, _millis(ttl))

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
        told = {"key": name, "value": value, **origin_fields(origin)}
        item = item_bytes(told, what=f"value of `{name[:80]}`", longest=self._longest)
        return await self._write(
            SET, place, key, "kept", value_name(name), _version(if_version), item, _millis(ttl)
        )

    async def delete(self, place: Place, name: str, *, key: str, if_version: int | None = None) -> Written:
        """Take a value away."""
        return await self._write(DELETE, place, key, "kept", value_name(name), _version(if_version))

    async def compact(self, place: Place, text: str, *, upto: int, origin: Origin, key: str) -> Written:
        """Let `text` stand for the messages up to `upto`. Raises `ConfigError` where there are not so many."""
        item = item_bytes({"text": text, **origin_fields(origin)}, what="summary", longest=self._longest)
        return await self._write(COMPACT, place, key, "said", upto, item)

    async def _write(self, script: Script, place: Place, key: str, what: str, *arguments: Any) -> Written:
        marker = _key(place.tenant, "done", hashlib.sha256(key.encode()).hexdigest())
        keys = (
            marker,
            _of(place, "head"),
            _key(place.tenant, "sessions"),
            _of(place, what),
            _of(place, "ends"),
        )
        told = await self.link.run(script, keys, (_millis(DONE_FOR), place.name, *arguments))
        version, state = int(told[0]), int(told[1])
        if state == STATES["too few"]:
            raise too_few(place.session, version, int(arguments[0]))
        return Written(version=version, conflict=state == STATES["conflict"])

    # reading ---------------------------------------------------------------------------------------------------

    async def get(self, place: Place, name: str) -> Kept | None:
        """A value; None: there is none, or its time is over."""
        found = await self._values(place, [value_name(name)])
        return found[0] if found else None

    async def values(self, place: Place, *, limit: int = MOST) -> list[Kept]:
        """Values, by name."""
        check_page(limit)
        names = sorted(await self.link.ask("HKEYS", _of(place, "kept")))
        found: list[Kept] = []
        while names and len(found) < limit:
            size = limit - len(found)
            page, names = names[:size], names[size:]
            found += await self._values(place, [name.decode() for name in page])
        return found

    async def _values(self, place: Place, names: Sequence[str]) -> list[Kept]:
        where = _of(place, "kept")
        items: list[bytes | None] = await self.link.ask("HMGET", where, *names)
        apart = [i for i, item in enumerate(items) if item == b""]
        if apart:
            own = await self.link.ask("MGET", *(f"{where}/{names[i]}" for i in apart))
            for i, item in zip(apart, own, strict=True):
                items[i] = item
        return [_kept(item) for item in items if item]

    async def messages(
        self, place: Place, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or those behind number `after`; in order, behind the summary of those before."""
        count, told = await self.link.ask("HMGET", _of(place, "head"), "n", "summary")
        summary = None if told is None or whole else _summary(told)
        end = int(count or 0)
        floor = max(after, 0 if summary is None else summary.upto)
        most = check_page(limit if last is None else last)
        found: list[Message] = []
        low, high = floor, end
        while low < high and len(found) < most:  # once, unless some are over
            size = min(high - low, most - len(found))
            if last is None:
                found += await self._numbered(place, low + 1, low + size)
                low += size
            else:
                found = [*await self._numbered(place, high - size + 1, high), *found]
                high -= size
        if summary is None or after >= summary.upto:
            return found
        first = Message(
            n=summary.upto, role="summary", content=summary.text, at=summary.at, origin=summary.origin
        )
        return [first, *found]

    async def _numbered(self, place: Place, first: int, last: int) -> list[Message]:
        """Those of `first` to `last` that are there."""
        where, numbers = _of(place, "said"), range(first, last + 1)
        items: list[bytes | None] = await self.link.ask("HMGET", where, *numbers)
        apart = [i for i, item in enumerate(items) if item is None]
        if apart:
            own = await self.link.ask("MGET", *(f"{where}/{numbers[i]}" for i in apart))
            for i, item in zip(apart, own, strict=True):
                items[i] = item
        return [_message(n, item) for n, item in zip(numbers, items, strict=True) if item is not None]

    async def head(self, place: Place) -> SessionHead | None:
        """The session as a whole; None: nobody has written to it."""
        return _head(place, await self.link.ask("HMGET", _of(place, "head"), *_HEAD))

    async def ls(self, tenant: str, *, after: Place | None = None, limit: int = 100) -> list[SessionHead]:
        """Sessions of a tenant, in the order of their subjects and names."""
        start = "-" if after is None else f"({after.name}"
        names = await self.link.ask(
            "ZRANGEBYLEX", _key(tenant, "sessions"), start, "+", "LIMIT", 0, check_page(limit)
        )
        places = [Place.of(tenant, name.decode()) for name in names]
        if not places:
            return []
        told = await self.link.ask_all([("HMGET", _of(place, "head"), *_HEAD) for place in places])
        heads = [_head(place, fields) for place, fields in zip(places, told, strict=True)]
        return [head for head in heads if head is not None]

    # forgetting ------------------------------------------------------------------------------------------------

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete all sessions of a data subject; how many messages, values and summaries there were."""
        whose = Place(tenant, subject, "-").name.partition("/")[0]
        listed, gone = _key(tenant, "sessions"), 0
        for low, high in (
            (f"[{whose}/", f"({whose}0"),
            (f"[{whose}@", f"({whose}A"),
        ):  # what follows `/` and `@`
            while names := await self.link.ask("ZRANGEBYLEX", listed, low, high, "LIMIT", 0, 100):
                for name in names:
                    place = Place.of(tenant, name.decode())
                    parts = [_of(place, what) for what in ("head", "said", "kept", "ends")]
                    gone += int(await self.link.run(FORGET, [listed, *parts], [name]))
        return gone


def _key(tenant: str, *parts: str) -> str:
    return ":".join((f"perdure:{{{tenant}}}", *parts))


def _of(place: Place, what: str) -> str:
    return _key(place.tenant, what, place.name)


def _version(if_version: int | None) -> str:
    return "" if if_version is None else str(if_version)


def _millis(ttl: timedelta | None) -> int:
    """How long the server keeps it: milliseconds, at least one; 0: for good."""
    return 0 if check_lifetime(ttl) is None or ttl is None else max(1, ttl // timedelta(milliseconds=1))


def _summary(told: bytes) -> Summary:
    upto, at, data = told.split(b" ", 2)
    fields = pydantic_core.from_json(data)
    return Summary(upto=int(upto), text=fields["text"], at=int(at), origin=origin_from(fields))


def _message(n: int, told: bytes) -> Message:
    at, data = told.split(b" ", 1)
    fields = pydantic_core.from_json(data)
    return Message(
        n=n, role=fields["role"], content=fields["content"], at=int(at), origin=origin_from(fields)
    )


def _kept(told: bytes) -> Kept:
    version, at, data = told.split(b" ", 2)
    fields = pydantic_core.from_json(data)
    return Kept(
        key=fields["key"],
        value=fields["value"],
        version=int(version),
        at=int(at),
        origin=origin_from(fields),
    )


def _head(place: Place, told: Sequence[bytes | None]) -> SessionHead | None:
    messages, version, began, changed, summary = told
    if began is None or changed is None:
        return None
    return SessionHead(
        place=place,
        messages=int(messages or 0),
        version=int(version or 0),
        summary=None if summary is None else _summary(summary),
        began=int(began),
        changed=int(changed),
    )
