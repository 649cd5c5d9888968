"""The boundary: what every model and tool call passes before its effect, whatever framework it comes from.

    scope ─► policy ─► budget ─► approval ─► credential ─► rate ─► breaker ─► intent ─► effect ─► result ─► settle

Each stage lets the call pass, makes it wait (a row, no worker), or refuses it with an error that says why. What a stage
did stands in the journal on the trail of the step, so that a replay, or the next worker, goes on behind it: nothing is
asked twice, and a replay asks none of them. A call for which nobody has set anything passes through none of this.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.approval_settings import ApprovalSettings
from ...core.clock import from_micros
from ...core.credentials import CredentialSource
from ...core.errors import CircuitOpen, PolicyDenied
from ...core.rings import Ring
from ...core.tracing import TraceContext, step_span, trace_of
from ...governance import Admitted, Breakers, Limits, Rate, Revocations, Take
from ...journal import Amendment, Change, Entry, Kind, WaitReason
from ..replay.recorder import Wait
from . import grants, payment, revocation, scope
from .call import Call, Way
from .diagnosis import Classifier, Diagnosis
from .reservation import Reservation
from .retry import Retry
from .saying import Ears
from .spending import Spending

if TYPE_CHECKING:
    from ...governance.policy.shelf import Shelf
    from ...governance.revocations import Who
    from ...governance.signatures import ApproverProof
    from ...governance.trust import Trust
    from ..approval.consent import Arguments
    from ..outbound.minting import Minting
    from ..replay.recorder import Recorder
    from .policy import Ask, Guard
    from .tool import Tool
    from .trust import Held, Rings

__all__ = ["Admission", "Boundary", "Part", "Rules", "pause"]

Part = tuple[int, str, bytes, bytes]
"""An entry to be written: kind, key, payload, fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an app says about all calls of its runs."""

    classifier: Classifier = field(default_factory=Classifier)
    retry: Retry | None = None
    """of model turns and tools that say no other; None: what may be repeated has the default, writes have none"""
    breakers: Breakers | None = None
    limits: Limits | None = None
    tenant_rate: Rate | None = None
    """of all governed calls of a tenant together"""
    approvals: ApprovalSettings = field(default_factory=ApprovalSettings)
    """who approves, and how often they may be asked"""
    approver_proof: ApproverProof | None = None
    """looks at what proves an answer other than by a key of its author's own"""
    policies: Shelf | None = None
    """what agents may do; None: the app has nothing to do with policies"""
    credentials: CredentialSource | None = None
    """whatever keeps users' credentials; None: no tool can use any"""
    revocations: Revocations | None = None
    """who may do nothing any more; None: nobody looks"""
    trust: Callable[[], Trust | None] = lambda: None
    """how far agents are trusted, asked with each segment: agents may be registered late; None: nobody has a ring"""
    minting: Callable[[], Minting] | None = None
    """makes tokens for the requests of tools; None: the agents have no identity"""
    draw: Callable[[], float] = random.random
    """for the jitter of waits: from [0, 1)"""


@dataclass(slots=True)
class Admission:
    """Leave for one attempt: what is written before it, in one append, and how."""

    parts: list[Part] = field(default_factory=list[Part])
    closed: list[str] = field(default_factory=list[str])
    """approvals that it uses up"""
    taken: list[Entry] = field(default_factory=list[Entry])
    """the answers by which it does"""
    amendments: list[Amendment] = field(default_factory=list[Amendment])
    durable: bool = False
    """whether that must be on disk before the effect"""
    breaker: Admitted | None = None
    """is told how the attempt ended"""
    way: Way | None = None
    reservation: Reservation | None = None
    """what is set aside for the attempt"""
    handed: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """what the tool is handed beside its arguments, by parameter; never written down"""
    put_down: Callable[[], Awaitable[None]] | None = None
    """takes it back, once the attempt is over"""

    def change(self) -> Change | None:
        """What else happens in the transaction of the append."""
        if not (self.closed or self.amendments):
            return None
        return Change(closed=tuple(self.closed), amendments=tuple(self.amendments))


_NOTHING = Admission()
_DEFAULT = Retry()


