"""Working memory in a run: what matters now, as `run.working()` hands it out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ...core.codec import arguments_bytes
from ...core.errors import Refused
from ...governance.policy.remembering import REMEMBERING
from ...memory.working import (
    WORKING,
    Found,
    Packed,
    Passage,
    Query,
    Space,
    Working,
    cleaned,
    pack,
    passages,
    write,
)
from ...memory.working.port import LONGEST_TEXT
from ..boundary.handing import EffectKey
from ..boundary.tool import Tool, as_tool
from ..conversation.providers import Models
from .embedding import Vectors, embedded
from .steps import Steps, origin_of

__all__ = ["WorkingMemory"]


class WorkingMemory:
    """A space of notes, documents and results of tools, found again by words and by meaning.

    Each method is a step. What it returns is recorded, and the same in every replay; what a write has returned is
    found by every search after it. A write that waits for a review (`[memory] review`) is not done yet.
    """

    def __init__(self, steps: Steps, working: Working, name: str, *, models: Models) -> None:
        self.name = name
        self._models = models
        self._steps = steps
        self._working = working
        whose = steps.whose
        self._space = Space(whose.tenant, whose.subject, whose.agent, name)
        _ = self._space.key  # refused here, and not in a step

    async def add(
        self, text: str, *, kind: str = "note", source: str = "", ttl: timedelta | None = None
    ) -> str:
        """Remember a text; its id, empty where it waits for a review.

        A long one is kept in passages, which are found each by itself. `source` says where it is from (a file, a URL,
        a tool), and stands beside it wherever it is found. After `ttl` it is not found any more, and then deleted.
        """
        arguments: dict[str, Any] = {
            "kind": kind,
            "source": cleaned(source),
            "text": cleaned(text),
            "ttl": None if ttl is None else ttl.total_seconds(),
        }
        vectors = await self._vectors("working_add", passages(arguments["text"]))

        async def working_add(*, key: EffectKey, **given: Any) -> str:
            return str(await self._do("working_add", given, key, vectors))

        return await self._write(working_add, arguments, held="")

    async def search(
        self,
        query: str,
        *,
        k: int = 8,
        kinds: Sequence[str] = (),
        sources: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> list[Found]:
        """The `k` best passages, the best first; only of these kinds and sources, none with a label of `without`."""
        Query(k=k).check()  # refused here, and not in a step
        query = cleaned(query)
        asked = await self._vectors("working_search", [query], query=True) if query.strip() else Vectors()

        async def working_search(
            space: str, query: str, limit: int, kinds: list[str], sources: list[str], without: list[str]
        ) -> list[Found]:
            wanted = Query(
                text=query,
                vector=asked.vectors[0] if asked.vectors else None,
                model=asked.by,
                k=limit,
                kinds=tuple(kinds),
                sources=tuple(sources),
                without=tuple(without),
            )
            return await self._working.search(self._space, wanted)

        return await self._read(
            working_search,
            query=query,
            limit=k,
            kinds=list(kinds),
            sources=list(sources),
            without=list(without),
        )

    async def pack(
        self,
        query: str,
        *,
        budget_tokens: int,
        k: int = 50,
        kinds: Sequence[str] = (),
        sources: Sequence[str] = (),
        without: Sequence[str] = (),
    ) -> Packed:
        """What `search` finds, as much of it as fits into a prompt: its `render()`, and what was left out, and why."""
        found = await self.search(query, k=k, kinds=kinds, sources=sources, without=without)
        return pack(found, query=query, budget=budget_tokens)

    def remembering(self, tool: Any, *, ttl: timedelta | None = None, least: int = 0) -> Tool[..., Any]:
        """The tool, whose results are remembered from now on, as kind `result` and with its name as the source.

        Give it to a model in place of the other, or call it by `run.call`. Results of fewer than `least` characters are
        not worth it. Where a policy forbids to remember a result, the call still has it.
        """
        of: Tool[..., Any] = as_tool(tool)

        async def follow(arguments: dict[str, Any], value: Any) -> Any:
            answer = value if of.follow is None else await of.follow(arguments, value)
            text = answer if isinstance(answer, str) else arguments_bytes(answer)[1:-1].decode()
            if text.strip() and len(text) >= least:
                try:
                    await self.add(text[:LONGEST_TEXT], kind="result", source=of.name, ttl=ttl)
                except Refused:
                    pass  # the verdict stands in the journal
            return answer

        return replace(of, follow=follow)

    async def get(self, id: str) -> list[Passage]:
        """The passages of a text, in order; empty: there is none."""

        async def working_get(space: str, item: str) -> list[Passage]:
            return await self._working.get(self._space, item)

        return await self._read(working_get, item=id)

    async def forget(self, id: str) -> bool:
        """Take a text away for good; whether it was there."""

        async def working_forget(*, key: EffectKey, **given: Any) -> bool:
            return bool(await self._do("working_forget", given, key))

        return await self._write(working_forget, {"item": id}, held=False)

    async def _vectors(self, step: str, texts: Sequence[str], *, query: bool = False) -> Vectors:
        model = self._steps.memories.embeddings
        return await embedded(self._steps.recorder, self._models, model, step, texts, query=query)

    async def _do(
        self, tool: str, arguments: dict[str, Any], key: str, vectors: Vectors | None = None
    ) -> str | bool:
        means = vectors or Vectors()
        return await write(
            self._working,
            self._space,
            tool,
            arguments,
            origin=origin_of(self._steps.recorder, key),
            key=key,
            most=self._steps.memories.retention.get(WORKING),
            vectors=means.vectors,
            model=means.by,
        )

    async def _write(self, function: Any, arguments: dict[str, Any], *, held: Any) -> Any:
        name = function.__name__
        form = dict(REMEMBERING[name].arguments)
        tool: Tool[..., Any] = Tool(function, name=name, effect="idempotent", form=form)
        return await self._steps.remember(tool, {"space": self.name, **arguments}, held=held)

    async def _read(self, function: Any, **arguments: Any) -> Any:
        return await self._steps.recall(function.__name__, function, {"space": self.name, **arguments})
