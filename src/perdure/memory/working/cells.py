"""Working memory in cells: on whatever keeps journals, ranked in the process.

It serves `memory://`, and on every store what is about a data subject: their cells are sealed, and neither an index of
words nor one of vectors could be. Its searches look at the newest `MOST_RANKED` passages of a space.

    working_space  subject/agent/name                         how many texts there were
    working_mark   subject/agent/name/id                      a text's number and passages; that it was forgotten
    working_item   subject/agent/name/999999999983/0000/id    the newest first
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol
from urllib.parse import quote

import pydantic_core

from ...core.clock import to_micros
from ...core.errors import ConfigError
from ...journal import Amendment, Cell, CellKey
from ...journal.cells import CellStore
from ..port import Origin
from .port import Found, Part, Passage, Query, Space, SpaceHead, check_parts
from .ranking import MOST_RANKED, Candidate, ranked

__all__ = ["FORGOTTEN_FOR", "WORKING_KINDS", "CellWorking", "check_id", "due_of", "id_of"]

WORKING_KINDS = ("working_space", "working_mark", "working_item")
"""Kinds of cells. The last holds what people have said."""
SPACE, MARK, ITEM = WORKING_KINDS

_MOST_TEXTS = 10**12
_PAGE = 1000
_AT_ONCE = 200
"""Passages that are ranked in less time than a thread takes to begin."""
FORGOTTEN_FOR = timedelta(days=90)
"""So long a forgotten text is not added again by a write that was asked for before."""


class _Cells(CellStore, Protocol):
    def now(self) -> int: ...


def id_of(key: str) -> str:
    """The id of the text that a write under that key adds."""
    return hashlib.sha256(key.encode()).hexdigest()[:20]


def due_of(now: int, ttl: timedelta | None) -> int | None:
    """When what is kept now is over. Raises `ConfigError`."""
    if ttl is None:
        return None
    if ttl <= timedelta(0):
        raise ConfigError(f"`{ttl}` is not how long something can be kept: give a time above zero")
    return now + to_micros(ttl)


def check_id(id: str) -> str:
    """Itself. Raises `ConfigError` for what is no id."""
    if not id.isalnum():
        raise ConfigError(
            f"`{id[:80]}` is no id of what is remembered: take one that `add` or a search returned"
        )
    return id


class CellWorking:
    """The `Working` of any store."""

    def __init__(self, store: _Cells) -> None:
        self._store = store

    async def add(
        self,
        space: Space,
        parts: Sequence[Part],
        *,
        kind: str,
        source: str,
        origin: Origin,
        key: str,
        model: str | None = None,
        ttl: timedelta | None = None,
    ) -> str:
        """Keep a text; its id."""
        check_parts(parts, kind=kind, source=source)
        id, head_key = id_of(key), CellKey(space.tenant, SPACE, space.key)
        mark_key = _mark_key(space, id)
        common = {
            "kind": kind,
            "source": source,
            "run": origin.run,
            "step": origin.step,
            "labels": sorted(origin.labels),
            "model": model,
        }
        while True:  # its cells' names hold its number, so they are made anew where somebody else was faster
            n = (await self._head(head_key))["n"] + 1
            names = [_item_key(space, n, i, id) for i in range(len(parts))]

            def change(
                cells: Mapping[CellKey, Cell], now: int, n: int = n, names: Sequence[CellKey] = names
            ) -> tuple[Mapping[CellKey, Cell | None], bool]:
                if mark_key in cells:
                    return {}, True
                head = _read_head(cells.get(head_key), now)
                if head["n"] + 1 != n:
                    return {}, False
                due = due_of(now, ttl)
                head |= {"n": n, "items": head["items"] + len(parts), "changed": now}
                written: dict[CellKey, Cell | None] = {
                    head_key: Cell(_json(head)),
                    mark_key: Cell(_json({"n": n, "parts": len(parts)}), due),
                }
                for name, part in zip(names, parts, strict=True):
                    vector = None if part.vector is None else base64.b64encode(part.vector).decode()
                    told = {**common, "text": part.text, "vector": vector, "at": now}
                    written[name] = Cell(_json(told), due)
                return written, True

            amendment = Amendment([head_key, mark_key, *names], change, subject=space.subject)
            if await self._store.amend(amendment):
                return id

    async def search(self, space: Space, query: Query) -> list[Found]:
        """The best passages of the newest `MOST_RANKED`, the best first."""
        query.check()
        found = await self._newest(space, MOST_RANKED)
        if len(found) < _AT_ONCE:
            return ranked(found, query)
        return await asyncio.to_thread(ranked, found, query)

    async def get(self, space: Space, id: str) -> list[Passage]:
        """The passages of a text, in order."""
        mark = await self._mark(space, id)
        if mark is None or mark.get("forgotten"):
            return []
        found = await self._store.cells(
            ITEM, tenant=space.tenant, prefix=f"{space.key}/{_number(mark['n'])}/", limit=_PAGE
        )
        now = self._store.now()
        return [_candidate(key, cell).item for key, cell in found if not _over(cell, now)]

    async def ls(self, space: Space, *, before: int | None = None, limit: int = 100) -> list[Passage]:
        """All passages of the `limit` newest texts."""
        found: list[Passage] = []
        texts: set[str] = set()
        async for page in self._pages(space, before=before):
            for candidate in page:
                if candidate.item.id not in texts and len(texts) == limit:
                    return found
                texts.add(candidate.item.id)
                found.append(candidate.item)
        return found

    async def forget(self, space: Space, id: str, *, key: str) -> bool:
        """Take a text away for good; whether it was there."""
        by = id_of(key)

        def forgotten(told: dict[str, Any], now: int) -> tuple[dict[str, Any], int | None]:
            return {"n": told["n"], "parts": 0, "forgotten": by}, now + to_micros(FORGOTTEN_FOR)

        done = await self._each(space, id, lambda _: None, mark=forgotten)
        return done or (await self._mark(space, id) or {}).get("forgotten") == by

    async def erase(self, tenant: str, subject: str) -> int:
        """Delete all spaces of a data subject."""
        passages = 0
        for kind in WORKING_KINDS:
            prefix = f"{quote(subject, safe='')}/"
            while page := await self._store.cells(kind, tenant=tenant, prefix=prefix, limit=_PAGE):
                gone = dict.fromkeys(key for key, _ in page)
                await self._store.amend(
                    Amendment(list(gone), lambda _cells, _now, gone=gone: (gone, None), subject=subject)
                )
                passages += len(gone) if kind == ITEM else 0
        return passages

    async def spaces(self, tenant: str, *, after: Space | None = None, limit: int = 100) -> list[SpaceHead]:
        """Spaces of a tenant, in the order of their keys."""
        behind = None if after is None else CellKey(tenant, SPACE, after.key)
        found = await self._store.cells(SPACE, tenant=tenant, after=behind, limit=limit)
        return [_space_head(Space.of(tenant, k.name), pydantic_core.from_json(c.data)) for k, c in found]

    async def _each(
        self,
        space: Space,
        id: str,
        make: Callable[[Cell], Cell | None],
        *,
        mark: Callable[[dict[str, Any], int], tuple[dict[str, Any], int | None]] | None = None,
    ) -> bool:
        """Change all passages of a text at once; whether it was there."""
        told = await self._mark(space, id)
        if told is None or told.get("forgotten"):
            return False
        mark_key = _mark_key(space, id)
        names = [_item_key(space, told["n"], i, id) for i in range(told["parts"])]

        def change(cells: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], bool]:
            there = cells.get(mark_key)
            if there is None or (known := pydantic_core.from_json(there.data)).get("forgotten"):
                return {}, False
            written: dict[CellKey, Cell | None] = {n: make(cells[n]) for n in names if n in cells}
            if mark is not None:
                left, due = mark(known, now)
                written[mark_key] = Cell(_json(left), due)
            return written, True

        return await self._store.amend(Amendment([mark_key, *names], change, subject=space.subject))

    async def _newest(self, space: Space, limit: int) -> list[Candidate]:
        found: list[Candidate] = []
        async for page in self._pages(space):
            found += page
            if len(found) >= limit:
                break
        return found[:limit]

    async def _pages(self, space: Space, *, before: int | None = None) -> AsyncGenerator[list[Candidate]]:
        """Passages, the newest text first, without those that are over."""
        after: CellKey | None = None
        if before is not None:  # behind all passages of that text
            after = CellKey(space.tenant, ITEM, f"{space.key}/{_number(before)}/~")
        now = self._store.now()
        while True:
            page = await self._store.cells(
                ITEM, tenant=space.tenant, prefix=f"{space.key}/", after=after, limit=_PAGE
            )
            yield [_candidate(key, cell) for key, cell in page if not _over(cell, now)]
            if len(page) < _PAGE:
                return
            after = page[-1][0]

    async def _head(self, key: CellKey) -> dict[str, Any]:
        found = dict(await self._store.cells(SPACE, tenant=key.tenant, prefix=key.name, limit=1))
        return _read_head(found.get(key), 0)

    async def _mark(self, space: Space, id: str) -> dict[str, Any] | None:
        key = _mark_key(space, id)
        cell = dict(await self._store.cells(MARK, tenant=space.tenant, prefix=key.name, limit=1)).get(key)
        return None if cell is None or _over(cell, self._store.now()) else pydantic_core.from_json(cell.data)


def _number(n: int) -> str:
    return f"{_MOST_TEXTS - n:012d}"


def _item_key(space: Space, n: int, part: int, id: str) -> CellKey:
    return CellKey(space.tenant, ITEM, f"{space.key}/{_number(n)}/{part:04d}/{id}")


def _mark_key(space: Space, id: str) -> CellKey:
    check_id(id)
    return CellKey(space.tenant, MARK, f"{space.key}/{id}")


def _read_head(cell: Cell | None, now: int) -> dict[str, Any]:
    if cell is None:
        return {"n": 0, "items": 0, "began": now, "changed": now}
    return pydantic_core.from_json(cell.data)


def _space_head(space: Space, told: dict[str, Any]) -> SpaceHead:
    return SpaceHead(space=space, items=told["items"], began=told["began"], changed=told["changed"])


def _candidate(key: CellKey, cell: Cell) -> Candidate:
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    *_, number, part, id = key.name.split("/")
    item = Passage(
        id=id,
        part=int(part),
        kind=told["kind"],
        source=told["source"],
        text=told["text"],
        n=_MOST_TEXTS - int(number),
        at=told["at"],
        origin=Origin(run=told["run"], step=told["step"], labels=tuple(told["labels"])),
    )
    vector = told["vector"]
    return Candidate(item, told["model"], None if vector is None else base64.b64decode(vector))


def _over(cell: Cell, now: int) -> bool:
    return cell.due is not None and cell.due <= now


def _json(told: dict[str, Any]) -> bytes:
    return pydantic_core.to_json(told)