class Boundary:
    """The enforcement point of one segment of a run."""

    def __init__(
        self,
        recorder: Recorder,
        rules: Rules,
        *,
        agent: str,
        version: str = "1",
        retry: Retry | None = None,
    ) -> None:
        self.recorder = recorder
        self.rules = rules
        self.agent = agent
        self.version = version
        self.names: tuple[Who, ...] = ()
        """whose revocation stops the run; set by the segment"""
        self.zones: frozenset[str] | None = None
        """those of the agent's tools; set by the segment. None: all"""
        self.trace = trace_of(recorder.ref)
        """where the run stands in a trace; set by the segment"""
        self._retry = retry or rules.retry
        self._quiet = rules.tenant_rate is None
        self.planning: set[str] = set()
        """paths of the scopes in which there are only reads: see `run.planning`"""
        self.beside: set[asyncio.Task[None]] = set()
        """what is done beside the calls, and nobody waits for"""
        self.ears = Ears(recorder)
        """who listens to what its models say"""
        self.guard: Guard | None = None
        """the policies, and what they ask about; set by the segment. None: the app has none"""
        self.rings: Rings | None = None
        """how far the agent is trusted; set by the segment. None: it has no rings"""
        self.spending: Spending | None = None
        """what the run may use and has paid; set by the segment. None: nobody keeps accounts (a rehearsal, a test)"""

    def traced(self, key: str) -> TraceContext:
        """Where what a step calls stands in the trace."""
        recorder = self.recorder
        return self.trace.below(step_span(recorder.ref, key, recorder.generation))

    # before ----------------------------------------------------------------------------------------------------

    @property
    def cleared(self) -> bool:
        """Whether nobody has stopped or revoked the run, as far as was known half a second ago."""
        return revocation.cleared(self)

    @property
    def quiet(self) -> bool:
        """Whether nothing holds for all tools: then a call passes where its own terms say nothing."""
        return self._quiet and (self.spending is None or not self.spending.counts_tools())

    def lets(self, tool: Tool[..., Any] | None) -> bool:
        """Whether a tool's calls pass, as far as the tool's own terms say nothing."""
        if tool is None:
            return self.quiet
        known = self.guard is None or self.guard.constantly_allowed(tool)
        return self.quiet and known and scope.holds(self.zones, tool)

    def offers(self, tool: Tool[..., Any], path: str) -> bool:
        """Whether a tool exists for the models of a scope: not one of another zone, nor one that is always denied."""
        if tool.effect != "read" and self.planned(path):
            return False
        denied = self.guard is not None and self.guard.constantly_denied(tool)
        return scope.holds(self.zones, tool) and not denied

    def planned(self, key: str) -> bool:
        """Whether a step, or a scope, is part of a planning stage."""
        return bool(self.planning) and any(key.startswith(path) for path in self.planning)

    @property
    def unlimited(self) -> bool:
        """Whether nothing holds for all model turns: then one passes where its own terms say nothing, and is paid."""
        free = self._quiet and (self.spending is None or self.spending.unlimited())
        return free and revocation.cleared(self)

    async def admit(self, call: Call, way: Way, trail: list[Entry]) -> Admission:
        """Pass the stages, in their order. Returns the leave; raises what refuses the call; parks where it must wait.

        `trail` is what the journal holds of the step; stages that have let it pass are not asked again.
        """
        while True:
            try:
                return await self._admitted(call, way, trail)
            except revocation.Held as held:
                await revocation.hold(call, held, trail)

    async def _admitted(self, call: Call, way: Way, trail: list[Entry]) -> Admission:
        if way.kind in ("model", "tool", "step") and not revocation.cleared(self):
            await revocation.let_pass(call, way.name)
        if self.planning:
            scope.let_plan(call, way, planning=self.planned(call.key))
        paid = self.spending is not None and way.kind in ("model", "tool")
        guard = self.guard if way.tool is not None else None
        rings = self.rings if way.tool is not None else None
        open_ = guard is None and (self.zones is None or way.tool is None) and rings is None
        if self._quiet and open_ and not way.terms.guarded and (not paid or self.unlimited):
            return Admission(way=way) if paid else _NOTHING  # what it cost is written all the same
        admission = Admission(way=way)
        scope.let_pass(call, way, self.zones)
        grants.let_pass(call, way)
        asks: Sequence[Ask] = ()
        held = None
        if rings is not None and way.tool is not None:
            held = await rings.held(call, way.tool, trail)
        if guard is not None and way.tool is not None:
            try:
                ring = Ring.NONE if held is None else held.ring
                asks = guard.judged(call, way.tool, trail, admission, ring=ring)
            except PolicyDenied as denied:
                if rings is not None:
                    await rings.violated(call, way.tool, denied)
                raise
        if rings is not None and way.tool is not None and held is not None:
            await rings.let_pass(call, way.tool, held, trail, admission)
        if self.spending is not None and paid:
            admission.reservation = await payment.reserved(self.spending, call, way, trail, pause)
        try:
            asked = asks or way.terms.needs_approval is not None or (held is not None and held.asks)
            if asked and way.tool is not None:
                await self._consent(call, way, trail, admission, asks, held)
            if way.tool is None or (way.terms.credential is None and way.terms.outbound is None):
                await self._rate(call, way, trail)
            else:
                from .credentials import lend

                await lend(call, way, trail, admission)
                if await self._rate(call, way, trail):  # it may be old by now, or taken back
                    await lend(call, way, trail, admission)
            admission.breaker = await self._breaker(call, way)
        except BaseException:
            for message in admission.taken:  # the answer is not used up: the next attempt goes by it
                self.recorder.give_back(message)
            if self.spending is not None and admission.reservation is not None:
                self.spending.drop(
                    admission.reservation
                )  # the call is not made, and nothing was written of it
            raise
        if admission.reservation is not None:
            admission.parts.append(admission.reservation.part)
            # A lost read that costs nothing is made again, and counted then: its commit may travel meanwhile.
            free = way.kind == "tool" and call.effect == "read" and not admission.reservation.amount.money
            admission.durable = admission.durable or not free
        return admission

    async def _consent(
        self,
        call: Call,
        way: Way,
        trail: list[Entry],
        admission: Admission,
        asks: Sequence[Ask],
        held: Held | None,
    ) -> None:
        """Ask whom the tool's own rule names, then whom the policies do; and the policies once more, with the yes.

        Whoever the trust ring names is asked where nobody else was; and the ring is looked at once more.
        """
        from ..approval.consent import Consent

        assert way.tool is not None
        rings = self.rings
        given: Arguments | None = None
        for ask in (*([None] if way.terms.needs_approval is not None else []), *asks):
            given = await Consent(call, way, trail, agent=self.agent, ask=ask, given=given).pass_into(
                admission
            )
        if rings is not None and held is not None and rings.must_ask(held, way.tool, trail, admission):
            ask = rings.ask(held)
            await Consent(call, way, trail, agent=self.agent, ask=ask, given=given).pass_into(admission)
        if self.guard is not None and (asks or call.original is not None):
            ring = Ring.NONE if held is None else held.ring
            self.guard.again(call, way.tool, frozenset(ask.role for ask in asks), ring=ring)
        if rings is not None and held is not None:
            await rings.still(call, way.tool, held, trail)

    async def _rate(self, call: Call, way: Way, trail: list[Entry]) -> bool:
        """Take a place in the queues, and wait for it. Whether it had to be waited for."""
        limits, tenant_rate = self.rules.limits, self.rules.tenant_rate
        takes = [Take(f"{way.kind}:{way.name}", rate) for rate in way.terms.rates]
        if tenant_rate is not None and way.kind in ("model", "tool"):
            takes.append(Take("tenant", tenant_rate))
        if limits is None or not takes:
            return False
        recorder = self.recorder
        due = _place(trail)
        if due is None:
            due = await limits.take_all(recorder.ref.tenant, takes)
            if due is None or due <= recorder.store.now():
                return False
            # Its place in the queue is kept over a crash, and over the time that the run waits as a row.
            payload = {"stage": "rate", "verdict": "wait", "limits": [t.name for t in takes], "due": due}
            recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(payload), fingerprint=call.mark)
            trail.append(recorder.last)
        await pause(call, WaitReason.RATE_LIMIT, due)
        return True

    async def _breaker(self, call: Call, way: Way) -> Admitted | None:
        breakers, policy = self.rules.breakers, way.terms.breaker
        if breakers is None or policy is None:
            return None
        recorder = self.recorder
        name = f"{way.kind}:{way.name}"
        by = f"{recorder.lease.session.id}/{recorder.ref.id}/{call.key}"
        found = await breakers.admit(recorder.ref.tenant, name, policy, by=by)
        if isinstance(found, Admitted):
            return found
        until = f"{from_micros(found.until):%Y-%m-%d %H:%M:%S} UTC"
        error = CircuitOpen(
            f"`{name}` failed {found.failures} times in a row (last: {found.why}); no call goes out before {until}"
        )
        error.retry_after = max(0.0, (found.until - recorder.store.now()) / 1e6)
        raise error

    def minting(self, tool: str) -> Minting:
        """What makes tokens for the requests of that tool. Raises `ConfigError` where the agents have no identity."""
        if self.rules.minting is None:
            from ..outbound.minting import without_identity

            raise without_identity(tool)
        return self.rules.minting()

    # after -----------------------------------------------------------------------------------------------------

    def diagnose(self, call: Call, way: Way, error: BaseException) -> Diagnosis:
        """What kind of failure an error is: as the tool says, then the app, then what is known of libraries."""
        rule = way.terms.classify or call.terms.classify
        classifier = self.rules.classifier if rule is None else self.rules.classifier.behind(rule)
        return classifier.diagnose(error)

    def policy(self, call: Call, way: Way) -> Retry:
        """How often a call is tried."""
        if way.terms.retry is not None:
            return way.terms.retry
        if call.kind == "step":
            return Retry.NEVER
        return self._retry or (Retry.NEVER if call.effect == "write" else _DEFAULT)

    def settled(self, call: Call, admission: Admission, value: Any) -> list[Part]:
        """What is written with the result, in the same append: what the call cost."""
        if self.spending is None or admission.way is None:
            return []
        return payment.settled(self.spending, call, admission.way, admission.reservation, value)

    def charged(self, key: str, mark: bytes, model: str, value: Any) -> list[Part]:
        """The same of a turn of a model that was not looked at before."""
        if self.spending is None:
            return []
        return self.spending.charge_model(None, key, mark, model, payment.counted(value))

    def lost(self, admission: Admission, error: BaseException) -> list[Part]:
        """What is written where an attempt gave no result: what it cost, as far as anybody knows."""
        if self.spending is None or admission.reservation is None:
            return []
        unused = payment.answered(error) or self.rules.classifier.diagnose(error).not_sent
        made = not isinstance(error, revocation.Held)
        return self.spending.charge_failed(admission.reservation, unused=unused, made=made)

    def hear(self, kind: str, message: Entry) -> None:
        """The run's owner raised its budget, or stops it (`budget`); it may go on (`go_on`)."""
        if self.spending is not None and kind == "budget":
            self.spending.hear(message)
        over = WaitReason.BUDGET if kind == "budget" else WaitReason.STOPPED
        for wait in list(self.recorder.waits.values()):
            if wait.reason == over:
                self.recorder.resolve(wait, message)

    async def succeeded(self, admission: Admission) -> None:
        """An attempt went through."""
        if admission.breaker is not None and self.rules.breakers is not None:
            await self.rules.breakers.succeeded(admission.breaker)

    async def failed(self, admission: Admission, diagnosis: Diagnosis) -> None:
        """An attempt failed: its breaker counts it, where that says something about the other side."""
        if admission.breaker is not None and self.rules.breakers is not None:
            if self.recorder.subject is not None:  # others see what a breaker says, and it is not sealed
                diagnosis = replace(diagnosis, why=f"a failure of the class `{diagnosis.failure}`")
            await self.rules.breakers.failed(admission.breaker, diagnosis)


def _place(trail: Sequence[Entry]) -> int | None:
    """When the call's place in the queue of a rate limit comes, where it has taken one for the attempt that is next."""
    for entry in reversed(trail):
        if entry.kind == Kind.ATTEMPT:
            return None
        if entry.kind == Kind.VERDICT:
            told: dict[str, Any] = pydantic_core.from_json(entry.payload)
            if told["stage"] == "rate":
                return told["due"]
    return None


async def pause(call: Call, reason: WaitReason, due: int | None) -> Entry | None:
    """Park the branch until `due`, or until a message for it comes: that message. Raises `RunCancelled`.

    What must outlive the worker stands in the journal already; this writes nothing.
    """
    recorder = call.recorder
    message = recorder.mail_for(reason, call.key)
    if message is None and (due is None or due > recorder.store.now()):
        future: asyncio.Future[Entry | None] = recorder.loop.create_future()
        message = await recorder.park(
            Wait(call.key, reason, call.key, due, future, shielded=call.scope.shielded)
        )
    if message is not None and pydantic_core.from_json(message.payload)["kind"] == "cancel":
        await recorder.cancelled(call.key, call.mark, message)
    await recorder.live(call.scope, call.key, call.mark)
    return message
