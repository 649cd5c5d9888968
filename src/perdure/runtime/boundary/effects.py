"""Steps with an effect: repeatable ones, idempotent ones, and writes, which are never repeated in silence.

                   ┌───────────── did not happen (after a crash) ──────────────┐
                   ▼                                                           │
INTENT ─► effect ─► RESULT                                                     │
            │                                                                  │
            ├─ proven not sent, or idempotent and raised ─► tried again ───────┤
            │                                               or FAILED          │
            │                                                                  │
            └─ crash, error, timeout, cancel ─► UNKNOWN ─► verify ─► SETTLED ──┤
                                                   │          ▲                ├─ happened ─► RESULT
                                                   └─► WAITING for a human ────┴─ did not, after an error ─► FAILED
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pydantic_core

from ...core.codec import Shape, arguments_bytes
from ...core.errors import NotDone, Revoked, RunCancelled, Superseded, Unserialisable
from ...journal import Entry, Kind, Post, WaitReason
from ..approval.consent import follow_up, with_edits
from ..approval.enquiry import used_up
from ..approval.standin import StandIn
from ..ending.undoing import keep_for_undo
from ..replay.control import Unwind
from ..replay.recorder import Recorder
from ..replay.scope import Scope
from .attempts import attempt_part, cut_off, note_how, record_end, record_failure, repeated, ways_of
from .call import Call, CallKind, How, Tries, Way
from .credentials import forget_at_end
from .doubt import EffectCall, doubtful, settle, unknown
from .functions import CancelledAfter, in_thread, run_function
from .pulse import limited
from .recorded import recorded_key, recorded_value, tell_how
from .revocation import Held, let_pass, not_begun
from .stages import Admission, Part, pause
from .terms import NO_TERMS, Terms
from .tool import Happened, Tool
from .verifying import verified

__all__ = ["PLAIN", "Governed", "perform", "repeat"]

_RESULT = int(Kind.RESULT)

log = logging.getLogger("perdure.run")


@dataclass(slots=True)
class Governed:
    """Which rules of the boundary hold for a repeatable step. Of a tool it is made once, not a call."""

    kind: CallKind = "step"
    name: str = ""
    terms: Terms = NO_TERMS
    tool: Tool[..., Any] | None = None
    key_parameter: str | None = None
    """of the function: no argument of the caller's"""
    ways: Callable[[Call], Sequence[Way]] | None = None
    """the ways to answer it, where they are not its function and the fallbacks of its terms"""
    estimate: Any = None
    beside: Callable[[Any], Sequence[Part]] | None = None
    """what is written behind the result of the first way, in the same append"""
    plain: bool = field(init=False)
    """nothing has to be looked at before the call, as far as its own terms go, and nothing written but its result"""
    charged: bool = field(init=False)
    """as `plain`, but what it cost is written, too"""

    def __post_init__(self) -> None:
        open_ = not self.terms.guarded
        self.plain = open_ and self.kind != "model"
        self.charged = open_ and self.kind == "model" and self.ways is None

    def arguments(self, kwargs: dict[str, Any]) -> dict[str, Any]:
        """The caller's."""
        return {name: value for name, value in kwargs.items() if name != self.key_parameter}


PLAIN = Governed()
"""Of a step of which nothing was said."""


