"""Threads of LangGraph's own savers, taken over into a Perdure store: what `perdure import langgraph` does.

Values are copied as bytes. A class of the user's that cannot be imported here loses nothing; lists and checkpoints are
taken apart at their first level only, so that each message is stored once. A saver of another kind counts versions as
text (`0003.0.72`), and `PerdureSaver` as numbers: they become the numbers that they begin with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import unquote

import ormsgpack
import pydantic_core
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from ...core.saved_threads import SavedCheckpoint, SavedThreads, SavedWrite, Typed
from ...journal import Store
from .cells import Shelf, Values, name, typed
from .threads import head_of, merged_writes

__all__ = ["Progress", "ThreadTaken", "take_over"]

TASKS = "__pregel_tasks"
"""The channel of what `Send` begins."""

CHUNK = 50
"""Checkpoints that are written at once."""

Progress = Callable[[int, int, str], None]
"""Called before each thread: how many are done, how many there are, and which comes."""

Status = Literal["taken", "there", "gone_on", "broken"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadTaken:
    """What became of one thread."""

    thread: str
    status: Status
    """`there`: all of it was there already. `gone_on`: it has gone on at both places; of that, nothing is taken"""
    checkpoints: int = 0
    """in the source"""
    taken: int = 0
    """checkpoints that were not there yet"""
    why: str = ""
    """of `gone_on` and `broken`"""


async def take_over(
    source: SavedThreads,
    store: Store,
    *,
    tenant: str,
    only: Collection[str] = (),
    serde: Any = None,
    dry_run: bool = False,
    progress: Progress = lambda done, total, thread: None,
) -> list[ThreadTaken]:
    """Take over all threads of `source`, or `only` these, into an open `store`. What is there already stays as it is.

    A thread is taken whole, or not at all: one that cannot be read is told of, and the others are taken. `serde` is
    the serializer of values that are not in LangGraph's usual form (encrypted ones), to read and to write them.
    """
    shelf = Shelf(store, tenant)
    await shelf.open()
    known = source.threads()
    wanted = [*dict.fromkeys(only)] or known
    there = set(known)
    told: list[ThreadTaken] = []
    for done, thread in enumerate(wanted):
        progress(done, len(wanted), thread)
        if thread not in there:
            told.append(ThreadTaken(thread=thread, status="broken", why="the source has no such thread"))
            continue
        try:
            parts = _read(source.checkpoints(thread), shelf.key, serde)
            told.append(await _take(shelf, thread, parts, dry_run=dry_run))
        except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
            told.append(ThreadTaken(thread=thread, status="broken", why=_why(error)))
    progress(len(wanted), len(wanted), "")
    return told


def _why(error: Exception) -> str:
    text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return text[:500]


# reading ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Part:
    """One checkpoint as cells."""

    ns: str
    id: str
    cell: str
    data: bytes
    values: Mapping[str, bytes]
    writes: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    """by cell: of each task by index the channel, the value, and the path"""


def _read(saved: Iterable[SavedCheckpoint], key: bytes, serde: Any) -> list[_Part]:
    """All of a thread, or an error: nothing of a broken thread is taken."""
    sends: dict[tuple[str, str], list[Typed]] = {}
    parts: list[_Part] = []
    for one in saved:
        try:
            before = [] if one.parent is None else sends.get((one.ns, one.parent), [])
            parts.append(_part(one, key, serde, before))
        except Exception as error:
            raise ValueError(f"checkpoint `{one.id}`: {_why(error)}") from error
        begun = [w for w in one.writes if w.channel == TASKS]
        if begun:
            begun.sort(key=lambda w: (w.path, w.task, w.index))
            sends[one.ns, one.id] = [w.value for w in begun]
    return parts


def _part(one: SavedCheckpoint, key: bytes, serde: Any, sends: list[Typed]) -> _Part:
    values = Values(serde, key)
    opened, pack = _opened(one.checkpoint, serde)
    if serde is not None and pack is _json:
        pack = serde.dumps_typed  # columns of plain JSON, which a serializer need not know how to read
    checkpoint: dict[str, Any] = dict(opened)
    versions: dict[str, Any] = {c: _version(v) for c, v in checkpoint["channel_versions"].items()}
    inside: dict[str, Any] = checkpoint.pop("channel_values", None) or {}
    stored = {channel: _stored(values, pack(value), serde) for channel, value in inside.items()}
    # A value beside the checkpoint goes before one in it: there it may be a marker only.
    stored |= {channel: _stored(values, value, serde) for channel, value in one.values.items()}
    if sends and checkpoint.get("v", 4) < 4 and not checkpoint.get("pending_sends"):
        # Before format 4 what `Send` began stood with the parent's writes only.
        stored[TASKS] = values.of_parts(sends)
        versions[TASKS] = max(versions.values(), default=1)
    checkpoint["channel_versions"] = versions
    seen: dict[str, dict[str, Any]] = checkpoint.get("versions_seen") or {}
    checkpoint["versions_seen"] = {
        node: {channel: _version(v) for channel, v in told.items()} for node, told in seen.items()
    }
    metadata = json.loads(one.metadata)
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is no object")
    told = {
        "parent": one.parent,
        "values": stored,
        "checkpoint": typed(pack(checkpoint)),
        "metadata": typed((serde or JsonPlusSerializer()).dumps_typed(metadata)),
    }
    part = _Part(one.ns, one.id, name("c", one.ns, one.id), pydantic_core.to_json(told), values.cells)
    for write in one.writes:
        cell = name("w", one.ns, one.id, write.task)
        part.writes.setdefault(cell, {})[str(write.index)] = _written(write, values, serde)
    return part


def _written(write: SavedWrite, values: Values, serde: Any) -> list[Any]:
    return [write.channel, _stored(values, write.value, serde), write.path]


def _stored(values: Values, value: Typed, serde: Any) -> Any:
    """What a checkpoint says of a value: of a list part by part, and all else as it stands."""
    if value[0] in ("null", "bytes", "bytearray"):
        return values.of_bytes(value)
    opened, pack = _opened(value, serde)
    if type(opened) is list and opened:
        return values.of_parts([pack(part) for part in cast("list[Any]", opened)])
    return values.of_bytes(value)


def _opened(value: Typed, serde: Any) -> tuple[Any, Callable[[Any], Typed]]:
    """A value to its first level, its classes left as they are; and what makes bytes of such a thing again."""
    kind, data = value
    if kind == "msgpack":
        return ormsgpack.unpackb(data, ext_hook=ormsgpack.Ext, option=ormsgpack.OPT_NON_STR_KEYS), _msgpack
    if kind == "json":
        return json.loads(data), _json
    if serde is None:
        raise ValueError(
            f"it is kept as `{kind}`, which takes its serializer to read: give it by `--serde module:attribute`"
        )
    return serde.loads_typed(value), serde.dumps_typed


def _msgpack(value: Any) -> Typed:
    return ("null", b"") if value is None else ("msgpack", ormsgpack.packb(value, option=_OPTIONS))


_OPTIONS = ormsgpack.OPT_NON_STR_KEYS


def _json(value: Any) -> Typed:
    return ("null", b"") if value is None else ("json", json.dumps(value).encode())


def _version(version: Any) -> Any:
    return int(version.partition(".")[0]) if isinstance(version, str) else version


# writing ---------------------------------------------------------------------------------------------------------


async def _take(shelf: Shelf, thread: str, parts: list[_Part], *, dry_run: bool) -> ThreadTaken:
    cells = {cell.partition("/")[2] for cell, _ in await shelf.all(name(thread, "c") + "/")}
    new = [part for part in parts if part.cell not in cells]
    own = {part.cell for part in parts}
    more = sorted(cells - own)
    if more and new:
        return ThreadTaken(
            thread=thread,
            status="gone_on",
            checkpoints=len(parts),
            why=f"it has gone on here ({len(more)} checkpoints that the source has not, as "
            f"`{unquote(more[-1].rpartition('/')[2])}`) and there ({len(new)}): delete it at one of the places first",
        )
    taken = len(new)
    changed = 0 if more else await _write(shelf, thread, parts, dry_run=dry_run)
    return ThreadTaken(
        thread=thread, status="taken" if changed else "there", checkpoints=len(parts), taken=taken
    )


async def _write(shelf: Shelf, thread: str, parts: list[_Part], *, dry_run: bool) -> int:
    """How many cells are written. The heads come last: until then the thread is as it was for whoever asks for it."""
    changed = 0
    for i in range(0, len(parts), CHUNK):
        chunk = parts[i : i + CHUNK]
        values = {digest: data for part in chunk for digest, data in part.values.items()}
        names = [n for part in chunk for n in (part.cell, *part.writes)]

        def change(there: Mapping[str, bytes], chunk: list[_Part] = chunk) -> tuple[dict[str, bytes], int]:
            told: dict[str, bytes] = {}
            for part in chunk:
                if part.cell not in there:
                    told[part.cell] = part.data
                for cell, writes in part.writes.items():
                    merged = _unless_there(there.get(cell), writes)
                    if merged is not None:
                        told[cell] = merged
            return told, len(told)

        changed += await _changed(shelf, thread, values, names, change, dry_run=dry_run)
    latest = {part.ns: part.id for part in sorted(parts, key=lambda p: p.id)}
    heads = {name("h", ns): id_ for ns, id_ in latest.items()}

    def lift(there: Mapping[str, bytes]) -> tuple[dict[str, bytes], int]:
        lifted = {head: head_of(there.get(head), id_) for head, id_ in heads.items()}
        told = {head: data for head, data in lifted.items() if there.get(head) != data}
        return told, len(told)

    return changed + await _changed(shelf, thread, {}, list(heads), lift, dry_run=dry_run)


def _unless_there(there: bytes | None, writes: Mapping[str, Any]) -> bytes | None:
    """What a task wrote, where that is more than what is there; what is there stays."""
    if there is None:
        return merged_writes(None, writes)
    before: dict[str, Any] = pydantic_core.from_json(there)
    more = {i: w for i, w in writes.items() if i not in before}
    return merged_writes(there, more) if more else None


async def _changed(
    shelf: Shelf,
    thread: str,
    values: Mapping[str, bytes],
    names: list[str],
    change: Callable[[Mapping[str, bytes]], tuple[Mapping[str, bytes], int]],
    *,
    dry_run: bool,
) -> int:
    if dry_run:
        return change(await shelf.read(thread, names))[1]
    return await shelf.write(thread, values, names, change)
