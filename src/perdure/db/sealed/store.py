"""A store that keeps what runs about a person record under a key of that person's, and everything else as it is.

A decorator of the Store port: whoever reads and writes through it sees plain entries, messages and questions. What
replay, forks and exports do is the same as ever, for hashes are over what was plain. Of a run without a data subject
nothing is looked at: its calls go on to the store below.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, StoreSealed, SubjectErased
from ...core.futures import Steady
from ...core.ids import RunRef
from ...journal import (
    Amendment,
    Append,
    Approval,
    ApprovalPlace,
    Claim,
    Codec,
    Entry,
    Message,
    NewRun,
    Overdue,
    Post,
    RunQuery,
    RunRecord,
    ScheduleRecord,
    Serves,
    Store,
)
from . import fields
from .amendments import personal, sealed_amendment
from .cells import SealedCells
from .keys import SubjectKeys
from .marks import BYTES_MARK
from .projections import SealedProjections

if TYPE_CHECKING:
    from ...identity import MasterKeys
    from .form import SubjectKey
    from .knowledge import SealedLedger

    _Port = Store
else:
    _Port = object  # a protocol's empty methods would stand before `__getattr__`

__all__ = ["PASSED_ON", "SealedStore", "sealed"]

PASSED_ON = frozenset(
    {
        *(
            "url",
            "open",
            "close",
            "now",
            "changes",
            "changed",
            "ended",
            "stirred",
            "wake",
            "register",
            "renew",
        ),
        *("deregister", "recover", "expire", "next_timer", "sessions", "demands", "strand", "hand_over"),
        *("schedules", "remove_schedule", "declare_schedules", "declared_schedules"),
        *("count", "count_approvals", "prune", "overdue", "collect", "forget_cells"),
        *(
            "moved",
            "integrate",
            "leaves",
            "leaves_of",
            "tiles",
            "log_size",
            "log_lag",
            "look_for_moved",
            "checkpoints",
            "keep_checkpoint",
        ),
        *("projected", "fold", "drop_projections", "tallies", "figures"),
    }
)
"""Of the port, what carries nothing that a run has said. A test sees to it that all else is looked at here."""

_MOST_KNOWN = 65_536
"""Runs of which it is remembered whose they are: that never changes."""

_SEALED = int(Codec.SEALED)


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A run that this process may write to, and with what."""

    ref: RunRef
    key: SubjectKey | None
    """None: it cannot be opened here, so nothing may be added to it"""


