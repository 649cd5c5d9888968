"""Attempts: a call that fails is tried again, by its policy, then in the ways that its owner gave for that.

    admitted ─► effect ─► RESULT
       ▲          │
       │          ├─ may be tried again ─► ATTEMPT (with the time of the next) ─► parked ─┐
       │          ├─ no more, but there is another way ─► ATTEMPT (then: that way) ───────┤
       │          └─ no more ─► FAILED                                                    │
       └──────────────────────────────────────────────────────────────────────────────────┘

Every attempt stands in the journal. The time of the next is drawn once and recorded, so it holds over crashes, and a
wait of more than a second holds no worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import pydantic_core

from ...core.clock import to_micros
from ...core.codec import Shape
from ...core.credentials import CredentialRejected
from ...core.errors import CircuitOpen, Refused
from ...journal import Entry, Kind, WaitReason
from ..approval.standin import StandIn
from ..replay.control import Unwind
from ..replay.failure import Failure, again, failure_of
from . import caching
from .call import Call, Tries, Way
from .diagnosis import Diagnosis
from .functions import run_function
from .grants import let_pass
from .pulse import limited
from .rejection import again_with
from .stages import Admission, Part, pause
from .terms import Cached, Instead

if TYPE_CHECKING:
    from ..replay.recorder import Recorder
    from ..replay.scope import Scope

__all__ = [
    "NoWay",
    "attempt_part",
    "cut_off",
    "note_how",
    "record_end",
    "record_failure",
    "repeated",
    "ways_of",
]

_RESULT = int(Kind.RESULT)

log = logging.getLogger("perdure.run")

_LOGGED = "run %s: step `%s`, attempt %d failed (%s); %s"


class NoWay(Exception):
    """A way out that is of no use now: no earlier result is young enough."""


def ways_of(call: Call, first: Way) -> tuple[Way, ...]:
    """The call itself, then its fallbacks."""
    ways = [first]
    cache = first.terms.cache
    if cache is not None and cache.stale_if_error is not None:
        ways.append(Way("cache", "cache", lambda: caching.stale(call, cache.keep)))
    for given in first.terms.fallback:
        if isinstance(given, Cached):
            ways.append(Way("cache", "cache", lambda c=given: caching.stale(call, c.max_age)))
        elif isinstance(given, Instead):
            ways.append(Way("answer", "answer", lambda g=given: _answer(g, call.arguments)))
        else:
            from .tool import as_tool

            tool = as_tool(given)
            ways.append(Way(tool.name, "tool", None, tool.terms, tool))
    return tuple(ways)


async def _answer(given: Instead, arguments: dict[str, Any]) -> Any:
    return await run_function(given.answer, **arguments) if callable(given.answer) else given.answer


async def repeated(
    call: Call,
    trail: list[Entry],
    shape: Shape[Any],
    *,
    error: BaseException | None = None,
    began: float = 0.0,
) -> Any:
    """Attempts at a call that may be repeated at will: its value, recorded. `error`: the first failed already."""
    recorder = call.recorder
    boundary = recorder.boundary
    tries = Tries.of(trail)
    costs: list[Part] = []
    while True:
        way = call.way(tries)
        if error is None:
            try:
                if tries.due is not None:
                    await pause(call, WaitReason.RETRY, tries.due)
                let_pass(call, way)  # also for what is in the cache
                if (
                    way.terms.cache is not None
                    and tries.total == 0
                    and (hit := await caching.fresh(call)) is not None
                ):
                    return await caching.record(call, hit, shape)
                admission = await boundary.admit(call, way, trail)
            except StandIn as expired:
                return await expired.recorded(call, shape)
            except Exception as refused:
                error, admission = refused, Admission()
            else:
                if admission.parts:
                    await announce(call, admission, trail)
                began = recorder.monotonic()
                try:
                    value = await once(call, way, admission)
                    payload, value = shape.round_trip(value)
                    if recorder.secrets is not None:
                        payload, value = recorder.secrets.kept(shape, payload, value)
                except Unwind:
                    raise
                except asyncio.CancelledError as cancelled:
                    if recorder.halted is None and (costs := boundary.lost(admission, cancelled)):
                        recorder.write_all(costs)
                    await cut_off(recorder, call.scope, call.key, call.mark, cancelled, began)
                    raise
                except Exception as raised:
                    if recorder.halted is not None:
                        raise Unwind from raised
                    error = raised
                    await boundary.failed(admission, boundary.diagnose(call, way, raised))
                    costs = boundary.lost(admission, raised)
                else:
                    await boundary.succeeded(admission)
                    return await _finished(call, way, tries, payload, value, began, admission)
        part = attempt_part(call, tries, error, began)
        if part is None:
            await record_failure(call, tries, error, began, costs)
        recorder.write_all([*costs, part])
        trail.append(recorder.last)
        tries.add(recorder.last)
        error = None
        costs = []


async def announce(call: Call, admission: Admission, trail: list[Entry]) -> None:
    """Write what the stages say before the effect."""
    call.recorder.write_all(admission.parts, change=admission.change())
    trail.extend(call.recorder.written)
    if admission.durable:
        await call.recorder.barrier()


async def once(call: Call, way: Way, admission: Admission) -> Any:
    """One attempt, which a cancellation of the run reaches while it is under way."""
    recorder = call.recorder
    recorder.reachable[call.key] = call.scope, asyncio.current_task()
    call.handed = admission.handed
    try:
        if way.once is not None:
            return await way.once()
        assert way.tool is not None
        return await run_function(limited(way.tool, recorder, call.key), **call.arguments, **admission.handed)
    finally:
        call.handed = {}
        if admission.put_down is not None:
            await admission.put_down()
        recorder.reachable.pop(call.key, None)


async def cut_off(
    recorder: Recorder, scope: Scope, key: str, mark: bytes, cancelled: BaseException, began: float
) -> None:
    """A step was cancelled while it was under way: by the run's cancellation, or as the loser of a race.

    Both are recorded: raises `RunCancelled` for the first; for a loser, when it ended, because a thread cannot be
    stopped and cleaning up takes time.
    """
    if recorder.halted is not None:
        return
    if recorder.taken_back(key) and recorder.cancel is not None:
        await recorder.cancelled(key, mark, recorder.cancel)
    if recorder.is_cut(scope):
        await record_end(recorder, key, mark, cancelled, began)


async def _finished(
    call: Call, way: Way, tries: Tries, payload: bytes, value: Any, began: float, admission: Admission
) -> Any:
    recorder = call.recorder
    took = int((recorder.monotonic() - began) * 1e6)
    note_how(call, way, tries)
    parts: list[Part] = [*recorder.boundary.settled(call, admission, value)]
    parts.append((_RESULT, call.key, payload, call.mark))
    beside = () if call.beside is None or way is not call.ways[0] else call.beside(value)
    parts += beside
    commit = recorder.write_all(parts, results=1, took=took, behind=len(beside))
    seq = recorder.head - len(beside)
    if recorder.branches > 1:
        await recorder.hand_out(commit, seq)
    elif recorder.must_wait():
        await recorder.committed(commit)
    if way is call.ways[0]:
        caching.keep(call, payload)
    return value


def note_how(call: Call, way: Way, tries: Tries) -> None:
    """How the result came about, for whoever shows it."""
    how = call.how
    how.by = way.name
    how.attempts = tries.count + 1
    if way is not call.ways[0]:
        how.source = "cache" if way.kind == "cache" else "fallback"
        how.because = tries.because
        degraded = {"step": call.key, "source": how.source, "by": how.by, "age": how.age}
        call.recorder.degraded.append(degraded)


def attempt_part(call: Call, tries: Tries, error: BaseException, began: float) -> Part | None:
    """The ATTEMPT entry, where the call is tried again, in this way or the next; None: that was the last."""
    if isinstance(error, Refused):
        return None  # whatever a classifier says: nothing leads around a no
    recorder = call.recorder
    boundary = recorder.boundary
    way = call.way(tries)
    diagnosis = boundary.diagnose(call, way, error)
    policy = boundary.policy(call, way)
    now = recorder.store.now()
    took = int((recorder.monotonic() - began) * 1e6) if began else 0
    since = tries.since if tries.since is not None else now - took
    passed = timedelta(microseconds=now - since)
    following = next_way(call, tries, diagnosis)
    wait = policy.wait(tries.count + 1, diagnosis, boundary.rules.draw, passed=passed)
    if isinstance(error, CredentialRejected):
        wait = None  # the same one would get the same answer
    if following is not None and isinstance(error, CircuitOpen):
        wait = None  # whoever has another way does not wait for the breaker
    told: dict[str, Any] = {
        "attempt": tries.total + 1,
        "by": way.name,
        "class": diagnosis.failure,
        "not_sent": diagnosis.not_sent,
        "why": diagnosis.why,
        "error": failure_of(error, diagnosis).model_dump(mode="json", exclude={"traceback"}),
        "since": since,
    }
    rejected = again_with(way, tries, error)
    if rejected is not None:
        told |= {"wait": 0, "due": now, "then": None, "rejected": rejected}
        log.info(_LOGGED, recorder.ref, call.key, tries.total + 1, diagnosis.why, "with another credential")
    elif wait is not None and way.kind not in ("cache", "answer"):
        told |= {"wait": wait.total_seconds(), "due": now + to_micros(wait), "then": None}
        log.info(_LOGGED, recorder.ref, call.key, tries.total + 1, diagnosis.why, f"again in {wait}")
    elif following is not None:
        name = call.ways[following].name
        told |= {"wait": 0, "due": now, "then": {"way": following, "name": name}}
        log.warning(_LOGGED, recorder.ref, call.key, tries.total + 1, diagnosis.why, f"`{name}` is next")
    else:
        return None
    return int(Kind.ATTEMPT), call.key, pydantic_core.to_json(told), call.mark


def next_way(call: Call, tries: Tries, diagnosis: Diagnosis) -> int | None:
    """The fallback that comes next. A refusal has none: no other way leads around the boundary.

    Nor has a conversation that is too long: it is made shorter before another model is asked (`model`).
    """
    following = tries.fallen + 1
    too_long = call.kind == "model" and diagnosis.failure == "context_exceeded"
    if diagnosis.failure == "refused" or too_long or following >= len(call.ways):
        return None
    return following


async def record_failure(
    call: Call, tries: Tries, error: BaseException, began: float, costs: Sequence[Part] = ()
) -> NoReturn:
    """Record an error as the end of the call, and raise it as it will be raised again."""
    if isinstance(error, NoWay) and tries.failure is not None:
        error = again(tries.failure)  # so failed what was asked for; that the fallbacks did, the trail says
    diagnosis = call.recorder.boundary.diagnose(call, call.way(tries), error)
    await record_end(call.recorder, call.key, call.mark, error, began, diagnosis, costs)


async def record_end(
    recorder: Recorder,
    key: str,
    mark: bytes,
    error: BaseException,
    began: float,
    diagnosis: Diagnosis | None = None,
    costs: Sequence[Part] = (),
) -> NoReturn:
    """Record an error as the end of a step, with what it cost, and raise it as it will be raised again."""
    if recorder.halted is not None:
        raise Unwind from error
    failure = failure_of(error, diagnosis)
    took = int((recorder.monotonic() - began) * 1e6) if began else 0
    payload = failure.model_dump_json().encode()
    cause: BaseException | None = error
    if recorder.secrets is not None and (clean := recorder.secrets.payload(payload)) != payload:
        # The error itself says what must not be said: whoever catches it, or logs its cause, gets this one alone.
        payload, failure, cause = clean, Failure.model_validate_json(clean), None
    commit = recorder.write_all([*costs, (int(Kind.FAILED), key, payload, mark)], results=1, took=took)
    seq = recorder.head
    await recorder.hand_out(commit, seq)
    raise again(failure) from cause
