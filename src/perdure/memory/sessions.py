"""Sessions kept in cells: on whatever keeps journals, SQLite, PostgreSQL or memory, without a table of their own.

A write is one amendment of the session's head, of what is written, and of a marker under the write's key. So it is all
there or not at all, one after the other for each session, and a marker that is found says that it has been done.

    memory_session   subject/session               how many messages, the last version, the summary
    session_message  subject/session/000000000017
    session_value    subject/session/key
    session_done     hash of the write's key       what came of it
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

import pydantic_core

from ..core.clock import to_micros
from ..journal import Amendment, Cell, CellKey
from ..journal.cells import CellStore
from .limits import (
    DONE_FOR,
    MOST,
    check_lifetime,
    check_page,
    item_bytes,
    origin_fields,
    origin_from,
    too_few,
    value_name,
)
from .port import Kept, Message, Origin, Place, SessionHead, Summary, Written

__all__ = ["KINDS", "CellSessions"]

HEAD, MESSAGE, VALUE, DONE = KINDS = "memory_session", "session_message", "session_value", "session_done"
"""Kinds of cells. All but the last hold what people have said."""

MOST_EXPECTED = 10_000
"""Sessions of which the next number is remembered."""
MOST_AT_ONCE = 200
"""Cells that are deleted in one amendment."""

Cells = Mapping[CellKey, Cell]
Make = Callable[[dict[str, Any], Cells, int], tuple[dict[CellKey, Cell | None], Written]]


class _Cells(CellStore, Protocol):
    def now(self) -> int: ...


class CellSessions:
    """The `Sessions` of any store."""

    def __init__(self, store: _Cells) -> None:
        self._store = store
        self._next: OrderedDict[Place, int] = OrderedDict()
        """numbers that the next messages are likely to get: a guess, which the store puts right"""

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
        told = item_bytes({"role": role, "content": content, **origin_fields(origin)}, what="message")
        if (next_one := self._next.get(place)) is None:
            next_one = (await self._told(place))["n"] + 1
        while True:  # its key holds its number, so it is made anew where somebody else was faster
            next_one = max(next_one, self._next.get(place, 1))
            self._expect(place, next_one + 1)  # of those that come at once, each asks for another
            target = _message_key(place, next_one)

            def make(
                head: dict[str, Any], cells: Cells, now: int, n: int = next_one, target: CellKey = target
            ) -> tuple[dict[CellKey, Cell | None], Written]:
                if head["n"] + 1 != n:
                    return {}, Written(version=head["n"], conflict=True)
                head["n"] = n
                return {target: Cell(_stamped(told, now), _due(now, ttl))}, Written(version=n)

            try:
                done = await self._amend(place, key, [target], make)
            except BaseException:
                self._next.pop(place, None)
                raise
            if not done.conflict:
                if done.version != next_one:  # it was written before: the number is somebody else's
                    self._next.pop(place, None)
                return done
            if done.version + 1 < next_one:  # another that had a number before this one's was not written
                self._next.pop(place, None)
            next_one = done.version + 1

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
        target = _value_key(place, name)
        told = {"key": name, "value": value, **origin_fields(origin)}
        item_bytes(told, what=f"value of `{name[:80]}`")

        def make(head: dict[str, Any], cells: Cells, now: int) -> tuple[dict[CellKey, Cell | None], Written]:
            there = _version(cells.get(target), now)
            if if_version not in (None, there):
                return {}, Written(version=there, conflict=True)
            head["v"] += 1
            data = _stamped(pydantic_core.to_json({**told, "version": head["v"]}), now)
            return {target: Cell(data, _due(now, ttl))}, Written(version=head["v"])

        return await self._amend(place, key, [target], make)

    async def delete(self, place: Place, name: str, *, key: str, if_version: int | None = None) -> Written:
        """Take a value away."""
        target = _value_key(place, name)

        def make(head: dict[str, Any], cells: Cells, now: int) -> tuple[dict[CellKey, Cell | None], Written]:
            there = _version(cells.get(target), now)
            if if_version not in (None, there):
                return {}, Written(version=there, conflict=True)
            head["v"] += 1
            return {target: None}, Written(version=head["v"])

        return await self._amend(place, key, [target], make)

    async def compact(self, place: Place, text: str, *, upto: int, origin: Origin, key: str) -> Written:
        """Let `text` stand for the messages up to `upto`. Raises `ConfigError` where there are not so many."""
        told = {"upto": upto, "text": text, **origin_fields(origin)}
        item_bytes(told, what="summary")
        there = (await self._told(place))["n"]
        if not 1 <= upto <= there:
            raise too_few(place.session, there, upto)

        def make(head: dict[str, Any], cells: Cells, now: int) -> tuple[dict[CellKey, Cell | None], Written]:
            before = (head["summary"] or {"upto": 0})["upto"]
            if before >= upto:
                return {}, Written(version=before, conflict=True)
            head["summary"] = {**told, "at": now}
            return {}, Written(version=upto)

        return await self._amend(place, key, [], make)

    def _expect(self, place: Place, number: int) -> None:
        self._next[place] = number
        self._next.move_to_end(place)
        if len(self._next) > MOST_EXPECTED:
            self._next.popitem(last=False)

    async def _amend(self, place: Place, key: str, targets: Sequence[CellKey], make: Make) -> Written:
        head_key = _head_key(place)
        done_key = CellKey(place.tenant, DONE, hashlib.sha256(key.encode()).hexdigest())

        def change(cells: Cells, now: int) -> tuple[Mapping[CellKey, Cell | None], Written]:
            if (done := cells.get(done_key)) is not None:
                return {}, Written(version=pydantic_core.from_json(done.data)["version"])
            head = _read_head(cells.get(head_key), now)
            written, came = make(head, cells, now)
            if came.conflict:
                return {}, came
            head["changed"] = now
            written[head_key] = Cell(pydantic_core.to_json(head))
            written[done_key] = Cell(pydantic_core.to_json({"version": came.version}), _due(now, DONE_FOR))
            return written, came

        return await self._store.amend(
            Amendment([head_key, done_key, *targets], change, subject=place.subject)
        )

    # reading ---------------------------------------------------------------------------------------------------

    async def get(self, place: Place, name: str) -> Kept | None:
        """A value; None: there is none, or its time is over."""
        target = _value_key(place, name)
        found = dict(await self._store.cells(VALUE, tenant=place.tenant, prefix=target.name, limit=1))
        cell = found.get(target)  # of all names that begin so, it is the first
        return None if cell is None or _over(cell, self._store.now()) else _kept(cell)

    async def values(self, place: Place, *, limit: int = MOST) -> list[Kept]:
        """Values, by name."""
        found = await self._store.cells(
            VALUE, tenant=place.tenant, prefix=f"{place.name}/", limit=check_page(limit)
        )
        now = self._store.now()
        return [_kept(cell) for _, cell in found if not _over(cell, now)]

    async def messages(
        self, place: Place, *, last: int | None = None, after: int = 0, limit: int = 100, whole: bool = False
    ) -> list[Message]:
        """The `last` messages, or those behind number `after`; in order, behind the summary of those before."""
        head = await self._told(place)
        told = None if whole else head["summary"]
        floor = max(after, 0 if told is None else told["upto"])
        if last is None:
            found = await self._range(place, floor, head["n"], check_page(limit))
        else:
            found, until = list[Message](), head["n"]
            while until > floor and len(found) < check_page(last):  # once, unless some are over
                since = max(floor, until - (last - len(found)))
                found = [*await self._range(place, since, until, MOST), *found]
                until = since
        if told is None or after >= told["upto"]:
            return found
        summary = _summary(told)
        first = Message(
            n=summary.upto, role="summary", content=summary.text, at=summary.at, origin=summary.origin
        )
        return [first, *found]

    async def _range(self, place: Place, after: int, until: int, limit: int) -> list[Message]:
        """Those numbered `after` + 1 to `until` that are not over: at most `limit`."""
        found: list[Message] = []
        now = self._store.now()
        while after < until and len(found) < limit:
            page = await self._store.cells(
                MESSAGE,
                tenant=place.tenant,
                prefix=f"{place.name}/",
                after=_message_key(place, after),
                limit=limit - len(found),
            )
            for key, cell in page:
                after = int(key.name.rpartition("/")[2])
                if after <= until and not _over(cell, now):
                    found.append(_message(after, cell))
            if not page:
                break
        return found

    async def head(self, place: Place) -> SessionHead | None:
        """The session as a whole; None: nobody has written to it."""
        cell = await self._head_cell(place)
        return None if cell is None else _head(place, pydantic_core.from_json(cell.data))

    async def ls(self, tenant: str, *, after: Place | None = None, limit: int = 100) -> list[SessionHead]:
        """Sessions of a tenant, in the order of their subjects and names."""
        behind = None if after is None else _head_key(after)
        found = await self._store.cells(HEAD, tenant=tenant, after=behind, limit=check_page(limit))
        return [_head(Place.of(tenant, key.name), pydantic_core.from_json(cell.data)) for key, cell in found]

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete all sessions of a data subject. Their heads go last: who is interrupted finds them again."""
        gone = 0
        for begin in (f"{quote(subject, safe='')}/", f"{quote(subject, safe='')}@"):
            for kind in (MESSAGE, VALUE, HEAD):
                while page := await self._store.cells(kind, tenant=tenant, prefix=begin, limit=MOST_AT_ONCE):
                    keys = [key for key, _ in page]
                    await self._store.amend(Amendment(keys, lambda cells, now: (dict.fromkeys(cells), None)))
                    gone += sum(kind != HEAD or b'"summary":null' not in cell.data for _, cell in page)
        return gone

    async def _told(self, place: Place) -> dict[str, Any]:
        return _read_head(await self._head_cell(place), 0)

    async def _head_cell(self, place: Place) -> Cell | None:
        key = _head_key(place)
        found = dict(await self._store.cells(HEAD, tenant=place.tenant, prefix=key.name, limit=1))
        return found.get(key)


