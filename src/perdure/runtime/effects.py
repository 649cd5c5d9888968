"""Steps with an effect: repeatable ones, idempotent ones, and writes, which are never repeated in silence.

                   ┌───────────── did not happen (after a crash) ──────────────┐
                   ▼                                                           │
INTENT ─► effect ─► RESULT                                                     │
            │                                                                  │
            ├─ proven not sent, or idempotent and raised ─► FAILED             │
            │                                                                  │
            └─ crash, error, timeout, cancel ─► UNKNOWN ─► verify ─► SETTLED ──┤
                                                   │          ▲                ├─ happened ─► RESULT
                                                   └─► WAITING for a human ────┴─ did not, after an error ─► FAILED
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NoReturn

import pydantic_core
from pydantic import ValidationError

from ..core.codec import Shape, arguments_bytes
from ..core.errors import NotDone, Superseded, Unserialisable
from ..journal import Entry, Kind, Post
from .control import Unwind
from .doubt import EffectCall, settle, unknown
from .failure import Failure, again, failure_of
from .functions import CancelledAfter, in_thread, run_function, within
from .history import StepRecord
from .recorder import Recorder
from .scope import Scope
from .tool import Happened, Tool

__all__ = ["perform", "recorded_value", "repeat"]

_RESULT = int(Kind.RESULT)

log = logging.getLogger("perdure.run")


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
) -> Any:
    """A repeatable step: recorded when it has finished, run again if a crash came first."""
    if data is None:
        data = arguments_bytes(args, kwargs) if args or kwargs else b""
    mark = recorder.mark(operation, data)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        return await recorded_value(recorder, record.final, shape)
    monotonic = recorder.monotonic
    began = monotonic()
    if not recorder.calm or began >= recorder.lease.until:
        await recorder.live(scope, key, mark)
        began = monotonic()
    try:
        value = function(*args, **kwargs) if asynchronous else in_thread(function, args, kwargs)
        payload, value = shape.round_trip(await value)
    except asyncio.CancelledError as cancelled:
        if recorder.halted is None and recorder.is_cut(scope):
            # A loser of a race: when it ended is recorded, for a thread cannot be stopped and cleaning up takes time.
            await _failed(recorder, key, mark, cancelled, began)
        raise
    except Exception as error:
        await _failed(recorder, key, mark, error, began)
    took = int((monotonic() - began) * 1e6)
    commit = recorder.write(_RESULT, key, payload, fingerprint=mark, took=took, results=1)
    seq = recorder.head
    if recorder.branches > 1:
        await recorder.hand_out(commit, seq)
    elif recorder.must_wait():
        await recorder.committed(commit)
    return value


async def _failed(recorder: Recorder, key: str, mark: bytes, error: BaseException, began: float) -> NoReturn:
    """Record an error as the end of the step, and raise it as it will be raised again."""
    if recorder.halted is not None:
        raise Unwind from error
    failure = failure_of(error)
    took = int((recorder.clock.monotonic() - began) * 1e6)
    payload = failure.model_dump_json().encode()
    commit = recorder.write(Kind.FAILED, key, payload, fingerprint=mark, took=took, results=1)
    seq = recorder.head
    await recorder.hand_out(commit, seq)
    raise again(failure) from error


async def recorded_value(recorder: Recorder, final: Entry, shape: Shape[Any]) -> Any:
    """What a finished step gave: its value, or its error raised again."""
    await recorder.recorded(final)
    if final.kind == Kind.FAILED:
        raise again(Failure.model_validate_json(final.payload))
    try:
        return shape.load(final.payload)
    except ValidationError as error:
        recorder.aside = [final.key]
        recorder.mismatch(
            {"step": final.key, "entry": final.seq, "kind": "result"},
            {"step": final.key, "what": f"a result of another type: {str(error)[:500]}"},
        )


async def perform(
    recorder: Recorder,
    scope: Scope,
    key: str,
    tool: Tool[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    retried_in: str | None = None,
) -> Any:
    """Call a tool: `read` is repeatable, `idempotent` and `write` go by intent, effect and result.

    A failed effect that is tried again keeps its key: within the scope, or within the path `retried_in` where each
    try has a scope of its own, as in the turns of a model.
    """
    arguments = tool.bind(args, kwargs)
    data = arguments_bytes(arguments)[1:-1]
    operation = tool.operation
    if tool.effect == "read":
        function = tool.function
        if tool.key_parameter is not None:
            arguments[tool.key_parameter] = f"{recorder.name}/{key}"
        if tool.timeout is not None and tool.asynchronous:
            function = within(function, tool.timeout.total_seconds())
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
        )
    mark = recorder.mark(operation, data)
    again_key = (scope.path if retried_in is None else retried_in, tool.name, mark)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    effect_key = (
        _recorded_key(record)  # in a fork it names the source: whoever received it knows it by that key
        or recorder.failed_effects.get(again_key)
        or f"{recorder.name}/{key}"
    )
    call = EffectCall(recorder, scope, key, tool, arguments, data, mark, effect_key)
    try:
        if record is not None and record.final is not None:
            value = await recorded_value(recorder, record.final, tool.shape)
        else:
            value = await _attempts(call, record)
    except (Unwind, asyncio.CancelledError):
        raise
    except Exception:
        # Whoever tries the same again means the same effect: it gets the same key.
        recorder.failed_effects[again_key] = effect_key
        raise
    recorder.failed_effects.pop(again_key, None)
    if tool.compensate is not None:
        recorder.undo.append(call)
    return value


def _recorded_key(record: StepRecord | None) -> str | None:
    """The idempotency key under which the effect was tried last."""
    for entry in reversed(record.trail if record is not None else ()):
        if entry.kind == Kind.INTENT:
            return pydantic_core.from_json(entry.payload).get("key")
    return None


async def _attempts(call: EffectCall, record: StepRecord | None) -> Any:
    """Try until the effect is settled: a result, or an error that proves that it did not happen."""
    recorder = call.recorder
    trail = record.trail if record is not None else []
    await recorder.live(call.scope, call.key, call.mark, cancellable=not trail)
    attempt = sum(1 for e in trail if e.kind == Kind.INTENT)
    while True:
        if trail:
            outcome = await settle(call, trail)
            if outcome is not None:
                return outcome.result
            trail = []
            await recorder.live(call.scope, call.key, call.mark)
        attempt += 1
        outcome, trail = await _attempt(call, attempt)
        if outcome is not None:
            return outcome.result


async def _attempt(call: EffectCall, attempt: int) -> tuple[Happened | None, list[Entry]]:
    """One attempt: intent, effect, result. Without an outcome, the trail of what is in doubt."""
    recorder, tool = call.recorder, call.tool
    intent = pydantic_core.to_json({"tool": tool.name, "key": call.effect_key, "attempt": attempt})
    payload = intent[:-1] + b',"arguments":' + call.data + b"}"
    recorder.write(Kind.INTENT, call.key, payload, fingerprint=call.mark)
    begun_at = recorder.store.now()
    await recorder.barrier()
    if not recorder.lease.valid():
        recorder.fail(
            Superseded("the lease ended between the intent and the effect; the effect was not begun")
        )
        raise Unwind
    began = recorder.clock.monotonic()
    error: BaseException
    try:
        function = tool.function
        if tool.timeout is not None and tool.asynchronous:
            function = within(function, tool.timeout.total_seconds())
        value = await run_function(function, **call.keyed(tool.function))
    except Unwind:
        raise
    except CancelledAfter as cancelled:
        await _happened(call, cancelled.value, began)
        raise asyncio.CancelledError from None
    except asyncio.CancelledError as cancelled:
        if tool.effect == "idempotent" or recorder.halted is not None:
            raise
        error = cancelled
    except Exception as raised:
        if recorder.halted is not None:
            raise Unwind from raised
        if tool.effect == "idempotent" or _proves_not_sent(raised):
            await _failed(recorder, call.key, call.mark, raised, began)
        error = raised
    else:
        # Outside the `try`: a cancellation that comes while the result is on its way does not put it in doubt.
        return Happened(await _happened(call, value, began)), []
    return None, await unknown(call, error, begun_at)


async def _happened(call: EffectCall, value: Any, began: float) -> Any:
    """Record the result of an effect; where this worker has lost the run, tell the one that has it."""
    recorder, tool = call.recorder, call.tool
    try:
        payload, value = tool.shape.round_trip(value)
    except Unserialisable as error:
        await _failed(recorder, call.key, call.mark, error, began)
    took = int((recorder.clock.monotonic() - began) * 1e6)
    commit: asyncio.Future[bool] | None = None
    try:
        commit = recorder.write(Kind.RESULT, call.key, payload, fingerprint=call.mark, took=took, results=1)
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


def _proves_not_sent(error: BaseException) -> bool:
    return isinstance(error, NotDone | ConnectionRefusedError)
