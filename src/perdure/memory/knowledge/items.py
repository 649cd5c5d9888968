"""Knowledge before those who govern memory: each write as an item, and the writes by their names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pydantic_core

from ...core.errors import ConfigError, SubjectErased
from ..port import Origin
from ..remembered import DoneWrite, Item, ItemPage, ItemQuery, ProposedWrite, Whose
from . import reading
from .knowledge import Knowledge
from .ledger import View, WriteRow
from .values import Merged, Named, Retracted, Said, Undone

__all__ = ["KNOWLEDGE", "RETURNS", "KnowledgeItems", "write"]

KNOWLEDGE = "knowledge"
"""The name of the layer."""

_PAGE = 500

WITHDRAWN = "memory undo"
"""The step of what a person undoes of a run's writes: no run has a step of that name."""

RETURNS: Mapping[str, type[Named | Said | Retracted | Merged | Undone]] = {
    "knowledge_entity": Named,
    "knowledge_alias": Named,
    "knowledge_say": Said,
    "knowledge_retract": Retracted,
    "knowledge_merge": Merged,
    "knowledge_undo": Undone,
}
"""What the writes answer, by the names under which policies know them."""


async def write(
    knowledge: Knowledge, whose: Whose, tool: str, arguments: Mapping[str, Any], *, origin: Origin, key: str
) -> Any:
    """Do a write of that name, with the arguments of its step: by the run itself, or when it was accepted."""
    of: dict[str, Any] = {"origin": origin, "key": key}
    why = arguments.get("why", "")
    match tool:
        case "knowledge_entity":
            kind, name, another = arguments["kind"], arguments["name"], arguments["another"]
            return await knowledge.entity(
                whose, kind, name, aliases=arguments["aliases"], another=another, **of
            )
        case "knowledge_alias":
            return await knowledge.alias(
                whose,
                await _id(knowledge, whose, arguments["entity"], **of),
                arguments["name"],
                why=why,
                **of,
            )
        case "knowledge_say":
            leads = arguments["object"]
            return await knowledge.say(
                whose,
                await _id(knowledge, whose, arguments["subject"], **of),
                arguments["relation"],
                object=None if leads is None else await _id(knowledge, whose, leads, **of),
                value=arguments["value"],
                valid_from=arguments["valid_from"],
                valid_to=arguments["valid_to"],
                confidence=arguments["confidence"],
                **of,
            )
        case "knowledge_retract":
            return await knowledge.retract(whose, arguments["fact"], why=why, **of)
        case "knowledge_merge":
            one = await _id(knowledge, whose, arguments["one"], **of)
            into = await _id(knowledge, whose, arguments["into"], **of)
            return await knowledge.merge(whose, one, into, why=why, **of)
        case "knowledge_undo":
            return await knowledge.undo(whose, arguments["write"], why=why, **of)
        case _:
            raise ConfigError(f"`{tool}` is no write of knowledge")


async def _id(
    knowledge: Knowledge, whose: Whose, named: Mapping[str, Any], *, origin: Origin, key: str
) -> int:
    """An entity's id. One whose naming waits for a review has none yet: who accepts what is said of it accepts it."""
    if named["id"]:
        return named["id"]
    kind, name = named["kind"], named["name"]
    made = await knowledge.entity(whose, kind, name, origin=origin, key=f"{key}|{kind}|{name}")
    if made.entity is None:
        raise ConfigError(f"several are called `{name[:80]}`, and it was not said which one is meant")
    return made.entity.id


