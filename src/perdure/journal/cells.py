"""The part of the Store port that keeps *cells*: the small state that all workers share.

A budget account, a circuit breaker, a rate limit, a cached result, a notice that is to be delivered: what no single
run owns, and what many change at once. A cell is a few hundred bytes of JSON under a key. It is changed by a function
that gets what is there and returns what shall be there (an *amendment*): all or nothing, isolated from every other
amendment of the same cells, alone or in the transaction of an append, and as durable as that.

Replay reads no cell: what a run was told is in its journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeAlias

__all__ = ["Amendment", "Cell", "CellChange", "CellKey", "CellStore", "keys_of", "outcome_of"]


LONGEST_NAME = 1000
"""Bytes: what PostgreSQL can keep in an index, with room for the tenant."""


class CellKey(NamedTuple):
    """The name of a cell. Rows are locked in the order of their keys, so that nobody waits in a circle."""

    tenant: str
    kind: str
    """what it is for: `budget`, `breaker`, `rate`, `cache`, `notice`; lower-case letters and `_`"""
    name: str
    """at most 1,000 bytes, without U+0000"""


class Cell(NamedTuple):
    """What is stored under a key."""

    data: bytes
    """JSON"""
    due: int | None = None
    """when somebody is to look at it (a notice's next try, a cached result's end): microseconds, the store's clock"""


CellChange: TypeAlias = Callable[[Mapping[CellKey, Cell], int], tuple[Mapping[CellKey, Cell | None], Any]]
"""Gets the cells that exist, of those it named, and the store's time (microseconds); returns those to be written
(None: deleted) and a result.

Pure and quick: it runs in the writer's thread, inside the transaction, and may be called more than once. The time is
read under the locks: of two amendments of one cell the later gets a later time, unless somebody sets the clock back."""


@dataclass(slots=True)
class Amendment:
    """A change of cells that is to be made as one."""

    keys: Sequence[CellKey]
    """all cells that `change` reads or writes"""
    change: CellChange
    result: Any = field(default=None, compare=False)
    """what `change` returned beside the cells; set by the store, once it was applied"""
    subject: str | None = None
    """whose data it writes, of its tenant; what comes with an append needs not say it: the run does"""

    def __post_init__(self) -> None:
        for key in self.keys:
            if "\0" in key.name or len(key.name.encode()) > LONGEST_NAME:
                raise ValueError(
                    f"a cell cannot be called `{key.name[:80]}`: its name has U+0000, or more than {LONGEST_NAME} "
                    "bytes; take a hash of it"
                )


def keys_of(amendments: Sequence[Amendment]) -> list[CellKey]:
    """All cells of some amendments, each once, in the order in which they are locked."""
    return sorted({key for amendment in amendments for key in amendment.keys})


def outcome_of(
    amendment: Amendment, cells: Mapping[CellKey, Cell | None], now: int
) -> tuple[Mapping[CellKey, Cell | None], Any]:
    """What an amendment makes of `cells` (None: not there). Raises what its `change` raises.

    And `ValueError` where it writes a cell that it did not name: nobody has locked that.
    """
    there = {key: cell for key in amendment.keys if (cell := cells.get(key)) is not None}
    written, result = amendment.change(there, now)
    for key in written:
        if key not in amendment.keys:
            raise ValueError(
                f"the amendment writes the cell `{key}`, which is not among its keys: name it there"
            )
    return written, result


class CellStore(Protocol):
    """What a store does with cells. Times are microseconds on the store's clock."""

    async def amend(self, amendment: Amendment, *, news: bool = False) -> Any:
        """Make one amendment; its result, once it is on disk.

        What its `change` raises reaches the caller as it is, and nothing was written. `news`: whoever watches the
        store is to look again.
        """
        ...

    async def cells(
        self,
        kind: str,
        *,
        tenant: str | None = None,
        prefix: str = "",
        after: CellKey | None = None,
        limit: int = 1000,
    ) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind, of one tenant or of all, whose names begin with `prefix`, in the order of their keys.

        `after`: the last key of the page before.
        """
        ...

    async def due_cells(self, kind: str, *, limit: int = 100) -> list[tuple[CellKey, Cell]]:
        """Cells of a kind whose `due` has come, the longest due first."""
        ...

    async def forget_cells(self, kind: str, *, before: int, limit: int = 1000) -> int:
        """Delete cells of a kind whose `due` lies before that time, the oldest first; how many, at most `limit`.

        Those that somebody else amends at this moment are left for the next time.
        """
        ...
