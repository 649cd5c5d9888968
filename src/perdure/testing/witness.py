"""A witness: it sees what the tools of an app do in a trial, and settles the writes in doubt by that.

An operator would look into the mailbox. A trial has seen whether the function was called, and answers by that.
"""

from __future__ import annotations

import functools
import inspect
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ..core.codec import arguments_bytes
from ..core.ids import RunRef
from ..journal import Entry, Kind, RunQuery, RunStatus, WaitReason, verify_chain
from ..runtime import Tool
from .cassette import watching

if TYPE_CHECKING:
    from .. import App, Handle

__all__ = ["Mishap", "NoReplay", "Witness", "call_of", "check_journal", "generations"]


class NoReplay(Exception):
    """The run waits for a program that replays it."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What goes wrong with a call of a tool: it raises before anything was done, or after it was done."""

    error: Exception
    done: bool = False


class Witness:
    """Sees what the tools do, and settles the writes in doubt by that."""

    def __init__(
        self, app: App, run: Handle, *, mishap: Callable[[str, int], Mishap | None] = lambda tool, nth: None
    ) -> None:
        """`mishap` says what goes wrong with the n-th call, from 1, of a tool."""
        self.app = app
        self.store = app.store
        self.run = run
        self.calls: Counter[str] = Counter()
        """how often the function of each tool was called"""
        self.effects: Counter[tuple[str, bytes]] = Counter()
        """the same by tool and arguments, of writes, and only where it was let do its work"""
        self._mishap = mishap
        self.doubts: list[str] = []
        self._results: dict[tuple[str, bytes], list[bytes]] = {}
        """what the calls of a tool with these arguments returned, as JSON"""
        self._settled: set[tuple[RunRef, int]] = set()

    @contextmanager
    def watching(self) -> Generator[None]:
        """Have the calls of registered tools noted."""
        with watching(self.app, self._noting):
            yield

    def _noting(self, tool: Tool[..., Any]) -> Callable[..., Any]:
        function = tool.function
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def noted_async(*args: Any, **kwargs: Any) -> Any:
                mishap = self._called(tool, kwargs)
                value = await function(*args, **kwargs)
                self._note(tool, kwargs, value, mishap)
                return value

            return noted_async

        @functools.wraps(function)
        def noted(*args: Any, **kwargs: Any) -> Any:
            mishap = self._called(tool, kwargs)
            value = function(*args, **kwargs)
            self._note(tool, kwargs, value, mishap)
            return value

        return noted

    def _called(self, tool: Tool[..., Any], arguments: dict[str, Any]) -> Mishap | None:
        self.calls[tool.name] += 1
        mishap = self._mishap(tool.name, self.calls[tool.name])
        if mishap is not None and not mishap.done:
            raise mishap.error
        if tool.effect == "write":
            self.effects[_call(tool, arguments)] += 1
        return mishap

    def _note(
        self, tool: Tool[..., Any], arguments: dict[str, Any], value: Any, mishap: Mishap | None
    ) -> None:
        self._results.setdefault(_call(tool, arguments), []).append(tool.shape.round_trip(value)[0])
        if mishap is not None:
            raise mishap.error

    async def look(self) -> None:
        """Where a run waits in doubt, say what was seen; where one waits for another program, give up."""
        tenant = self.run.ref.tenant
        waiting = await self.store.find(RunQuery(tenant=tenant, statuses=frozenset({RunStatus.WAITING})))
        for record in waiting:
            if WaitReason.NONDETERMINISTIC in record.reasons:
                entries = await self.store.read(record.ref)
                told = next(e.payload.decode() for e in reversed(entries) if e.kind == Kind.MISMATCH)
                raise NoReplay(
                    f"run `{record.ref}` does not replay, for its agent is not deterministic: {told}"
                )
            if WaitReason.IN_DOUBT in record.reasons:
                await self._settle(record.ref)

    async def _settle(self, ref: RunRef) -> None:
        doubt = _open_doubt(await self.store.read(ref))
        if doubt is None or (ref, doubt.seq) in self._settled:
            return
        self._settled.add((ref, doubt.seq))
        self.doubts.append(doubt.key)
        call = call_of(doubt)
        results = self._results.get(call, [])
        recorded = sum(found == call for found in await self._recorded())
        happened = len(results) > recorded
        result = pydantic_core.from_json(results[recorded]) if happened else None
        await self.app.settle(ref.id, doubt.key, happened=happened, result=result, by="trial")

    async def _recorded(self) -> list[tuple[str, bytes]]:
        """The calls that have a result in the journal of any run."""
        found: list[tuple[str, bytes]] = []
        for _, entries in await self.journals():
            for own in generations(entries):
                finished = {e.key for e in own if e.kind == Kind.RESULT}
                intents = {e.key: e for e in own if e.kind == Kind.INTENT and e.key in finished}
                found += [call_of(e) for e in intents.values()]
        return found

    async def journals(self) -> list[tuple[RunRef, list[Entry]]]:
        """Of all runs: the one that was started, and its children."""
        records = await self.store.find(RunQuery(tenant=self.run.ref.tenant, limit=100_000))
        return [(record.ref, await self.store.read(record.ref)) for record in records]


def _call(tool: Tool[..., Any], arguments: dict[str, Any]) -> tuple[str, bytes]:
    data = arguments_bytes(tool.bind((), arguments))[1:-1]  # steps give a tool its arguments by name
    return tool.name, data


def generations(entries: list[Entry]) -> list[list[Entry]]:
    """The journal, cut where the run was continued as new: steps of each have keys of their own."""
    cuts = [i for i, e in enumerate(entries) if e.kind == Kind.CONTINUED]
    return [entries[a:b] for a, b in zip([0, *cuts], [*cuts, len(entries)], strict=True)]


def _open_doubt(entries: list[Entry]) -> Entry | None:
    """The WAITING entry of a write that waits to be settled."""
    entries = generations(entries)[-1]
    settled = {e.key: e.seq for e in entries if e.kind == Kind.SETTLED}
    for entry in reversed(entries):
        if entry.kind != Kind.WAITING or settled.get(entry.key, 0) > entry.seq:
            continue
        if pydantic_core.from_json(entry.payload)["on"] == WaitReason.IN_DOUBT:
            return entry
    return None


def call_of(entry: Entry) -> tuple[str, bytes]:
    """The tool, and its arguments as JSON, that an INTENT or a doubt is about."""
    told: dict[str, Any] = pydantic_core.from_json(entry.payload)
    return told["tool"], pydantic_core.to_json(told["arguments"])


def check_journal(ref: RunRef, entries: list[Entry], *, where: str) -> None:
    """Raise `AssertionError` where a step was finished twice, `StoreCorrupt` where the chain does not verify."""
    verify_chain(ref, entries)
    for own in generations(entries):
        for key, times in Counter(e.key for e in own if e.kind in (Kind.RESULT, Kind.FAILED)).items():
            if times > 1:
                raise AssertionError(f"{where}: step `{key}` of run `{ref}` was finished {times} times")
