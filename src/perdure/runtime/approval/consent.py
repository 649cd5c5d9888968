"""The stage `approval` of the boundary: a human is shown a call, and it is made as it was shown, or not at all.

    rule ─► WAITING (what is shown, its digest) ─► answer ─┬─ yes, for that digest ─► VERDICT with the INTENT ─► call
              ▲                                            ├─ no ─► VERDICT, FAILED: `ApprovalDenied`
              └── does not count: VERDICT, still open ─────┘

An answer is used up in the append of the INTENT. So a retry of the call goes under the same approval, and nothing else
does: another call, another run or a fork has another digest.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

import pydantic_core

from ...core.approval_settings import ApprovalSettings
from ...core.clock import to_micros
from ...core.errors import ApprovalDenied, InvalidInput, StoreError
from ...core.ids import new_id
from ...core.people import is_agent, person
from ...core.statements import digest_of
from ...governance.attention import counted
from ...journal import Change, Entry, Kind, WaitReason
from ..boundary.call import Call, Way
from ..boundary.doubt import EffectCall
from ..boundary.stages import Admission, pause
from ..boundary.tool import Tool
from ..replay.control import Unwind
from . import notices
from .answering import edited_arguments, held_until, why_not
from .approvers import Approvers, arguments_for
from .enquiry import STAGE, Enquiry, used_up
from .precedents import about, brief, precedent, precedent_ended
from .proof import signing
from .shown import Shown, shown_of
from .standin import StandIn, fits
from .standing import standing_of

if TYPE_CHECKING:
    from ...identity.approvals import Signed
    from ..boundary.policy import Ask
    from ..replay.recorder import Recorder

__all__ = ["Arguments", "Consent", "follow_up", "with_edits"]

log = logging.getLogger("perdure.run")

Arguments: TypeAlias = tuple[dict[str, Any], bytes]
"""Of a call: as values, and as JSON."""


def with_edits(call: Call, tool: Tool[..., Any], trail: list[Entry]) -> None:
    """Let the call have the arguments with which it was approved: those that its INTENT names."""
    used = used_up(trail)
    if used is not None and used.get("edited") is not None:
        call.edit(*edited_arguments(tool, used["edited"]["arguments"]))


def follow_up(call: Call, trail: list[Entry]) -> None:
    """Whoever approved is told what came of it, with the end of the step."""
    used = used_up(trail)
    if used is not None:
        call.recorder.at_end[call.key] = lambda entry: _outcome(call, used, entry)


def _outcome(call: Call, used: dict[str, Any], entry: Entry) -> list[Any]:
    said = "done"
    if entry.kind == Kind.FAILED:
        failure: dict[str, Any] = pydantic_core.from_json(entry.payload)
        said = f"failed: {failure.get('type', '').rpartition(':')[2]}: {str(failure.get('message'))[:200]}"
    settings = call.recorder.boundary.rules.approvals
    contacts = settings.contacts_of([used["by"]]) if used.get("by") in settings.people else []
    told = [notices.caused(call.recorder, call.key, used, said, contact) for contact in contacts]
    return [precedent_ended(call, used["tool"], said), *told]


class Consent:
    """The stage for one call by one tool, as the tool's own rule says, or as a policy does (`ask`)."""

    def __init__(
        self,
        call: Call,
        way: Way,
        trail: list[Entry],
        *,
        agent: str,
        ask: Ask | None = None,
        given: Arguments | None = None,
    ) -> None:
        """`given`: the arguments that were approved by whoever was asked before; None: those that are proposed."""
        assert way.tool is not None
        self.call = call
        self.given = given or call.original or (call.arguments, call.data)
        self.tool = way.tool
        self.ask = ask
        self.gate = None if ask is None else ask.role
        self.rule: Any = way.terms.needs_approval if ask is None else ask.approvers()
        self.trail = trail
        self.agent = agent
        self.recorder: Recorder = call.recorder
        self.settings: ApprovalSettings = call.recorder.boundary.rules.approvals
        self.enquiry = Enquiry.of(trail, self.tool.name, self.gate)

    async def pass_into(self, admission: Admission) -> Arguments:
        """With which arguments the call may be made; `admission` uses the approval up. Raises `ApprovalDenied`."""
        enquiry = self.enquiry
        if enquiry.waived:
            return self.given
        if enquiry.denied is not None:
            raise _denial(self.tool.name, enquiry.denied)
        why = ""
        policy = enquiry.policy
        if policy is None:
            policy, why = await self._rule()
            if policy is None:
                self._verdict("waived")
                return self.given
        shown = shown_of(self.call, self.tool, self.agent, data=self.given[1])
        digest = digest_of(shown)
        used = enquiry.used
        if used is not None and used["digest"] == digest_of(
            {**shown, "step": used.get("step", self.call.key)}
        ):
            return self._used(used)  # a retry of the same call
        if self._carried(shown, admission):
            return self.call.arguments, self.call.data
        if enquiry.policy is None or enquiry.used is not None or enquiry.digest != digest:
            if enquiry.policy is not None:
                why = "it was asked before, for something else: the tool has changed, or this is another run"
            self.call.restore()
            if self.given[1] != self.call.data:
                self.call.edit(*self.given)
            await self._open(policy, shown, digest, why)
        self.recorder.open_approvals.add(self.call.key)
        try:
            while not await self._step(admission):
                pass
        except asyncio.CancelledError:
            if self.recorder.halted is None and self.recorder.is_cut(self.call.scope):
                self._verdict("withdrawn", change=Change(closed=(self.call.key,)))
            raise
        return self.call.arguments, self.call.data

    def _used(self, used: dict[str, Any]) -> Arguments:
        """The arguments of an approval that was used before."""
        edited = used.get("edited")
        return self.given if edited is None else edited_arguments(self.tool, edited["arguments"])

    def _carried(self, shown: Shown, admission: Admission) -> bool:
        """Whether the same effect was approved in an earlier step, which failed: it is the same use."""
        used = None
        if isinstance(self.call, EffectCall) and self.enquiry.policy is None and self.ask is None:
            used = self.recorder.consents.get(self.call.effect_key)
        if used is None or used["digest"] != digest_of({**shown, "step": used["step"]}):
            return False
        told = {k: v for k, v in used.items() if k not in ("stage", "verdict", "tool")}
        if told.get("edited") is not None:
            self.call.edit(*edited_arguments(self.tool, told["edited"]["arguments"]))
        payload = self._payload("approved", told)
        admission.parts.append((int(Kind.VERDICT), self.call.key, payload, self.call.mark))
        return True

    async def _rule(self) -> tuple[Approvers | None, str]:
        """Whether somebody must be asked, as the tool says. A rule that fails lets nothing pass."""
        rule = self.rule
        if not isinstance(rule, bool | Approvers):
            try:
                # In the loop: a rule looks at the arguments, and a thread for that would cost more than the rule. One
                # that has to wait for something is async.
                rule = self.rule(**arguments_for(self.rule, self.call.arguments))
                if inspect.isawaitable(rule):
                    rule = await rule
            except Exception as error:
                if self.recorder.halted is not None:
                    raise Unwind from error
                return Approvers(), f"the rule `needs_approval` raised {type(error).__name__}: {error}"[:500]
        if isinstance(rule, Approvers):
            return rule, ""
        if isinstance(rule, bool) or rule is None:
            return (Approvers() if rule else None), ""
        return Approvers(), f"the rule `needs_approval` returned `{rule!r}`, no bool and no Approvers"[:500]

    # enquiry ----------------------------------------------------------------------------------------------------

    async def _open(self, policy: Approvers, shown: Shown, digest: str, why: str) -> None:
        recorder, key = self.recorder, self.call.key
        await recorder.barrier()  # so that what is told beside it can be read
        beside = await about(self.call, self.tool.name, shown["arguments"])
        placed = await self._place(policy, 0, digest)
        waiting: dict[str, Any] = {
            "on": WaitReason.APPROVAL,
            "name": key,
            "tool": self.tool.name,
            "question": f"May `{self.tool.name}` be called?",
            "show": shown,
            "about": {
                **beside,
                **({"note": why} if why else {}),
                **({} if self.ask is None else {"policy": self.ask.told()}),
            },
            "choices": None,
            "digest": digest,
            "nonce": new_id(),
            "policy": policy.told(),
            **placed,
            **({} if self.gate is None else {"gate": self.gate}),
        }
        self.enquiry.waived = False
        self.enquiry.add(_as_if(Kind.WAITING, recorder.store.now()), waiting)
        payload = pydantic_core.to_json(waiting)
        recorder.write(Kind.WAITING, key, payload, fingerprint=self.call.mark, change=self._opened("asked"))
        self.trail.append(recorder.last)
        log.info(
            "run %s: step `%s` waits for an approval: `perdure approvals show %s`", recorder.ref, key, key
        )

    def _opened(self, notice: str | None) -> Change:
        """The row of the open question as it is now, and notices to those who are to answer."""
        enquiry, recorder = self.enquiry, self.recorder
        row = notices.row(recorder, self.call.key, self.agent, self.tool, enquiry)
        people = [] if enquiry.nobody else enquiry.people
        contacts = self.settings.contacts_of(people) if notice is not None else []
        sent = [notices.asked(recorder, row, enquiry, notice or "", contact) for contact in contacts]
        return Change(opened=(row,), amendments=tuple(sent))

    async def _place(self, policy: Approvers, place: int, digest: str) -> dict[str, Any]:
        """Whom to ask: the first place of the route, from `place` on, in which somebody has time."""
        recorder, settings = self.recorder, self.settings
        until = to_micros(policy.within or settings.within)
        if not policy.route:
            due = recorder.store.now() + until
            return {"place": 0, "people": None, "held": {}, "nobody": False, "due": due}
        held: dict[str, int] = {}
        for i in range(place, len(policy.route)):
            people: list[str] = []
            for name in settings.people_of(policy.route[i]):
                if self._asks_itself(name):
                    continue
                free_at = await self._count(name, "asked", digest)
                if free_at is None:
                    people.append(name)
                else:
                    held[name] = free_at
            if people:
                due = recorder.store.now() + until
                return {"place": i, "people": people, "held": held, "nobody": False, "due": due}
        now = recorder.store.now()
        due = min(held.values(), default=now + until)
        place = len(policy.route) - 1
        return {"place": place, "people": [], "held": held, "nobody": bool(held), "due": max(due, now + 1)}

    def _asks_itself(self, name: str) -> bool:
        principal = self.recorder.principal
        return (
            not self.settings.self_approval
            and principal is not None
            and not is_agent(principal)
            and person(principal) == person(name)
        )

    async def _count(self, name: str, what: Any, digest: str) -> int | None:
        """None where that person has time for it; else when."""
        most = self.settings.most_per_hour
        if not most:
            return None
        recorder = self.recorder
        # The digest of what is guessable is as good as it: of a person's data it is not kept where it is not sealed.
        ident = digest if recorder.subject is None else recorder.mark(b"counted", digest.encode()).hex()
        try:
            return await recorder.store.amend(counted(recorder.ref.tenant, person(name), what, ident, most))
        except StoreError as error:
            recorder.fail(error)
            raise Unwind from error

    # answers ---------------------------------------------------------------------------------------------------

    async def _step(self, admission: Admission) -> bool:
        """Wait for whatever comes next, and do what it asks. True: the call may be made."""
        enquiry, recorder = self.enquiry, self.recorder
        message = await pause(self.call, WaitReason.APPROVAL, enquiry.wake)
        if message is None:
            return await self._time_passed(admission, recorder.store.now())
        told: dict[str, Any] = pydantic_core.from_json(message.payload)
        while not enquiry.nobody and enquiry.due is not None and told["at"] > enquiry.due:
            recorder.give_back(message)
            if await self._time_passed(admission, told["at"]):
                return True
            recorder.mailbox.remove(message)
        return await self._answered(admission, message, told)

    async def _time_passed(self, admission: Admission, now: int) -> bool:
        enquiry = self.enquiry
        policy = enquiry.policy
        assert policy is not None
        if enquiry.due is not None and now >= enquiry.due:
            if enquiry.nobody:
                await self._pass_on(policy, 0)
            elif enquiry.place + 1 < len(policy.route):
                await self._pass_on(policy, enquiry.place + 1)
            elif policy.on_expiry == "approve":
                self._use_up(
                    admission,
                    {"by": None, "reason": "nobody answered in time, and that counts as a yes", "from": None},
                    None,
                )
                return True
            else:
                unanswered = {"by": None, "reason": "nobody answered in time", "from": None, "expired": True}
                if policy.on_expiry == "default" and not fits(
                    policy.default, (self.call.ways[0].tool or self.tool).shape
                ):
                    self._stand_in(policy.default, unanswered)
                self._deny(unanswered)
        elif enquiry.remind_at is not None and now >= enquiry.remind_at:
            enquiry.remind_at = None
            self._verdict("reminded", notice="reminder")
        return False

    async def _pass_on(self, policy: Approvers, place: int) -> None:
        placed = await self._place(policy, place, self.enquiry.digest)
        self._verdict("passed", placed, notice=None if placed["nobody"] else "passed on")

    async def _answered(self, admission: Admission, message: Entry, told: dict[str, Any]) -> bool:
        enquiry, sender = self.enquiry, str(told["sender"])
        body: dict[str, Any] = told.get("body") or {}
        source = {"from": message.seq, "by": sender, "at": told["at"], "reason": body.get("reason")}
        row = notices.facts(self.recorder, enquiry)
        problem = why_not(row, body, sender, self.settings)
        edited = None
        if not problem and body.get("approved") and body.get("arguments") is not None:
            try:
                edited = edited_arguments(self.tool, body["arguments"])
            except InvalidInput as error:
                problem = str(error)
        if not problem:  # before it is counted: nobody uses up what another may answer
            problem, signed = await self._signed(row, body, sender, edited, told["at"])
            if signing(row, self.settings) is not None:
                source["signed"] = False if signed is None else signed.told()
        if not problem:
            free_at = await self._count(sender, "answered", enquiry.digest)
            if free_at is not None:
                problem = held_until(sender, free_at)
        several = self.ask is not None and self.ask.quorum > 1
        if not problem and several and person(sender) in enquiry.supporters:
            problem = f"`{sender}` has approved it already, and somebody else has to, too"
        if not problem and several and edited is not None:
            problem = "several people approve this call, so nobody may change its arguments; say no, and why"
        if problem:
            log.warning(
                "run %s: an answer to step `%s` does not count: %s",
                self.recorder.ref,
                self.call.key,
                problem,
            )
            self._verdict("refused", {**source, "why": problem}, notice=None)
            return False
        spending = self.recorder.boundary.spending
        parts = [] if spending is None else spending.charge_human(self.call.key, self.call.mark)
        if parts:  # by itself: the call may not be made yet after all, and the human has answered
            self.recorder.write_all(parts)
        if not body.get("approved"):
            self._deny(source)
        if self.ask is not None and len(enquiry.supporters) + 1 < self.ask.quorum:
            self._verdict("supported", {**source, "digest": enquiry.digest}, notice=None)
            return False
        self._use_up(admission, source, edited)
        admission.taken.append(message)
        return True

    async def _signed(
        self,
        row: dict[str, Any],
        body: dict[str, Any],
        sender: str,
        edited: tuple[dict[str, Any], bytes] | None,
        at: int,
    ) -> tuple[str, Signed | None]:
        """Why its signature does not let the answer count, and what was found good."""
        arguments = None
        if edited is not None:  # as they would be called, not as they came: what is signed is what is done
            arguments = digest_of(shown_of(self.call, self.tool, self.agent, data=edited[1]))
        return await standing_of(self.recorder, row, body, sender, arguments=arguments, at=at)

    def _use_up(
        self, admission: Admission, source: dict[str, Any], edited: tuple[dict[str, Any], bytes] | None
    ) -> None:
        """Let the call pass, with what is written in the append of its INTENT."""
        call, enquiry = self.call, self.enquiry
        told: dict[str, Any] = {**source, "digest": enquiry.digest}
        arguments = enquiry.waiting["show"]["arguments"]
        if edited is None and call.original is not None:  # by whoever was asked before
            edited = call.arguments, call.data
        if edited is not None:
            shown = shown_of(call, self.tool, self.agent, data=edited[1])
            arguments = shown["arguments"]
            told["edited"] = {"arguments": arguments, "digest": digest_of(shown)}
            call.edit(*edited)
        payload = self._payload("approved", told)
        admission.parts.append((int(Kind.VERDICT), call.key, payload, call.mark))
        admission.closed.append(call.key)
        admission.durable = True
        admission.amendments.append(self._kept(True, source, arguments))
        used: dict[str, Any] = pydantic_core.from_json(payload)
        self.recorder.at_end[call.key] = lambda entry: _outcome(call, used, entry)

    def _stand_in(self, value: Any, source: dict[str, Any]) -> NoReturn:
        arguments = self.enquiry.waiting["show"]["arguments"]
        payload = self._payload("defaulted", {**source, "digest": self.enquiry.digest})
        change = Change(closed=(self.call.key,), amendments=(self._kept(False, source, arguments),))
        raise StandIn(value, payload, change)

    def _deny(self, source: dict[str, Any]) -> NoReturn:
        arguments = self.enquiry.waiting["show"]["arguments"]
        told = {**source, "digest": self.enquiry.digest}
        change = Change(closed=(self.call.key,), amendments=(self._kept(False, source, arguments),))
        self._verdict("denied", told, change=change)
        raise _denial(self.tool.name, told)

    def _kept(self, approved: bool, source: dict[str, Any], arguments: dict[str, Any]) -> Any:
        decision = {"approved": approved, "by": source["by"], "reason": source["reason"]}
        made = {**decision, "at": self.recorder.store.now(), "arguments": brief(arguments)}
        return precedent(self.call, self.tool.name, made)

    # writing ---------------------------------------------------------------------------------------------------

    def _payload(self, verdict: str, told: dict[str, Any]) -> bytes:
        gate = {} if self.gate is None else {"gate": self.gate}
        return pydantic_core.to_json(
            {"stage": STAGE, "verdict": verdict, "tool": self.tool.name, **gate, **told}
        )

    def _verdict(
        self,
        verdict: str,
        told: dict[str, Any] | None = None,
        *,
        notice: str | None = None,
        change: Change | None = None,
    ) -> None:
        """Write what became of the question; where it stays open, its row is renewed."""
        recorder = self.recorder
        told = told or {}
        payload = self._payload(verdict, told)
        if verdict in ("passed", "reminded", "refused", "supported"):
            at = recorder.store.now()
            self.enquiry.add(_as_if(Kind.VERDICT, at), {"verdict": verdict, **told})
            change = self._opened(notice)
        recorder.write(Kind.VERDICT, self.call.key, payload, fingerprint=self.call.mark, change=change)
        self.trail.append(recorder.last)


def _as_if(kind: Kind, at: int) -> Entry:
    """An entry that is about to be written, as far as the fold of the question looks at it."""
    return Entry(0, 0, int(kind), "", at, 0, "", 0, 0, b"", b"", b"", b"")


def _denial(tool: str, told: dict[str, Any]) -> ApprovalDenied:
    if told.get("expired"):
        error = ApprovalDenied(
            f"`{tool}` was not called: nobody approved it in time. Go on without it, or say what is left undone"
        )
    else:
        reason = f": {told['reason']}" if told.get("reason") else ", without a reason"
        error = ApprovalDenied(f"`{tool}` was not called: {told['by']} said no{reason}")
    error.by, error.reason, error.expired = told["by"], told["reason"], bool(told.get("expired"))
    return error
