"""What the layers of memory share in a run: how a write and a read of them become steps, and what is known of both.

A write is an idempotent tool of its own name (`session_append`): it crosses the boundary, so policies, trust rings and
`run.planning` hold for it, and its key is that under which the store does it once. A read is recorded with the labels
that stand with what it got, and the run has read those from then on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pydantic_core

from ...core.codec import arguments_bytes, returns
from ...governance.policy.provenance import UNTRUSTED
from ...memory import Origin
from ..boundary import effects
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from ..replay.scope import current_scope

__all__ = ["labels_of", "origin_of", "recall", "remember"]


def origin_of(recorder: Recorder, key: str) -> Origin:
    """Where what is written now comes from. `key` is the effect's.

    Without policies nobody keeps an account of what a run has read. What it writes may be anybody's words, then.
    """
    heard = recorder.heard
    labels = {UNTRUSTED} if heard is None else heard.seen
    return Origin(
        run=recorder.ref.id, step=key.removeprefix(f"{recorder.name}/"), labels=tuple(sorted(labels))
    )


def labels_of(payload: bytes) -> frozenset[str]:
    """The labels in what a read got: one item, several, or none."""
    told = pydantic_core.from_json(payload)
    items = cast("list[Any]", told) if isinstance(told, list) else [] if told is None else [told]
    return frozenset(label for item in items for label in item["origin"]["labels"])


async def remember(recorder: Recorder, tool: Tool[..., Any], arguments: dict[str, Any]) -> Any:
    """A write: once under its key, whoever dies between the write and its record."""
    scope = current_scope(recorder)
    key = scope.enter(tool.name)
    try:
        return await effects.perform(recorder, scope, key, tool, (), arguments)
    finally:
        scope.busy = ""


async def recall(
    recorder: Recorder, name: str, function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]
) -> Any:
    """A read of items that have an `origin`: recorded, and the same in every replay."""
    scope = current_scope(recorder)
    key = scope.enter(name)
    try:
        shape, asynchronous = returns(function)
        if recorder.heard is not None:
            recorder.heard.recalls(key, labels_of)
        return await effects.repeat(
            recorder,
            scope,
            key,
            function,
            (),
            arguments,
            shape=shape,
            asynchronous=asynchronous,
            operation=b"recall",
            data=arguments_bytes(arguments)[1:-1],
        )
    finally:
        scope.busy = ""
