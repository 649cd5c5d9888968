"""One segment of a run: from a claim to an ending, a suspension, or the loss of the claim."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pydantic_core

from ..core.clock import Clock
from ..core.delegation import chain_of
from ..core.errors import InvalidInput, StoreCorrupt, StoreError, Superseded
from ..core.ids import RunRef
from ..core.principal import Principal
from ..core.tracing import TraceContext, entered, segment_span, trace_of
from ..governance import Budget, Treasury
from ..journal import Change, Claim, Kind, Post, RunStatus, Store, WaitReason, verify_chain
from ..memory import Memories
from .agent import Agent
from .boundary.revocation import names_of
from .boundary.spending import Spending
from .boundary.stages import Boundary, Rules
from .boundary.trust import Rings
from .drafts import carrying_out, draft_of
from .ending.conclusion import Conclusion
from .ending.escalation import escalation
from .ending.root import conclude
from .ending.tried import tried
from .frameworks.declared import ToolTable
from .frameworks.wrapping import Adapters, NoAdapters
from .replay.behaviour import Behaviour
from .replay.control import Halt, Unwind
from .replay.generations import beginning
from .replay.history import History
from .replay.lease import Lease
from .replay.recorder import Recorder
from .run import Run
from .tasks import Tasks

__all__ = ["Segment", "SegmentEnd", "Surroundings"]

log = logging.getLogger("perdure.run")

SHORT_WAIT_MICROS = 1_000_000
"""Waits that end sooner stay in memory: a replay would cost more."""

UNWIND_SECONDS = 5.0
"""How long the function's own cleaning up may take once the segment is over."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a run needs of the app around it."""

    agent: Callable[[Agent | str], Agent]
    """find a registered agent; raises `UnknownAgent`"""
    models: Any
    """where `run.model` finds its providers"""
    adapters: Adapters = field(default_factory=NoAdapters)
    """of the frameworks whose agents `run.wrap` takes"""
    effects: ToolTable = field(default_factory=ToolTable)
    """what the tools of those frameworks do"""
    rules: Rules = field(default_factory=Rules)
    """of the boundary that every call crosses"""
    treasury: Treasury | None = None
    """prices, and the budgets that runs share; None: nobody keeps accounts"""
    memories: Memories = field(default_factory=Memories)
    """what keeps the layers of memory"""
    deadline: int | None = None
    behaviour: Callable[[Agent], Behaviour] | None = None
    """the digest of what an agent does; None: its journals do not say"""


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """How a segment ended. `status` is None where the claim was lost."""

    status: RunStatus | None
    halt: Halt | None = None
    error: Exception | None = None
    payload: bytes = b""
    """of the last entry, where the run has ended"""
    diff: dict[str, Any] | None = None
    """both sides of a mismatch"""