class KnowledgeItems:
    """The layer `knowledge` on any ledger: names and facts, as they were said."""

    layer = KNOWLEDGE

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    async def items(self, query: ItemQuery) -> ItemPage:
        """Items by whose they are, and then in the order in which they were written."""
        items: list[Item] = []
        looked = 0
        begun, after = _read_place(query.after)
        for whose in await self._knowledge.realms(query.tenant):
            if _key(whose) < begun or query.subject not in (None, whose.subject):
                continue
            after = after if _key(whose) == begun else 0
            while found := await self._page(whose, after):
                after = found[-1][0].id
                looked += len(found)
                items += [item for _, item in found if item is not None and query.takes(item)]
                if len(items) >= query.limit or looked >= query.look:
                    return ItemPage(items=items, next=json.dumps([*_key(whose), after]))
        return ItemPage(items=items)

    async def accept(self, proposed: ProposedWrite) -> None:
        """Do a write that was held back, once."""
        await write(
            self._knowledge,
            proposed.whose,
            proposed.tool,
            proposed.arguments,
            origin=proposed.origin,
            key=proposed.key,
        )

    async def withdraw(self, tenant: str, run: str, step: str | None, *, why: str) -> None:
        """Undo the writes that reach beyond their own facts: what they dated, retracted, merged, and named anew."""
        origin = Origin(run=run, step=WITHDRAWN)
        for whose, row in reversed(await self._written(tenant, run, step)):
            if not row.undone and _reaches(row):
                await self._knowledge.undo(whose, row.id, origin=origin, key=f"withdraw {row.id}", why=why)

    async def restore(
        self, tenant: str, run: str, step: str | None, *, writes: Mapping[str, DoneWrite]
    ) -> None:
        """Do those writes anew, under their own origins."""
        for whose, row in await self._written(tenant, run, step):
            done = writes.get(row.step)
            if not row.undone or done is None:
                continue
            (by,) = await self._knowledge.writes(whose, [row.undone])
            if (by.run, by.step) == (run, WITHDRAWN):
                origin = reading.origin_of(row)
                await write(
                    self._knowledge, whose, done.tool, done.arguments, origin=origin, key=f"restore {row.id}"
                )

    async def _written(self, tenant: str, run: str, step: str | None) -> list[tuple[Whose, WriteRow]]:
        """The writes of a run, but for those that undo, in their order; in whose memory they are."""
        found: list[tuple[Whose, WriteRow]] = []
        for whose in await self._knowledge.realms(tenant):
            after = 0
            while page := await self._log(whose, after):
                after = page[-1].id
                found += [
                    (whose, row)
                    for row in page
                    if row.run == run and step in (None, row.step) and row.kind != "undo"
                ]
        return found

    async def _log(self, whose: Whose, after: int) -> list[WriteRow]:
        try:
            return await self._knowledge.ledger.read(whose, lambda view: view.log(after, _PAGE))
        except SubjectErased:
            return []

    async def forget(self, tenant: str, subject: str) -> int:
        """Delete what is known about a data subject."""
        realms = [whose for whose in await self._knowledge.realms(tenant) if whose.subject == subject]
        return sum([await self._knowledge.forget(whose) for whose in realms])

    async def _page(self, whose: Whose, after: int) -> list[tuple[WriteRow, Item | None]]:
        def look(view: View) -> list[tuple[WriteRow, Item | None]]:
            return [(row, _item(view, whose, row)) for row in view.log(after, _PAGE)]

        try:
            return await self._knowledge.ledger.read(whose, look)
        except SubjectErased:
            return []  # its rows are deleted by whoever has destroyed the key


def _reaches(row: WriteRow) -> bool:
    """Whether a write has changed what others wrote."""
    if row.kind in ("retract", "merge", "alias"):
        return True
    return row.kind == "say" and bool(pydantic_core.from_json(row.did).get("dated"))


def _key(whose: Whose) -> tuple[str, str]:
    return whose.subject or "", whose.agent or ""


def _read_place(after: str) -> tuple[tuple[str, str], int]:
    if not after:
        return ("", ""), 0
    subject, agent, number = json.loads(after)
    return (subject, agent), number


def _item(view: View, whose: Whose, row: WriteRow) -> Item | None:
    """What a write has put there; None: it has only changed what others did, or was undone."""
    did: dict[str, Any] = pydantic_core.from_json(row.did)
    if row.undone or not did.get("new"):
        return None
    if row.kind == "say":
        versions = reading.facts(view, view.versions(did["fact"])[-1:], ())
        kind, place, content = "fact", f"fact {did['fact']}", str(versions[0])
    else:
        names = [name.name for name in view.names([did["entity"]]) if name.write == row.id]
        kind, place, content = "name", f"entity {did['entity']}", ", ".join(names)
    return Item(
        layer=KNOWLEDGE,
        kind=kind,
        whose=whose,
        place=place,
        content=content,
        at=row.at,
        origin=reading.origin_of(row),
    )
