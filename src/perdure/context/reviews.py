"""Which tools of others somebody has looked at, as they were then: cells that all workers share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict

from ..journal import Amendment, Cell, CellKey, Store
from .definition import Definition

__all__ = ["Review", "Reviews"]


class Review(BaseModel):
    """One tool, as somebody let it pass."""

    model_config = ConfigDict(frozen=True)

    definition: Definition
    digest: str
    by: str
    at: int
    """microseconds, the store's clock"""


class Reviews:
    """The reviews of a store, of one kind of source. Holds no state of its own."""

    def __init__(self, store: Store, kind: str = "mcp") -> None:
        self._store, self._kind = store, f"{kind}_review"

    async def of(self, tenant: str, source: str) -> dict[str, Review]:
        """Those of one source, by the tool's own name."""
        found: dict[str, Review] = {}
        after: CellKey | None = None
        while True:
            page = await self._store.cells(self._kind, tenant=tenant, prefix=f"{source}/", after=after)
            for _, cell in page:
                review = Review.model_validate_json(cell.data)
                # A definition that is not what its digest says was not written by a review.
                if review.definition.digest == review.digest:
                    found[review.definition.name] = review
            if not page:
                return found
            after = page[-1][0]

    async def record(
        self,
        tenant: str,
        source: str,
        definitions: Mapping[str, Definition],
        *,
        by: str,
        forget: Iterable[str] = (),
    ) -> None:
        """Let these tools pass, and take the reviews of others back: all or nothing."""
        gone = [name for name in forget if name not in definitions]
        keys = {name: CellKey(tenant, self._kind, f"{source}/{name}") for name in [*definitions, *gone]}

        def change(_: Mapping[CellKey, Cell], now: int) -> tuple[Mapping[CellKey, Cell | None], Any]:
            written: dict[CellKey, Cell | None] = {keys[name]: None for name in gone}
            for name, definition in definitions.items():
                review = Review(definition=definition, digest=definition.digest, by=by, at=now)
                written[keys[name]] = Cell(pydantic_core.to_json(review))
            return written, None

        await self._store.amend(Amendment(list(keys.values()), change))
