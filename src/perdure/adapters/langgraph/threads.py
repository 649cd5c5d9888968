"""Threads of LangGraph in a store: checkpoints put, read, listed and taken away. `PerdureSaver` is its face.

A thread's history grows with what is new in it, not with its square: each message is stored once, under a keyed digest
of its content, and a list is a tree of such digests, of which a longer list shares all but the last branch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import unquote

import pydantic_core
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)

from .cells import Shelf, Values, name, typed, untyped

__all__ = ["Threads", "head_of", "merged_writes"]

COUNTERS = "counters_since_delta_snapshot"
"""Of the metadata: the channels whose value is not in the checkpoint, but follows from the writes before it."""


class Threads:
    """The threads of a shelf, read and written by one serializer."""

    def __init__(self, shelf: Shelf, serde: Any) -> None:
        self._shelf = shelf
        self._serde = serde

    # storing ---------------------------------------------------------------------------------------------------

    async def put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> RunnableConfig:
        """Store a checkpoint."""
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        rest = cast("dict[str, Any]", checkpoint.copy())
        values = Values(self._serde, self._shelf.key)
        told = {
            "parent": where.get("checkpoint_id") or None,
            "values": {channel: values.of(value) for channel, value in rest.pop("channel_values").items()},
            "checkpoint": typed(self._serde.dumps_typed(rest)),
            "metadata": typed(self._serde.dumps_typed(get_checkpoint_metadata(config, metadata))),
        }
        id_ = checkpoint["id"]
        cell, head = name("c", ns, id_), name("h", ns)

        def change(there: Mapping[str, bytes]) -> tuple[Mapping[str, bytes | None], None]:
            return {cell: pydantic_core.to_json(told), head: head_of(there.get(head), id_)}, None

        await self._shelf.write(thread, values.cells, [cell, head], change)
        return _config(thread, ns, id_)

    async def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        """Store what a task wrote; what stands there already stays, but for what is written at its end."""
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        values = Values(self._serde, self._shelf.key)
        told = {
            str(WRITES_IDX_MAP.get(channel, i)): [channel, values.of(value), task_path]
            for i, (channel, value) in enumerate(writes)
        }
        cell = name("w", ns, where["checkpoint_id"], task_id)

        def change(there: Mapping[str, bytes]) -> tuple[Mapping[str, bytes | None], None]:
            return {cell: merged_writes(there.get(cell), told)}, None

        await self._shelf.write(thread, values.cells, [cell], change)

    # reading ---------------------------------------------------------------------------------------------------

    async def get(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that is named, or the latest."""
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        id_ = get_checkpoint_id(config)
        if not id_:  # LangGraph says that it means none by leaving it out, by None, and by an empty text
            head = await self._shelf.read(thread, [name("h", ns)])
            if not head:
                return None
            id_ = pydantic_core.from_json(next(iter(head.values())))
        cell = name("c", ns, id_)
        found = await self._shelf.read(thread, [cell])
        if not found:
            return None
        try:
            return await self._tuple(thread, ns, str(id_), found[cell])
        except KeyError:
            if await self._shelf.read(thread, [cell]):
                raise
            return None  # it was taken away meanwhile

    async def list(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> list[CheckpointTuple]:
        """Checkpoints, the latest first."""
        where = {} if config is None else _configurable(config)
        prefix = name(where["thread_id"], "c") + "/" if "thread_id" in where else ""
        found: list[tuple[str, str, str, bytes]] = []
        async for page in self._shelf.pages(prefix):
            found += [row for row in _checkpoints(page)]
        found.sort(key=lambda row: row[2], reverse=True)
        end = None if before is None else get_checkpoint_id(before)
        tuples: list[CheckpointTuple] = []
        for thread, ns, id_, data in found:
            if limit is not None and len(tuples) >= limit:
                break
            wanted_ns = where.get("checkpoint_ns")
            if (wanted_ns is not None and wanted_ns != ns) or (where.get("checkpoint_id") or id_) != id_:
                continue
            if end is not None and id_ >= end:
                continue
            metadata = self._metadata(pydantic_core.from_json(data))
            if all(metadata.get(k) == v for k, v in (wanted or {}).items()):
                tuples.append(await self._tuple(thread, ns, id_, data))
        return tuples

    def _metadata(self, told: dict[str, Any]) -> dict[str, Any]:
        return self._serde.loads_typed(untyped(told["metadata"]))

    async def _tuple(self, thread: str, ns: str, id_: str, data: bytes) -> CheckpointTuple:
        told: dict[str, Any] = pydantic_core.from_json(data)
        tasks: list[tuple[str, dict[str, Any]]] = [
            (unquote(cell.rpartition("/")[2]), pydantic_core.from_json(data))
            for cell, data in await self._shelf.all(name(thread, "w", ns, id_) + "/")
        ]
        writes = sorted(
            (
                (path, task, int(i), channel, value)
                for task, all_ in tasks
                for i, (channel, value, path) in all_.items()
            ),
            key=lambda w: writes_sort_key(w[0], w[1], w[2]),
        )
        names, values = list(told["values"]), list(told["values"].values())
        loaded = await self._load(thread, [*values, *(w[4] for w in writes)])
        checkpoint = self._serde.loads_typed(untyped(told["checkpoint"]))
        checkpoint["channel_values"] = dict(zip(names, loaded, strict=False))
        pending = [(w[1], w[3], value) for w, value in zip(writes, loaded[len(names) :], strict=True)]
        return CheckpointTuple(
            config=_config(thread, ns, id_),
            checkpoint=checkpoint,
            metadata=cast("Any", self._metadata(told)),
            parent_config=None if told["parent"] is None else _config(thread, ns, told["parent"]),
            pending_writes=pending,
        )

    async def _load(self, thread: str, stored: Sequence[Any]) -> Sequence[Any]:
        """The values behind what a checkpoint says of them; a level of all trees at a time."""
        flat, deep = _first_level(stored)
        while any(deep):
            data = await self._shelf.values(
                thread, [a for row, d in zip(flat, deep, strict=True) if d for a in row]
            )
            flat = [
                [part for a in row for part in pydantic_core.from_json(data[a])] if d else row
                for row, d in zip(flat, deep, strict=True)
            ]
            deep = [max(0, d - 1) for d in deep]
        data = await self._shelf.values(thread, [a for row in flat for a in row if isinstance(a, str)])
        loaded = [[self._value(a, data) for a in row] for row in flat]
        return [
            row if isinstance(s, dict) and "list" in s else row[0]
            for row, s in zip(loaded, stored, strict=True)
        ]

    def _value(self, stored: Any, data: Mapping[str, bytes]) -> Any:
        if isinstance(stored, str):
            kind, _, content = data[stored].partition(b"\0")
            return self._serde.loads_typed((kind.decode(), content))
        return self._serde.loads_typed(untyped(stored))

    # taking away -----------------------------------------------------------------------------------------------

    async def delete(self, thread: str) -> None:
        """All that is stored of a thread."""
        await self._shelf.delete(thread)

    async def copy(self, source: str, target: str) -> None:
        """A thread under another name too."""
        await self._shelf.copy(source, target)

    async def delete_runs(self, run_ids: Collection[str]) -> None:
        """The checkpoints of these runs, in whatever thread."""
        wanted = set(map(str, run_ids))
        threads: dict[str, None] = {}
        async for page in self._shelf.pages(""):
            for thread, _, _, data in _checkpoints(page):
                if self._metadata(pydantic_core.from_json(data)).get("run_id") in wanted:
                    threads[thread] = None

        def kept(there: Mapping[_Place, dict[str, Any]]) -> set[_Place]:
            left = {p for p, told in there.items() if self._metadata(told).get("run_id") not in wanted}
            missed = self._needed(left, there) - left
            if missed:
                ns, id_ = min(missed)
                raise ValueError(
                    f"checkpoint `{id_}` of namespace `{ns}` cannot be deleted with its run: checkpoints of other runs "
                    "take the value of a `DeltaChannel` from it. Delete those runs too, or the thread"
                )
            return left

        for thread in threads:
            await self._sweep(thread, kept)

    async def keep_latest(self, thread: str) -> None:
        """The latest checkpoint of each namespace, and those before it that its `DeltaChannel`s need."""

        def kept(there: Mapping[_Place, dict[str, Any]]) -> set[_Place]:
            latest: dict[str, str] = {}
            for ns, id_ in there:
                latest[ns] = max(latest.get(ns, ""), id_)
            return self._needed(set(latest.items()), there)

        await self._sweep(thread, kept)

    def _needed(self, wanted: set[_Place], there: Mapping[_Place, dict[str, Any]]) -> set[_Place]:
        """Checkpoints, with those before them that the values of their channels follow from."""
        found = set(wanted)
        for ns, id_ in wanted:
            told = there[ns, id_]
            missing = set(self._metadata(told).get(COUNTERS) or ()) - set(told["values"])
            while missing and (ns, told["parent"]) in there:
                found.add((ns, told["parent"]))
                told = there[ns, told["parent"]]
                missing -= set(told["values"])
        return found

    async def _sweep(self, thread: str, choose: Any) -> None:
        await self._shelf.sweep(thread, lambda cells: _without(cells, choose))


_Place = tuple[str, str]
"""Namespace and id of a checkpoint."""


def _without(cells: Mapping[str, bytes], choose: Any) -> dict[str, bytes | None]:
    """What is to be written so that of all checkpoints those that `choose` names are left, and their values."""
    told: dict[_Place, dict[str, Any]] = {}
    for cell, data in cells.items():
        kind, *rest = cell.split("/")
        if kind == "c":
            told[unquote(rest[0]), unquote(rest[1])] = pydantic_core.from_json(data)
    kept: set[_Place] = choose(told)
    heads: dict[str, bytes | None] = {}
    gone: dict[str, bytes | None] = {}
    left: list[Any] = []
    for ns, id_ in sorted(told):
        head = name("h", ns)
        heads.setdefault(head, None)
        one = told[ns, id_]
        if (ns, id_) not in kept:
            gone[name("c", ns, id_)] = None
            continue
        heads[head] = head_of(heads[head], id_)
        left += one["values"].values()
        if one["parent"] is not None and (ns, one["parent"]) not in kept:
            gone[name("c", ns, id_)] = pydantic_core.to_json({**one, "parent": None})
    for cell, data in cells.items():
        kind, *rest = cell.split("/")
        if kind == "w":
            place = unquote(rest[0]), unquote(rest[1])
            if place in told and place not in kept:
                gone[cell] = None
            else:  # also of a checkpoint that is yet to come
                left += [value for _, value, _ in pydantic_core.from_json(data).values()]
    used = _addresses(left, cells)
    values = [cell for cell in cells if cell.startswith("v/") and cell[2:] not in used]
    changed = {head: data for head, data in heads.items() if cells.get(head) != data}
    return {**changed, **gone, **dict.fromkeys(values)}


def _addresses(stored: Sequence[Any], cells: Mapping[str, bytes]) -> set[str]:
    """The digests of all that is behind these values."""
    flat, deep = _first_level(stored)
    used: set[str] = set()
    while any(deep):
        branches = {a for row, d in zip(flat, deep, strict=True) if d for a in row}
        used |= branches
        parts = {a: pydantic_core.from_json(cells[f"v/{a}"]) for a in branches}
        flat = [[p for a in row for p in parts[a]] if d else row for row, d in zip(flat, deep, strict=True)]
        deep = [max(0, d - 1) for d in deep]
    return used | {a for row in flat for a in row if isinstance(a, str)}


def _first_level(stored: Sequence[Any]) -> tuple[list[list[Any]], list[int]]:
    """Of each value what stands in the checkpoint, as a list, and how many branches it is to the parts."""
    flat: list[list[Any]] = []
    deep: list[int] = []
    for s in stored:
        told: dict[str, Any] = cast("Any", s) if isinstance(s, dict) else {"list": [s], "depth": 0}
        parts: Any = told["list"]
        if isinstance(parts, list):
            flat.append(cast("list[Any]", parts))
            deep.append(0)
        else:
            flat.append([parts])
            deep.append(told["depth"] + 1)
    return flat, deep


def _checkpoints(page: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, str, str, bytes]]:
    """Thread, namespace, id and content of the checkpoints among these cells."""
    for cell, data in page:
        thread, kind, *rest = cell.split("/")
        if kind == "c":
            yield unquote(thread), unquote(rest[0]), unquote(rest[1]), data


def head_of(there: bytes | None, id_: str) -> bytes:
    """The latest id of a namespace, once it has this one too."""
    return pydantic_core.to_json(id_ if there is None else max(pydantic_core.from_json(there), id_))


def merged_writes(there: bytes | None, told: Mapping[str, Any]) -> bytes:
    """What a task wrote, once it has written this too."""
    before: dict[str, Any] = {} if there is None else pydantic_core.from_json(there)
    again = {i: w for i, w in told.items() if int(i) < 0 or i not in before}
    return pydantic_core.to_json({**before, **again})


def _configurable(config: RunnableConfig) -> dict[str, Any]:
    return cast("dict[str, Any]", config).get("configurable", {})


def _config(thread: str, ns: str, id_: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id_}}
