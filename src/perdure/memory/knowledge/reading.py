"""What is found in a ledger, as values: with names, and with where each comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import pydantic_core

from ..port import Origin
from . import names
from .dating import contradictions
from .ledger import EntityRow, FactQuery, FactRow, View, WalkQuery, WriteRow
from .times import NEVER, valid
from .values import Candidate, Entity, Fact, Found, Reached, Ref, Subgraph
from .writing import root, roots

__all__ = ["entities", "facts", "find", "known_by", "origin_of", "walk"]

_MOST_COMPARED = 50
"""Entities of a block: with more of them, those that share most are compared."""
_MOST_SHOWN = 5
_MOST_FACTS = 3


def origin_of(write: WriteRow | None) -> Origin:
    """Where what a write wrote comes from."""
    if write is None:
        return Origin(run="", step="")
    return Origin(run=write.run, step=write.step, labels=tuple(pydantic_core.from_json(write.labels)))


def entities(view: View, ids: Iterable[int]) -> list[Entity]:
    """Entities, as what they are now, each once, in the order in which they were asked for."""
    now = {row.id: row for row in roots(view, dict.fromkeys(ids)).values()}
    members = view.members(list(now))
    given = view.names([member for of in members.values() for member in of])
    writes = _writes(view, [row.write for row in now.values()])
    found: list[Entity] = []
    for row in now.values():
        of = set(members[row.id])
        others = dict.fromkeys(name.name for name in given if name.entity in of)
        others.pop(row.name, None)
        write = writes.get(row.write)
        found.append(
            Entity(
                id=row.id,
                kind=row.kind,
                name=row.name,
                aliases=tuple(others),
                merged=tuple(sorted(of - {row.id})),
                at=0 if write is None else write.at,
                origin=origin_of(write),
            )
        )
    return found


def find(view: View, kind: str, given: Sequence[str]) -> Found:
    """The entity of the first name, or of the others; else those that it may be."""
    hits: list[int] = []
    for name in given:
        found = {row.id for row in roots(view, view.named(kind, names.same(name))).values()}
        hits.extend(each for each in sorted(found) if each not in hits)
        if hits and name == given[0]:
            break
    if len(hits) == 1:
        return Found(entity=entities(view, hits)[0])
    if hits:
        several = entities(view, hits[:_MOST_SHOWN])
        return Found(
            entity=None,
            candidates=_told(view, [Candidate(entity=e, name=given[0], similarity=1.0) for e in several]),
        )
    blocks = list(dict.fromkeys(block for name in given for block in names.blocks(name)))
    near = view.near(kind, blocks, _MOST_COMPARED)
    candidates: list[Candidate] = []
    for entity in entities(view, near):
        best, name = max(
            (names.similarity(one, other), other) for one in given for other in (entity.name, *entity.aliases)
        )
        if best >= names.DOUBTFUL:
            candidates.append(Candidate(entity=entity, name=name, similarity=round(best, 3)))
    candidates.sort(key=lambda c: (-c.similarity, c.entity.id))
    return Found(entity=None, candidates=_told(view, candidates[:_MOST_SHOWN]))


def _told(view: View, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """With some facts of each, to tell them apart."""
    rows = [
        view.facts(FactQuery(entity=c.entity.id, direction="both", as_of=view.now, limit=_MOST_FACTS))
        for c in candidates
    ]
    known = {fact.version: fact for fact in facts(view, [row for of in rows for row in of], ())}
    return tuple(
        replace(c, facts=tuple(known[row.version] for row in of))
        for c, of in zip(candidates, rows, strict=True)
    )


def known_by(entity: Entity, given: Iterable[str]) -> bool:
    """Whether an entity has all these names."""
    there = {names.same(each) for each in (entity.name, *entity.aliases)}
    return all(names.same(each) in there for each in given)


def facts(
    view: View, rows: Sequence[FactRow], functional: Collection[str], refs: Mapping[int, Ref] | None = None
) -> list[Fact]:
    """Versions of facts, with their names; those of which one holds at a time with what they contradict."""
    if refs is None:
        refs = _refs(view, [*(row.subject for row in rows), *(row.object for row in rows if row.object)])
    writes = _writes(view, [row.write for row in rows])
    origins = {id: origin_of(write) for id, write in writes.items()}
    against: dict[int, set[int]] = {}
    groups: dict[tuple[int, str], list[FactRow]] = {}
    for row in rows:
        if row.relation in functional:
            groups.setdefault((row.subject, row.relation), []).append(row)
    for group in groups.values():
        against |= contradictions(group)
    return [_fact(row, refs, origins, against) for row in rows]


def _fact(
    row: FactRow, refs: Mapping[int, Ref], origins: Mapping[int, Origin], against: Mapping[int, set[int]]
) -> Fact:
    return Fact(
        id=row.fact,
        version=row.version,
        subject=refs[row.subject],
        relation=row.relation,
        object=refs[row.object] if row.object else None,
        value=pydantic_core.from_json(row.value) if row.value else None,
        valid_from=valid(row.valid_from),
        valid_to=valid(row.valid_to),
        confidence=row.confidence,
        at=row.at,
        until=None if row.until == NEVER else row.until,
        write=row.write,
        origin=origins.get(row.write) or origin_of(None),
        contradicts=tuple(sorted(against.get(row.fact, ()))),
    )


def walk(view: View, query: WalkQuery, functional: Collection[str]) -> Subgraph:
    """What is reached from an entity."""
    query = replace(query, start=root(view, query.start).id)
    steps = view.walk(query)
    cut, steps = len(steps) > query.limit, steps[: query.limit]
    reached = {query.start: 0}
    for step in steps:
        reached[step.entity] = min(step.hops, reached.get(step.entity, step.hops))
    rows = {step.fact.version: step.fact for step in steps}
    refs = _refs(view, reached)  # the ends of all facts, too
    nearest = sorted(reached.items(), key=lambda each: (each[1], each[0]))
    return Subgraph(
        entities=tuple(Reached(entity=refs[entity], hops=hops) for entity, hops in nearest),
        facts=tuple(facts(view, list(rows.values()), functional, refs)),
        cut=cut,
    )


def _refs(view: View, ids: Iterable[int]) -> dict[int, Ref]:
    rows = view.entities(sorted(set(ids)))
    writes = _writes(view, [row.write for row in rows])
    return {row.id: _ref(row, writes) for row in rows}


def _ref(row: EntityRow, writes: Mapping[int, WriteRow]) -> Ref:
    return Ref(id=row.id, kind=row.kind, name=row.name, origin=origin_of(writes.get(row.write)))


def _writes(view: View, ids: Iterable[int]) -> dict[int, WriteRow]:
    return {write.id: write for write in view.writes(sorted(set(ids)))}