class Segment:
    """Drives one claimed run. `drive` returns when the claim is over; the other methods may be called meanwhile."""

    def __init__(
        self,
        claim: Claim,
        agent: Agent,
        *,
        store: Store,
        lease: Lease,
        clock: Clock,
        surroundings: Surroundings,
        durable_steps: bool,
        rehearsal: bool = False,
    ) -> None:
        """`rehearsal`: nothing is at stake, so nothing is logged, and code that does not end is not waited for."""
        self._claim = claim
        self._agent = agent
        self._store = store
        self._lease = lease
        self._clock = clock
        self._surroundings = surroundings
        self._durable_steps = durable_steps
        self._rehearsal = rehearsal
        self._stirred = claim.run.inbox_seq > claim.run.drained_seq
        self._draining = False
        self._recorder: Recorder | None = None

    @property
    def recorder(self) -> Recorder | None:
        """What it reads and writes with; None before `drive`, or where the journal cannot be read."""
        return self._recorder

    def stir(self) -> None:
        """The inbox holds something new."""
        self._stirred = True
        self._wake()

    def drain(self) -> None:
        """The worker stops: leave at the next step, and let another worker go on."""
        self._draining = True
        self._wake()

    def supersede(self) -> None:
        """The session is gone."""
        if self._recorder is not None:
            self._recorder.fail(Superseded("the worker's session is gone: its lease ran out"))

    def _wake(self) -> None:
        if self._recorder is not None:
            self._recorder.poke.set()

    async def drive(self) -> SegmentEnd:
        """Replay, go on, and end or suspend the run. Raises `StoreCorrupt` or `StoreTooNew` for its journal."""
        claim = self._claim
        run = claim.run
        last, chained = verify_chain(
            run.ref, claim.entries, after=run.base - 1, previous=run.base_hash, whole=True
        )
        if (last, chained) != (run.head, run.head_hash):
            raise StoreCorrupt(
                f"run `{run.ref}`: the journal ends at entry {last}, and should end at entry {run.head}; nothing was "
                "built on it. Restore the store from a backup"
            )
        history = History(claim.entries)
        recorder = self._recorder = Recorder(
            claim,
            history,
            store=self._store,
            lease=self._lease,
            clock=self._clock,
            durable_steps=self._durable_steps,
        )
        recorder.boundary = Boundary(
            recorder,
            self._surroundings.rules,
            agent=self._agent.name,
            version=self._agent.version,
            retry=self._agent.retry,
        )
        recorder.boundary.zones = self._agent.zones
        claimed: dict[str, Any] = {
            "worker": self._lease.session.label,
            "version": self._agent.version,
            "unclean": run.unclean,
        }
        if self._surroundings.behaviour is not None:
            behaviour = self._surroundings.behaviour(self._agent)
            known = history.behaviour == behaviour.digest  # then its parts stand in the journal already
            parts = {} if known else {"parts": behaviour.parts}
            claimed["behaviour"] = {"digest": behaviour.digest, **parts}
        if (version := await self._judged_by(recorder, history)) is not None:
            claimed["policies"] = version
        recorder.write(Kind.CLAIMED, "", pydantic_core.to_json(claimed))
        try:
            started = pydantic_core.from_json(history.started.payload)
            if (draft := draft_of(started)) is not None:
                self._agent = carrying_out(self._agent, draft)
            if (trust := self._surroundings.rules.trust()) is not None:
                rings = recorder.boundary.rings = Rings(trust, self._agent, started)
                await rings.look(recorder)
            self._open_accounts(recorder, started)
            arguments = self._agent.load_input(pydantic_core.to_json(started["input"]))
            recorder.task = Tasks.named(started["input"]) if self._agent.tasks else None
            recorder.principal = started.get("by")
            recorder.on_behalf_of = Principal.of(started)
            recorder.chain = chain_of(started)
            recorder.boundary.trace = trace_of(run.ref, TraceContext.told_by(started.get("trace")))
            recorder.boundary.names = names_of(recorder, self._agent.name)
            if (origin := started.get("origin")) and origin["input_changed"]:
                recorder.soft_until = origin["taken"]
        except InvalidInput as error:
            recorder.diff = {
                "recorded": {"step": "input", "entry": run.base},
                "requested": {"step": "input", "what": str(error)},
            }
            recorder.halt(Halt.MISMATCH)
            return await self._halted(recorder, history)
        if (
            self._stirred
        ):  # before the function: what came in time must be there when a wait looks at the clock
            self._stirred = False
            await self._drain_inbox(recorder)
        context = Run(recorder, self._surroundings, agent=self._agent, labels=run.labels)
        root = asyncio.get_running_loop().create_task(
            conclude(recorder, context, self._agent, arguments, self._surroundings.rules.classifier),
            context=entered(recorder.boundary.trace.below(segment_span(run.ref, run.epoch))),
        )
        try:
            await self._attend(recorder, root)
        except asyncio.CancelledError:
            recorder.halt(Halt.DRAINED)
            raise
        finally:
            await _unwind(recorder, root, within=0.1 if self._rehearsal else UNWIND_SECONDS)
        if recorder.halted is not None:
            return await self._halted(recorder, history)
        return await self._end(recorder, root)

    async def _judged_by(self, recorder: Recorder, history: History) -> str | None:
        """Put the policies before the run's calls: the version with which it began. Its digest; None: it has none."""
        shelf = self._surroundings.rules.policies
        digest = history.policies
        if shelf is None:
            return None
        tenant = recorder.ref.tenant
        held = await shelf.now(tenant)
        if digest is None:
            if held.book is None:
                return None
            digest = held.book.digest
            if not self._rehearsal:
                await shelf.keep(tenant, held.book)
        from ..governance.policy.heard import Heard
        from ..governance.policy.shadow import Shadow
        from .boundary.policy import Guard

        heard = recorder.heard = Heard()
        heard.add(self._claim.entries)
        found = await shelf.find(tenant, digest)
        shadow = None if held.shadow is None or held.shadow.digest == digest else Shadow(held.shadow)
        recorder.boundary.guard = Guard(found, digest, heard, agent=self._agent.name, shadow=shadow)
        return digest

    def _open_accounts(self, recorder: Recorder, started: dict[str, Any]) -> None:
        """Reckon what the run has spent so far; calls that were lost with the worker before are charged now."""
        treasury = self._surroundings.treasury
        if treasury is None:
            return
        told = started.get("budget")
        given = None if told is None else Budget.from_json(told)
        spending = recorder.boundary.spending = Spending(
            recorder,
            self._claim.entries,
            treasury=treasury,
            agent=self._agent.name,
            budget=given or self._agent.budget or treasury.run,
            created_at=self._claim.run.created_at,
            given=given,
        )
        lost = spending.lost()
        if lost:
            recorder.write_all(lost)

    async def _attend(self, recorder: Recorder, root: asyncio.Task[Conclusion]) -> None:
        """Look after the run until its function has returned or the segment is over."""
        deadline = self._claim.run.deadline
        while not root.done() and recorder.halted is None:
            recorder.poke.clear()
            if self._stirred:
                self._stirred = False
                await self._drain_inbox(recorder)
            now = self._store.now()
            if deadline is not None and deadline <= now and recorder.cancel is None:
                recorder.deadline_passed()
            recorder.fire(now)
            if recorder.renewing:
                await self._begin_again(recorder)
                continue
            if self._draining:
                await self._let_go(recorder)
                continue
            quiescent = recorder.quiescent()
            due = _earliest(recorder.next_due(), deadline if recorder.cancel is None else None)
            if quiescent and (due is None or due - now > SHORT_WAIT_MICROS):
                await self._suspend(recorder, due)
                continue
            await self._pause(recorder, due, quiescent)

    async def _pause(self, recorder: Recorder, due: int | None, quiescent: bool) -> None:
        if quiescent or due is None:
            # `due` is in the store's time, which the clock's may be hours away from
            until = None if due is None else self._clock.micros() + due - self._store.now()
            await self._clock.wait(recorder.poke, until=until)
            return
        # While a branch is at work time may not be skipped: only a real delay counts.
        try:
            async with asyncio.timeout((due - self._store.now()) / 1e6):
                await recorder.poke.wait()
        except TimeoutError:
            return

    async def _drain_inbox(self, recorder: Recorder) -> None:
        messages = await self._store.inbox(recorder.rid, after=recorder.drained)
        if messages and recorder.halted is None:
            recorder.receive(messages)

    async def _suspend(self, recorder: Recorder, due: int | None) -> None:
        """Release the claim, unless a message came; only then is the function left."""
        reasons = recorder.reasons()
        payload = pydantic_core.to_json({"reasons": reasons, "until": due})
        change = Change(
            status=RunStatus.WAITING, reasons=tuple(reasons), next_wake=due, drained=recorder.drained
        )
        if await self._release(recorder, [(Kind.SUSPENDED, "", payload, b"")], change):
            recorder.halt(Halt.SUSPENDED)
        else:
            self._stirred = True

    async def _begin_again(self, recorder: Recorder) -> None:
        """Release the claim with the beginning of the next generation, unless a message came."""
        if recorder.cancel is not None or recorder.paused:
            recorder.open_queue(recorder.renewing)  # the function is told so itself
            return
        parts, change = beginning(recorder, self._store.now())
        if await self._release(recorder, parts, change):
            recorder.halt(Halt.CONTINUED)
        else:
            self._stirred = True

    async def _let_go(self, recorder: Recorder) -> None:
        """The worker stops: no new step begins; what is under way is waited for; then the run is pending again."""
        recorder.drain()
        if recorder.active > 0:
            await self._pause(recorder, None, False)
            return
        change = Change(status=RunStatus.PENDING, next_wake=self._store.now(), guarded=False)
        if await self._release(recorder, [], change):
            recorder.halt(Halt.DRAINED)
        else:
            self._stirred = True

    async def _release(
        self, recorder: Recorder, parts: list[tuple[int, str, bytes, bytes]], change: Change
    ) -> bool:
        recorder.set_releasing(True)
        try:
            return await recorder.conditional(parts, self._giving_back(recorder, change))
        except StoreError as error:
            recorder.fail(error)
            return False
        finally:
            recorder.set_releasing(False)

    def _giving_back(self, recorder: Recorder, change: Change) -> Change:
        """With the release, what the run holds of shared budgets is settled."""
        spending = recorder.boundary.spending
        amendments = [] if spending is None else spending.give_back()
        return replace(change, amendments=(*change.amendments, *amendments)) if amendments else change

    async def _halted(self, recorder: Recorder, history: History) -> SegmentEnd:
        why = recorder.halted
        if why is Halt.SUSPENDED:
            return SegmentEnd(RunStatus.WAITING, why)
        if why in (Halt.DRAINED, Halt.CONTINUED):
            return SegmentEnd(RunStatus.PENDING, why)
        if why is not Halt.MISMATCH:
            error = recorder.trouble
            log.warning("run %s: this worker stands down: %s", recorder.ref, error)
            return SegmentEnd(None, why, error)
        payload = pydantic_core.to_json(recorder.diff, fallback=repr)
        if not self._rehearsal:
            log.error("run %s does not replay and waits: %s", recorder.ref, payload.decode())
        known = history.last_mismatch
        parts = (
            [] if known is not None and known.payload == payload else [(int(Kind.MISMATCH), "", payload, b"")]
        )
        change = Change(status=RunStatus.WAITING, reasons=(WaitReason.NONDETERMINISTIC,))
        try:
            while not await recorder.conditional(parts, self._giving_back(recorder, change)):
                change = await self._drain_for(recorder, change)
        except StoreError as error:
            return SegmentEnd(None, why, error)
        return SegmentEnd(RunStatus.WAITING, why, recorder.trouble, diff=recorder.diff)

    async def _drain_for(self, recorder: Recorder, change: Change) -> Change:
        """Journal what is in the inbox, so that a release can follow."""
        messages = await self._store.inbox(recorder.rid, after=recorder.drained)
        if messages:
            recorder.receive(messages)
        return replace(change, drained=recorder.drained)

    async def _end(self, recorder: Recorder, root: asyncio.Task[Conclusion]) -> SegmentEnd:
        ending = self._cut_short(recorder, root.result())
        status, result = ending.status, ending.result
        head = ending.head()
        if recorder.secrets is not None:
            head = recorder.secrets.value(pydantic_core.from_json(pydantic_core.to_json(head)))
            result = None if result is None else recorder.secrets.payload(result)
        reasons = (ending.reason,) if ending.reason else ()
        if recorder.degraded:
            head["degraded"] = recorder.degraded
        ref = recorder.ref
        try:
            await recorder.barrier()
            if recorder.boundary.rings is not None and not self._rehearsal:
                await recorder.boundary.rings.at_end(recorder, recorder.rid, ending.check)
            if status is RunStatus.ESCALATED and not self._rehearsal:
                head["tried"] = tried(await self._store.read(ref, after=self._claim.run.base - 1))
            while True:
                head["undelivered"] = [m.seq for m in recorder.mailbox]
                if recorder.heard is not None and (heard := recorder.heard.handed_on()):
                    head["heard"] = heard
                if recorder.boundary.spending is not None and (spent := recorder.boundary.spending.spent()):
                    head["spent"] = spent
                told = pydantic_core.to_json(head)[:-1]
                payload = told + (b"}" if result is None else b',"result":' + result + b"}")
                posts = self._news_for_parent(ref, payload)
                change = Change(
                    status=status,
                    reasons=reasons,
                    drained=recorder.drained,
                    posts=posts,
                    amendments=escalation(recorder, self._agent.name, ending, head),
                )
                change = self._giving_back(recorder, change)
                if await recorder.conditional([(Kind.ENDED, "", payload, b"")], change):
                    return SegmentEnd(status, payload=payload)
                change = await self._drain_for(recorder, change)
        except (StoreError, Unwind) as error:
            trouble = error if isinstance(error, StoreError) else recorder.trouble
            log.warning("run %s: this worker stands down at its end: %s", ref, trouble)
            return SegmentEnd(None, Halt.STORE, trouble)

    def _cut_short(self, recorder: Recorder, ending: Conclusion) -> Conclusion:
        """A run that returned after its last call has not done what it would have done with more."""
        spending = recorder.boundary.spending
        if ending.status is not RunStatus.SUCCEEDED or spending is None or not spending.ledger.finishing:
            return ending
        return replace(ending, status=RunStatus.PARTIAL, why="its budget was used up before it had finished")

    def _news_for_parent(self, ref: RunRef, payload: bytes) -> tuple[Post, ...]:
        parent = self._claim.run.parent
        if parent is None:
            return ()
        return (
            Post(
                ref=RunRef(ref.tenant, parent),
                kind="child",
                name=ref.id,
                id=f"child-{ref.id}",
                sender=f"run {ref.id}",
                body=payload,
            ),
        )


async def _unwind(recorder: Recorder, root: asyncio.Task[Conclusion], *, within: float) -> None:
    """Wait for the function to be left; what does not leave by itself is cancelled, then abandoned."""
    tasks = {root, *recorder.tasks}
    if recorder.halted is None:
        return
    waiting = {t for t in tasks if not t.done()}
    if waiting and recorder.halted in (Halt.SUSPENDED, Halt.DRAINED, Halt.CONTINUED, Halt.MISMATCH):
        _, waiting = await asyncio.wait(waiting, timeout=within)
        for task in waiting:
            task.cancel()
    if waiting:
        # Superseded: an effect under way is left to finish, so that its result can be told to the new owner.
        _, waiting = await asyncio.wait(
            waiting, timeout=None if recorder.halted is Halt.SUPERSEDED else within
        )
    for task in waiting:
        if within == UNWIND_SECONDS:
            log.warning(
                "run %s: its function does not end; it is abandoned, and can record nothing", recorder.ref
            )
        task.cancel()
    for task in tasks - waiting:
        if not task.cancelled():
            task.exception()  # marked as seen


def _earliest(*times: int | None) -> int | None:
    return min((t for t in times if t is not None), default=None)
