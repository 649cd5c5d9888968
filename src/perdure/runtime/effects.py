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
import contextvars
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NoReturn

import pydantic_core
from pydantic import ValidationError

from ..core.clock import to_micros
from ..core.codec import Shape, arguments_bytes, returns
from ..core.errors import NotDone, Superseded, Unserialisable
from ..core.futures import Steady
from ..journal import Entry, Kind, Post, WaitReason
from .control import Unwind
from .failure import Failure, again, failure_of
from .history import StepRecord
from .recorder import Recorder, Wait
from .scope import Scope
from .tool import DID_NOT_HAPPEN, Happened, Tool, key_parameter

__all__ = ["EffectCall", "perform", "recorded_value", "repeat", "run_function"]

_threads = ThreadPoolExecutor(64, thread_name_prefix="perdure-step")

_RESULT = int(Kind.RESULT)

log = logging.getLogger("perdure.run")

ASK_AGAIN_MICROS = 1_000_000
"""A `verify` that says "did not happen" before its answer can be trusted is asked again after at most this."""


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
    if not recorder.calm or monotonic() >= recorder.lease.until:
        await recorder.live(scope, key, mark)
    began = monotonic()
    try:
        value = function(*args, **kwargs) if asynchronous else in_thread(function, args, kwargs)
        payload, value = shape.round_trip(await value)
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


async def _failed(recorder: Recorder, key: str, mark: bytes, error: Exception, began: float) -> NoReturn:
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
        recorder.mismatch(
            {"step": final.key, "entry": final.seq, "kind": "result"},
            {"step": final.key, "what": f"a result of another type: {str(error)[:500]}"},
        )


