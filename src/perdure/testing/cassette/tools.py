"""Calls of tools at Perdure's boundary: kept while a cassette is recorded, and answered from it when it is played."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import urllib.request
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.codec import arguments_bytes
from ...core.errors import ConfigError
from ...runtime import Tool
from .exchange import ToolCalled
from .matching import differences

if TYPE_CHECKING:
    from ... import App

__all__ = ["RECORDER", "ToolPlayer", "noted", "send_calls", "watching"]

RECORDER = "PERDURE_RECORD"
"""The variable that names a recorder's address for calls of tools to a `perdure` command under it."""

Watch = Callable[[Tool[..., Any]], Callable[..., Any]]
"""Given a tool, a function in place of its own."""

log = logging.getLogger("perdure.record")


@contextmanager
def watching(app: App, watch: Watch) -> Generator[None]:
    """Put functions of `watch`'s making in the place of those of an app's tools, also of its wrapped agents' tools."""
    undo = _put(app, watch)
    try:
        yield
    finally:
        undo()


def _put(app: App, watch: Watch) -> Callable[[], None]:
    before = {tool: tool.function for tool in app.tools.values()}
    within = app.effects.watch

    def of_a_wrapped_agent(tool: Tool[..., Any]) -> Callable[..., Any]:
        if within is not None:
            tool.function = within(tool)
        return watch(tool)

    def undo() -> None:
        app.effects.watch = within
        for tool, function in before.items():
            tool.function = function

    for tool in before:
        tool.function = watch(tool)
    app.effects.watch = of_a_wrapped_agent
    return undo


def noted(keep: Callable[[ToolCalled], None]) -> Watch:
    """A watch that has each call kept, when it has ended."""

    def watch(tool: Tool[..., Any]) -> Callable[..., Any]:
        function = tool.function

        def ended(kwargs: dict[str, Any], **how: Any) -> None:
            keep(ToolCalled(tool=tool.name, arguments=_arguments(tool, kwargs), **how))

        if tool.asynchronous:

            @functools.wraps(function)
            async def noted_async(*args: Any, **kwargs: Any) -> Any:
                try:
                    value = await function(*args, **kwargs)
                except Exception as error:
                    await asyncio.to_thread(ended, kwargs, error=_words(error))
                    raise
                await asyncio.to_thread(ended, kwargs, result=_json(tool, value))
                return value

            return noted_async

        @functools.wraps(function)
        def noted_sync(*args: Any, **kwargs: Any) -> Any:
            try:
                value = function(*args, **kwargs)
            except Exception as error:
                ended(kwargs, error=_words(error))
                raise
            ended(kwargs, result=_json(tool, value))
            return value

        return noted_sync

    return watch


def send_calls(app: App) -> None:
    """Under `perdure record`, tell it of the calls of an app's tools, until this process ends."""
    address = os.environ.get(RECORDER)
    if address is None or app.effects.watch is not None:
        return

    def send(call: ToolCalled) -> None:
        told = {"tool": call.tool, "arguments": call.arguments, "result": call.result, "error": call.error}
        asked = urllib.request.Request(address, json.dumps(told).encode())
        try:
            urllib.request.urlopen(asked, timeout=10).close()
        except OSError as error:
            log.warning("a call of tool `%s` is not in the cassette: %s: %s", call.tool, address, error)

    _put(app, noted(send))


class ToolPlayer:
    """Answers calls of tools as they were recorded: by name and arguments, in order, and the last answer stays.

    A failure that a later try overcame is left out: why it was tried again was in an exception that is gone.
    """

    def __init__(self, calls: Sequence[ToolCalled], *, name: str, again: str) -> None:
        self._calls = [
            one for i, one in enumerate(calls) if one.error is None or not _overcome(one, calls[i + 1 :])
        ]
        self._name, self._again = name, again
        self._played: Counter[int] = Counter()

    def rewind(self) -> None:
        """Begin anew."""
        self._played.clear()

    def watch(self, tool: Tool[..., Any]) -> Callable[..., Any]:
        """A function that answers for a tool; the tool's own where no call of it was recorded."""
        function = tool.function
        if all(call.tool != tool.name for call in self._calls):
            return function

        @functools.wraps(function)
        def played(*args: Any, **kwargs: Any) -> Any:
            call = self._next(tool, _arguments(tool, kwargs))
            if call.error is not None:
                raise RuntimeError(f"{call.error} (as recorded)")
            return tool.shape.load(pydantic_core.to_json(call.result))

        if not tool.asynchronous:
            return played

        @functools.wraps(function)
        async def played_async(*args: Any, **kwargs: Any) -> Any:
            return played(*args, **kwargs)

        return played_async

    def _next(self, tool: Tool[..., Any], arguments: dict[str, Any]) -> ToolCalled:
        same = [(i, call) for i, call in enumerate(self._calls) if call.tool == tool.name]
        equal = [(i, call) for i, call in same if not any(differences(dict(call.arguments), arguments))]
        if not equal:
            known = "; ".join(
                json.dumps(dict(call.arguments), ensure_ascii=False)[:80] for _, call in same[:3]
            )
            raise ConfigError(
                f"{self._name} has no call of tool `{tool.name}` with "
                f"`{json.dumps(arguments, ensure_ascii=False)[:200]}`, but with {known}: {self._again}"
            )
        i, call = next((one for one in equal if not self._played[one[0]]), equal[-1])
        self._played[i] += 1
        return call


def _overcome(failed: ToolCalled, later: Sequence[ToolCalled]) -> bool:
    same = (one for one in later if (one.tool, one.arguments) == (failed.tool, failed.arguments))
    return any(one.error is None for one in same)


def _arguments(tool: Tool[..., Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """By name, as JSON, without the key."""
    return pydantic_core.from_json(arguments_bytes(tool.bind((), kwargs))[1:-1])


def _json(tool: Tool[..., Any], value: Any) -> Any:
    return pydantic_core.from_json(tool.shape.round_trip(value)[0])


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