async def repeat(
    recorder: Recorder,
    scope: Scope,
    key: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    shape: Shape[Any],
    asynchronous: bool,
    operation: bytes = b"step",
    data: bytes | None = None,
    what: Governed = PLAIN,
    how: How | None = None,
    by_model: bool = False,
) -> Any:
    """A repeatable step: recorded when it has finished, run again if a crash came first.

    Where nothing has to be looked at before the call it goes the short way, until it fails.
    """
    if data is None:
        data = arguments_bytes(args, kwargs) if args or kwargs else b""
    mark = recorder.mark(operation, data)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        if how is not None or record.trail:
            tell_how(recorder, how or How(), what.name, record)
        return await recorded_value(recorder, record.final, shape)
    monotonic = recorder.monotonic
    began = monotonic()
    if record is not None and record.trail:
        forget_at_end(recorder, key, record.trail)
    if not recorder.calm or began >= recorder.lease.until:
        await recorder.live(scope, key, mark)
        began = monotonic()
    error: Exception | None = None
    if (record is None or not record.trail) and (
        (
            what.plain
            and recorder.boundary.cleared
            and (what.kind == "step" or recorder.boundary.lets(what.tool))
        )
        or (what.charged and recorder.boundary.unlimited)
    ):
        try:
            if asynchronous:
                recorder.reachable[key] = scope, asyncio.current_task()
                value = await function(*args, **kwargs)
                del recorder.reachable[key]
            else:
                value = await in_thread(function, args, kwargs)
            payload, value = shape.round_trip(value)
            if recorder.secrets is not None:
                payload, value = recorder.secrets.kept(shape, payload, value)
        except asyncio.CancelledError as cancelled:
            recorder.reachable.pop(key, None)
            await cut_off(recorder, scope, key, mark, cancelled, began)
            raise
        except Exception as raised:
            recorder.reachable.pop(key, None)
            if recorder.halted is not None:
                raise Unwind from raised
            error = raised
        else:
            if how is not None:
                how.by = what.name
            took = int((monotonic() - began) * 1e6)
            if what.plain:
                commit = recorder.write(_RESULT, key, payload, fingerprint=mark, took=took, results=1)
                seq = recorder.head
            else:
                parts = [
                    *recorder.boundary.charged(key, mark, what.name, value),
                    (_RESULT, key, payload, mark),
                ]
                beside = () if what.beside is None else what.beside(value)
                parts += beside
                commit = recorder.write_all(parts, results=1, took=took, behind=len(beside))
                seq = recorder.head - len(beside)
            if recorder.branches > 1:
                await recorder.hand_out(commit, seq)
            elif recorder.must_wait():
                await recorder.committed(commit)
            return value
    call = Call(
        recorder=recorder,
        scope=scope,
        key=key,
        mark=mark,
        kind=what.kind,
        name=what.name or key,
        terms=what.terms,
        arguments=what.arguments(kwargs),
        data=data or b"null",
        estimate=what.estimate,
        beside=what.beside,
        how=how or How(),
        by_model=by_model,
    )

    async def once() -> Any:
        given = kwargs
        if call.original is not None:  # a human put others in their place
            given = {k: v for k, v in kwargs.items() if k == what.key_parameter} | call.arguments
        if call.handed:
            given = {**given, **call.handed}
        return await (function(*args, **given) if asynchronous else in_thread(function, args, given))

    first = Way(call.name, what.kind, once, what.terms, what.tool)
    call.ways = ways_of(call, first) if what.ways is None else what.ways(call)
    trail = [] if record is None else list(record.trail)
    if trail and what.tool is not None:
        with_edits(call, what.tool, trail)
        follow_up(call, trail)
    try:
        return await repeated(call, trail, shape, error=error, began=began)
    finally:
        call.ways = ()  # they know the call: a cycle, and all that a framework's call holds, until the collector comes


