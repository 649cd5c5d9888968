"""Record or replay: the one place where a segment of a run reads and writes its journal.

A *segment* is what one claim executes. Each branch of the program is, at any moment, in user code or in an effect
(`active`), or blocked here: waiting for its turn to be handed a result, for leave to go live, or parked in a wait.

- Results are handed out in the order of their entries, one at a time, and the loop settles between two, live as on
  replay: code that runs between two results sees the same world both times.
- A live step begins only when every recorded result has been handed out.
- When no branch is active, nothing more happens by itself: then the recorded result that nobody asked for is a
  mismatch, or, where only waits are left, the run is ready to be suspended.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Any, NoReturn

import pydantic_core

from ..core.clock import Clock
from ..core.errors import Nondeterministic, RunCancelled, StoreError, Superseded
from ..core.futures import Steady
from ..journal import (
    Append,
    Change,
    Claim,
    Entry,
    Kind,
    Message,
    Store,
    fingerprint,
    seal,
)
from .control import Halt, Unwind
from .failure import failure_of
from .history import History, StepRecord, scope_of
from .lease import Lease
from .scope import Scope

__all__ = ["MOST_UNDER_WAY", "Recorder", "Wait"]

MOST_UNDER_WAY = 256
"""Entries of a run that may be on their way to disk before its steps wait."""

LONGEST_UNDER_WAY = 0.05
"""Seconds for the same."""

SETTLE_TURNS = 32
"""Turns of the loop between two hand-outs where other runs keep it busy; fewer where it falls idle."""


@dataclass(slots=True, eq=False)
class Wait:
    """A parked branch."""

    key: str
    reason: str
    name: str
    """of the signal, the child, or the step itself"""
    due: int | None
    future: asyncio.Future[Entry | None]
    """the MESSAGE that came, or None: the time is over"""
    shielded: bool


class Recorder:
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
        self.ref = claim.run.ref
        self.rid = claim.run.rid
        self.epoch = claim.run.epoch
        self.head = claim.run.head
        self.hash = claim.run.head_hash
        self.last = history.started
        """the entry that was written last in this segment"""
        self.drained = claim.run.drained_seq
        self.actor = lease.session.id
        self.key = claim.tenant_key
        self.store = store
        self.lease = lease
        self.clock = clock
        self.monotonic = clock.monotonic
        self.durable_steps = durable_steps
        self.loop = asyncio.get_running_loop()

        self.steps = history.steps
        self.unconsumed = len(history.steps)
        self.per_scope = history.per_scope
        self.order = history.order
        self.cursor = 0
        self.paused = history.paused
        self.cancel = history.cancel
        self.messages = {m.seq: m for m in history.messages}
        self.mailbox: list[Entry] = [m for m in history.messages if m.seq not in history.taken]

        self.active = 1
        self.branches = 1
        self.open_scopes: set[str] = {""}
        self.root = Scope(self, "")
        self.tasks: set[asyncio.Task[Any]] = set()

        self.halted: Halt | None = None
        self.diff: dict[str, Any] | None = None
        self.trouble: Exception | None = None
        self.releasing = False
        self.draining = False
        """the worker stops: no new step begins"""
        self.poke = asyncio.Event()
        """set whenever the segment's driver has something to look at"""
        self.waits: dict[str, Wait] = {}
        self.held: list[asyncio.Future[None]] = []
        self.failed_effects: dict[tuple[str, str, bytes], str] = {}
        self.undo: list[Any] = []
        self.open_approvals: set[str] = set()
        """keys of the questions that stand open"""

        self._turns: dict[int, Steady[None]] = {}
        self._gate: list[asyncio.Future[None]] = []
        self._leaving: list[asyncio.Future[None]] = []
        self._under_way: deque[tuple[asyncio.Future[bool], float]] = deque()
        self._pumping = False
        self._hops = 0
        self.calm = False
        """nothing recorded is left, and nothing stands against a live step: the hot path looks only here"""
        self._reckon()

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
        entry = seal(
            self.hash,
            kind,
            head + 1,
            self.epoch,
            self.store.now(),
            took,
            key,
            self.actor,
            fingerprint,
            payload,
        )
        return self._send(Append(self.rid, self.epoch, head, (entry,), results, change))

    def write_all(
        self, parts: list[tuple[int, str, bytes, bytes]], *, results: int = 0
    ) -> asyncio.Future[bool]:
        """Append several `(kind, key, payload, fingerprint)` at once, all or none."""
        if self.halted is not None:
            raise Unwind
        return self._send(Append(self.rid, self.epoch, self.head, self.sealed(parts), results))

    def sealed(self, parts: list[tuple[int, str, bytes, bytes]]) -> list[Entry]:
        """Entries chained to the head, not yet sent."""
        entries: list[Entry] = []
        last, seq, at = self.hash, self.head, self.store.now()
        for kind, key, payload, mark in parts:
            seq += 1
            entry = seal(last, kind, seq, self.epoch, at, 0, key, self.actor, mark, payload)
            last = entry.hash
            entries.append(entry)
        return entries

    def _send(self, append: Append) -> asyncio.Future[bool]:
        last = self.last = append.entries[-1]
        self.head = last.seq
        self.hash = last.hash
        future = self.store.append(append)
        under_way = self._under_way
        while under_way and under_way[0][0].done():
            self._seen(under_way.popleft()[0])
        under_way.append((future, 0.0 if self.durable_steps else self.monotonic()))
        return future

    async def conditional(self, parts: list[tuple[int, str, bytes, bytes]], change: Change) -> bool:
        """Append with a release; False: the inbox holds more, and nothing was written."""
        entries = self.sealed(parts)
        append = Append(self.rid, self.epoch, self.head, entries, 0, change)
        if not await self.store.append(append):
            return False
        if entries:
            self.head, self.hash = entries[-1].seq, entries[-1].hash
        return True

    async def committed(self, future: asyncio.Future[bool]) -> None:
        """Wait until an append is on disk."""
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

    async def handed(self, commit: asyncio.Future[bool]) -> None:
        """What a repeatable step does before its value is handed out."""
        if self.must_wait():
            await self.committed(commit)

    async def barrier(self) -> None:
        """Return when everything written so far is on disk."""
        if self._under_way:
            await self.committed(self._under_way[-1][0])
            self._under_way.clear()

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
        return fingerprint(self.key, operation + b"\0" + data)

    def take(self, key: str, mark: bytes) -> StepRecord | None:
        """What the journal holds of the step; None: nothing, it is new. A record is taken once."""
        record = self.steps.pop(key, None)
        if record is None:
            return None
        if record.fingerprint != mark:
            self.mismatch(_side(record), {"step": key, "what": "other arguments, or another kind of step"})
        self.unconsumed -= 1
        scope = scope_of(key)
        self.per_scope[scope] -= 1
        return record

    async def recorded(self, final: Entry) -> Entry:
        """A recorded result, in its turn."""
        if self.branches == 1 and self.order[self.cursor] == final.seq and self.halted is None:
            self.cursor += 1
            if self.cursor == len(self.order):
                self._reckon()
            return final
        await self._turn(final.seq)
        return final

    async def delivered(self, seq: int) -> None:
        """The turn of a live result; returns at once where the program has one branch."""
        if self.branches > 1:
            await self._turn(seq)

    async def live(self, scope: Scope, key: str, mark: bytes, *, cancellable: bool = True) -> None:
        """Return when the live step `key` of `scope` may begin.

        Raises `RunCancelled` for a cancelled run (recorded as the end of that step, so that a replay raises it there
        again), and `Unwind` where this segment has come to its end.
        """
        while not self.calm:
            if self.halted is not None:
                raise Unwind
            if self.unconsumed:
                self.check_frontier(scope)
            if self.cursor < len(self.order):
                await self._blocked(self._gate)
                continue
            if self.cancel is not None and cancellable and not scope.shielded:
                await self.cancelled(key, mark, self.cancel)
            if self.paused:
                await self._blocked(self.held)
                continue
            if self.draining:
                await self._blocked(self._leaving)
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
        self.write(Kind.FAILED, key, payload, fingerprint=mark, change=change)
        await self.delivered(self.head)
        raise error

    def check_frontier(self, scope: Scope) -> None:
        """Steps recorded in `scope`, or in scopes below it that are not open, and not asked for: a mismatch."""
        for path, count in self.per_scope.items():
            if (
                count
                and path.startswith(scope.path)
                and (path == scope.path or not self._is_open(path, scope.path))
            ):
                record = min(
                    (r for r in self.steps.values() if scope_of(r.key) == path), key=lambda r: r.first.seq
                )
                self.mismatch(
                    _side(record), {"step": None, "what": f"a new step in `{scope.path or '/'}`, or its end"}
                )

    def _is_open(self, path: str, below: str) -> bool:
        return any(o != below and o.startswith(below) and path.startswith(o) for o in self.open_scopes)

    def mismatch(self, recorded: dict[str, Any], requested: dict[str, Any]) -> NoReturn:
        """End the segment: the program is not the one that was recorded. Raises `Unwind`."""
        self.diff = {"recorded": recorded, "requested": requested}
        self.trouble = Nondeterministic(f"recorded: {recorded}; requested: {requested}")
        self.halt(Halt.MISMATCH)
        raise Unwind

    # branches and turns ----------------------------------------------------------------------------------------

    def began(self, branches: int) -> None:
        """So many more branches run."""
        self.active += branches
        self.branches += branches

    def ended(self) -> None:
        """A branch has ended."""
        self.active -= 1
        self.branches -= 1
        self.kick()

    async def park(self, wait: Wait) -> Entry | None:
        """Wait for a message or the time; the segment may end meanwhile (`Unwind`)."""
        self.waits[wait.key] = wait
        self.active -= 1
        self.kick()
        self.poke.set()
        try:
            return await wait.future
        except asyncio.CancelledError:
            self.waits.pop(wait.key, None)
            self._taken_back(wait.future)
            if not wait.future.cancelled() and (message := wait.future.result()) is not None:
                self.mailbox.insert(0, message)
            raise

    def resolve(self, wait: Wait, message: Entry | None) -> None:
        """Wake a parked branch with the message that it waits for, or with None: its time is over."""
        self.waits.pop(wait.key, None)
        if not wait.future.done():
            self.active += 1
            wait.future.set_result(message)

    async def _turn(self, seq: int) -> None:
        if self.halted is not None:
            raise Unwind
        future: Steady[None] = Steady(loop=self.loop)
        self._turns[seq] = future
        self.active -= 1
        self.kick()
        await future

    async def _blocked(self, queue: list[asyncio.Future[None]]) -> None:
        future: asyncio.Future[None] = self.loop.create_future()
        queue.append(future)
        self.active -= 1
        self.kick()
        try:
            await future
        except asyncio.CancelledError:
            self._taken_back(future)
            raise
        if self.halted is not None:
            raise Unwind

    def _taken_back(self, future: asyncio.Future[Any]) -> None:
        # Whoever sets a result counts the branch as active; where the cancellation came first, nobody has.
        if future.cancelled():
            self.active += 1

    def kick(self) -> None:
        """Look, once the loop has settled, whether something is to be handed out."""
        if not self._pumping:
            self._pumping = True
            self._hops = SETTLE_TURNS
            self.loop.call_soon(self._pump)

    def _pump(self) -> None:
        if self.halted is None and self._hops > 0 and not _idle(self.loop):
            self._hops -= 1
            self.loop.call_soon(self._pump)
            return
        self._pumping = False
        if self.halted is not None:
            return
        if self.cursor < len(self.order):
            self._hand_out_recorded()
        elif self._turns:
            self._hand_out(self._turns.pop(min(self._turns)))
            if self._turns or self._gate:
                self.kick()
        elif self._gate:
            self._open(self._gate)
        elif self.active == 0:
            self.poke.set()

    def _hand_out_recorded(self) -> None:
        seq = self.order[self.cursor]
        future = self._turns.pop(seq, None)
        if future is not None:
            self.cursor += 1
            self._hand_out(future)
            if self.cursor == len(self.order):
                self._reckon()
            if self._turns or self._gate:
                self.kick()
        elif self.active == 0:
            record = next(
                (r for r in self.steps.values() if r.final is not None and r.final.seq == seq), None
            )
            recorded = _side(record) if record else {"entry": seq}
            try:
                self.mismatch(
                    recorded, {"step": None, "what": "every branch waits for something that came later"}
                )
            except Unwind:
                pass

    def _hand_out(self, future: Steady[None]) -> None:
        self.active += 1
        future.set_result(None)

    def _open(self, queue: list[asyncio.Future[None]]) -> None:
        waiting = [future for future in queue if not future.done()]
        queue.clear()
        self.active += len(waiting)
        for future in waiting:
            future.set_result(None)

    # ends and messages -----------------------------------------------------------------------------------------

    def quiescent(self) -> bool:
        """Nothing goes on by itself: every branch is parked or held."""
        return (
            self.active == 0
            and not self._turns
            and not self._gate
            and self.cursor == len(self.order)
            and bool(self.waits or self.held)
        )

    def halt(self, why: Halt) -> None:
        """End the segment: every blocked branch is left by `Unwind`, every later step too."""
        if self.halted is not None:
            return
        self.halted = why
        self.calm = False
        blocked: list[asyncio.Future[Any]] = [*self._turns.values(), *self._gate, *self._leaving, *self.held]
        blocked += [wait.future for wait in self.waits.values()]
        for future in blocked:
            if not future.done():
                future.set_exception(Unwind())
        self._turns.clear()
        self._gate.clear()
        self._leaving.clear()
        self.held.clear()
        self.waits.clear()
        self.poke.set()

    def receive(self, messages: list[Message]) -> None:
        """Journal drained messages, and wake whom they are for."""
        parts: list[tuple[int, str, bytes, bytes]] = []
        for m in messages:
            head = pydantic_core.to_json(
                {"kind": m.kind, "name": m.name, "id": m.id, "sender": m.sender, "at": m.at}
            )
            parts.append((Kind.MESSAGE, "", head[:-1] + b',"body":' + (m.body or b"null") + b"}", b""))
        entries = self.sealed(parts)
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
                self._open(self.held)
            case "cancel":
                self.cancel = entry
                for wait in list(self.waits.values()):
                    if not wait.shielded:
                        self.resolve(wait, entry)
            case _:
                self.mailbox.append(entry)
                self.match_mail()
        self._reckon()

    def match_mail(self) -> None:
        """Give messages to the waits that they are for, first come first served."""
        for wait in list(self.waits.values()):
            message = self.mail_for(wait.reason, wait.name)
            if message is not None:
                self.resolve(wait, message)

    def mail_for(self, reason: str, name: str) -> Entry | None:
        """Take the oldest message for such a wait out of the mailbox."""
        kinds = _ANSWERED_BY.get(reason, ())
        for i, entry in enumerate(self.mailbox):
            message = pydantic_core.from_json(entry.payload)
            if message["kind"] in kinds and message["name"] == name:
                del self.mailbox[i]
                return entry
        return None

    def next_due(self) -> int | None:
        """When the first parked wait is over."""
        return min((w.due for w in self.waits.values() if w.due is not None), default=None)

    def fire(self, now: int) -> None:
        """Wake the waits whose time is over."""
        for wait in sorted(self.waits.values(), key=lambda w: w.due or 0):
            if wait.due is not None and wait.due <= now:
                self.resolve(wait, None)

    def deadline_passed(self) -> None:
        """Cancel from inside."""
        body = {"kind": "cancel", "name": "", "id": "", "sender": "deadline", "at": self.store.now()}
        payload = pydantic_core.to_json({**body, "body": {"reason": "the run's deadline has passed"}})
        self.write(Kind.MESSAGE, "", payload)
        self._apply("cancel", self.last)

    def _reckon(self) -> None:
        self.calm = (
            self.halted is None
            and not self.unconsumed
            and self.cursor == len(self.order)
            and self.cancel is None
            and not self.paused
            and not self.releasing
            and not self.draining
        )

    def drain(self) -> None:
        """Begin no new step: the worker stops."""
        self.draining = True
        self._reckon()

    def set_releasing(self, releasing: bool) -> None:
        """While the claim is being released no live step begins."""
        self.releasing = releasing
        self._reckon()

    def reasons(self) -> list[str]:
        """Why the run waits: the typed reasons of its parked branches."""
        found = {w.reason for w in self.waits.values()}
        if self.held:
            found.add("paused")
        return sorted(found)


_ANSWERED_BY: dict[str, tuple[str, ...]] = {
    "signal": ("signal",),
    "approval": ("answer",),
    "child": ("child",),
    "in_doubt": ("settle", "late"),
}


def _idle(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether nothing else is ready to run. Loops that do not tell count as busy."""
    ready: Any = getattr(loop, "_ready", None)
    return ready is not None and not ready


def _side(record: StepRecord) -> dict[str, Any]:
    first = record.first
    return {"step": record.key, "entry": first.seq, "kind": Kind(first.kind).name.lower()}
