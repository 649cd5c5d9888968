"""The Store port: what a database must do for Perdure. Read this page and you know every backend.

A store keeps runs, their journals, their inboxes, and the workers' sessions. Its methods are coroutines, but for
`append`, which is the hot path and hands back a future, and `renew`, which is called from the heartbeat's thread.

What every backend must keep, and what `perdure.testing.store_conformance` tests:

1. `append` is atomic and fenced: it is refused with `Superseded` unless the run's epoch and head are those
   that it carries; runs in the same batch are not hurt by one that is refused.
2. What was acknowledged survives the death of the process and of the machine.
3. `create` is idempotent by run id, `post` by message id.
4. `post` adds to the inbox, increments `inbox_seq` on the run's row and makes the run due, in one transaction.
5. A release (unless told otherwise) happens only where `inbox_seq` equals the `drained` it carries; otherwise
   `append` returns False, has written nothing, and the owner drains first. So no wake-up is lost in either order.
6. A claim raises the epoch by one. A run is claimed by one session; a session that is not renewed within its
   lease loses its runs to `recover`.
7. No id without its tenant.
8. A run is *ready* from when it is due until it is claimed. What makes a run due makes it ready; a claim first makes
   those ready whose time has come.
9. An amendment of cells is isolated from every other amendment of those cells, also of cells that are not there yet;
   one that comes with an append is made with it or not at all.
10. Whatever moves a run's head is integrated into the audit log once, in the order in which the run's heads followed
   each other; not every head on the way is.
11. What is folded into projections is written with the place up to which it goes, once, whoever folds.

Times are microseconds since the Unix epoch on the store's own clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import pydantic_core

from ..core.ids import RunRef
from .approvals import Approval, ApprovalStore
from .audit import AuditStore
from .cells import Amendment, CellStore
from .entry import Entry
from .fleet import Demand, Serves, Session, SessionRecord
from .past import PastStore
from .projections import ProjectionStore
from .schedule import ScheduleStore
from .state import RunStatus

__all__ = [
    "Append",
    "Change",
    "Claim",
    "Message",
    "NewRun",
    "Post",
    "RunQuery",
    "RunRecord",
    "Store",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to be accepted: its row, and the beginning of its journal."""

    ref: RunRef
    agent: str
    version: str
    entries: Sequence[Entry]
    """the first is of kind STARTED; a fork brings the entries that it takes over, too"""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    parent: str | None = None
    """run id of the parent, in the same tenant"""
    deadline: int | None = None
    due: int = 0
    """not to be claimed before"""
    priority: int = 0
    """within its tenant and agent, higher goes first"""
    needs: tuple[str, ...] = ()
    """labels that a worker must have to claim it, sorted"""
    principal: str | None = None
    """for whom it acts, in short: `user:ann`; None: nobody said"""
    subject: str | None = None
    """whose data it handles, under whose key its payloads are sealed; None: nobody's in particular"""
    amendments: Sequence[Amendment] = ()
    """changes of cells that come with it, where it is new"""

    @property
    def first(self) -> Entry:
        """The STARTED entry."""
        return self.entries[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """The row of a run: a projection of its journal, and the claim."""

    rid: int
    """the store's own number of the run; never leaves the process"""
    ref: RunRef
    agent: str
    version: str
    status: RunStatus
    reasons: tuple[str, ...]
    """why it waits, or how it ended in one line"""
    labels: Mapping[str, str]
    parent: str | None
    created_at: int
    updated_at: int
    deadline: int | None
    next_wake: int | None
    head: int
    head_hash: bytes
    epoch: int
    session: str | None
    results: int
    """steps that have a result"""
    unclean: int
    """consecutive claims that ended with the worker's death and without a new result"""
    alone_deaths: int
    """deaths while it ran alone in a process of its own"""
    inbox_seq: int
    drained_seq: int
    progress: str | None
    """the last progress, as JSON, with its time"""
    priority: int = 0
    needs: tuple[str, ...] = ()
    principal: str | None = None
    """for whom it acts: `user:ann`; None: nobody said, or it was accepted by a release that did not keep it here"""
    subject: str | None = None
    """whose data it handles; None: nobody's in particular"""
    base: int = 1
    """the entry at which replay begins: 1, or where the run was last continued as new"""
    base_hash: bytes | None = None
    """the hash before that entry; None: the genesis"""
    generation: int = 1
    """how often it began: 1, and one more for each time that it was continued as new"""
    ended_at: int | None = None
    pruned_at: int | None = None
    """when its payloads were taken away"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A worker's right to a run: its record after the claim."""

    run: RunRecord
    entries: Sequence[Entry]
    """the journal from the run's `base` on, payloads included, not yet verified"""
    tenant_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """A message to a run, on its way into the inbox."""

    ref: RunRef
    kind: str
    """`signal`, `answer`, `connected`, `cancel`, `pause`, `resume`, `go_on`, `budget`, `settle`, `child`, `late`"""
    name: str
    """the signal's name, or the key of the step that is meant"""
    id: str
    """posted twice with one id, it is applied once"""
    sender: str
    body: bytes
    """JSON"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message in an inbox. `n` counts from 1 in each run."""

    n: int
    kind: str
    name: str
    id: str
    sender: str
    at: int
    body: bytes

    def payload(self) -> bytes:
        """As it stands in the MESSAGE entry that whoever drains the inbox writes."""
        head = pydantic_core.to_json(
            {"kind": self.kind, "name": self.name, "id": self.id, "sender": self.sender, "at": self.at}
        )
        return head[:-1] + b',"body":' + (self.body or b"null") + b"}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What else happens to the run's row in the transaction of an append."""

    status: RunStatus | None = None
    """set on release: the claim ends with it"""
    reasons: tuple[str, ...] = ()
    next_wake: int | None = None
    drained: int | None = None
    """the inbox has been drained up to here; with `status`, the release is refused unless that is all of it"""
    guarded: bool = True
    """False: release although the inbox holds more; for a run that is due anyway, or cannot read its messages now"""
    progress: str | None = None
    opened: Sequence[Approval] = ()
    closed: Sequence[str] = ()
    """keys of approvals that are no longer open"""
    posts: Sequence[Post] = ()
    """messages to other runs; to one that is gone or has ended they are dropped"""
    amendments: Sequence[Amendment] = ()
    """changes of cells that are made with it; what one of them raises fails the append, with just that exception"""
    base: int | None = None
    """the run begins again at this entry, in its next generation; its open approvals are closed"""
    base_hash: bytes | None = None
    """the hash before that entry"""


class Append:
    """Entries for one run, fenced by epoch and head. A plain class: this is the hot path."""

    __slots__ = ("change", "entries", "epoch", "error", "future", "head", "outcome", "results", "rid")

    def __init__(
        self,
        rid: int,
        epoch: int,
        head: int,
        entries: Sequence[Entry],
        results: int = 0,
        change: Change | None = None,
    ) -> None:
        self.rid = rid
        self.epoch = epoch
        self.head = head
        """the head that the run must have: the `seq` before the first of `entries`"""
        self.entries = entries
        self.results = results
        self.change = change
        self.future: asyncio.Future[bool] | None = None
        self.outcome = True
        self.error: Exception | None = None
        """`future`, `outcome` and `error` are the store's, while the append is on its way"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list, newest first."""

    tenant: str | None = None
    statuses: frozenset[RunStatus] = frozenset()
    agent: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    parent: str | None = None
    principal: str | None = None
    subject: str | None = None
    reason: str | None = None
    version: str | None = None
    since: int | None = None
    """accepted at this time or later (microseconds)"""
    until: int | None = None
    """accepted before"""
    ended_before: int | None = None
    pruned: bool | None = None
    """None: pruned or not"""
    own: bool = True
    """False: without those that Perdure writes for itself (`OWN_AGENTS`), unless `agent` names them"""
    limit: int = 100
    before: int | None = None
    """keyset: only runs whose `rid` is smaller"""

    @property
    def hides_own(self) -> bool:
        """Whether Perdure's own runs are left out."""
        return not self.own and self.agent is None


class Store(ApprovalStore, ScheduleStore, PastStore, CellStore, AuditStore, ProjectionStore, Protocol):
    """Where journals live; see the module's docstring for what must hold, and those of the ports that it is made of."""

    url: str

    async def open(self) -> None:
        """Connect, and migrate where the backend does so by itself. Raises `StoreError`."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then let go. Idempotent."""
        ...

    async def tenant_key(self, tenant: str, *, subject: str | None = None) -> bytes:
        """The tenant's key for fingerprints and blob addresses, made at first use (32 bytes).

        With `subject` that of the fingerprints of a person's runs, from a store that seals (`perdure.db.sealed`); one
        that does not has the tenant's for all.
        """
        ...

    # runs ------------------------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run. Returns its record and whether it is new; an existing run is returned as it is."""
        ...

    async def get(self, ref: RunRef) -> RunRecord | None:
        """The run's record, or None."""
        ...

    async def find(self, query: RunQuery) -> list[RunRecord]:
        """Runs that match, newest first."""
        ...

    async def read(self, ref: RunRef, *, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries with `seq` above `after`, in order. Empty for an unknown run."""
        ...

    async def ended(self, refs: Sequence[RunRef]) -> set[RunRef]:
        """Those of `refs` that have ended."""
        ...

    # the owner's side ------------------------------------------------------------------------------------------

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Queue a fenced append; the future (a `core.futures.Steady`) is done when it is on disk.

        True: written. False: a release was refused because the inbox holds more (nothing was written).
        Raises `Superseded`, `StoreUnavailable`, or what an amendment raised, through the future. Appends of one run
        are applied in the order of the calls. Called in the loop's thread.
        """
        ...

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        """Messages with `n` above `after`, in order."""
        ...

    async def stirred(self, session: str) -> list[int]:
        """`rid` of the session's claimed runs whose inbox holds more than was drained."""
        ...

    # outsiders -------------------------------------------------------------------------------------------------

    async def post(self, post: Post) -> bool:
        """Put a message into a run's inbox and wake it. False if that message id was there already.

        Raises `UnknownRun`, and `RunEnded` for a run that has ended.
        """
        ...

    async def seize(self, ref: RunRef) -> Claim | None:
        """Take the run from whoever has it: epoch + 1, no session. None if it has ended. For `--terminate`."""
        ...

    async def wake(self, ref: RunRef, *, reset: bool = False) -> None:
        """Make a pending or waiting run due now; with `reset`, also one in quarantine, its counters at zero."""
        ...

    # claims ----------------------------------------------------------------------------------------------------

    async def register(self, session: Session) -> None:
        """Begin a session, leased from now."""
        ...

    def renew(self, session: Session) -> Future[bool]:
        """Extend the lease from now. False: the session is gone, and its runs with it. From any thread."""
        ...

    async def deregister(self, session: str) -> None:
        """End a session cleanly: what it still holds becomes pending, and is not counted against the run."""
        ...

    async def claim(
        self,
        session: str,
        serves: Sequence[Serves],
        *,
        limit: int,
        labels: frozenset[str] = frozenset(),
        tenant_limit: int | None = None,
        only: RunRef | None = None,
    ) -> list[Claim]:
        """Claim at most `limit` runs that are ready, of what `serves` names, whose needs are all in `labels`.

        Fair: a lane is an agent, a version, needs and a tenant. Each lane that has ready runs gets an equal share, what
        one does not use goes to the others, and the next claim of this store object goes on behind the lane at which
        this one stopped. Within a lane the highest priority goes first, then the longest due.

        `limit` and `limit_per_tenant` of an agent, and `tenant_limit` (a tenant's runs of all agents), bound what goes
        on at once over all workers. Less than `limit` means that this worker can claim no more now, unless more than a
        thousand lanes are full; who waits for a place is told by the news of a release.

        With `only`, that run and no other, whatever its time, needs and limits, if it is pending or waiting, or running
        under this very session (it was handed over).
        """
        ...

    async def recover(self) -> int:
        """Take the runs of sessions whose lease has run out: pending, due now. How many.

        Where the claim brought no new result, `unclean` is counted, else it is set to zero; a run that was handed
        over to a process of its own counts in `alone_deaths` too.
        """
        ...

    async def expire(self, session: str) -> None:
        """Its process is known to be dead: end its lease now, so that `recover` need not wait for it."""
        ...

    async def next_timer(self) -> int | None:
        """When the next run, of any agent, comes due that is not ready yet; None where none waits for a time.

        A time that has passed belongs to a run that a claim makes ready, whoever serves it.
        """
        ...

    async def sessions(self) -> list[SessionRecord]:
        """Sessions whose lease has not ended, the oldest first."""
        ...

    async def demands(self, *, counted: bool = False) -> list[Demand]:
        """What waits for workers: each agent, version and needs of which runs are due, by name.

        Cheap, but for a due timer that no claim has seen yet; `counted` sees those too, and reads every due run.
        """
        ...

    async def strand(self, demand: Demand, reasons: Sequence[str], *, limit: int) -> int:
        """Write why they wait on at most `limit` due runs of a demand that do not say so yet. How many."""
        ...

    async def hand_over(self, rid: int, epoch: int, session: str) -> None:
        """Give a claimed run to another session (the process in which it is to run alone). Raises `Superseded`."""
        ...

    def changes(self) -> int:
        """A number that differs once anybody has changed the store; cheap."""
        ...

    async def changed(self, since: int, *, within: float) -> None:
        """Return once `changes()` differs from `since`, or after `within` seconds."""
        ...

    def now(self) -> int:
        """The worker's estimate of the store's time, in microseconds."""
        ...
