"""The result cache of `read` tools: shared by all workers, apart by tenant, by on whose behalf, by whose data it is.

What a call got from it is journaled like any result, with its age: a replay never looks here.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pydantic_core

from ...core.clock import to_micros
from ...core.codec import Shape
from ...core.errors import StoreError, SubjectErased
from ...journal import Amendment, Cell, CellKey, Kind, Store
from .call import Call

__all__ = ["Hit", "fresh", "keep", "record", "stale"]

_KIND = "cache"
LARGEST = 256 * 1024
"""Bytes of a result that is kept; larger ones are fetched again."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An earlier result, and how old it is."""

    payload: bytes
    age: int
    """microseconds"""
    labels: tuple[str, ...] = ()
    run: str = ""
    """in which run it was fetched"""


def _key(call: Call) -> CellKey:
    # The fingerprint is keyed by tenant and data subject; it covers tool and arguments. The principal parts users, and
    # a name that was only said from the same one that somebody vouched for.
    principal = call.recorder.on_behalf_of
    who = call.recorder.principal or ""
    if principal is not None and principal.issuer is not None:
        who = f"{who}\0{principal.issuer}"
    name = call.recorder.mark(b"cache", call.mark + b"\0" + who.encode()).hex()
    return CellKey(call.recorder.ref.tenant, _KIND, f"{call.name}/{name}")


async def _look(call: Call, max_age: timedelta) -> Hit | None:
    recorder = call.recorder
    key = _key(call)
    try:
        found = await recorder.store.cells(_KIND, tenant=key.tenant, prefix=key.name, limit=1)
    except StoreError:
        return None
    if not found or found[0][0] != key:
        return None
    told: dict[str, Any] = pydantic_core.from_json(found[0][1].data)
    age = recorder.store.now() - told["at"]
    if age > to_micros(max_age):
        return None
    return Hit(base64.b64decode(told["value"]), max(0, age), tuple(told["labels"]), told["run"])


async def fresh(call: Call) -> Hit | None:
    """A result that needs no call."""
    cache = call.ways[0].terms.cache
    return None if cache is None else await _look(call, cache.max_age)


async def stale(call: Call, max_age: timedelta) -> Any:
    """A result that is used because the tool fails. Raises `NoWay` where there is none."""
    from .attempts import NoWay

    hit = await _look(call, max_age)
    if hit is None:
        raise NoWay(f"no earlier result of `{call.name}` with these arguments is younger than {max_age}")
    call.how.age = hit.age
    return pydantic_core.from_json(hit.payload)


async def record(call: Call, hit: Hit, shape: Shape[Any]) -> Any:
    """Journal a fresh result of the cache as this step's, with its age."""
    recorder = call.recorder
    told = {"stage": "cache", "verdict": "hit", "age": hit.age, "labels": hit.labels, "run": hit.run}
    parts = [
        (int(Kind.VERDICT), call.key, pydantic_core.to_json(told), call.mark),
        (int(Kind.RESULT), call.key, hit.payload, call.mark),
    ]
    value = shape.load(hit.payload)
    call.how.source, call.how.by, call.how.age = "cache", call.name, hit.age
    recorder.degraded.append({"step": call.key, "source": "cache", "by": call.name, "age": hit.age})
    commit = recorder.write_all(parts, results=1)
    await recorder.hand_out(commit, recorder.head)
    return value


def keep(call: Call, payload: bytes) -> None:
    """Keep a live result for others. It is no part of the run, which does not wait for it.

    Where the store cannot keep it, nothing is lost.
    """
    cache = call.ways[0].terms.cache
    if cache is None or len(payload) > LARGEST:
        return
    recorder = call.recorder
    key = _key(call)
    told: dict[str, Any] = {
        "at": recorder.store.now(),
        "value": base64.b64encode(payload).decode(),
        "labels": [],
        "run": recorder.ref.id,
    }
    cell = Cell(pydantic_core.to_json(told), recorder.store.now() + to_micros(cache.keep))
    put = Amendment((key,), lambda _cells, _now: ({key: cell}, None), subject=recorder.subject)
    task = recorder.loop.create_task(_put(recorder.store, put))
    beside = recorder.boundary.beside
    beside.add(task)
    task.add_done_callback(beside.discard)


async def _put(store: Store, put: Amendment) -> None:
    try:
        await store.amend(put)
    except (StoreError, SubjectErased):
        return
