"""`PerdureSaver`: LangGraph's checkpoints in a Perdure store, for those who want only that.

A thread's history grows with what is new in it, not with its square: each message is stored once, under a keyed digest
of its content, and a list is a tree of such digests, of which a longer list shares all but the last branch.

    head NAMESPACE ── the latest id
    checkpoint NAMESPACE ID ── versions, metadata, the parent, and for each channel the address of its value
    writes NAMESPACE ID TASK ── what a task wrote before its step was over
    value DIGEST ── a message, a value, or a branch of a list

All of them are cells of the store, under the thread's name. The saver has a loop in a thread of its own, so that it
serves sync and async graphs alike.
"""

from __future__ import annotations

import asyncio
import threading
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast
from urllib.parse import quote, unquote

import pydantic_core
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)

from ..journal import Store, fingerprint
from ..journal.cells import Amendment, Cell, CellKey

__all__ = ["PerdureSaver"]

T = TypeVar("T")

KIND = "langgraph"
FANOUT = 32
"""Parts of a branch: a list of a thousand is two branches deep."""
INLINE = 120
"""Bytes: what is not longer stands in its checkpoint, where an address would cost as much."""
MOST_KNOWN = 64
"""Threads whose stored addresses are remembered, so that they are not written again."""
PAGE = 1000


