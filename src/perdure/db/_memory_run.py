"""One run of the store in memory: its row, journal, inbox and approvals, and what may happen to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..core.errors import Superseded
from ..journal.approvals import Approval
from ..journal.entry import Entry
from ..journal.own import OWN_AGENTS
from ..journal.state import ENDINGS, RunStatus
from ..journal.store import Append, Change, Message, NewRun, Post, RunQuery, RunRecord

__all__ = ["MemoryRun", "accepted", "matches"]


@dataclass(slots=True)
class MemoryRun:
    """A run. `row` is replaced whole, so that a record once read stands. Times are microseconds."""

    row: RunRecord
    entries: list[Entry]
    inbox: list[Message] = field(default_factory=list[Message])
    message_ids: set[str] = field(default_factory=set[str])
    approvals: dict[str, Approval] = field(default_factory=dict[str, Approval])
    results_at_claim: int = 0
    alone: bool = False
    """handed over to a process of its own"""
    ready: bool = False
    """due and waiting for a worker"""

    @property
    def ended(self) -> bool:
        return self.row.status in ENDINGS

    @property
    def idle(self) -> bool:
        return self.row.status in (RunStatus.PENDING, RunStatus.WAITING)

    def claim(self, session: str, now: int) -> None:
        self.results_at_claim = self.row.results
        self._take(session, now)
        self.row = replace(self.row, reasons=())

    def seize(self, now: int) -> None:
        self.alone = False
        self._take(None, now)

    def _take(self, session: str | None, now: int) -> None:
        self.ready = False
        self.row = replace(
            self.row,
            status=RunStatus.RUNNING,
            epoch=self.row.epoch + 1,
            session=session,
            next_wake=None,
            updated_at=now,
        )

    def let_go(self, now: int) -> None:
        """Pending, due now, nobody's."""
        self.alone = False
        self.ready = True
        self.row = replace(self.row, status=RunStatus.PENDING, session=None, next_wake=now, updated_at=now)

    def lose(self, now: int) -> None:
        """Its owner has died: count that, unless the claim brought a result."""
        row = self.row
        fruitless = row.results <= self.results_at_claim
        self.row = replace(
            row,
            unclean=row.unclean + 1 if fruitless else 0,
            alone_deaths=row.alone_deaths + self.alone if fruitless else 0,
        )
        self.let_go(now)

    def wake(self, now: int, *, reset: bool) -> None:
        if reset and self.row.pruned_at is None and (self.idle or self.row.status is RunStatus.QUARANTINED):
            pending = RunStatus.PENDING
            row = replace(self.row, status=pending, reasons=(), unclean=0, alone_deaths=0)
            self.row = replace(row, next_wake=now, ended_at=None)
            self.ready = True
        elif self.idle:
            self.row = replace(self.row, next_wake=now)
            self.ready = True

    def deliver(self, post: Post, now: int) -> bool:
        """Into the inbox, and due if it is idle. False if the message was there already."""
        if post.id in self.message_ids:
            return False
        row, n = self.row, self.row.inbox_seq + 1
        self.message_ids.add(post.id)
        self.inbox.append(
            Message(
                n=n, kind=post.kind, name=post.name, id=post.id, sender=post.sender, at=now, body=post.body
            )
        )
        due = now if row.next_wake is None else min(row.next_wake, now)
        self.row = replace(row, inbox_seq=n, next_wake=due if self.idle else None)
        self.ready = self.idle
        return True

    def accepts(self, append: Append) -> bool:
        """Whether the append may be written. False: a release that is refused. Raises `Superseded`."""
        row = self.row
        if row.epoch != append.epoch or row.head != append.head or row.status is not RunStatus.RUNNING:
            raise Superseded(
                f"epoch {append.epoch} at entry {append.head} is no longer the owner of run `{row.ref}`, which is at "
                f"epoch {row.epoch}, entry {row.head}, and {row.status}; leave it alone"
            )
        change = append.change
        if change is None or change.status is None or not change.guarded:
            return True
        return row.inbox_seq == (row.drained_seq if change.drained is None else change.drained)

    def write(self, append: Append, now: int) -> bool:
        """Apply an append, but for its posts and amendments. False: a release that was refused. Raises `Superseded`."""
        if not self.accepts(append):
            return False
        row, entries = self.row, append.entries
        change = append.change or Change()
        drained = row.drained_seq if change.drained is None else change.drained
        self.entries.extend(entries)
        self.row = replace(
            row,
            head=entries[-1].seq if entries else row.head,
            head_hash=entries[-1].hash if entries else row.head_hash,
            results=row.results + append.results,
            unclean=0 if append.results else row.unclean,
            alone_deaths=0 if append.results else row.alone_deaths,
            drained_seq=drained,
            progress=row.progress if change.progress is None else change.progress,
            updated_at=now,
        )
        self._ask(change.opened, change.closed)
        if change.status is not None:
            self._release(change.status, change)
            self.ready = self.row.next_wake is not None and self.row.next_wake <= now
        return True

    def _ask(self, opened: Sequence[Approval], closed: Sequence[str]) -> None:
        for approval in opened:
            self.approvals[approval.step] = replace(approval, ref=self.row.ref, agent=self.row.agent)
        for step in closed:
            self.approvals.pop(step, None)

    def _release(self, status: RunStatus, change: Change) -> None:
        self.alone = False
        row = self.row
        if status in ENDINGS or change.base is not None:
            self.approvals.clear()
        self.row = replace(
            row,
            status=status,
            reasons=tuple(change.reasons),
            next_wake=None if status in ENDINGS else change.next_wake,
            session=None,
            ended_at=row.updated_at if status in ENDINGS else None,
            base=row.base if change.base is None else change.base,
            base_hash=row.base_hash if change.base is None else change.base_hash,
            generation=row.generation + (change.base is not None),
        )


def accepted(new: NewRun, *, rid: int, now: int) -> MemoryRun:
    """A new run: pending, due now or later."""
    row = RunRecord(
        rid=rid,
        ref=new.ref,
        agent=new.agent,
        version=new.version,
        status=RunStatus.PENDING,
        reasons=(),
        labels=MappingProxyType(dict(new.labels)),
        parent=new.parent,
        created_at=now,
        updated_at=now,
        deadline=new.deadline,
        next_wake=max(new.due, now),
        head=new.entries[-1].seq,
        head_hash=new.entries[-1].hash,
        epoch=0,
        session=None,
        results=0,
        unclean=0,
        alone_deaths=0,
        inbox_seq=0,
        drained_seq=0,
        progress=None,
        priority=new.priority,
        needs=new.needs,
        principal=new.principal,
        subject=new.subject,
    )
    return MemoryRun(row, list(new.entries), ready=new.due <= now)


def matches(row: RunRecord, query: RunQuery) -> bool:
    """Whether the query's filters, but for its page, let the run through."""
    return (
        query.tenant in (None, row.ref.tenant)
        and (not query.statuses or row.status in query.statuses)
        and query.agent in (None, row.agent)
        and all(row.labels.get(name) == value for name, value in query.labels.items())
        and (query.parent is None or row.parent == query.parent)
        and query.principal in (None, row.principal)
        and query.subject in (None, row.subject)
        and (query.reason is None or query.reason in row.reasons)
        and query.version in (None, row.version)
        and (query.since is None or row.created_at >= query.since)
        and (query.until is None or row.created_at < query.until)
        and (query.ended_before is None or (row.ended_at is not None and row.ended_at < query.ended_before))
        and query.pruned in (None, row.pruned_at is not None)
        and not (query.hides_own and row.agent in OWN_AGENTS)
    )
