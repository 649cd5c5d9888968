"""Record or replay: the one place where a segment of a run reads and writes its journal.

A *segment* is what one claim executes. In what order its branches go on is decided in `turns`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

import pydantic_core

from ...core.clock import Clock
from ...core.delegation import Handed
from ...core.errors import Nondeterministic, RunCancelled, StoreError, Superseded
from ...core.principal import Principal
from ...journal import Amendment, Append, Change, Claim, Entry, Fingerprints, Kind, Message, Seals, Store
from .amended import go_back_where_it_raises
from .control import Finish, Halt, Unwind
from .failure import failure_of
from .history import History, StepRecord, scope_of
from .lease import Lease
from .mail import Mail
from .narration import listened, narrate
from .scope import Scope
from .turns import Wait
from .unsaid import Unsaid, without

if TYPE_CHECKING:
    from ...governance.policy.heard import Heard
    from ..boundary.stages import Boundary

__all__ = ["MOST_UNDER_WAY", "Recorder", "Wait"]

MOST_UNDER_WAY = 256
"""Entries of a run that may be on their way to disk before its steps wait."""

_ENDS = frozenset({Kind.RESULT, Kind.FAILED})

LONGEST_UNDER_WAY = 0.05
"""Seconds for the same."""


class Recorder(Mail, Unsaid):
    """The state of one segment. Used by one event loop only."""

    def __init__(
        self,
        claim: Claim,
        history: History,
        *,
        store: Store,
        lease: Lease,
        clock: Clock,
        durable_steps: bool,
    ) -> None:
        super().__init__(history, claim.run.generation)
        self.ref = claim.run.ref
        self.rid = claim.run.rid
        self.epoch = claim.run.epoch
        self.head = claim.run.head
        self.hash = claim.run.head_hash
        self.name = str(self.ref) if self.generation == 1 else f"{self.ref}#{self.generation}"
        """what idempotency keys begin with; `#` cannot stand in an id"""
        self.renewal = b""
        """JSON of the input with which the root asks to begin again"""
        self.last = history.started
        """the entry that was written last in this segment"""
        self.drained = claim.run.drained_seq
        self.actor = lease.session.id
        self.key = claim.tenant_key
        self._seal = Seals(self.epoch, self.actor)
        self._fingerprint = Fingerprints(self.key)
        self.store = store
        self.lease = lease
        self.clock = clock
        self.now = store.now
        self.monotonic = clock.monotonic
        self.durable_steps = durable_steps
        self.steps = history.steps
        self.per_scope = history.per_scope
        self.patches: dict[str, bool] = dict.fromkeys(history.patches, True)
        """what `run.patched` has said so far, by the patch's name"""
        self.messages = {m.seq: m for m in history.messages}
        self.open_scopes: set[str] = {""}
        self.parts: dict[str, str] = {}
        """what follows the agent's function, by the path of its scope: `check`, `repair`, `undo`"""
        self.root = Scope(self, "")
        self.tasks: set[asyncio.Task[Any]] = set()
        self.diff: dict[str, Any] | None = None
        """both sides of a mismatch"""
        self._asked: dict[int, str] = {}
        """keys of the recorded results that are waited for, by `seq`"""
        self.aside: list[str] = []
        """of a mismatch: keys of the steps without which this code would go on"""
        self.trouble: Exception | None = None
        self.failed_effects: dict[tuple[str, str, bytes], str] = {}
        """idempotency keys of effects that failed: whoever tries the same again gets the same"""
        self.said: Any = None
        """how the run ends (a `Conclusion`), once its function has said so"""
        self.undo: list[Any] = []
        """calls of tools that can be undone, in order"""
        self.soft_until = 0
        """in a fork with other input: up to here the entries were taken over, and their arguments may differ"""
        self.boundary: Boundary
        """what stands between a call and its effect; set by the segment"""
        self.heard: Heard | None = None
        """what policies ask about; set by the segment. None: the run has none"""
        self.principal: str | None = None
        """on whose behalf the run acts, in short"""
        self.on_behalf_of: Principal | None = None
        """the same, with who vouched for it and what it may do; None: nobody said"""
        self.chain: list[Handed] = []
        """who handed the task on to this run, the nearest first"""
        self.task: str | None = None
        """the task that it was started for; None: its agent has none"""
        self.subject = claim.run.subject
        """whose data the run handles"""
        self.reachable: dict[str, tuple[Scope, asyncio.Task[Any] | None]] = {}
        """effects under way that the run's cancellation may cut off, by key"""
        self.reached: set[str] = set()
        """those that it has"""
        self.degraded: list[dict[str, Any]] = []
        """steps whose result is not what was asked for: from a cache, or by a fallback"""
        self.open_approvals: set[str] = set()
        """keys of the questions that stand open"""
        self.consents: dict[str, dict[str, Any]] = {}
        """approvals of effects that failed, by their idempotency key: who tries the same again goes under the same"""
        self.at_end: dict[str, Callable[[Entry], Sequence[Amendment]]] = {}
        """what is told with the end of a step, in the same append"""
        self.written: Sequence[Entry] = ()
        """the entries of the last append"""
        self._last_commit: asyncio.Future[bool] | None = None
        self._under_way: deque[tuple[asyncio.Future[bool], float]] = deque()
        """of a run whose steps do not wait for the disk"""
        self.reckon()

    # writing ---------------------------------------------------------------------------------------------------

    def write(
        self,
        kind: int,
        key: str,
        payload: bytes = b"",
        *,
        fingerprint: bytes = b"",
        took: int = 0,
        results: int = 0,
        change: Change | None = None,
    ) -> asyncio.Future[bool]:
        """Append one entry. The future is done when it is on disk; it raises `StoreError` where it was refused."""
        if self.halted is not None:
            raise Unwind
        head = self.head
        if self.secrets is not None:
            payload, change = self.secrets.payload(payload), without(self.secrets, change)
        entry = self._seal(self.hash, kind, head + 1, self.now(), took, key, fingerprint, payload)
        return self._send(Append(self.rid, self.epoch, head, (entry,), results, change))

    def write_all(
        self,
        parts: list[tuple[int, str, bytes, bytes]],
        *,
        results: int = 0,
        took: int = 0,
        change: Change | None = None,
        behind: int = 0,
    ) -> asyncio.Future[bool]:
        """Append several `(kind, key, payload, fingerprint)` at once, all or none.

        `took` is the last one's, or that of the one before so many that stand `behind` it.
        """
        if self.halted is not None:
            raise Unwind
        entries = self.sealed(parts, took=took, behind=behind)
        if self.secrets is not None:
            change = without(self.secrets, change)
        return self._send(Append(self.rid, self.epoch, self.head, entries, results, change))

    def sealed(
        self, parts: list[tuple[int, str, bytes, bytes]], *, took: int = 0, behind: int = 0
    ) -> list[Entry]:
        """Entries chained to the head, not yet sent; the last one, but for those `behind`, took so long."""
        entries: list[Entry] = []
        last, seq, at, until = self.hash, self.head, self.now(), self.head + len(parts) - behind
        for kind, key, payload, mark in parts:
            seq += 1
            if self.secrets is not None:
                payload = self.secrets.payload(payload)
            entry = self._seal(last, kind, seq, at, took if seq == until else 0, key, mark, payload)
            last = entry.hash
            entries.append(entry)
        return entries

    def _send(self, append: Append) -> asyncio.Future[bool]:
        before = self.last, self.head, self.hash
        self.written = append.entries
        if self.heard is not None:
            self.heard.add(append.entries)
        if listened():
            narrate(self, append.entries)
        last = self.last = append.entries[-1]
        if self.at_end and last.kind in _ENDS and (tell := self.at_end.pop(last.key, None)) is not None:
            change = append.change or Change()
            append.change = replace(change, amendments=(*change.amendments, *tell(last)))
        self.head = last.seq
        self.hash = last.hash
        future = self._last_commit = self.store.append(append)
        if append.change is not None and append.change.amendments:
            go_back_where_it_raises(self, before, future)
        if not self.durable_steps:
            under_way = self._under_way
            while under_way and under_way[0][0].done():
                self._seen(under_way.popleft()[0])
            under_way.append((future, self.monotonic()))
        return future

    async def conditional(self, parts: list[tuple[int, str, bytes, bytes]], change: Change) -> bool:
        """Append with a release; False: the inbox holds more, and nothing was written."""
        entries = self.sealed(parts)
        if self.secrets is not None:
            change = without(self.secrets, change) or change
        append = Append(self.rid, self.epoch, self.head, entries, 0, change)
        if not await self.store.append(append):
            return False
        if entries:
            self.head, self.hash = entries[-1].seq, entries[-1].hash
        return True

    async def committed(self, future: asyncio.Future[bool]) -> None:
        """Wait until an append is on disk. Raises what one of its amendments raised: then it was not written."""
        try:
            await future
        except StoreError as error:
            self.fail(error)
            raise Unwind from error

    def must_wait(self) -> bool:
        """Whether a repeatable step waits for its commit: always, or where too much is under way."""
        if self.durable_steps:
            return True
        under_way = self._under_way
        return len(under_way) >= MOST_UNDER_WAY or self.monotonic() - under_way[0][1] > LONGEST_UNDER_WAY

    async def hand_out(self, commit: asyncio.Future[bool], seq: int, *, durable: bool = False) -> None:
        """Return when the result just written, entry `seq`, may be handed to its branch.

        Where there are several branches, they get their results in the order of the entries, also where a later one
        need not wait for the disk and an earlier one does.
        """
        written = self.committed(commit) if durable or self.must_wait() else None
        if self.branches > 1:
            await self.owe(seq, written)
        elif written is not None:
            await written

    async def barrier(self, *, leave: bool = False) -> None:
        """Return when everything written so far is on disk.

        `leave`: whoever is cancelled meanwhile goes at once, and does not wait for the disk first. So does a replay,
        where there is nothing to wait for; or the losers of a race would clean up in another order there.
        """
        if (last := self._last_commit) is not None:  # commits come in order: the last one's is everybody's
            try:
                await self.committed(asyncio.shield(last) if leave else last)
            except Exception:
                return  # of an amendment: a matter of whoever wrote it, and what came before it is on disk

    def _seen(self, future: asyncio.Future[bool]) -> None:
        error = future.exception()
        if isinstance(error, StoreError):
            self.fail(error)

    def fail(self, error: StoreError) -> None:
        """The journal cannot be written any more by this segment."""
        self.trouble = error
        self.halt(Halt.SUPERSEDED if isinstance(error, Superseded) else Halt.STORE)

    # asking ----------------------------------------------------------------------------------------------------

    def mark(self, operation: bytes, data: bytes = b"") -> bytes:
        """The fingerprint of what a step asks for."""
        return self._fingerprint(operation + b"\0" + data)

    def take(self, key: str, mark: bytes) -> StepRecord | None:
        """What the journal holds of the step; None: nothing, it is new. A record is taken once."""
        record = self.steps.pop(key, None)
        if record is None:
            return None
        if record.fingerprint != mark:
            if record.final is None or record.first.seq > self.soft_until:
                self.aside = [key]
                self.mismatch(
                    _side(record), {"step": key, "what": "other arguments, or another kind of step"}
                )
            if not (record.drifted or self.halted or self.releasing):
                self.write(Kind.DRIFT, key, b'{"changed":["arguments"]}')
        self.unconsumed -= 1
        scope = scope_of(key)
        left = self.per_scope[scope] - 1
        if left:
            self.per_scope[scope] = left
        else:
            del self.per_scope[scope]  # each branch of a wide gather looks at all that are left
        return record

    async def recorded(self, final: Entry) -> Entry:
        """A recorded result, in its turn."""
        if self.branches == 1 and self.order[self.cursor] == final.seq and self.halted is None:
            self.cursor += 1
            if self.cursor == len(self.order):
                self.reckon()
            return final
        self._asked[final.seq] = final.key
        await self.turn(final.seq)
        del self._asked[final.seq]
        return final

    async def live(self, scope: Scope, key: str, mark: bytes, *, cancellable: bool = True) -> None:
        """Return when the live step `key` of `scope` may begin.

        Raises `RunCancelled` for a cancelled run (recorded as the end of that step, so that a replay raises it there
        again), `Finish` where the run has said how it ends, and `Unwind` where this segment has come to its end.
        """
        while not self.calm:
            if self.halted is not None:
                raise Unwind
            if cancellable and self.losers:
                self.check_cut(scope)
            if self.unconsumed:
                self.check_frontier(scope, key)
            if self.cursor < len(self.order):
                await self.blocked(self.gate)
                continue
            if self.finishing and cancellable and not scope.shielded:
                raise Finish
            if self.cancel is not None and cancellable and not scope.shielded:
                await self.cancelled(key, mark, self.cancel)
            if self.paused:
                await self.blocked(self.held)
                continue
            if self.draining:
                await self.blocked(self.leaving)
                continue
            if self.releasing:
                await asyncio.sleep(0)
                continue
            break
        if not self.lease.valid():
            self.fail(Superseded("the lease could not be renewed in time, so the run is no longer ours"))
            raise Unwind

    async def cancelled(self, key: str, mark: bytes, message: Entry) -> NoReturn:
        """Record that the cancellation showed at this step, and raise it."""
        told: dict[str, Any] = pydantic_core.from_json(message.payload)
        body: dict[str, Any] = told.get("body") or {}
        reason = body.get("reason") or "no reason given"
        error = RunCancelled(f"cancelled by {told['sender']}: {reason}")
        payload = failure_of(error).model_dump_json().encode()
        change = Change(closed=(key,)) if key in self.open_approvals else None
        commit = self.write(Kind.FAILED, key, payload, fingerprint=mark, change=change)
        await self.hand_out(commit, self.head)
        raise error

    def part_of(self, key: str) -> str:
        """The part of the run that a step belongs to; empty: the agent's function."""
        return next((part for path, part in self.parts.items() if key.startswith(path)), "")

    def check_frontier(
        self, scope: Scope, key: str | None = None, *, raised: BaseException | None = None
    ) -> None:
        """Steps recorded in `scope`, or in scopes below it that are not open, and not asked for: a mismatch.

        `key` is the new step that may not begin; None: the scope is at its end, or left by the error `raised`.
        """
        for path, count in self.per_scope.items():
            if (
                count
                and path.startswith(scope.path)
                and (path == scope.path or not self._is_open(path, scope.path))
            ):
                records = [r for r in self.steps.values() if scope_of(r.key) == path]
                what = "a new step" if key is not None else f"the end of `{scope.path or '/'}`"
                if raised is None:
                    self.aside = [r.key for r in records]
                else:
                    what = f"nothing: it raised {type(raised).__name__}: {raised}"[:500]
                self.mismatch(_side(min(records, key=lambda r: r.first.seq)), {"step": key, "what": what})

    def _is_open(self, path: str, below: str) -> bool:
        return any(o != below and o.startswith(below) and path.startswith(o) for o in self.open_scopes)

    def stuck(self, seq: int) -> None:
        """A mismatch, found where nobody is there to be told."""
        record = next((r for r in self.steps.values() if r.final is not None and r.final.seq == seq), None)
        if record is not None:
            path = scope_of(record.key)
            gone = path not in self.open_scopes  # a branch that is not there any more
            self.aside = [k for k in self.steps if scope_of(k) == path] if gone else [record.key]
        later = min(self.turns, default=None)
        self.diff = {
            "recorded": _side(record) if record else {"entry": seq},
            "requested": {
                "step": None if later is None else self._asked.get(later),
                "what": "every branch waits for something that came later",
            },
        }
        self.trouble = Nondeterministic(str(self.diff))
        self.halt(Halt.MISMATCH)

    def leftover(self) -> dict[str, Any] | None:
        """The first recorded step that nobody has asked for, as the side of a mismatch."""
        first = min(self.steps.values(), key=lambda r: r.first.seq, default=None)
        return None if first is None else _side(first)

    def mismatch(self, recorded: dict[str, Any], requested: dict[str, Any]) -> NoReturn:
        """End the segment: the program is not the one that was recorded. Raises `Unwind`."""
        self.diff = {"recorded": recorded, "requested": requested}
        self.trouble = Nondeterministic(f"recorded: {recorded}; requested: {requested}")
        self.halt(Halt.MISMATCH)
        raise Unwind

    # messages -------------------------------------------------------------------------------------------------

    def receive(self, messages: list[Message]) -> None:
        """Journal drained messages, and wake whom they are for."""
        entries = self.sealed([(Kind.MESSAGE, "", m.payload(), b"") for m in messages])
        self.drained = messages[-1].n
        self._send(Append(self.rid, self.epoch, self.head, entries, 0, Change(drained=self.drained)))
        for message, entry in zip(messages, entries, strict=True):
            self._apply(message.kind, entry)

    def _apply(self, kind: str, entry: Entry) -> None:
        match kind:
            case "pause":
                self.paused = True
            case "resume":
                self.paused = False
                self.open_queue(self.held)
            case "cancel":
                self.cancel = entry
                for wait in list(self.waits.values()):
                    if not wait.shielded:
                        self.resolve(wait, entry)
                self._reach()
            case "budget" | "go_on":
                self.boundary.hear(kind, entry)
            case _:
                self.mailbox.append(entry)
                self.match_mail()
        self.reckon()

    def _reach(self) -> None:
        """Cut off what is under way, may be cut off, and is not shielded."""
        for key, (scope, task) in self.reachable.items():
            if task is not None and not scope.shielded and key not in self.reached:
                self.reached.add(key)
                task.cancel()

    def taken_back(self, key: str) -> bool:
        """Whether it was the run's cancellation that cut the step off: then its task itself goes on."""
        if key not in self.reached:
            return False
        self.reached.discard(key)
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
        return True

    def deadline_passed(self) -> None:
        """Cancel from inside."""
        body = {"kind": "cancel", "name": "", "id": "", "sender": "deadline", "at": self.store.now()}
        payload = pydantic_core.to_json({**body, "body": {"reason": "the run's deadline has passed"}})
        self.write(Kind.MESSAGE, "", payload)
        self._apply("cancel", self.last)

    def drain(self) -> None:
        """Begin no new step: the worker stops."""
        self.draining = True
        self.reckon()

    def set_releasing(self, releasing: bool) -> None:
        """While the claim is being released no live step begins."""
        self.releasing = releasing
        self.reckon()


def _side(record: StepRecord) -> dict[str, Any]:
    return {"step": record.key, "entry": record.first.seq, "kind": Kind(record.first.kind).name.lower()}
