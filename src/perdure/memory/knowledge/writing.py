"""What writes do, as functions of a `View`: once under their key, whatever else is written at that moment."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pydantic_core

from ...core.errors import ConfigError
from ..port import Origin
from . import names
from .dating import contradictions, ends
from .ledger import EntityRow, FactQuery, FactRow, NameRow, View, WriteRow, digest
from .times import NEVER

__all__ = [
    "Did",
    "LockAlso",
    "Statement",
    "add_alias",
    "merge",
    "name_entity",
    "once",
    "retract",
    "root",
    "roots",
    "say",
    "undo",
]

Did = dict[str, Any]

_PAGE = 1000


class LockAlso(Exception):
    """These entities are touched too, and nobody has locked them: begin again, with their locks."""

    def __init__(self, entities: Collection[int]) -> None:
        super().__init__(entities)
        self.entities = entities


class Statement(NamedTuple):
    """What is said."""

    subject: int
    relation: str
    object: int
    value: str
    valid_from: int
    valid_to: int
    confidence: float | None


def once(view: View, key: str, kind: str, origin: Origin, do: Callable[[View, int], Did]) -> tuple[Did, int]:
    """What a write did, and its id: now, or when it was done under that key before.

    `do` gets the id of the write, and only writes: what it needs was read by whoever has made it.
    """
    hashed = _hash(key)
    done = view.done(hashed)
    if done is not None:
        return pydantic_core.from_json(done.did), done.id
    write = view.next_write()
    did = do(view, write)
    told, labels = (pydantic_core.to_json(each).decode() for each in (did, sorted(origin.labels)))
    view.add_write(WriteRow(write, hashed, kind, told, view.now, origin.run, origin.step, labels))
    return did, write


def known(view: View, key: str) -> bool:
    """Whether the write of that key was done."""
    return view.done(_hash(key)) is not None


def root(view: View, entity: int) -> EntityRow:
    """What an entity is now. Raises `ConfigError` where there is none of that id in the realm."""
    return roots(view, [entity])[entity]


def roots(view: View, entities: Collection[int]) -> dict[int, EntityRow]:
    """What entities are now, by the ids that were asked for, in their order."""
    rows: dict[int, EntityRow] = {}
    missing = set(entities)
    while missing:
        rows |= {row.id: row for row in view.entities(sorted(missing))}
        missing = {row.into for row in rows.values() if row.into} - rows.keys()
    found: dict[int, EntityRow] = {}
    for entity in entities:
        row = rows.get(entity)
        while row is not None and row.into:
            row = rows.get(row.into)
        if row is None:
            raise ConfigError(
                f"there is no entity `{entity}` here: take one that `entity` or `find` has returned, in a run of the "
                "same tenant and data subject"
            )
        found[entity] = row
    return found


# names -----------------------------------------------------------------------------------------------------------


def name_entity(
    view: View, key: str, origin: Origin, kind: str, given: Sequence[str], *, another: bool
) -> tuple[Did, int]:
    """The entity of a name, made where there is none; with `another`, made whoever else has that name."""
    keys = [names.same(each) for each in given]
    hits: list[int] = []
    if not another:
        of_each = [{row.id for row in roots(view, view.named(kind, key)).values()} for key in keys]
        hits = sorted(of_each[0] or set[int]().union(*of_each))
    if len(hits) > 1 and not known(view, key):
        return {"entity": 0, "new": False}, 0
    there: set[str] = set()
    if hits:
        there = {names.same(row.name) for row in view.names(view.members(hits)[hits[0]]) if row.kind == kind}

    def do(view: View, write: int) -> Did:
        entity = hits[0] if hits else view.add_entity(EntityRow(0, kind, given[0], 0, write))
        for name, key in zip(given, keys, strict=True):
            if key not in there:
                there.add(key)
                view.add_name(NameRow(entity, kind, name, write), key, names.blocks(name))
        return {"entity": entity, "new": not hits}

    return once(view, key, "entity", origin, do)


def add_alias(view: View, key: str, origin: Origin, entity: int, name: str, *, why: str) -> tuple[Did, int]:
    """Let an entity be found under one more name."""
    row, same = root(view, entity), names.same(name)
    there = {names.same(each.name) for each in view.names(view.members([row.id])[row.id])}

    def do(view: View, write: int) -> Did:
        if same not in there:
            view.add_name(NameRow(row.id, row.kind, name, write), same, names.blocks(name))
        return {"entity": row.id, "new": same not in there, "why": why}

    return once(view, key, "alias", origin, do)


# facts -----------------------------------------------------------------------------------------------------------


def say(
    view: View, key: str, origin: Origin, said: Statement, *, one: bool, locked: Collection[int]
) -> tuple[Did, int]:
    """Keep a fact; `one`: of its relation one holds at a time."""
    ends_of = roots(view, [said.subject, *([said.object] if said.object else [])])
    subject = ends_of[said.subject].id
    object = ends_of[said.object].id if said.object else 0
    if subject not in locked:
        raise LockAlso([subject])
    labels = set(origin.labels)
    alike = [
        row
        for row in view.alike(subject, said.relation, object, digest(said.value))
        if (row.valid_from, row.said_to) == (said.valid_from, said.valid_to)
    ]
    sources = {w.id: w for w in view.writes([row.write for row in alike])}
    same = [row for row in alike if set(pydantic_core.from_json(sources[row.write].labels)) == labels]
    group = view.group(subject, said.relation) if one else []

    def do(view: View, write: int) -> Did:
        if same:
            return {"fact": same[0].fact, "new": False, "dated": [], "contradicts": []}
        new = FactRow(
            version=0,
            fact=0,
            subject=subject,
            relation=said.relation,
            object=object,
            value=said.value,
            said_subject=said.subject,
            said_object=said.object,
            valid_from=said.valid_from,
            valid_to=said.valid_to,
            said_to=said.valid_to,
            confidence=said.confidence,
            at=view.now,
            until=NEVER,
            write=write,
            made=write,
        )
        new = new._replace(valid_to=ends([*group, new])[0] if one else said.valid_to)
        fact = view.add_fact(new, digest(new.value))
        new = new._replace(version=fact, fact=fact)
        dated, group_now = _redate(view, [*group, new], write) if one else ([], [new])
        if one and new.valid_to != new.said_to:
            dated.append(fact)
        against = sorted(contradictions(group_now).get(fact, ())) if one else []
        return {"fact": fact, "new": True, "dated": dated, "contradicts": against}

    return once(view, key, "say", origin, do)


def retract(
    view: View,
    key: str,
    origin: Origin,
    fact: int,
    *,
    why: str,
    functional: Collection[str],
    locked: Collection[int],
) -> tuple[Did, int]:
    """Take a fact back: from now on it is not known."""
    current, rest = _of_fact(view, fact, functional, locked)

    def do(view: View, write: int) -> Did:
        if current is None:
            return {"fact": fact, "done": False, "dated": [], "why": why}
        view.end_fact(current.version, write)
        return {"fact": fact, "done": True, "dated": _redate(view, rest, write)[0], "why": why}

    return once(view, key, "retract", origin, do)


def _of_fact(
    view: View, fact: int, functional: Collection[str], locked: Collection[int]
) -> tuple[FactRow | None, list[FactRow]]:
    """What is known of a fact now, and the others of its group, where ends follow from each other."""
    versions = view.versions(fact)
    if not versions:
        raise ConfigError(
            f"there is no fact `{fact}` here: take the `id` of one that was read, in a run of the same tenant and data "
            "subject"
        )
    last = versions[-1]
    if last.subject not in locked:
        raise LockAlso([last.subject])
    rest = view.group(last.subject, last.relation) if last.relation in functional else []
    return (last if last.current else None), [row for row in rest if row.fact != fact]


def _redate(view: View, group: Iterable[FactRow], write: int) -> tuple[list[int], list[FactRow]]:
    """Give facts of which one holds at a time the ends that follow now; those that changed, and all as they are."""
    rows, changed = list(group), list[int]()
    due = ends(rows)
    for i, row in enumerate(rows):
        if row.valid_to != due[row.version]:
            view.end_fact(row.version, write)
            new = row._replace(
                version=0, valid_to=due[row.version], at=view.now, until=NEVER, made=write, ended=0
            )
            rows[i] = new._replace(version=view.add_fact(new, digest(new.value)))
            changed.append(row.fact)
    return sorted(changed), rows


# entities that turn out to be one ----------------------------------------------------------------------------------


def merge(
    view: View,
    key: str,
    origin: Origin,
    one: int,
    into: int,
    *,
    why: str,
    functional: Collection[str],
    locked: Collection[int],
) -> tuple[Did, int]:
    """Let an entity be another one."""
    gone, kept = root(view, one), root(view, into)
    if gone.kind != kept.kind:
        raise ConfigError(f"a `{gone.kind}` is no `{kept.kind}`: entities of two kinds cannot be one")
    if gone.id == kept.id:
        return once(
            view,
            key,
            "merge",
            origin,
            lambda _view, _write: {"one": 0, "into": kept.id, "moved": 0, "dated": []},
        )
    said = view.members([gone.id])[gone.id]
    groups = _regrouped(view, set(said), gone.id, kept.id, functional, locked)

    def do(view: View, write: int) -> Did:
        view.point(gone.id, kept.id)
        moved = view.move(said, gone.id, kept.id)
        dated = [fact for rows in groups for fact in _redate(view, rows, write)[0]]
        return {"one": gone.id, "into": kept.id, "moved": moved, "dated": sorted(dated), "why": why}

    return once(view, key, "merge", origin, do)


def _regrouped(
    view: View,
    said: Collection[int],
    source: int,
    target: int,
    functional: Collection[str],
    locked: Collection[int],
) -> list[list[FactRow]]:
    """Groups in which ends may change when what was said of some entities, and stands at `source`, goes to `target`."""
    missing = {source, target} - set(locked)
    rows: dict[int, FactRow] = {}
    for relation in sorted(functional):
        found = [*view.group(source, relation), *view.group(target, relation)]
        for row in _leading_to(view, source, relation):
            if row.said_object in said:
                missing |= {row.subject} - set(locked)
                found += view.group(row.subject, relation)
        rows |= {row.version: row for row in found}
    if missing:
        raise LockAlso(missing)
    groups: dict[tuple[int, str], list[FactRow]] = {}
    for row in rows.values():
        subject = target if row.subject == source and row.said_subject in said else row.subject
        object = target if row.object == source and row.said_object in said else row.object
        groups.setdefault((subject, row.relation), []).append(row._replace(subject=subject, object=object))
    return list(groups.values())


def _leading_to(view: View, entity: int, relation: str) -> Iterable[FactRow]:
    after = 0
    while page := view.facts(
        FactQuery(entity=entity, relation=relation, direction="in", after=after, limit=_PAGE)
    ):
        yield from page
        after = page[-1].version


# undoing -----------------------------------------------------------------------------------------------------------


def undo(
    view: View,
    key: str,
    origin: Origin,
    write: int,
    *,
    why: str,
    functional: Collection[str],
    locked: Collection[int],
) -> tuple[Did, int]:
    """Undo a write: what it said is taken back, what it took back is known again, what it made one is two."""
    found = view.writes([write])
    if not found:
        raise ConfigError(
            f"there is no write `{write}` here: take the `write` of what was read, or of what was done"
        )
    undone = found[0]
    if undone.kind == "undo":
        raise ConfigError(f"write `{write}` undid another: do again what that one did, as a write of its own")
    if undone.undone and not known(view, key):
        return once(
            view,
            key,
            "undo",
            origin,
            lambda _view, _write: {"undid": "", "of": write, "facts": [], "why": why},
        )
    did: Did = pydantic_core.from_json(undone.did)
    change = _UNDOING[undone.kind](view, undone, did, functional, locked)

    def do(view: View, by: int) -> Did:
        facts = change(view, by)
        view.set_undone(write, by)
        return {"undid": undone.kind, "of": write, "facts": sorted(facts), "why": why}

    return once(view, key, "undo", origin, do)


Undoing = Callable[[View, int], list[int]]


def _unsay(
    view: View, undone: WriteRow, did: Did, functional: Collection[str], locked: Collection[int]
) -> Undoing:
    if not did["new"]:
        return lambda _view, _by: []
    current, rest = _of_fact(view, did["fact"], functional, locked)

    def do(view: View, by: int) -> list[int]:
        if current is None:
            return []
        view.end_fact(current.version, by)
        return [current.fact, *_redate(view, rest, by)[0]]

    return do


def _unretract(
    view: View, undone: WriteRow, did: Did, functional: Collection[str], locked: Collection[int]
) -> Undoing:
    current, rest = _of_fact(view, did["fact"], functional, locked)
    last = view.versions(did["fact"])[-1]

    def do(view: View, by: int) -> list[int]:
        if not did["done"] or current is not None:
            return []
        again = last._replace(version=0, at=view.now, until=NEVER, made=by, ended=0)
        if last.relation in functional:
            again = again._replace(valid_to=ends([*rest, again])[0])
        again = again._replace(version=view.add_fact(again, digest(again.value)))
        others = _redate(view, [*rest, again], by)[0] if last.relation in functional else []
        return [again.fact, *others]

    return do


def _unname(
    view: View, undone: WriteRow, did: Did, functional: Collection[str], locked: Collection[int]
) -> Undoing:
    def do(view: View, by: int) -> list[int]:
        view.drop_names(did["entity"], undone.id)
        return []

    return do


def _unmerge(
    view: View, undone: WriteRow, did: Did, functional: Collection[str], locked: Collection[int]
) -> Undoing:
    one: int = did["one"]
    if not one:
        return lambda _view, _by: []
    source = root(view, one).id
    said = view.members([one])[one]
    groups = _regrouped(view, set(said), source, one, functional, locked)

    def do(view: View, by: int) -> list[int]:
        view.point(one, 0)
        view.move(said, source, one)
        return [fact for rows in groups for fact in _redate(view, rows, by)[0]]

    return do


_UNDOING: Mapping[str, Callable[[View, WriteRow, Did, Collection[str], Collection[int]], Undoing]] = {
    "say": _unsay,
    "retract": _unretract,
    "entity": _unname,
    "alias": _unname,
    "merge": _unmerge,
}


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]