class SealedStore(SealedCells, SealedProjections, _Port):
    """`inner`, with the payloads of data subjects sealed. `master` opens the master keys; asked once one is needed."""

    seals = True
    """who has such a store needs not seal again"""

    def __init__(self, inner: Store, master: Callable[[], MasterKeys]) -> None:
        self.inner = inner
        self.keys = SubjectKeys(inner, master)
        self._claimed: dict[int, _Claimed] = {}
        self._subjects: OrderedDict[RunRef, str | None] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def ledger(self) -> SealedLedger:
        """What agents know; AttributeError where the store below keeps none."""
        from .knowledge import SealedLedger

        return SealedLedger(self.inner.ledger, self.keys)  # type: ignore[attr-defined]  # no part of the port

    async def tenant_key(self, tenant: str, *, subject: str | None = None) -> bytes:
        """The key for fingerprints: the tenant's, or that of a person's runs, made at first use."""
        plain = await self.inner.tenant_key(tenant)
        return plain if subject is None else (await self.keys.get(tenant, subject)).fingerprint_key(plain)

    # runs ------------------------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> tuple[RunRecord, bool]:
        """Accept a run. Raises `SubjectErased`, and `ConfigError` where it must be sealed and cannot be."""
        await self._check_parent(new)
        record, fresh = await self.inner.create(await self._sealed_run(new))
        self._met(record)
        return (record if record.subject is None else await self._opened(record)), fresh

    async def _sealed_run(self, new: NewRun) -> NewRun:
        if new.subject is None:
            return new
        tenant = new.ref.tenant
        key = await self.keys.get(tenant, new.subject)
        amendments = [
            sealed_amendment(a, {(tenant, new.subject): key}, new.subject) if personal(a) else a
            for a in new.amendments
        ]
        return replace(
            new,
            entries=[key.seal_entry(e) for e in new.entries],
            amendments=(*amendments, self.keys.alive(tenant, new.subject)),
        )

    async def _check_parent(self, new: NewRun) -> None:
        """What a child returns stands in its parent's journal, so both are sealed, under one key."""
        if new.parent is None:
            return
        parent = RunRef(new.ref.tenant, new.parent)
        whose = await self._subject(parent)
        if parent in self._subjects and whose != new.subject:
            raise ConfigError(
                f"run `{new.ref}` is about `{new.subject}` and its parent `{parent}` about `{whose}`: what it returns "
                "stands in the parent's journal. Start the parent with that `subject`, or the other as a run of its own"
            )

    async def get(self, ref: RunRef) -> RunRecord | None:
        """The run's record, or None."""
        record = await self.inner.get(ref)
        if record is None:
            return None
        self._met(record)
        return record if record.subject is None else await self._opened(record)

    async def find(self, query: RunQuery) -> list[RunRecord]:
        """Runs that match, newest first."""
        found = await self.inner.find(query)
        return [r if self._met(r) is None else await self._opened(r) for r in found]

    async def read(self, ref: RunRef, *, after: int = 0, limit: int | None = None) -> list[Entry]:
        """Entries in order; erased ones of a person whose key is gone, sealed ones where no master key is here."""
        entries = await self.inner.read(ref, after=after, limit=limit)
        if not any(e.codec >= _SEALED for e in entries):
            return entries
        return await self._opened_entries(ref, await self._subject(ref), entries)

    async def of_kind(
        self, kind: int, rids: Sequence[int], *, after: tuple[int, int] = (0, 0), limit: int = 1000
    ) -> list[tuple[int, Entry]]:
        """Entries of one kind in the journals of some runs."""
        found = await self.inner.of_kind(kind, rids, after=after, limit=limit)
        for i, (rid, entry) in enumerate(found):
            if entry.sealed:
                ref, subject = await self._run(rid)
                found[i] = rid, (await self._opened_entries(ref, subject, [entry]))[0]
        return found

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
        """Add one entry behind a run's end. Raises `SubjectErased` for a person whose key is gone."""
        subject = await self._subject(ref)
        if subject is None:
            return await self.inner.annotate(
                ref, kind, payload, actor=actor, key=key, amendments=amendments, stored=stored
            )
        secret = await self.keys.get(ref.tenant, subject)
        keys = {(ref.tenant, subject): secret}
        changed = [sealed_amendment(a, keys, subject) if personal(a) else a for a in amendments]
        alive = self.keys.alive(ref.tenant, subject)
        return await self.inner.annotate(
            ref,
            kind,
            payload,
            actor=actor,
            key=key,
            amendments=(*changed, alive),
            stored=secret.seal_entry,
        )

    # the owner's side ------------------------------------------------------------------------------------------

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
        """Claim ready runs. What cannot be opened comes sealed: nothing is built on it."""
        claims = await self.inner.claim(
            session, serves, limit=limit, labels=labels, tenant_limit=tenant_limit, only=only
        )
        return [await self._opened_claim(claim) for claim in claims]

    async def seize(self, ref: RunRef) -> Claim | None:
        """Take the run from whoever has it."""
        claim = await self.inner.seize(ref)
        return None if claim is None else await self._opened_claim(claim)

    async def _opened_claim(self, claim: Claim) -> Claim:
        run = claim.run
        subject = self._met(run)
        if run.parent is not None:
            self._subjects.setdefault(RunRef(run.ref.tenant, run.parent), subject)
        if subject is None:
            return claim
        try:
            key = await self.keys.find(run.ref.tenant, subject)
        except StoreSealed:
            self._claimed[run.rid] = _Claimed(run.ref, None)
            return claim
        self._claimed[run.rid] = _Claimed(run.ref, key)
        if key is None:
            return replace(claim, entries=[e.without_payload() if e.sealed else e for e in claim.entries])
        return Claim(
            run=fields.opened_record(run, key),
            entries=[key.open_entry(e) for e in claim.entries],
            tenant_key=key.fingerprint_key(claim.tenant_key),
        )

    def append(self, append: Append) -> asyncio.Future[bool]:
        """Queue a fenced append, sealed where its run is a person's."""
        claimed = self._claimed.get(append.rid)
        change = append.change
        if claimed is None and (change is None or not change.posts):
            return self.inner.append(append)
        strangers = [] if change is None else [p.ref for p in change.posts if self._stranger(p.ref, claimed)]
        if strangers:
            told: Steady[bool] = Steady()
            self._do(self._append_later(append, claimed, strangers, told))
            return told
        return self._append(append, claimed, {})

    def _stranger(self, ref: RunRef, claimed: _Claimed | None) -> bool:
        """Whether it must be found out first how a message to that run is sealed."""
        if ref not in self._subjects:
            return True
        subject = self._subjects[ref]
        if subject is None:
            return False
        key = None if claimed is None else claimed.key
        return key is None or (key.tenant, key.subject) != (ref.tenant, subject)

    def _append(
        self, append: Append, claimed: _Claimed | None, others: dict[RunRef, SubjectKey]
    ) -> asyncio.Future[bool]:
        key = None if claimed is None else claimed.key
        change = append.change
        if claimed is not None and key is None:
            if append.entries or (change is not None and (change.opened or change.progress or change.posts)):
                failed: Steady[bool] = Steady()
                failed.set_exception(
                    StoreSealed(
                        f"run `{claimed.ref}` is sealed, and its key is not here: nothing can be written"
                    )
                )
                failed.exception()
                return failed
            return self.inner.append(append)
        if change is not None:
            posts = [self._sealed_post(post, others.get(post.ref, key)) for post in change.posts]
            change = replace(change, posts=posts)
            if claimed is not None and key is not None:
                change = fields.sealed_change(change, key, claimed.ref)
                keys = {(key.tenant, key.subject): key}
                change = replace(
                    change,
                    amendments=[
                        sealed_amendment(a, keys, key.subject) if personal(a) else a
                        for a in change.amendments
                    ],
                )
        entries = append.entries if key is None else [key.seal_entry(e) for e in append.entries]
        made = Append(append.rid, append.epoch, append.head, entries, append.results, change)
        future = self.inner.append(made)
        if claimed is not None and change is not None and change.status is not None:
            future.add_done_callback(lambda done: self._released(append.rid, claimed, done))
        return future

    async def _append_later(
        self, append: Append, claimed: _Claimed | None, strangers: Iterable[RunRef], told: Steady[bool]
    ) -> None:
        try:
            others = {ref: key for ref in strangers if (key := await self._key(ref)) is not None}
            told.set_result(await self._append(append, claimed, others))
        except BaseException as error:
            told.set_exception(error)
            told.exception()

    def _released(self, rid: int, claimed: _Claimed, done: asyncio.Future[bool]) -> None:
        """A claim that is over needs no key. One that was refused may be tried again."""
        if done.exception() is None and done.result() and self._claimed.get(rid) is claimed:
            del self._claimed[rid]

    async def inbox(self, rid: int, *, after: int) -> list[Message]:
        """Messages in order."""
        messages = await self.inner.inbox(rid, after=after)
        if not any(m.body[:1] == BYTES_MARK for m in messages):
            return messages
        claimed = self._claimed.get(rid)
        if claimed is not None:
            ref, key = claimed.ref, claimed.key
        else:
            ref, _ = await self._run(rid)
            key = await self._key_or_none(ref)
        return [fields.opened_message(m, key, ref) for m in messages]

    # outsiders -------------------------------------------------------------------------------------------------

    async def post(self, post: Post) -> bool:
        """Put a message into a run's inbox. Raises `SubjectErased`, and `StoreSealed` where no key is here."""
        key = await self._key(post.ref)
        return await self.inner.post(self._sealed_post(post, key))

    def _sealed_post(self, post: Post, key: SubjectKey | None) -> Post:
        if key is None or self._subjects.get(post.ref) is None:
            return post
        return replace(post, body=key.seal_bytes(post.body, fields.message_context(post.ref, post.id)))

    async def approvals(
        self,
        *,
        tenant: str | None = None,
        ref: RunRef | None = None,
        overdue: Overdue | None = None,
        after: ApprovalPlace | None = None,
        limit: int | None = None,
    ) -> list[Approval]:
        """Open approvals, oldest first."""
        found = await self.inner.approvals(tenant=tenant, ref=ref, overdue=overdue, after=after, limit=limit)
        return [
            fields.opened_approval(a, await self._key_or_none(a.ref)) if a.show[:1] == BYTES_MARK else a
            for a in found
        ]

    async def write_schedule(
        self, record: ScheduleRecord, *, runs: Sequence[NewRun] = (), posts: Sequence[Post] = ()
    ) -> bool:
        """Write the row, with the runs that it begins and the messages that it sends."""
        return await self.inner.write_schedule(
            record,
            runs=[await self._sealed_run(new) for new in runs],
            posts=[self._sealed_post(post, await self._key(post.ref)) for post in posts],
        )

    # inside ----------------------------------------------------------------------------------------------------

    def _do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _met(self, record: RunRecord) -> str | None:
        """Remember whose data a run handles."""
        if record.ref not in self._subjects:
            self._subjects[record.ref] = record.subject
            if len(self._subjects) > _MOST_KNOWN:
                self._subjects.popitem(last=False)
        return record.subject

    async def _subject(self, ref: RunRef) -> str | None:
        """Whose data a run handles; None also of a run that is not there, which is then not remembered."""
        if ref in self._subjects:
            return self._subjects[ref]
        record = await self.inner.get(ref)
        return None if record is None else self._met(record)

    async def _run(self, rid: int) -> tuple[RunRef, str | None]:
        """Which run has that number in the store."""
        claimed = self._claimed.get(rid)
        if claimed is not None:
            return claimed.ref, self._subjects.get(claimed.ref)
        (record,) = await self.inner.find(RunQuery(before=rid + 1, limit=1))
        return record.ref, self._met(record)

    async def _key(self, ref: RunRef) -> SubjectKey | None:
        """The key of what is written to a run; None: it is written plain. Raises `SubjectErased`, `StoreSealed`."""
        subject = await self._subject(ref)
        if subject is None:
            return None
        key = await self.keys.find(ref.tenant, subject)
        if key is None:
            raise SubjectErased(
                f"run `{ref}` is about `{subject}`, whose data was erased: it takes nothing any more"
            )
        return key

    async def _key_or_none(self, ref: RunRef) -> SubjectKey | None:
        """The key of what is read of a run; None: there is none, or it is not here."""
        subject = await self._subject(ref)
        if subject is None:
            return None
        try:
            return await self.keys.find(ref.tenant, subject)
        except StoreSealed:
            return None

    async def _opened(self, record: RunRecord) -> RunRecord:
        if not fields.has_sealed(record):
            return record
        return fields.opened_record(record, await self._key_or_none(record.ref))

    async def _opened_entries(
        self, ref: RunRef, subject: str | None, entries: Sequence[Entry]
    ) -> list[Entry]:
        if subject is None:  # the row was changed behind our back: whoever verifies or builds on it will see
            return list(entries)
        try:
            key = await self.keys.find(ref.tenant, subject)
        except StoreSealed:
            return list(entries)
        if key is None:
            return [e.without_payload() if e.sealed else e for e in entries]
        return [key.open_entry(e) for e in entries]


def sealed(inner: Store, master: Callable[[], MasterKeys]) -> SealedStore:
    """The store `inner`, with the payloads of data subjects sealed."""
    return SealedStore(inner, master)  # pyright: ignore[reportAbstractUsage]  # `__getattr__` implements the rest
