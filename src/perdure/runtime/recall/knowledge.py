"""Knowledge in a run: entities and dated facts, as `run.knowledge` hands them out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Literal, TypeAlias

from ...core.errors import ConfigError
from ...governance.policy.remembering import REMEMBERING
from ...memory import Origin
from ...memory.knowledge import (
    RETURNS,
    Direction,
    Entity,
    Fact,
    Found,
    Knowledge,
    Merged,
    Named,
    Ref,
    Retracted,
    Said,
    Subgraph,
    Undone,
    When,
    known_by,
    shown,
    write,
)
from ..boundary.handing import EffectKey
from ..boundary.tool import Tool
from .steps import Steps, origin_of

__all__ = ["About", "RunKnowledge"]

About: TypeAlias = Entity | Ref | int
"""An entity: as it was returned, as a fact names it, or its id."""

NOBODY = "none of these"

# What writes answer that wait for a review.
_HELD_NAME = Named(entity=None, new=False, write=0)
_HELD_SAYING = Said(fact=0, new=False, write=0)
_HELD_RETRACTION = Retracted(fact=0, done=False, write=0)
_HELD_MERGE = Merged(into=0, moved=0, write=0)
_HELD_UNDOING = Undone(undid="", write=0)


class RunKnowledge:
    """Entities and dated facts, of the run's tenant and, where it has one, its data subject.

    Each method is a step, or a few. What it returns is recorded, and the same in every replay; what a write has
    returned is seen by every read after it. What waits for a review (`[memory] review`) is not known yet, and answers
    with a `write` of 0.
    """

    def __init__(
        self,
        steps: Callable[[str | None], Steps],
        knowledge: Knowledge,
        *,
        ask: Callable[..., Awaitable[Any]],
        agent: str | None = None,
    ) -> None:
        self._of = steps
        self._steps = steps(agent)
        self._knowledge = knowledge
        self._whose = self._steps.whose
        self._ask = ask

    def of(self, agent: str) -> RunKnowledge:
        """What that agent alone knows: others write nothing to it, and read it where `[memory.shared]` lets them."""
        return RunKnowledge(self._of, self._knowledge, ask=self._ask, agent=agent)

    # entities --------------------------------------------------------------------------------------------------

    async def entity(
        self,
        kind: str,
        name: str,
        *,
        aliases: Sequence[str] = (),
        doubt: Literal["ask", "new"] = "ask",
        timeout: timedelta | None = None,
    ) -> Entity:
        """The entity of a name, made where there is none. It is found under `aliases` too from then on.

        Where several have the name, or others have one that is similar, a human is asked which one is meant, and the
        run waits; nothing is merged in silence. With `doubt="new"` nobody is asked, and it is another one. Raises
        `WaitTimeout` where nobody answers within `timeout`, `ApprovalDenied` where somebody will not. One that waits
        for a review (`[memory] review`) has the id 0 until then; what is said of it waits too.
        """
        while True:
            found = await self.find(kind, name, aliases=aliases)
            another = False
            if found.entity is None and found.candidates:
                meant = await self._which(found, kind, name, timeout) if doubt == "ask" else None
                if meant is not None:
                    await self.alias(meant, name, why="a human said that it is the same")
                    continue
                another = True
            elif found.entity is not None and known_by(found.entity, [name, *aliases]):
                return found.entity
            named = await self._name(kind, name, aliases, another=another)
            if named is _HELD_NAME:
                return Entity(id=0, kind=kind, name=name, aliases=(), at=0, origin=Origin(run="", step=""))
            if named.entity is not None:  # else somebody was faster, and several have the name now
                return named.entity if named.new else await self._got(named.entity)

    async def find(self, kind: str, name: str, *, aliases: Sequence[str] = ()) -> Found:
        """What is known under a name: the entity, or those that it may be. Nothing is written, and nobody asked."""

        async def knowledge_find(kind: str, name: str, aliases: list[str]) -> Found:
            return await self._knowledge.find(self._whose, kind, name, aliases=aliases)

        return await self._read(knowledge_find, kind=kind, name=name, aliases=list(aliases))

    async def alias(self, entity: About, name: str, *, why: str = "") -> Entity:
        """Let an entity be found under one more name."""
        named = await self._write("knowledge_alias", _HELD_NAME, entity=_named(entity), name=name, why=why)
        return named.entity or await self._got(entity)

    async def merge(self, one: About, into: About, *, why: str = "") -> Merged:
        """Let an entity be another one, with the facts of both. `undo(merged.write)` makes them two again."""
        return await self._write("knowledge_merge", _HELD_MERGE, one=_named(one), into=_named(into), why=why)

    async def _name(self, kind: str, name: str, aliases: Sequence[str], *, another: bool) -> Named:
        return await self._write(
            "knowledge_entity", _HELD_NAME, kind=kind, name=name, aliases=list(aliases), another=another
        )

    async def _got(self, entity: About) -> Entity:
        async def knowledge_get(entity: int) -> Entity | None:
            return await self._knowledge.get(self._whose, entity)

        found: Entity | None = await self._read(knowledge_get, entity=_id(entity))
        if found is None:
            raise ConfigError(f"there is no entity `{_id(entity)}` here, or this run must not read it")
        return found

    async def _which(self, found: Found, kind: str, name: str, timeout: timedelta | None) -> Entity | None:
        choices = {f"{c.entity.name} ({c.entity.id})": c.entity for c in found.candidates}
        told = [
            {
                "entity": c.entity.id,
                "name": c.entity.name,
                "aliases": list(c.entity.aliases),
                "similarity": c.similarity,
                "facts": [str(fact) for fact in c.facts],
            }
            for c in found.candidates
        ]
        answer = await self._ask(
            f"Which {kind} is `{name}`?",
            answer=[*choices, NOBODY],
            show={"name": name, "kind": kind, "candidates": told},
            timeout=timeout,
            name="knowledge_which",
        )
        return choices.get(answer)

    # facts -----------------------------------------------------------------------------------------------------

    async def say(
        self,
        subject: About,
        relation: str,
        object: Entity | Ref | Any,
        *,
        valid_from: When | None = None,
        valid_to: When | None = None,
        confidence: float | None = None,
    ) -> Said:
        """Keep a fact: that a subject has a relation to an entity, or a value (any other JSON).

        It holds from `valid_from` until `valid_to`, the end not included; without them nobody has said since or until
        when. Of a relation that is declared under `[memory] one_at_a_time` a later fact dates the end of the one
        before. Nothing is overwritten; what contradicts it is told, and kept.
        """
        leads = object if isinstance(object, Entity | Ref) else None

        return await self._write(
            "knowledge_say",
            _HELD_SAYING,
            subject=_named(subject),
            relation=relation,
            object=None if leads is None else _named(leads),
            value=object if leads is None else None,
            valid_from=shown(valid_from),
            valid_to=shown(valid_to),
            confidence=confidence,
            says=f"{subject} {relation} {object}"[:500],
        )

    async def retract(self, fact: Fact | Said | int, *, why: str = "") -> Retracted:
        """Take a fact back: it is not known from now on. That it was, and until when, stays readable."""
        of = fact.fact if isinstance(fact, Said) else fact.id if isinstance(fact, Fact) else fact

        return await self._write("knowledge_retract", replace(_HELD_RETRACTION, fact=of), fact=of, why=why)

    async def undo(self, of: int, *, why: str = "") -> Undone:
        """Undo a write by its number: what it said, took back, named, or made one."""
        return await self._write("knowledge_undo", _HELD_UNDOING, write=of, why=why)

    async def about(
        self,
        entity: About,
        relation: str | None = None,
        *,
        direction: Direction = "out",
        as_of: When | None = None,
        known_at: When | None = None,
        ever: bool = False,
        after: int = 0,
        limit: int = 100,
    ) -> list[Fact]:
        """Facts about an entity that hold now, or at `as_of`; with `ever`, whenever they hold.

        As they are known now, or were at `known_at`. A page goes on behind the `version` given as `after`.
        """

        async def knowledge_about(
            entity: int,
            relation: str | None,
            direction: Direction,
            as_of: str | None,
            known_at: str | None,
            ever: bool,
            after: int,
            limit: int,
        ) -> list[Fact]:
            return await self._knowledge.about(
                self._whose,
                entity,
                relation,
                direction=direction,
                as_of=as_of,
                known_at=known_at,
                ever=ever,
                after=after,
                limit=limit,
            )

        return await self._read(
            knowledge_about,
            entity=_id(entity),
            relation=relation,
            direction=direction,
            as_of=shown(as_of),
            known_at=shown(known_at),
            ever=ever,
            after=after,
            limit=limit,
        )

    async def history(
        self,
        entity: About,
        relation: str | None = None,
        *,
        direction: Direction = "out",
        after: int = 0,
        limit: int = 100,
    ) -> list[Fact]:
        """All versions of all facts about an entity, also of what was taken back, in the order of their numbers."""

        async def knowledge_history(
            entity: int, relation: str | None, direction: Direction, after: int, limit: int
        ) -> list[Fact]:
            return await self._knowledge.history(
                self._whose, entity, relation, direction=direction, after=after, limit=limit
            )

        return await self._read(
            knowledge_history,
            entity=_id(entity),
            relation=relation,
            direction=direction,
            after=after,
            limit=limit,
        )

    async def traverse(
        self,
        entity: About,
        *,
        hops: int = 2,
        relations: Sequence[str] = (),
        direction: Direction = "both",
        as_of: When | None = None,
        known_at: When | None = None,
        limit: int = 200,
    ) -> Subgraph:
        """What is reached from an entity over at most `hops` (1 to 5) facts that hold now, or at `as_of`."""

        async def knowledge_traverse(
            entity: int,
            hops: int,
            relations: list[str],
            direction: Direction,
            as_of: str | None,
            known_at: str | None,
            limit: int,
        ) -> Subgraph:
            return await self._knowledge.traverse(
                self._whose,
                entity,
                hops=hops,
                relations=relations,
                direction=direction,
                as_of=as_of,
                known_at=known_at,
                limit=limit,
            )

        return await self._read(
            knowledge_traverse,
            entity=_id(entity),
            hops=hops,
            relations=list(relations),
            direction=direction,
            as_of=shown(as_of),
            known_at=shown(known_at),
            limit=limit,
        )

    async def _write(self, tool_name: str, held: Any, /, **arguments: Any) -> Any:
        async def knowledge_write(*, key: EffectKey, **given: Any) -> Any:
            origin = origin_of(self._steps.recorder, key)
            return await write(self._knowledge, self._whose, tool_name, given, origin=origin, key=key)

        knowledge_write.__annotations__["return"] = RETURNS[tool_name]
        form = dict(REMEMBERING[tool_name].arguments)
        tool: Tool[..., Any] = Tool(knowledge_write, name=tool_name, effect="idempotent", form=form)
        return await self._steps.remember(tool, arguments, held=held)

    async def _read(self, function: Any, **arguments: Any) -> Any:
        return await self._steps.recall(function.__name__, function, arguments)


def _named(entity: About) -> dict[str, Any]:
    """As steps and policies name it: by what a person can read, too."""
    kind, name = (entity.kind, entity.name) if isinstance(entity, Entity | Ref) else ("", "")
    return {"id": _id(entity), "kind": kind, "name": name}


def _id(entity: About) -> int:
    if isinstance(entity, Entity | Ref):
        return entity.id
    if isinstance(entity, bool) or not isinstance(entity, int):  # pyright: ignore[reportUnnecessaryIsInstance]  # users' input
        raise ConfigError(f"`{str(entity)[:80]}` is no entity: give one that `entity`, `find` or a fact has")
    return entity