async def in_thread(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a sync function in a thread. It cannot be stopped: who is cancelled meanwhile still waits for it."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    done: Steady[Any] = Steady(loop=loop)

    def run() -> None:
        try:
            value = context.run(function, *args, **kwargs)
        except BaseException as error:
            loop.call_soon_threadsafe(done.set_exception, error)
        else:
            loop.call_soon_threadsafe(done.set_result, value)

    _threads.submit(run)
    try:
        return await done
    except asyncio.CancelledError:
        if done.done() and done.exception() is None:
            raise _CancelledAfter(done.result()) from None
        raise


class _CancelledAfter(asyncio.CancelledError):
    """The caller was cancelled, but what it waited for has happened."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


async def run_function(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a function of either colour."""
    asynchronous = returns(function)[1]
    return await (function(*args, **kwargs) if asynchronous else in_thread(function, args, kwargs))


@dataclass(slots=True)
class EffectCall:
    """One call of a tool that changes the world."""

    recorder: Recorder
    scope: Scope
    key: str
    tool: Tool[..., Any]
    arguments: dict[str, Any]
    data: bytes
    """JSON of the arguments"""
    mark: bytes
    effect_key: str

    def keyed(self, function: Callable[..., Any]) -> dict[str, Any]:
        """The arguments for the tool, its `verify` or its `compensate`: with the key where one is asked for."""
        name = self.tool.key_parameter if function is self.tool.function else key_parameter(function)
        return self.arguments if name is None else {**self.arguments, name: self.effect_key}


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
            arguments[tool.key_parameter] = f"{recorder.ref}/{key}"
        if tool.timeout is not None and tool.asynchronous:
            function = _within(function, tool.timeout.total_seconds())
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
    effect_key = recorder.failed_effects.get(again_key) or f"{recorder.ref}/{key}"
    call = EffectCall(recorder, scope, key, tool, arguments, data, mark, effect_key)
    record = recorder.take(key, mark) if recorder.unconsumed else None
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


async def _attempts(call: EffectCall, record: StepRecord | None) -> Any:
    """Try until the effect is settled: a result, or an error that proves that it did not happen."""
    recorder = call.recorder
    trail = record.trail if record is not None else []
    await recorder.live(call.scope, call.key, call.mark, cancellable=not trail)
    attempt = sum(1 for e in trail if e.kind == Kind.INTENT)
    while True:
        if trail:
            outcome = await _settle(call, trail)
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
            function = _within(function, tool.timeout.total_seconds())
        value = await run_function(function, **call.keyed(tool.function))
    except Unwind:
        raise
    except _CancelledAfter as cancelled:
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
    return None, await _unknown(call, error, begun_at)


async def _unknown(call: EffectCall, error: BaseException, begun_at: int) -> list[Entry]:
    """Record that nobody knows, with the error that brought the doubt."""
    recorder = call.recorder
    cancelled = isinstance(error, asyncio.CancelledError)
    why = "the call was cancelled while it was under way" if cancelled else f"{type(error).__name__}: {error}"
    unknown = {
        "why": why[:2000],
        "error": failure_of(error).model_dump(mode="json"),
        "cancelled": cancelled,
        "begun_at": begun_at,
    }
    recorder.write(Kind.UNKNOWN, call.key, pydantic_core.to_json(unknown), fingerprint=call.mark)
    return [recorder.last]


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


async def _settle(call: EffectCall, trail: list[Entry]) -> Happened | None:
    """Find out whether the effect happened. None: it did not, and may be tried again. Raises what it raised, if so."""
    recorder, tool = call.recorder, call.tool
    intents = [e for e in trail if e.kind == Kind.INTENT]
    if intents:
        trail = trail[trail.index(intents[-1]) :]  # an answer to an earlier attempt says nothing of the last
    last = next(e for e in reversed(trail) if e.kind != Kind.WAITING)
    if tool.effect == "idempotent":
        return None
    begun_at = intents[-1].at if intents else 0
    doubt: dict[str, Any]
    if last.kind == Kind.INTENT:
        doubt = {
            "why": "the worker died, or lost its lease, after the intent and before a result",
            "error": None,
        }
        recorder.write(Kind.UNKNOWN, call.key, pydantic_core.to_json(doubt), fingerprint=call.mark)
        since = recorder.last.seq
        trusted_from = begun_at + recorder.lease.session.lease
    else:
        unknown = next((e for e in reversed(trail) if e.kind == Kind.UNKNOWN), None)
        doubt = (
            pydantic_core.from_json(unknown.payload) if unknown is not None else {"why": "", "error": None}
        )
        since = 0 if unknown is None else unknown.seq
        begun_at = doubt.get("begun_at") or begun_at
        trusted_from = begun_at
    if last.kind == Kind.SETTLED:  # it did not happen, and the worker died before it went on from there
        return await _did_not_happen(call, doubt, None)
    if tool.timeout is not None:
        trusted_from += to_micros(tool.timeout)
    asked = any(e.kind == Kind.WAITING for e in trail)
    verdict = await _verify(call, trusted_from) if tool.verify is not None and not asked else None
    if isinstance(verdict, Happened):
        outcome = await _did_happen(call, verdict.result, by="verify")
        if doubt.get("cancelled"):
            raise asyncio.CancelledError  # who was cancelled is told so, now that it is settled
        return outcome
    if verdict is DID_NOT_HAPPEN:
        return await _did_not_happen(call, doubt, "verify")
    return await _ask_human(call, doubt, since, asked=asked)


async def _verify(call: EffectCall, trusted_from: int) -> Any:
    """Ask the tool's `verify`; "did not happen" counts only when nothing can be on its way any more."""
    recorder, verify = call.recorder, call.tool.verify
    assert verify is not None
    while True:
        try:
            verdict = await run_function(verify, **call.keyed(verify))
        except Exception as error:
            recorder.trouble = error
            return None
        if not (verdict is DID_NOT_HAPPEN and recorder.store.now() < trusted_from):
            return verdict
        until = min(trusted_from, recorder.store.now() + ASK_AGAIN_MICROS)
        await recorder.clock.wait(asyncio.Event(), until=until)
        if not recorder.lease.valid():
            recorder.fail(Superseded("the lease ended while a write in doubt was looked into"))
        if recorder.halted is not None:
            raise Unwind


async def _did_happen(
    call: EffectCall, result: Any, *, by: str, raw: bytes | None = None, source: int | None = None
) -> Happened:
    recorder = call.recorder
    if raw is None:
        payload, value = call.tool.shape.round_trip(result)
    else:
        payload, value = raw, call.tool.shape.load(raw)
    settled = pydantic_core.to_json({"happened": True, "by": by, "from": source})
    commit = recorder.write_all(
        [(Kind.SETTLED, call.key, settled, call.mark), (Kind.RESULT, call.key, payload, call.mark)], results=1
    )
    seq = recorder.head
    await recorder.hand_out(commit, seq, durable=True)
    return Happened(value)


async def _did_not_happen(
    call: EffectCall, doubt: dict[str, Any], by: str | None, *, source: int | None = None
) -> None:
    """Settled as not done: raise the error that brought the doubt, or, after a crash, leave to try again.

    `source` is the entry of the message that said so: it is taken, and never settles a later doubt.
    """
    recorder = call.recorder
    parts: list[tuple[int, str, bytes, bytes]] = []
    if by is not None:
        settled = pydantic_core.to_json({"happened": False, "by": by, "from": source})
        parts.append((Kind.SETTLED, call.key, settled, call.mark))
    error = doubt.get("error")
    if error is None:
        if parts:
            recorder.write_all(parts)
        return
    if doubt.get("cancelled"):
        if parts:
            recorder.write_all(parts)
        raise asyncio.CancelledError
    failure = Failure.model_validate(error)
    parts.append((Kind.FAILED, call.key, failure.model_dump_json().encode(), call.mark))
    commit = recorder.write_all(parts, results=1)
    seq = recorder.head
    await recorder.hand_out(commit, seq, durable=True)
    raise again(failure)


async def _ask_human(call: EffectCall, doubt: dict[str, Any], since: int, *, asked: bool) -> Happened | None:
    """Park until somebody settles it: `perdure runs settle`, or the late result of the worker that sent it.

    What was said before the doubt arose, at entry `since`, was said of an earlier one.
    """
    recorder = call.recorder
    problem = ""
    while True:
        if not asked:
            asked = True
            waiting = {
                "on": WaitReason.IN_DOUBT,
                "tool": call.tool.name,
                "declared": call.tool.declared,
                "verify": call.tool.verify is not None,
                "why": doubt.get("why", ""),
                "problem": problem,
            }
            payload = pydantic_core.to_json(waiting)[:-1] + b',"arguments":' + call.data + b"}"
            recorder.write(Kind.WAITING, call.key, payload, fingerprint=call.mark)
        message = recorder.mail_for(WaitReason.IN_DOUBT, call.key)
        if message is None:
            future: asyncio.Future[Entry | None] = recorder.loop.create_future()
            message = await recorder.park(
                Wait(call.key, WaitReason.IN_DOUBT, call.key, None, future, shielded=True)
            )
        assert message is not None
        told: dict[str, Any] = pydantic_core.from_json(message.payload)
        if told["kind"] == "settle" and message.seq < since:
            continue
        by = f"{told['sender']} ({told['kind']})"
        if not told["body"].get("happened"):
            return await _did_not_happen(call, doubt, by, source=message.seq)
        raw = pydantic_core.to_json(told["body"].get("result"))
        try:
            return await _did_happen(call, None, by=by, raw=raw, source=message.seq)
        except ValidationError as error:
            problem = f"the result that was given does not fit: {str(error)[:500]}"
            asked = False


def _within(function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    async def limited(*args: Any, **kwargs: Any) -> Any:
        async with asyncio.timeout(seconds):
            return await function(*args, **kwargs)

    return limited


def _proves_not_sent(error: BaseException) -> bool:
    return isinstance(error, NotDone | ConnectionRefusedError)
