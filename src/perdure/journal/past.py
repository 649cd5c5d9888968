"""The part of the Store port that looks after the past: counting runs, pruning them, collecting what nothing names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from ..core.ids import RunRef
from .cells import Amendment
from .entry import Entry
from .state import RunStatus

if TYPE_CHECKING:
    from .store import RunQuery

__all__ = ["PastStore"]


class PastStore(Protocol):
    """What a store does with runs that are over. Times are microseconds on the store's clock."""

    async def count(self, query: RunQuery) -> int:
        """How many runs match; the query's page (`limit`, `before`) does not count."""
        ...

    async def of_kind(
        self, kind: int, rids: Sequence[int], *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, Entry]]:
        """Entries of one kind in the journals of some runs, each with its run's `rid`, by `rid` and `seq`.

        Only those behind `after`, a `rid` and a `seq`: the last of the page before. Less than `limit`: that is all.
        """
        ...

    async def prune(self, ref: RunRef) -> int:
        """Take away the payloads that nobody needs to go on, in one transaction; how many entries lost theirs.

        Of a run that has ended: all, and its inbox, questions, reasons and progress; `pruned_at` is set. Of one that
        lives: those before its `base`. CHARGED entries keep theirs: bills outlive journals. What is left of another is
        its header, its hash, and the commitment in place of salt and payload (with which a sealed payload begins), so
        that the chain still verifies. Done twice it does nothing. Raises `UnknownRun`.
        """
        ...

    async def annotate(
        self,
        ref: RunRef,
        kind: int,
        payload: bytes,
        *,
        actor: str,
        key: str = "",
        amendments: Sequence[Amendment] = (),
        stored: Callable[[Entry], Entry] | None = None,
    ) -> Entry | None:
        """Add one entry to the journal of a run that has ended: what became of it, who has taken note. The entry.

        It is chained to the last one, under the run's epoch; `payload` is JSON. `stored` makes of it what is kept
        in its place (sealed, say); it runs inside the transaction. None for an unknown run. Raises `RunPruned`, and
        `RunNotEnded` for a run that goes on: to that one, send a message.
        """
        ...

    async def overdue(self, *, agent: str, status: RunStatus, before: int, limit: int = 100) -> list[RunRef]:
        """Runs that ended so before that time and were not pruned, of all tenants, the longest ended first."""
        ...

    async def collect(self, *, before: int, limit: int = 100) -> int:
        """Delete blobs that no entry names, and that no writer has asked for since `before`; how many, at most `limit`.

        Safe while others write: whoever writes a blob that is there already touches it, and that is seen here.
        """
        ...
