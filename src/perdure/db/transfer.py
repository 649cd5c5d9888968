"""Moving a whole store to another database: everything or nothing, verified on the way.

    source: lock, take every claim ──> rows, table by table ──> counts and heads compared ──> source: marked as moved
                                                                                              target: committed

The source is locked against writers from the first row to the mark, and claims are taken from their workers as when a
lease runs out: their runs arrive pending, with their epochs, so that the next claim supersedes whoever had them. The
mark comes before the target's commit: a machine that dies between the two leaves a store that refuses to be opened
and says what to do, and never two stores that both go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol, TypeAlias

from ..core.errors import ConfigError, StoreCorrupt, StoreError, StoreUnavailable
from ..core.ids import RunRef
from ..core.settings import without_password
from ..journal import Entry, verify_chain

__all__ = ["LEFT_BEHIND", "Head", "Row", "Source", "Target", "Transferred", "transfer"]

Row: TypeAlias = tuple[Any, ...]
"""Of plain values: a run's reasons are a list of text and its labels a dict, whatever the database keeps."""

Head: TypeAlias = tuple[int, str, str, int, bytes, int, str]
"""rid, tenant, id, head, hash of the head, epoch, status"""

LEFT_BEHIND = frozenset(
    {
        *("sessions", "declarations", "batches", "schema", "moved", "audit_cursor", "audit_moved"),
        *("working_words", "working_vocabulary", "working_signs", "working_count"),
        *(f"working_words_{part}" for part in ("data", "idx", "docsize", "config", "content")),
    }
)
"""Tables that belong to workers, or to one database (as indexes do), and not to runs."""

PAGE = 500


class Source(Protocol):
    """The store that is left. `begin` to `leave` or `stay` is one transaction, in which nobody else writes."""

    name: str

    def begin(self, *, force: bool, target: str) -> int:
        """Lock, and take the claims. Returns how many runs were taken from workers.

        Raises `StoreError` that names live workers, unless `force`; and where the store has moved elsewhere.
        """
        ...

    def counts(self) -> Mapping[str, int]:
        """Rows of each table, without those that stay."""
        ...

    def columns(self, table: str) -> Sequence[str]:
        """Of a table; what is only this database's own is left out."""
        ...

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """All rows of a table but `entries`."""
        ...

    def heads(self) -> Iterator[Head]:
        """Every run, by `rid`."""
        ...

    def entries(self, rid: int, tenant: str, *, after: int, limit: int) -> list[Entry]:
        """A page of a journal, payloads included."""
        ...

    def entry_rows(self, rid: int, columns: Sequence[str], *, after: int, limit: int) -> list[Row]:
        """The same page, as its rows."""
        ...

    def leave(self, url: str) -> None:
        """Mark the store as moved to `url`, and commit."""
        ...

    def stay(self) -> None:
        """Undo everything since `begin`; after `leave`, take the mark away. Idempotent."""
        ...


