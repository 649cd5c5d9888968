"""The part of the Store port that keeps *projections*: what lists, bills and metrics are read from.

A projection is made of journals, holds nothing that they do not, and can be dropped and made again. A store knows not
what is in it: `perdure.telemetry` folds entries into figures of runs and into tallies, and the store writes both with
the place up to which they go, in one transaction.

    entries ──► audit log: runs whose head moved ──► projector: folds what is new of them ──► figures of runs, tallies

The order is that of the leaves of the audit log, which are numbered without a gap, so one number says how far the
projections go. Whoever writes names the number that he began at: of two who fold at once one writes and the other has
done nothing, so nothing is counted twice, whoever dies where.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeAlias

from ..core.ids import RunRef
from .entry import Entry

if TYPE_CHECKING:
    from .store import RunQuery, RunRecord

__all__ = [
    "BOUNDS",
    "COUNTS",
    "TALLY_COLUMNS",
    "Counts",
    "FiguresRow",
    "Grain",
    "ListedRuns",
    "Projected",
    "ProjectionStore",
    "TallyColumn",
    "TallyKey",
    "TallyQuery",
    "ToFold",
    "Unfolded",
]

BOUNDS = (
    *(10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 640_000, 1_280_000, 2_560_000, 5_120_000),
    *(
        10_240_000,
        20_480_000,
        40_960_000,
        81_920_000,
        327_680_000,
        1_310_720_000,
        5_242_880_000,
        86_400_000_000,
    ),
)
"""Upper bounds of a tally's histogram in microseconds; one more count is of what took longer.

The first fourteen are those that OpenTelemetry's conventions give for calls of models (10 ms to 82 s); waits and whole
runs take longer: 5 min, 22 min, 87 min, a day.
"""

COUNTS = (
    *("n", "calls", "errors", "input_tokens", "output_tokens", "model_calls", "tool_calls"),
    *("money", "unpriced", "estimated", "micros"),
    *(f"h{i}" for i in range(len(BOUNDS) + 1)),
)
"""What a tally counts, in this order. `n`: how many facts; a tally of none is not kept."""

TallyColumn = Literal["grain", "at", "tenant", "agent", "version", "what", "name", "outcome", "label"]
"""A column of a tally's key."""

TALLY_COLUMNS: tuple[TallyColumn, ...] = (
    *("grain", "at", "tenant", "agent", "version", "what", "name", "outcome", "label"),
)
"""All of them, as in `TallyKey`."""

Counts: TypeAlias = Sequence[int]
"""As many numbers as `COUNTS` has names."""


class Grain:
    """How much time one tally covers."""

    TOTAL = 0
    """all of it; its `at` is 0"""
    DAY = 1
    HOUR = 2


class TallyKey(NamedTuple):
    """What a tally counts. Empty text: it counts all of that kind, or knows none."""

    grain: int
    at: int
    """the beginning of the hour or day: microseconds, UTC"""
    tenant: str
    agent: str
    version: str
    what: str
    """`model`, `step` (tools too), `run`, `guard` and so on: `docs/metrics.md` lists them"""
    name: str
    outcome: str
    """`met`, `not-met`; empty: nobody has said, or this grain does not tell"""
    label: str
    """`["key", "value"]` as JSON: only of runs so labelled; empty: of all runs"""


class FiguresRow(NamedTuple):
    """What is kept of one run."""

    rid: int
    folded: int
    """the entry up to which its journal was folded; 0: not at all"""
    goal: str | None
    money: int
    """nano-dollars"""
    figures: str
    """JSON, to be shown"""
    state: str
    """JSON, to go on from"""


class Projected(NamedTuple):
    """How far the projections go."""

    cursor: int
    """the last leaf of the audit log whose run was folded; -1: none"""
    size: int
    """how many leaves there are"""
    until: int | None
    """they are being made again, up to this leaf; None: they are whole"""

    @property
    def behind(self) -> int:
        """Leaves that were not looked at yet."""
        return max(0, self.size - 1 - self.cursor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToFold:
    """A run of which there is more to fold."""

    run: RunRecord
    row: FiguresRow | None
    """what was folded; None: nothing"""
    stale: bool = False
    """it was folded before the projections were dropped: its tallies are gone, and it is to be folded anew"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfolded:
    """The next runs to fold."""

    cursor: int
    """where the projections stand"""
    next: int
    """where they stand once `runs` are folded"""
    runs: Sequence[ToFold]


@dataclass(frozen=True, slots=True, kw_only=True)
class TallyQuery:
    """Which tallies, added up by which columns. Times are microseconds."""

    by: Sequence[TallyColumn]
    grain: int = Grain.TOTAL
    since: int | None = None
    """periods that begin then or later"""
    until: int | None = None
    """periods that begin before"""
    where: Mapping[TallyColumn, Sequence[str]] = field(default_factory=dict[TallyColumn, Sequence[str]])
    """of each column named one of these; those of one label are left out unless `label` is named here or in `by`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRuns:
    """A page of runs with their figures."""

    rows: Sequence[tuple[RunRecord, FiguresRow | None]]
    last: RunRef | None
    """the last run that was looked at, where there may be more behind it"""


class ProjectionStore(Protocol):
    """What a store does for projections."""

    async def projected(self) -> Projected:
        """How far the projections go; cheap."""
        ...

    async def unfolded(self, *, limit: int = 256) -> Unfolded:
        """The runs of the next `limit` leaves of the audit log, each once, but for those that were folded further."""
        ...

    async def traces(
        self, after: Sequence[tuple[int, int]], kinds: Sequence[int], *, limit: int = 5000
    ) -> list[tuple[int, Entry]]:
        """Entries of some runs, each given as its `rid` and the `seq` behind which, in that order, by `rid` and `seq`.

        Those of `kinds` have their payloads; the others have none, whatever their header says.
        """
        ...

    async def fold(
        self,
        cursor: int,
        to: int,
        rows: Sequence[FiguresRow],
        tallies: Mapping[TallyKey, Counts],
    ) -> bool:
        """Write what was folded, where the projections still stand at `cursor`; then they stand at `to`.

        `tallies` are added to those that are there; one whose `n` comes to nothing is taken away. The goal of a run
        that was pruned is not kept. False: somebody else was first, and nothing was written.
        """
        ...

    async def drop_projections(self) -> int:
        """Drop the tallies and begin again with the first leaf; the leaf up to which they are being made again.

        Rows of runs stay until they are folded anew: of one whose payloads were taken away since, they are what it
        goes on from.
        """
        ...

    async def tallies(self, query: TallyQuery) -> list[tuple[tuple[str | int, ...], Counts]]:
        """Tallies, added up by the columns asked for, in the order of their values."""
        ...

    async def figures(self, rids: Sequence[int]) -> dict[int, FiguresRow]:
        """What is kept of some runs, by `rid`."""
        ...

    async def figured(
        self,
        query: RunQuery,
        *,
        money_above: int | None = None,
        goal_has: str | None = None,
        window: int = 10_000,
    ) -> ListedRuns:
        """Runs with their figures, the newest first. At most about `window` runs are looked at for one page."""
        ...
