"""What the layers of memory share in a run: how a write and a read of them become steps, and what governs both.

    write ─► boundary: policies, trust rings ─► of untrusted origin, under `review`? ─┬─ no ──► the layer
                                                                                      └─ yes ─► it waits for a person
    read ──► the layer ─► withdrawn? forbidden by a policy? ─► journal: what was handed out, and what was not, and why

A write is an idempotent tool of its own name (`session_append`), whose key is that under which the layer does it once.
A read is recorded with the labels that stand with what it got, and the run has read those from then on. Replay asks
neither the layers nor the policies. A layer that is away fails no run: its step is tried again as long as it takes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, cast

import pydantic_core

from ...core.codec import arguments_bytes, shape_of, type_hints
from ...core.errors import Refused
from ...governance.policy.provenance import UNTRUSTED
from ...journal import Store
from ...memory import HeldWrite, Holds, LeftOut, Memories, Origin, Proposals, ProposedWrite, Recalled, Whose
from ...memory.recalled import items_in, told, without
from ...memory.remembered import REVIEWED
from ..boundary import effects
from ..boundary.effects import Governed
from ..boundary.handing import EffectKey
from ..boundary.retry import Retry
from ..boundary.terms import Terms
from ..boundary.tool import Tool
from ..replay.recorder import Recorder
from ..replay.scope import current_scope
from .asking import forbidden

__all__ = ["Steps", "labels_of", "origin_of"]

MOST = 1000
"""Items that are asked for at once, where many are left out."""

UNTIL_IT_IS_BACK = Retry(
    attempts=1_000_000, total=None, first=timedelta(seconds=0.5), most=timedelta(minutes=1)
)
"""Memory is no tool that another could stand in for: without it the run does not know what it is about."""

_READ = Governed(terms=Terms(retry=UNTIL_IT_IS_BACK))


def origin_of(recorder: Recorder, key: str) -> Origin:
    """Where what is written now comes from. `key` is the effect's.

    Without policies nobody keeps an account of what a run has read. What it writes may be anybody's words, then. In a
    later generation of a run the step begins with `#2/`: its first one may have had the same.
    """
    heard = recorder.heard
    labels = {UNTRUSTED} if heard is None else heard.seen - {REVIEWED}
    step = key.removeprefix(str(recorder.ref)).removeprefix("/")
    return Origin(run=recorder.ref.id, step=step, labels=tuple(sorted(labels)))


def labels_of(payload: bytes) -> frozenset[str]:
    """The labels of what a read got."""
    return frozenset(pydantic_core.from_json(payload)["labels"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The steps of one layer in a run, for those whose memory it is."""

    recorder: Recorder
    memories: Memories
    layer: str
    """`session`, `working`, `knowledge`"""
    reader: str
    """the agent of the run"""
    agent: str | None = None
    """whose own memory it is; None: that of all the tenant's agents"""

    @property
    def whose(self) -> Whose:
        """Of the run's tenant and, where it has one, its data subject."""
        return Whose(self.recorder.ref.tenant, self.recorder.subject, self.agent)

    @property
    def store(self) -> Store:
        """Where what is withdrawn and proposed stands."""
        return self.recorder.store

    async def remember(self, tool: Tool[..., Any], arguments: dict[str, Any], *, held: Any) -> Any:
        """A write: once under its key, whoever dies between the write and its record.

        What the tool's function answers; `held` where the write waits for a review. Raises `Refused` where another
        agent's own memory would be written to.
        """
        if self.agent not in (None, self.reader):
            raise Refused(
                f"`{self.reader}` cannot write to what `{self.agent}` alone remembers: write to the tenant's, or to "
                "your own"
            )
        recorder = self.recorder
        scope = current_scope(recorder)
        key = scope.enter(tool.name)
        try:
            done = await effects.perform(recorder, scope, key, self._reviewed(tool), (), arguments)
            return held if isinstance(done, HeldWrite) else done
        finally:
            scope.busy = ""

    def _reviewed(self, tool: Tool[..., Any]) -> Tool[..., Any]:
        async def write(*, perdure_effect_key: EffectKey, **arguments: Any) -> Any:
            origin = origin_of(self.recorder, perdure_effect_key)
            if not self.memories.reviews(origin.labels):
                return await tool.function(**arguments, **{tool.key_parameter or "key": perdure_effect_key})
            proposed = ProposedWrite(
                layer=self.layer,
                whose=self.whose,
                tool=tool.name,
                arguments=arguments,
                origin=origin,
                key=perdure_effect_key,
            )
            await Proposals(self.store).put(proposed)
            return HeldWrite(proposal=f"{origin.run}/{origin.step}")

        write.__annotations__["return"] = type_hints(tool.function)["return"] | HeldWrite
        terms = tool.terms if tool.terms.retry is not None else replace(tool.terms, retry=UNTIL_IT_IS_BACK)
        return Tool(write, name=tool.name, effect=tool.effect, terms=terms, form=tool.form)

    async def recall(
        self, name: str, function: Callable[..., Awaitable[Any]], arguments: dict[str, Any]
    ) -> Any:
        """A read of items that have an `origin`: recorded, and the same in every replay.

        Without what was withdrawn, and what policies forbid. A list of `limit` items is filled up with others.
        """
        recorder = self.recorder
        shape = shape_of(Recalled[type_hints(function)["return"]])
        scope = current_scope(recorder)
        key = scope.enter(name)

        async def read(**given: Any) -> Recalled[Any]:
            self._may_read()
            found = await function(**given)
            left, left_out = await self._sifted(found, key)
            size, limit = _length(found), given.get("limit")
            while (
                left_out
                and isinstance(limit, int)
                and size >= limit
                and limit < MOST
                and _length(left) < size
            ):
                limit = min(limit * 4, MOST)
                more = await function(**{**given, "limit": limit})
                left, left_out = await self._sifted(more, key)
                left = left[:size]
                if _length(more) < limit:
                    break
            return told(left, left_out)

        try:
            if recorder.heard is not None:
                recorder.heard.recalls(key, labels_of)
            done: Recalled[Any] = await effects.repeat(
                recorder,
                scope,
                key,
                read,
                (),
                arguments,
                shape=shape,
                asynchronous=True,
                operation=b"recall",
                data=arguments_bytes(arguments)[1:-1],
                what=_READ,
            )
            return done.found
        finally:
            scope.busy = ""

    async def withheld(self, origins: Iterable[Origin], *, key: str = "") -> Mapping[Origin, LeftOut]:
        """Those that this run must not read, and why: for a layer that has something else to tell in their place."""
        asked = set(origins)
        if not asked:
            return {}
        held = await Holds(self.store).among(self.recorder.ref.tenant, asked)
        out = {origin: LeftOut(items=1, why="withdrawn") for origin in held}
        return {**out, **await forbidden(self.recorder, self.layer, asked - held.keys(), key=key)}

    async def _sifted(self, found: Any, key: str) -> tuple[Any, tuple[LeftOut, ...]]:
        """What may be handed out, and what was kept back, by reasons."""
        out = await self.withheld((item.origin for item in items_in(found)), key=key)
        if not out:
            return found, ()
        kept = without(found, out.__contains__)
        reasons: dict[LeftOut, int] = {}
        for reason in out.values():
            reasons[reason] = reasons.get(reason, 0) + 1
        told_: Sequence[LeftOut] = [
            LeftOut(items=n, why=reason.why, policies=reason.policies) for reason, n in reasons.items()
        ]
        return kept, tuple(sorted(told_, key=lambda each: each.why))

    def _may_read(self) -> None:
        if self.agent not in (None, self.reader) and not self.memories.shares(self.agent, self.reader):
            raise Refused(
                f"what `{self.agent}` alone remembers is not shared with `{self.reader}`: `[memory.shared]` of "
                "perdure.toml would say so"
            )


def _length(found: Any) -> int:
    return len(cast("list[Any]", found)) if isinstance(found, list) else 0
