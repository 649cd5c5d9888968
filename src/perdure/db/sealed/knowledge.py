"""Knowledge about a data subject: names and values under the person's key, looked for by marks that the key makes.

Ids, kinds, relations and dates stay plain, so that facts are dated, walked and merged as ever; what they say is read
by whoever has the key. Once it is destroyed nobody reads a name or a value, and nobody can guess one by its mark.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from ...core.errors import SubjectErased
from ...memory import Whose
from ...memory.knowledge import (
    EntityRow,
    FactQuery,
    FactRow,
    Ledger,
    NameRow,
    Step,
    WalkQuery,
    WriteRow,
)
from ...memory.knowledge.ledger import View
from .keys import SubjectKeys

if TYPE_CHECKING:
    from .form import SubjectKey

__all__ = ["SealedLedger"]

T = TypeVar("T")


class SealedLedger:
    """The `Ledger` `inner`, with what is known of data subjects sealed."""

    def __init__(self, inner: Ledger, keys: SubjectKeys) -> None:
        self.inner = inner
        self._keys = keys

    async def read(self, realm: Whose, function: Callable[[View], T]) -> T:
        """What `function` finds. Of a person whose key is gone: nothing. Raises `StoreSealed`."""
        if realm.subject is None:
            return await self.inner.read(realm, function)
        key = await self._keys.find(realm.tenant, realm.subject)
        if key is None:
            raise SubjectErased(f"the data of `{realm.subject}` was erased, or there never was any")
        return await self.inner.read(realm, lambda view: function(_SealedView(view, key)))

    async def write(self, realm: Whose, locks: Sequence[str], function: Callable[[View], T]) -> T:
        """Do what `function` does. Raises `SubjectErased` for a person whose key is gone."""
        if realm.subject is None:
            return await self.inner.write(realm, locks, function)
        key = await self._keys.get(realm.tenant, realm.subject)
        sealed = [key.mark(lock) for lock in locks]  # of names, too
        return await self.inner.write(realm, sealed, lambda view: function(_SealedView(view, key)))

    async def realms(self, tenant: str) -> list[Whose]:
        """Those of a tenant."""
        return await self.inner.realms(tenant)

    async def forget(self, realm: Whose) -> int:
        """Delete all that is known in a realm."""
        return await self.inner.forget(realm)


class _SealedView:
    def __init__(self, inner: View, key: SubjectKey) -> None:
        self._inner = inner
        self._key = key
        self.now = inner.now

    # reading ---------------------------------------------------------------------------------------------------

    def done(self, key: str) -> WriteRow | None:
        row = self._inner.done(key)
        return None if row is None else row._replace(did=self._opened(row.did))

    def writes(self, ids: Sequence[int]) -> list[WriteRow]:
        return [row._replace(did=self._opened(row.did)) for row in self._inner.writes(ids)]

    def log(self, after: int, limit: int) -> list[WriteRow]:
        return [row._replace(did=self._opened(row.did)) for row in self._inner.log(after, limit)]

    def entities(self, ids: Sequence[int]) -> list[EntityRow]:
        return [row._replace(name=self._opened(row.name)) for row in self._inner.entities(ids)]

    def members(self, entities: Sequence[int]) -> dict[int, list[int]]:
        return self._inner.members(entities)

    def named(self, kind: str, same: str) -> list[int]:
        return self._inner.named(kind, self._key.mark(same))

    def near(self, kind: str, blocks: Sequence[str], limit: int) -> list[int]:
        return self._inner.near(kind, [self._key.mark(block) for block in blocks], limit)

    def names(self, entities: Sequence[int]) -> list[NameRow]:
        return [row._replace(name=self._opened(row.name)) for row in self._inner.names(entities)]

    def listed(self, kind: str | None, after: int, limit: int) -> list[EntityRow]:
        return [row._replace(name=self._opened(row.name)) for row in self._inner.listed(kind, after, limit)]

    def facts(self, query: FactQuery) -> list[FactRow]:
        return self._opened_facts(self._inner.facts(query))

    def group(self, subject: int, relation: str) -> list[FactRow]:
        return self._opened_facts(self._inner.group(subject, relation))

    def alike(self, subject: int, relation: str, object: int, digest: str) -> list[FactRow]:
        return self._opened_facts(self._inner.alike(subject, relation, object, self._marked(digest)))

    def versions(self, fact: int) -> list[FactRow]:
        return self._opened_facts(self._inner.versions(fact))

    def walk(self, query: WalkQuery) -> list[Step]:
        return self._inner.walk(query)  # facts that lead from one entity to another say no value

    # writing ---------------------------------------------------------------------------------------------------

    def next_write(self) -> int:
        return self._inner.next_write()

    def add_write(self, row: WriteRow) -> None:
        self._inner.add_write(row._replace(did=self._sealed(row.did)))  # it may say why

    def set_undone(self, write: int, by: int) -> None:
        self._inner.set_undone(write, by)

    def add_entity(self, row: EntityRow) -> int:
        return self._inner.add_entity(row._replace(name=self._sealed(row.name)))

    def add_name(self, row: NameRow, same: str, blocks: Sequence[str]) -> None:
        marks = [self._key.mark(block) for block in blocks]
        self._inner.add_name(row._replace(name=self._sealed(row.name)), self._key.mark(same), marks)

    def drop_names(self, entity: int, write: int) -> None:
        self._inner.drop_names(entity, write)

    def point(self, entity: int, into: int) -> None:
        self._inner.point(entity, into)

    def move(self, said: Sequence[int], source: int, to: int) -> int:
        return self._inner.move(said, source, to)

    def add_fact(self, row: FactRow, digest: str) -> int:
        value = self._sealed(row.value) if row.value else ""
        return self._inner.add_fact(row._replace(value=value), self._marked(digest))

    def end_fact(self, version: int, by: int) -> None:
        self._inner.end_fact(version, by)

    def _marked(self, digest: str) -> str:
        return self._key.mark(digest) if digest else ""

    def _sealed(self, text: str) -> str:
        return self._key.seal_text(text, _CONTEXT)

    def _opened(self, text: str) -> str:
        opened = self._key.open_text(text, _CONTEXT)
        if opened is None:
            raise SubjectErased(f"what is known of `{self._key.subject}` does not open under their key")
        return opened

    def _opened_facts(self, rows: list[FactRow]) -> list[FactRow]:
        return [row._replace(value=self._opened(row.value)) if row.value else row for row in rows]


_CONTEXT = "knowledge"