async def perform(
    recorder: Recorder,
    scope: Scope,
    key: str,
    tool: Tool[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    retried_in: str | None = None,
    how: How | None = None,
    data: bytes | None = None,
) -> Any:
    """Call a tool: `read` is repeatable, `idempotent` and `write` go by intent, effect and result.

    A failed effect that is tried again keeps its key: within the scope, or within the path `retried_in` where each
    try has a scope of its own, as in the turns of a model. `how` is told how the result came about. `data` is JSON of
    `kwargs`, where the caller has it: it serves if they are taken as they are.
    """
    arguments = tool.bind(args, kwargs)
    if data is None or args or not tool.takes_any or tool.key_parameter in kwargs:
        data = arguments_bytes(arguments)[1:-1]
    operation = tool.operation
    if recorder.heard is not None:
        recorder.heard.calls(key, tool.name, tool.terms.labels)
    if tool.effect == "read":
        function = limited(tool, recorder, key)
        what = tool.governed
        if what is None:
            what = tool.governed = Governed("tool", tool.name, tool.terms, tool, tool.key_parameter)
        if tool.key_parameter is not None:
            arguments[tool.key_parameter] = f"{recorder.name}/{key}"
        return await repeat(
            recorder,
            scope,
            key,
            function,
            (),
            arguments,
            shape=tool.shape,
            asynchronous=tool.asynchronous,
            operation=operation,
            data=data,
            what=what,
            how=how,
            by_model=retried_in is not None,
        )
    mark = recorder.mark(operation, data)
    again_key = (scope.path if retried_in is None else retried_in, tool.name, mark)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    effect_key = (
        recorded_key(record)  # in a fork it names the source: whoever received it knows it by that key
        or recorder.failed_effects.get(again_key)
        or f"{recorder.name}/{key}"
    )
    call = EffectCall(
        recorder=recorder,
        scope=scope,
        key=key,
        mark=mark,
        kind="tool",
        name=tool.name,
        effect=tool.effect,
        terms=tool.terms,
        arguments=arguments,
        data=data,
        how=how or How(),
        tool=tool,
        effect_key=effect_key,
        by_model=retried_in is not None,
    )
    trail = [] if record is None else list(record.trail)
    with_edits(call, tool, trail)
    try:
        if record is not None and record.final is not None:
            tell_how(recorder, call.how, tool.name, record)
            value = await recorded_value(recorder, record.final, tool.shape)
        else:
            value = await _attempts(call, trail)
    except (Unwind, asyncio.CancelledError):
        if call.happened:
            keep_for_undo(call, tool)
        raise
    except Exception as error:
        if isinstance(error, Unserialisable):  # it happened, and its result could not be kept
            keep_for_undo(call, tool)
        # Whoever tries the same again means the same effect: it gets the same key, and needs no other approval.
        recorder.failed_effects[again_key] = effect_key
        if (used := used_up(trail)) is not None:
            recorder.consents[effect_key] = {"step": key, **used}
        raise
    recorder.failed_effects.pop(again_key, None)
    recorder.consents.pop(effect_key, None)
    keep_for_undo(call, tool)
    await verified(call, tool, value)
    return value


async def _attempts(call: EffectCall, trail: list[Entry]) -> Any:
    """Try until the effect is settled: a result, or an error that proves that it did not happen."""
    recorder, boundary, declared = call.recorder, call.recorder.boundary, call.tool
    first = Way(call.name, "tool", None, call.terms, call.tool)
    call.ways = ways_of(call, first)
    follow_up(call, trail)
    forget_at_end(recorder, call.key, trail)
    in_doubt = doubtful(trail)
    await recorder.live(call.scope, call.key, call.mark, cancellable=not in_doubt)
    attempt = sum(1 for e in trail if e.kind == Kind.INTENT)
    while True:
        tries = Tries.of(trail)
        way = call.way(tries)
        if way.tool is None:  # an earlier result, or a degraded answer: nothing is changed by it
            return await repeated(call, trail, declared.shape)
        call.tool = way.tool
        if in_doubt:
            outcome = await settle(call, trail)
            if outcome is not None:
                note_how(call, way, tries)
                return outcome.result
            in_doubt = False
            await recorder.live(call.scope, call.key, call.mark)
            continue  # it did not happen; the trail says whether there is another attempt to wait for
        try:
            if tries.due is not None:
                await pause(call, WaitReason.RETRY, tries.due)
            admission = await boundary.admit(call, way, trail)
        except StandIn as expired:
            return await expired.recorded(call, declared.shape)
        except Exception as refused:
            await _again_or_never(call, trail, refused, 0.0)
            continue
        attempt += 1
        try:
            outcome = await _attempt(call, way, trail, attempt, admission)
        finally:
            if admission.put_down is not None:
                await admission.put_down()
        if outcome is not None:
            return outcome.result
        in_doubt = doubtful(trail)


async def _again_or_never(
    call: EffectCall, trail: list[Entry], error: BaseException, began: float, costs: Sequence[Part] = ()
) -> None:
    """Record that the attempt failed, and go on to the next; where there is none, the error is the step's end."""
    tries = Tries.of(trail)
    part = attempt_part(call, tries, error, began)
    if part is None:
        await record_failure(call, tries, error, began, costs)
    call.recorder.write_all([*costs, part])
    trail.append(call.recorder.last)


async def _attempt(
    call: EffectCall, way: Way, trail: list[Entry], attempt: int, admission: Admission
) -> Happened | None:
    """One attempt: intent, effect, result. Without an outcome, the trail says what is next."""
    recorder, tool, boundary = call.recorder, call.tool, call.recorder.boundary
    intent = pydantic_core.to_json({"tool": tool.name, "key": call.effect_key, "attempt": attempt})
    payload = intent[:-1] + b',"arguments":' + call.data + b"}"
    if admission.parts or admission.closed or admission.amendments:
        # what the stages say, an approval that is used up, and the intent: all or none
        parts = [*admission.parts, (int(Kind.INTENT), call.key, payload, call.mark)]
        recorder.write_all(parts, change=admission.change())
    else:
        recorder.write(Kind.INTENT, call.key, payload, fingerprint=call.mark)
    trail.extend(recorder.written)
    begun_at = recorder.store.now()
    try:
        await let_pass(call, tool.name, beside_commit=True)
    except Revoked as revoked:
        diagnosis = boundary.diagnose(call, way, revoked)
        await boundary.failed(admission, diagnosis)
        await _again_or_never(call, trail, revoked, 0.0, boundary.lost(admission, revoked))
    except Held as held:
        await boundary.failed(admission, held.diagnosis)
        part = (int(Kind.ATTEMPT), call.key, not_begun(call, way, held, attempt), call.mark)
        recorder.write_all([*boundary.lost(admission, held), part])
        trail.append(recorder.last)
        return None
    if not recorder.lease.valid():
        recorder.fail(
            Superseded("the lease ended between the intent and the effect; the effect was not begun")
        )
        raise Unwind
    began = recorder.clock.monotonic()
    error: BaseException
    try:
        function = limited(tool, recorder, call.key)
        if tool.cancellable:
            recorder.reachable[call.key] = call.scope, asyncio.current_task()
        value = await run_function(function, **call.keyed(tool.function), **admission.handed)
    except Unwind:
        raise
    except CancelledAfter as cancelled:
        note_how(call, way, Tries.of(trail))
        await _happened(call, cancelled.value, began, admission)
        raise asyncio.CancelledError from None
    except asyncio.CancelledError as cancelled:
        if recorder.halted is not None:
            raise
        if costs := boundary.lost(admission, cancelled):
            recorder.write_all(costs)
        reached = recorder.taken_back(call.key)
        if tool.effect == "idempotent":
            if reached and recorder.cancel is not None:
                await recorder.cancelled(call.key, call.mark, recorder.cancel)
            raise
        error = RunCancelled("the run was cancelled while the call was under way") if reached else cancelled
    except Exception as raised:
        if recorder.halted is not None:
            raise Unwind from raised
        diagnosis = boundary.diagnose(call, way, raised)
        await boundary.failed(admission, diagnosis)
        costs = boundary.lost(admission, raised)
        if tool.effect == "idempotent" or diagnosis.not_sent or isinstance(raised, NotDone):
            await _again_or_never(call, trail, raised, began, costs)
            return None
        if costs:
            recorder.write_all(costs)
        error = raised
    else:
        # Outside the `try`: a cancellation that comes while the result is on its way does not put it in doubt.
        await boundary.succeeded(admission)
        note_how(call, way, Tries.of(trail))
        return Happened(await _happened(call, value, began, admission))
    finally:
        recorder.reachable.pop(call.key, None)
    trail.extend(await unknown(call, error, begun_at))
    return None


async def _happened(call: EffectCall, value: Any, began: float, admission: Admission) -> Any:
    """Record the result of an effect; where this worker has lost the run, tell the one that has it."""
    recorder, tool = call.recorder, call.tool
    call.happened = True
    shape = call.ways[0].tool.shape if call.ways and call.ways[0].tool else tool.shape
    try:
        payload, value = shape.round_trip(value)
        if recorder.secrets is not None:
            payload, value = recorder.secrets.kept(shape, payload, value)
    except Unserialisable as error:
        costs = recorder.boundary.settled(call, admission, value)
        await record_end(recorder, call.key, call.mark, error, began, costs=costs)
    took = int((recorder.clock.monotonic() - began) * 1e6)
    commit: asyncio.Future[bool] | None = None
    try:
        settled = recorder.boundary.settled(call, admission, value)
        if settled:
            parts = [*settled, (_RESULT, call.key, payload, call.mark)]
            commit = recorder.write_all(parts, results=1, took=took)
        else:
            commit = recorder.write(
                Kind.RESULT, call.key, payload, fingerprint=call.mark, took=took, results=1
            )
        await recorder.hand_out(commit, recorder.head, durable=True)
    except Unwind:
        if commit is None or commit.exception() is not None:
            await _tell_late(call, payload)
        raise
    return value


async def _tell_late(call: EffectCall, payload: bytes) -> None:
    """The effect happened after the run was taken over: send its result to the inbox of the new owner."""
    recorder = call.recorder
    post = Post(
        ref=recorder.ref,
        kind="late",
        name=call.key,
        id=f"late-{recorder.epoch}-{call.key}",
        sender=recorder.actor,
        body=b'{"happened":true,"result":' + payload + b"}",
    )
    try:
        await recorder.store.post(post)
    except Exception as error:
        log.error(
            "run %s: step `%s` happened after the run was taken over, and its journal is closed to it: %s",
            recorder.ref,
            call.key,
            error,
        )
