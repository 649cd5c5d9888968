"""What a run has recalled: the items as they were handed out, which they were, and what was kept from it, and why.

This is what stands in the journal of the run that recalled. `labels` are those under which the items were written: the
run has read them from then on. They are gathered from the items themselves, never from what these say.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any, Generic, TypeVar, Union, cast

import pydantic
import pydantic_core

from .port import Origin
from .remembered import REVIEWED, item_id

__all__ = ["LeftOut", "Recalled", "RecalledItem", "answer_in", "items_in", "told", "without"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecalledItem:
    """One item that was handed out."""

    id: str
    """`RUN/STEP` of the write"""
    labels: tuple[str, ...] = ()
    score: float | None = None
    """by which it was found, as its layer says; None: it was asked for by name or by its place"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Items that were there, and were kept from the run."""

    items: int
    why: str
    policies: tuple[str, ...] = ()
    """which did; none: they were withdrawn"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalled(Generic[T]):
    """An answer of memory."""

    found: T
    items: tuple[RecalledItem, ...] = ()
    """in the order of the answer: the first is ranked first"""
    left_out: tuple[LeftOut, ...] = ()
    labels: tuple[str, ...] = ()


_PARTS = {"found", "items", "left_out", "labels"}


class _Gone:
    """In place of what is left out."""


_GONE = _Gone()


def items_in(found: Any) -> Iterator[Any]:
    """All that has an origin in what a layer found, also within each other."""
    if isinstance(found, list | tuple):
        for each in cast("list[Any]", found):
            if is_dataclass(each):
                yield from items_in(each)
    elif is_dataclass(found) and not isinstance(found, type):
        if _origin(found) is not None:
            yield found
        for field in fields(found):
            if field.name != "origin":
                yield from items_in(getattr(found, field.name))


def without(found: T, out: Callable[[Origin], bool]) -> T | None:
    """What was found without those items whose origin is `out`; nor what cannot be told without them. None: nothing."""
    left = _without(found, out)
    return None if left is _GONE else left


def told(found: T, left_out: tuple[LeftOut, ...]) -> Recalled[T]:
    """For the journal."""
    items: dict[str, RecalledItem] = {}
    for item in items_in(found):
        id, labels = item_id(item.origin), tuple(item.origin.labels)
        known = items.get(id)
        score: float | None = getattr(item, "score", None)
        if known is None or known.score is None:
            items[id] = RecalledItem(id=id, labels=labels, score=score)
    labels = sorted({label for item in items.values() for label in item.labels} - {REVIEWED})
    return Recalled(found=found, items=tuple(items.values()), left_out=left_out, labels=tuple(labels))


def answer_in(payload: bytes) -> Recalled[Any] | None:
    """The answer of memory that a step has got, from a journal; None: it got something else."""
    if b'"left_out"' not in payload:
        return None
    told: Any = pydantic_core.from_json(payload)
    if not isinstance(told, dict) or cast("dict[str, Any]", told).keys() != _PARTS:
        return None
    try:
        return _answers().validate_python(told)
    except pydantic.ValidationError:
        return None


@cache
def _answers() -> pydantic.TypeAdapter[Recalled[Any]]:
    return pydantic.TypeAdapter(Recalled[Any])


def _without(found: Any, out: Callable[[Origin], bool]) -> Any:
    if isinstance(found, list | tuple):
        some = cast("list[Any]", found)
        if not any(is_dataclass(each) for each in some):
            return some
        left = [kept for each in some if (kept := _without(each, out)) is not _GONE]
        return left if isinstance(found, list) else tuple(left)
    if not is_dataclass(found) or isinstance(found, type):
        return found
    origin = _origin(found)
    if origin is not None and out(origin):
        return _GONE
    changed: dict[str, Any] = {}
    for field in fields(found):
        if field.name == "origin":
            continue
        value = getattr(found, field.name)
        kept = _without(value, out)
        if kept is _GONE:
            # A fact about somebody whose name was withdrawn tells that name; an answer that may be empty is empty.
            if origin is not None or not _optional(type(found)).get(field.name, False):
                return _GONE
            kept = None
        if kept is not value:
            changed[field.name] = kept
    return replace(found, **changed) if changed else found


def _origin(item: Any) -> Origin | None:
    origin = getattr(item, "origin", None)
    return origin if isinstance(origin, Origin) else None


@cache
def _optional(kind: type[Any]) -> Mapping[str, bool]:
    """Which fields may be None."""
    return {
        name: typing.get_origin(hint) in (Union, types.UnionType) and type(None) in typing.get_args(hint)
        for name, hint in typing.get_type_hints(kind).items()
    }
