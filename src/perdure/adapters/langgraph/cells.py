"""Threads of LangGraph as cells of a store: how they are named, how values are kept once, and who may rely on what.

    h/NAMESPACE               the latest id
    c/NAMESPACE/ID            versions, metadata, the parent, and for each channel its value or where that is
    w/NAMESPACE/ID/TASK       what a task wrote before its step was over
    v/DIGEST                  a message, a value, or a branch of a list
    m                         the thread's mark: a new one where values were taken away

A value that a process has written once it does not write again. So whoever takes values away (`Shelf.sweep`) sets a
mark first; a writer that finds another mark than it knows writes all its values anew, and takes the mark of a sweep
that is under way off: then that begins again. Nothing that a checkpoint names is ever taken away.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, cast
from urllib.parse import quote

import pydantic_core

from ...journal import Store, fingerprint
from ...journal.cells import Amendment, Cell, CellKey

__all__ = ["KIND", "Shelf", "Values", "name", "typed", "untyped"]

KIND = "langgraph"
FANOUT = 32
"""Parts of a branch: a list of a thousand is two branches deep."""
INLINE = 120
"""Bytes: what is not longer stands in its checkpoint, where an address would cost as much."""
MOST_KNOWN = 64
"""Threads whose stored addresses are remembered, so that they are not written again."""
PAGE = 1000

Change = Callable[[Mapping[str, bytes]], tuple[Mapping[str, bytes | None], Any]]
"""Gets the cells that are there, by name; returns those to be written (None: deleted) and a result."""


@dataclass(slots=True)
class _Known:
    mark: str | None = None
    digests: set[str] = field(default_factory=set[str])


@dataclass(frozen=True, slots=True)
class _Told:
    mark: str | None
    result: Any
    written: bool


@dataclass(slots=True)
class Shelf:
    """The threads of one tenant."""

    store: Store
    tenant: str
    key: bytes = b""
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict[str, _Known])

    async def open(self) -> None:
        """Open the store."""
        await self.store.open()
        self.key = await self.store.tenant_key(self.tenant)

    # reading ---------------------------------------------------------------------------------------------------

    async def read(self, thread: str, names: Iterable[str]) -> dict[str, bytes]:
        """Those of the cells that are there."""
        keys = {self._cell(thread, name): name for name in names}
        if not keys:
            return {}

        def look(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            return {}, {keys[key]: cell.data for key, cell in there.items()}

        return await self.store.amend(Amendment(list(keys), look))

    async def values(self, thread: str, digests: Iterable[str]) -> dict[str, bytes]:
        """Values by their digests. Raises `KeyError` where one is not there."""
        wanted = list(dict.fromkeys(digests))
        found = await self.read(thread, [f"v/{d}" for d in wanted])
        return {d: found[f"v/{d}"] for d in wanted}

    async def pages(self, prefix: str) -> AsyncIterator[list[tuple[str, bytes]]]:
        """Cells whose names begin so, the thread's first: `name("THREAD", "c")`."""
        after: CellKey | None = None
        while True:
            page = await self.store.cells(KIND, tenant=self.tenant, prefix=prefix, after=after, limit=PAGE)
            yield [(key.name, cell.data) for key, cell in page]
            if len(page) < PAGE:
                return
            after = page[-1][0]

    async def all(self, prefix: str) -> list[tuple[str, bytes]]:
        """All of `pages`."""
        return [row async for page in self.pages(prefix) for row in page]

    # writing ---------------------------------------------------------------------------------------------------

    async def write(
        self, thread: str, values: Mapping[str, bytes], names: Sequence[str], change: Change
    ) -> Any:
        """Change the cells `names`, with `values` beside them, as one; what `change` returns beside the cells."""
        known = self._known_of(thread)
        if known.mark is not None:
            fresh = {d: data for d, data in values.items() if d not in known.digests}
            told = await self._amend(thread, fresh, names, change, relied_on=known.mark)
            if told is not None:
                known.digests.update(fresh if told.written else ())
                return told.result
            known.mark = None
        told = await self._amend(thread, values, names, change, relied_on=None)
        assert told is not None
        if known.mark != told.mark:
            known.mark, known.digests = told.mark, set()
        known.digests.update(values if told.written else ())
        return told.result

    async def _amend(
        self,
        thread: str,
        values: Mapping[str, bytes],
        names: Sequence[str],
        change: Change,
        *,
        relied_on: str | None,
    ) -> _Told | None:
        """None: another mark stands there than was relied on."""
        marked = self._cell(thread, "m")
        own = {self._cell(thread, name): name for name in names}
        beside = {self._cell(thread, f"v/{digest}"): Cell(data) for digest, data in values.items()}
        new = token_hex(8)

        def amend(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            mark, sweeping = _mark(there.get(marked))
            if relied_on is not None and (sweeping or mark != relied_on):
                return {}, None
            told, result = change({own[k]: cell.data for k, cell in there.items() if k in own})
            if not told:
                return {}, _Told(mark, result, written=False)
            written: dict[CellKey, Cell | None] = {**beside}
            for name, data in told.items():
                written[self._cell(thread, name)] = None if data is None else Cell(data)
            if mark is None or sweeping:
                mark, written[marked] = new, _marked(new, sweeping=False)
            return written, _Told(mark, result, written=True)

        return await self.store.amend(Amendment([marked, *own, *beside], amend))

    # taking away -----------------------------------------------------------------------------------------------

    async def delete(self, thread: str) -> None:
        """All that is stored of a thread."""
        await self.sweep(thread, dict.fromkeys)

    async def sweep(
        self, thread: str, decide: Callable[[Mapping[str, bytes]], Mapping[str, bytes | None]]
    ) -> None:
        """Take away what `decide` says: it gets all cells of the thread, and returns those to be written (None: gone).

        They are written in the order in which it returns them. Where somebody writes to the thread meanwhile, it is
        asked again.
        """
        prefix, marked = name(thread) + "/", self._cell(thread, "m")
        over = False
        while not over:
            if not await self.store.cells(KIND, tenant=self.tenant, prefix=prefix, limit=1):
                break
            mark = token_hex(8)
            await self._swept(marked, [], {marked: _marked(mark, sweeping=True)}, mark=None)
            cells = {n.removeprefix(prefix): data for n, data in await self.all(prefix)}
            cells.pop("m", None)
            decided = decide(cells)
            doomed = [(self._cell(thread, n), data) for n, data in decided.items()]
            for i in range(0, len(doomed), PAGE):
                page = {key: None if data is None else Cell(data) for key, data in doomed[i : i + PAGE]}
                if not await self._swept(marked, list(page), page, mark=mark):
                    break
            else:
                empty = len(decided) == len(cells) and not any(decided.values())
                end = None if empty else _marked(mark, sweeping=False)
                over = await self._swept(marked, [], {marked: end}, mark=mark)
        self._known.pop(thread, None)

    async def _swept(
        self,
        marked: CellKey,
        keys: Sequence[CellKey],
        page: Mapping[CellKey, Cell | None],
        *,
        mark: str | None,
    ) -> bool:
        def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            if mark is not None and _mark(there.get(marked)) != (mark, True):
                return {}, False
            return page, True

        return await self.store.amend(Amendment([marked, *keys], change))

    async def copy(self, source: str, target: str) -> None:
        """All cells of a thread, under another name."""
        self._known.pop(target, None)
        prefix, to = name(source) + "/", name(target) + "/"
        async for page in self.pages(prefix):
            copied = {
                CellKey(self.tenant, KIND, to + n.removeprefix(prefix)): Cell(data)
                for n, data in page
                if n != f"{prefix}m"
            }
            if copied:
                await self.store.amend(
                    Amendment(list(copied), lambda there, now, copied=copied: (copied, None))
                )

    def _cell(self, thread: str, cell: str) -> CellKey:
        return CellKey(self.tenant, KIND, f"{name(thread)}/{cell}")

    def _known_of(self, thread: str) -> _Known:
        known = self._known.setdefault(thread, _Known())
        self._known.move_to_end(thread)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return known


def _mark(cell: Cell | None) -> tuple[str | None, bool]:
    if cell is None:
        return None, False
    told: dict[str, Any] = pydantic_core.from_json(cell.data)
    return told["mark"], told["sweeping"]


def _marked(mark: str, *, sweeping: bool) -> Cell:
    return Cell(pydantic_core.to_json({"mark": mark, "sweeping": sweeping}))


class Values:
    """What a checkpoint says of its values; `cells` is what is to be stored beside it, by digest."""

    def __init__(self, serde: Any, key: bytes) -> None:
        self._serde = serde
        self._key = key
        self.cells: dict[str, bytes] = {}

    def of(self, value: Any) -> Any:
        """A value as it is in memory."""
        if type(value) is list and value:
            return self.of_parts([self._serde.dumps_typed(v) for v in cast("list[Any]", value)])
        return self.of_bytes(self._serde.dumps_typed(value))

    def of_bytes(self, value: tuple[str, bytes]) -> Any:
        """A value as the serializer has it: kind and bytes."""
        kind, data = value
        if len(data) <= INLINE:
            return typed(value)
        return self._address(kind.encode() + b"\0" + data)

    def of_parts(self, parts: Sequence[tuple[str, bytes]]) -> Any:
        """A list, part by part as the serializer has them."""
        level = [self.of_bytes(part) for part in parts]
        depth = 0
        while len(level) > FANOUT:
            level = [
                self._address(pydantic_core.to_json(level[i : i + FANOUT]))
                for i in range(0, len(level), FANOUT)
            ]
            depth += 1
        short = depth == 0 and len(level) < 3
        return {"list": level if short else self._address(pydantic_core.to_json(level)), "depth": depth}

    def _address(self, data: bytes) -> str:
        digest = b64encode(fingerprint(self._key, data), b"-_").decode().rstrip("=")
        self.cells[digest] = data
        return digest


def name(*parts: Any) -> str:
    """Of a cell: the parts, joined by `/`, each without one."""
    return "/".join(quote(str(part), safe="") for part in parts)


def typed(value: tuple[str, bytes]) -> list[str]:
    """Kind and bytes of a serializer, as JSON."""
    return [value[0], b64encode(value[1]).decode()]


def untyped(told: list[str]) -> tuple[str, bytes]:
    """What `typed` was given."""
    return told[0], b64decode(told[1])
