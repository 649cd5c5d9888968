"""Working memory before those who govern memory: each text as an item; any backend of `Working`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from ...core.errors import ConfigError
from ..port import Origin
from ..remembered import DoneWrite, Item, ItemPage, ItemQuery, ProposedWrite, Whose
from .passages import passages
from .port import Part, Passage, Space, SpaceHead, Working

__all__ = ["WORKING", "WorkingItems", "write"]

WORKING = "working"
"""The layer's name."""
_HEADS = 100
_PAGE = 100


async def write(
    working: Working,
    space: Space,
    tool: str,
    arguments: Mapping[str, Any],
    *,
    origin: Origin,
    key: str,
    most: timedelta | None = None,
    vectors: Sequence[bytes] = (),
    model: str | None = None,
) -> str | bool:
    """Do a write of that name, with the arguments of its step: by the run itself, or when it was accepted.

    Nothing is kept longer than `most`. `vectors` are of the text's passages; without them it is found by words alone.
    """
    if tool == "working_forget":
        return await working.forget(space, arguments["item"], key=key)
    if tool != "working_add":
        raise ConfigError(f"`{tool}` is no write of working memory")
    seconds = arguments.get("ttl")
    ttl = most if seconds is None else timedelta(seconds=seconds)
    return await working.add(
        space,
        [
            Part(text=text, vector=vectors[i] if vectors else None)
            for i, text in enumerate(passages(arguments["text"]))
        ],
        kind=arguments["kind"],
        source=arguments["source"],
        origin=origin,
        key=key,
        model=model if vectors else None,
        ttl=ttl if most is None or ttl is None else min(ttl, most),
    )


class WorkingItems:
    """The layer `working` of any backend."""

    layer = WORKING

    def __init__(self, working: Working, *, most: timedelta | None = None) -> None:
        """`most`: nothing is kept longer."""
        self._working = working
        self._most = most

    async def items(self, query: ItemQuery) -> ItemPage:
        """Texts by spaces, of each the newest first."""
        items: list[Item] = []
        looked = 0
        key, _, number = query.after.partition("#")
        before = int(number) if number else None
        async for space in self._spaces(query.tenant, key, again=bool(number)):
            if query.subject is None or space.subject == query.subject:
                while page := await self._working.ls(space, before=before, limit=_PAGE):
                    before = page[-1].n
                    looked += len(page)
                    texts = [list(text) for _, text in groupby(page, key=lambda p: p.id)]
                    items += [item for text in texts if query.takes(item := _item(space, text))]
                    if len(items) >= query.limit or looked >= query.look:
                        return ItemPage(items=items, next=f"{space.key}#{before}")
            before = None
            looked += 1
            if looked >= query.look:
                return ItemPage(items=items, next=space.key)
        return ItemPage(items=items)

    async def accept(self, proposed: ProposedWrite) -> None:
        """Do a write that was held back, once. What it adds is found by words alone: a person pays for no model."""
        whose = proposed.whose
        space = Space(whose.tenant, whose.subject, whose.agent, proposed.arguments["space"])
        await write(
            self._working,
            space,
            proposed.tool,
            proposed.arguments,
            origin=proposed.origin,
            key=proposed.key,
            most=self._most,
        )

    async def withdraw(self, tenant: str, run: str, step: str | None, *, why: str) -> None:
        """Nothing more: no write changes what another has added."""

    async def restore(
        self, tenant: str, run: str, step: str | None, *, writes: Mapping[str, DoneWrite]
    ) -> None:
        """Nothing more."""

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete the spaces of a data subject."""
        return await self._working.erase(tenant, subject)

    async def _spaces(self, tenant: str, after: str, *, again: bool) -> AsyncGenerator[Space]:
        place = Space.of(tenant, after) if after else None
        if place is not None and again:
            yield place
        page: list[SpaceHead]
        while page := await self._working.spaces(tenant, after=place, limit=_HEADS):
            for head in page:
                yield head.space
            place = page[-1].space


def _item(space: Space, text: Sequence[Passage]) -> Item:
    first = text[0]
    where = f"{space.name} {first.source}" if first.source else space.name
    content = "\n\n".join(passage.text for passage in text)
    whose = Whose(space.tenant, space.subject, space.agent)
    return Item(
        layer=WORKING,
        kind=first.kind,
        whose=whose,
        place=where,
        content=content,
        at=first.at,
        origin=first.origin,
    )