class PerdureSaver(BaseCheckpointSaver[int]):
    """Keeps threads in `store`, which it opens; `close` it at the end, or use it in a `with`.

        with PerdureSaver(App("sqlite:///agents.db").store) as saver:
            graph = builder.compile(checkpointer=saver)

    A run of Perdure needs no checkpointer: there the journal is what survives.
    """

    def __init__(self, store: Store, *, tenant: str = "default", serde: Any = None) -> None:
        super().__init__(serde=serde)
        self._store = store
        self._tenant = tenant
        self._key = b""
        self._known: OrderedDict[str, set[str]] = OrderedDict()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="perdure-saver", daemon=True)
        self._thread.start()
        self._sync(self._open())

    async def _open(self) -> None:
        await self._store.open()
        self._key = await self._store.tenant_key(self._tenant)

    def close(self) -> None:
        """Close the store, and end the thread."""
        if self._loop.is_closed():
            return
        self._sync(self._store.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> PerdureSaver:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _sync(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _async(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    # LangGraph's interface, sync and async ---------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that `config` names, or the thread's latest."""
        return self._sync(self._get(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The same as `get_tuple`."""
        return await self._async(self._get(config))

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, the latest first."""
        yield from self._sync(self._list(config, filter, before, limit))

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The same as `list`."""
        for found in await self._async(self._list(config, filter, before, limit)):
            yield found

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint; it is on disk when this returns."""
        return self._sync(self._put(config, checkpoint, metadata))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """The same as `put`."""
        return await self._async(self._put(config, checkpoint, metadata))

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote."""
        self._sync(self._put_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """The same as `put_writes`."""
        await self._async(self._put_writes(config, writes, task_id, task_path))

    def delete_thread(self, thread_id: str) -> None:
        """Delete all that is stored of a thread."""
        self._sync(self._delete(thread_id))

    async def adelete_thread(self, thread_id: str) -> None:
        """The same as `delete_thread`."""
        await self._async(self._delete(thread_id))

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy a thread, its whole history included."""
        self._sync(self._copy(source_thread_id, target_thread_id))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """The same as `copy_thread`."""
        await self._async(self._copy(source_thread_id, target_thread_id))

    # storing ---------------------------------------------------------------------------------------------------

    async def _put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> RunnableConfig:
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        rest = cast("dict[str, Any]", checkpoint.copy())
        cells: dict[str, bytes] = {}
        values = {name: self._stored(value, cells) for name, value in rest.pop("channel_values").items()}
        told = {
            "parent": where.get("checkpoint_id"),
            "checkpoint": _typed(self.serde.dumps_typed(rest)),
            "metadata": _typed(self.serde.dumps_typed(get_checkpoint_metadata(config, metadata))),
            "values": values,
        }
        id_ = checkpoint["id"]
        known = self._known_of(thread)
        fresh = {f"v/{digest}": data for digest, data in cells.items() if digest not in known}
        fresh[_name("c", ns, id_)] = pydantic_core.to_json(told)
        head = self._cell(thread, _name("h", ns))
        written = {self._cell(thread, name): Cell(data) for name, data in fresh.items()}

        def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            latest = pydantic_core.from_json(there[head].data) if head in there else ""
            return {**written, head: Cell(pydantic_core.to_json(max(latest, id_)))}, None

        await self._store.amend(Amendment([*written, head], change))
        known.update(cells)
        return _config(thread, ns, id_)

    def _stored(self, value: Any, cells: dict[str, bytes]) -> Any:
        """What a checkpoint says of a value; `cells` gets what is to be stored beside it."""
        if type(value) is list and value:
            level = [self._leaf(v, cells) for v in cast("list[Any]", value)]
            depth = 0
            while len(level) > FANOUT:
                level = [
                    self._address(pydantic_core.to_json(level[i : i + FANOUT]), cells)
                    for i in range(0, len(level), FANOUT)
                ]
                depth += 1
            return {
                "list": level if depth == 0 and len(level) < 3 else self._branch(level, cells),
                "depth": depth,
            }
        return self._leaf(value, cells)

    def _branch(self, level: list[Any], cells: dict[str, bytes]) -> str:
        return self._address(pydantic_core.to_json(level), cells)

    def _leaf(self, value: Any, cells: dict[str, bytes]) -> Any:
        kind, data = self.serde.dumps_typed(value)
        if len(data) <= INLINE:
            return _typed((kind, data))
        return self._address(kind.encode() + b"\0" + data, cells)

    def _address(self, data: bytes, cells: dict[str, bytes]) -> str:
        digest = b64encode(fingerprint(self._key, data), b"-_").decode().rstrip("=")
        cells[digest] = data
        return digest

    async def _put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> None:
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        cells: dict[str, bytes] = {}
        told = {
            str(WRITES_IDX_MAP.get(channel, i)): [channel, self._stored(value, cells), task_path]
            for i, (channel, value) in enumerate(writes)
        }
        key = self._cell(thread, _name("w", ns, where["checkpoint_id"], task_id))
        known = self._known_of(thread)
        values = {self._cell(thread, f"v/{d}"): Cell(data) for d, data in cells.items() if d not in known}

        def change(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            before: dict[str, Any] = pydantic_core.from_json(there[key].data) if key in there else {}
            again = {i: w for i, w in told.items() if int(i) < 0 or i not in before}
            return {**values, key: Cell(pydantic_core.to_json({**before, **again}))}, None

        await self._store.amend(Amendment([*values, key], change))
        known.update(cells)

    # reading ---------------------------------------------------------------------------------------------------

    async def _get(self, config: RunnableConfig) -> CheckpointTuple | None:
        where = _configurable(config)
        thread, ns = str(where["thread_id"]), str(where.get("checkpoint_ns", ""))
        id_ = get_checkpoint_id(config)
        if id_ is None:
            head = await self._read(thread, [_name("h", ns)])
            if not head:
                return None
            id_ = pydantic_core.from_json(next(iter(head.values())))
        name = _name("c", ns, id_)
        found = await self._read(thread, [name])
        return await self._tuple(thread, ns, str(id_), found[name]) if found else None

    async def _list(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> list[CheckpointTuple]:
        where = {} if config is None else _configurable(config)
        prefix = "" if "thread_id" not in where else f"{quote(str(where['thread_id']), safe='')}/c/"
        found: list[tuple[str, str, str, bytes]] = []
        for key, cell in await self._all(prefix):
            thread, kind, *rest = key.name.split("/")
            if kind == "c":
                found.append((unquote(thread), unquote(rest[0]), unquote(rest[1]), cell.data))
        found.sort(key=lambda row: row[2], reverse=True)
        end = None if before is None else get_checkpoint_id(before)
        tuples: list[CheckpointTuple] = []
        for thread, ns, id_, data in found:
            if limit is not None and len(tuples) >= limit:
                break
            if where.get("checkpoint_ns", ns) != ns or where.get("checkpoint_id", id_) != id_:
                continue
            if end is not None and id_ >= end:
                continue
            metadata = self.serde.loads_typed(_untyped(pydantic_core.from_json(data)["metadata"]))
            if all(metadata.get(k) == v for k, v in (wanted or {}).items()):
                tuples.append(await self._tuple(thread, ns, id_, data))
        return tuples

    async def _tuple(self, thread: str, ns: str, id_: str, data: bytes) -> CheckpointTuple:
        told: dict[str, Any] = pydantic_core.from_json(data)
        tasks: list[tuple[str, dict[str, Any]]] = [
            (unquote(key.name.rpartition("/")[2]), pydantic_core.from_json(cell.data))
            for key, cell in await self._all(f"{quote(thread, safe='')}/{_name('w', ns, id_)}/")
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
        checkpoint = self.serde.loads_typed(_untyped(told["checkpoint"]))
        checkpoint["channel_values"] = dict(zip(names, loaded, strict=False))
        pending = [(w[1], w[3], value) for w, value in zip(writes, loaded[len(names) :], strict=True)]
        return CheckpointTuple(
            config=_config(thread, ns, id_),
            checkpoint=checkpoint,
            metadata=self.serde.loads_typed(_untyped(told["metadata"])),
            parent_config=None if told["parent"] is None else _config(thread, ns, told["parent"]),
            pending_writes=pending,
        )

    async def _load(self, thread: str, stored: list[Any]) -> list[Any]:
        """The values behind what a checkpoint says of them; a level of all trees at a time."""
        flat: list[list[Any]] = []
        lists = [isinstance(s, dict) and "list" in s for s in stored]
        for s, is_list in zip(stored, lists, strict=True):
            flat.append([s] if not is_list else s["list"] if isinstance(s["list"], list) else [s["list"]])
        deep = [
            s["depth"] + 1 if is_list and not isinstance(s["list"], list) else 0
            for s, is_list in zip(stored, lists, strict=True)
        ]
        while any(deep):
            data = await self._addressed(
                thread, [a for row, d in zip(flat, deep, strict=True) if d for a in row]
            )
            flat = [
                [part for a in row for part in pydantic_core.from_json(data[a])] if d else row
                for row, d in zip(flat, deep, strict=True)
            ]
            deep = [max(0, d - 1) for d in deep]
        data = await self._addressed(thread, [a for row in flat for a in row if isinstance(a, str)])
        loaded = [[self._value(a, data) for a in row] for row in flat]
        return [row if is_list else row[0] for row, is_list in zip(loaded, lists, strict=True)]

    def _value(self, stored: Any, data: Mapping[str, bytes]) -> Any:
        if isinstance(stored, str):
            kind, _, content = data[stored].partition(b"\0")
            return self.serde.loads_typed((kind.decode(), content))
        return self.serde.loads_typed(_untyped(stored))

    async def _addressed(self, thread: str, digests: list[str]) -> dict[str, bytes]:
        found = await self._read(thread, [f"v/{d}" for d in dict.fromkeys(digests)])
        self._known_of(thread).update(name[2:] for name in found)
        return {name[2:]: data for name, data in found.items()}

    async def _read(self, thread: str, names: list[str]) -> dict[str, bytes]:
        if not names:
            return {}
        keys = {self._cell(thread, name): name for name in names}

        def look(there: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            return {}, {keys[key]: cell.data for key, cell in there.items()}

        return await self._store.amend(Amendment(list(keys), look))

    # whole threads ---------------------------------------------------------------------------------------------

    async def _delete(self, thread: str) -> None:
        self._known.pop(thread, None)
        keys = [key for key, _ in await self._all(f"{quote(thread, safe='')}/")]
        for i in range(0, len(keys), PAGE):
            page = keys[i : i + PAGE]
            await self._store.amend(
                Amendment(page, lambda there, now, page=page: (dict.fromkeys(page), None))
            )

    async def _copy(self, source: str, target: str) -> None:
        rows = await self._all(f"{quote(source, safe='')}/")
        to = f"{quote(target, safe='')}/"
        for i in range(0, len(rows), PAGE):
            page = {
                CellKey(self._tenant, KIND, to + key.name.partition("/")[2]): cell
                for key, cell in rows[i : i + PAGE]
            }
            await self._store.amend(Amendment(list(page), lambda there, now, page=page: (page, None)))

    async def _all(self, prefix: str) -> list[tuple[CellKey, Cell]]:
        found: list[tuple[CellKey, Cell]] = []
        after: CellKey | None = None
        while True:
            page = await self._store.cells(KIND, tenant=self._tenant, prefix=prefix, after=after, limit=PAGE)
            found += page
            if len(page) < PAGE:
                return found
            after = page[-1][0]

    def _cell(self, thread: str, name: str) -> CellKey:
        return CellKey(self._tenant, KIND, f"{quote(thread, safe='')}/{name}")

    def _known_of(self, thread: str) -> set[str]:
        known = self._known.setdefault(thread, set())
        self._known.move_to_end(thread)
        if len(self._known) > MOST_KNOWN:
            self._known.popitem(last=False)
        return known


def _name(kind: str, *parts: Any) -> str:
    return "/".join([kind, *(quote(str(part), safe="") for part in parts)])


def _configurable(config: RunnableConfig) -> dict[str, Any]:
    return cast("dict[str, Any]", config).get("configurable", {})


def _config(thread: str, ns: str, id_: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id_}}


def _typed(value: tuple[str, bytes]) -> list[str]:
    return [value[0], b64encode(value[1]).decode()]


def _untyped(told: list[str]) -> tuple[str, bytes]:
    return told[0], b64decode(told[1])