def _head_key(place: Place) -> CellKey:
    return CellKey(place.tenant, HEAD, place.name)


def _message_key(place: Place, n: int) -> CellKey:
    return CellKey(place.tenant, MESSAGE, f"{place.name}/{n:012d}")


def _value_key(place: Place, name: str) -> CellKey:
    return CellKey(place.tenant, VALUE, f"{place.name}/{value_name(name)}")


def _read_head(cell: Cell | None, now: int) -> dict[str, Any]:
    if cell is None:
        return {"n": 0, "v": 0, "summary": None, "began": now, "changed": now}
    return pydantic_core.from_json(cell.data)


def _head(place: Place, told: dict[str, Any]) -> SessionHead:
    return SessionHead(
        place=place,
        messages=told["n"],
        version=told["v"],
        summary=None if told["summary"] is None else _summary(told["summary"]),
        began=told["began"],
        changed=told["changed"],
    )


def _summary(told: dict[str, Any]) -> Summary:
    return Summary(upto=told["upto"], text=told["text"], at=told["at"], origin=origin_from(told))


def _message(n: int, cell: Cell) -> Message:
    told = pydantic_core.from_json(cell.data)
    return Message(n=n, role=told["role"], content=told["content"], at=told["at"], origin=origin_from(told))


def _kept(cell: Cell) -> Kept:
    told = pydantic_core.from_json(cell.data)
    return Kept(
        key=told["key"],
        value=told["value"],
        version=told["version"],
        at=told["at"],
        origin=origin_from(told),
    )


def _stamped(told: bytes, now: int) -> bytes:
    """With the time at which it was written, which only the store knows."""
    return told[:-1] + b',"at":%d}' % now


def _due(now: int, ttl: timedelta | None) -> int | None:
    return None if check_lifetime(ttl) is None or ttl is None else now + to_micros(ttl)


def _over(cell: Cell, now: int) -> bool:
    return cell.due is not None and cell.due <= now


def _version(cell: Cell | None, now: int) -> int:
    return 0 if cell is None or _over(cell, now) else pydantic_core.from_json(cell.data)["version"]