class Target(Protocol):
    """The store that is made. `begin` to `commit` is one transaction."""

    name: str
    url: str

    def begin(self) -> bool:
        """Make the tables if need be, and lock. False: it holds runs already."""
        ...

    def columns(self, table: str) -> Sequence[str]:
        """Of a table; empty where there is none of that name."""
        ...

    def load(self, table: str, columns: Sequence[str], rows: Iterator[Row]) -> None:
        """Write rows. Raises `StoreError` that names the row that cannot be held."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Rows of each table."""
        ...

    def heads(self) -> Iterator[Head]:
        """Every run, by `rid`."""
        ...

    def torn(self) -> list[str]:
        """Runs whose last entry is not the one that their row names."""
        ...

    def commit(self) -> None:
        """Make it last."""
        ...

    def arrived(self) -> bool | None:
        """After a commit that failed: whether it happened after all; None: nobody can tell now."""
        ...

    def undo(self) -> None:
        """Undo everything since `begin`. Idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """What was moved."""

    rows: Mapping[str, int]
    """by table"""
    taken: int
    """runs that were taken from workers"""
    there_already: bool = False
    """an earlier copy had been finished, but for its last word"""


def transfer(
    source: Source,
    target: Target,
    *,
    force: bool = False,
    keep: bool = False,
    seen: Callable[[str, int, int], None] = lambda table, more, of: None,
) -> Transferred:
    """Copy `source` to `target` and mark it as moved, unless `keep`.

    `seen` is told of rows as they go: of which table, how many more, of how many.

    Raises `StoreError` and `ConfigError`; then nothing was changed, but where the message says so.
    """
    address = without_password(target.url)
    taken = source.begin(force=force, target=address)
    try:
        empty = target.begin()
        if not empty:
            return _found_there(source, target, keep=keep, address=address)
        expected = source.counts()
        for table in sorted(expected, key=lambda t: (t != "tenants", t != "runs", t)):
            columns = _columns(source, target, table, rows=expected[table])
            if columns:
                rows = _journals(source, columns) if table == "entries" else source.rows(table, columns)
                target.load(table, columns, _told(rows, lambda more, t=table: seen(t, more, expected[t])))
        _compare(source, target, expected)
        if keep:
            target.commit()
            source.stay()
            return Transferred(rows=expected, taken=taken)
        source.leave(address)
    except BaseException:
        target.undo()
        source.stay()
        raise
    try:
        target.commit()
    except StoreError as error:
        _resolve(source, target, error)
    return Transferred(rows=expected, taken=taken)


def _resolve(source: Source, target: Target, error: StoreError) -> None:
    """The commit's answer is an error: look whether it happened."""
    arrived = target.arrived()
    if arrived is None:
        raise StoreUnavailable(
            f"nobody can tell now whether `{target.name}` has taken everything ({error}); `{source.name}` stays marked "
            "as moved: when the database is back, run the same `perdure db copy` again, which looks"
        ) from error
    if not arrived:
        source.stay()
        raise error


def _found_there(source: Source, target: Target, *, keep: bool, address: str) -> Transferred:
    """The target is not empty: either all of this very store is there, or it is somebody else's."""
    counts = source.counts()
    try:
        _compare(source, target, counts)
    except StoreCorrupt:
        raise ConfigError(
            f"`{target.name}` holds runs already: name a database without, or drop its schema `perdure`"
        ) from None
    target.undo()
    if keep:
        source.stay()
    else:
        source.leave(address)
    return Transferred(rows=counts, taken=0, there_already=True)


def _columns(source: Source, target: Target, table: str, *, rows: int) -> Sequence[str]:
    ours, theirs = source.columns(table), target.columns(table)
    missing = [column for column in ours if column not in theirs]
    if missing and rows:
        what = f"column `{missing[0]}` of table `{table}`" if theirs else f"table `{table}`"
        raise StoreError(f"`{target.name}` has no {what}: run `perdure db migrate` on both stores first")
    return [] if missing else ours


def _told(rows: Iterator[Row], seen: Callable[[int], None]) -> Iterator[Row]:
    since = 0
    for row in rows:
        yield row
        since += 1
        if since == PAGE:
            seen(since)
            since = 0
    seen(since)


def _journals(source: Source, columns: Sequence[str]) -> Iterator[Row]:
    """The rows of all journals, each chain verified before its rows go."""
    for rid, tenant, id_, head, head_hash, _, _ in source.heads():
        ref = RunRef(tenant, id_)
        seq, last = 0, None
        while page := source.entries(rid, tenant, after=seq, limit=PAGE):
            rows = source.entry_rows(rid, columns, after=seq, limit=PAGE)
            seq, last = verify_chain(ref, page, after=seq, previous=last)
            yield from rows
        if (seq, last) != (head, head_hash):
            raise StoreCorrupt(
                f"run `{ref}`: its journal ends at entry {seq} and should end at entry {head} with another hash; it "
                f"was cut or changed. Restore `{source.name}` from a backup; nothing was copied"
            )


def _compare(source: Source, target: Target, expected: Mapping[str, int]) -> None:
    there = target.counts()
    for table, count in expected.items():
        if there.get(table, 0) != count:
            raise StoreCorrupt(
                f"`{target.name}` has {there.get(table, 0)} rows of `{table}`, `{source.name}` has {count}: "
                "nothing was copied"
            )
    for ours, theirs in zip_longest(source.heads(), target.heads()):
        if ours is None or theirs is None or ours[:6] != theirs[:6]:
            one = ours or theirs
            raise StoreCorrupt(f"run `{one and one[2]}` did not arrive as it is: nothing was copied")
    if torn := target.torn():
        raise StoreCorrupt(f"the journal of run `{torn[0]}` did not arrive whole: nothing was copied")
