"""Writes in doubt: finding out whether they happened, from `verify`, from a late result, or from a human.

UNKNOWN ─► verify ─► SETTLED ──┬─ happened ─► RESULT
   │          ▲                ├─ did not happen, after an error ─► FAILED
   └─► WAITING for a human ────┴─ did not happen, after a crash ─► tried again
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core
from pydantic import ValidationError

from ...core.clock import to_micros
from ...core.errors import StoreError, Superseded
from ...core.ids import new_id
from ...journal import Entry, Kind, WaitReason
from ..replay.control import Unwind
from ..replay.failure import Failure, again, failure_of
from ..replay.recorder import Wait
from .attempts import attempt_part
from .call import Call, Tries
from .credentials import lent_to
from .diagnosis import Diagnosis
from .functions import run_function
from .handing import key_parameter
from .settling import DoubtfulWrite, asked_in, problem_of_word
from .stages import Part
from .tool import CANNOT_TELL, DID_NOT_HAPPEN, Happened, Tool

__all__ = ["EffectCall", "doubtful", "settle", "unknown"]

log = logging.getLogger("perdure.run")

_OF_DOUBT = frozenset({Kind.INTENT, Kind.UNKNOWN, Kind.SETTLED, Kind.ATTEMPT})

ASK_AGAIN_MICROS = 1_000_000
"""A `verify` that says "did not happen" before its answer can be trusted is asked again after at most this."""


@dataclass(slots=True, kw_only=True)
class EffectCall(Call):
    """One call of a tool that changes the world."""

    tool: Tool[..., Any]
    """the one that is called now: the call's own, or a fallback"""
    effect_key: str
    happened: bool = False
    """it is known that it did"""

    def keyed(self, function: Callable[..., Any]) -> dict[str, Any]:
        """The arguments for the tool, its `verify` or its `compensate`: with the key where one is asked for."""
        name = self.tool.key_parameter if function is self.tool.function else key_parameter(function)
        return self.arguments if name is None else {**self.arguments, name: self.effect_key}


def doubtful(trail: Sequence[Entry]) -> bool:
    """Whether nobody knows what became of the last attempt."""
    return next((e.kind for e in reversed(trail) if e.kind in _OF_DOUBT), Kind.ATTEMPT) != Kind.ATTEMPT


async def unknown(call: EffectCall, error: BaseException, begun_at: int) -> list[Entry]:
    """Record that nobody knows, with the error that brought the doubt."""
    recorder = call.recorder
    cancelled = isinstance(error, asyncio.CancelledError)
    why = "the call was cancelled while it was under way" if cancelled else f"{type(error).__name__}: {error}"
    unknown = {
        "why": why[:2000],
        "error": failure_of(error, _diagnosis(call, error)).model_dump(mode="json"),
        "cancelled": cancelled,
        "begun_at": begun_at,
    }
    recorder.write(Kind.UNKNOWN, call.key, pydantic_core.to_json(unknown), fingerprint=call.mark)
    return [recorder.last]


def _diagnosis(call: EffectCall, error: BaseException) -> Diagnosis | None:
    boundary = call.recorder.boundary
    return boundary.diagnose(call, call.ways[0], error) if isinstance(error, Exception) else None


async def settle(call: EffectCall, trail: list[Entry]) -> Happened | None:
    """Find out whether the effect happened. None: it did not, and may be tried again. Raises what it raised, if so.

    `trail` is what the journal holds of the step; what this writes that decides about further attempts is added.
    """
    recorder, tool = call.recorder, call.tool
    whole = trail
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
        return await _did_not_happen(call, doubt, None, whole)
    if tool.timeout is not None:
        trusted_from += to_micros(tool.timeout)
    asked = any(e.kind == Kind.WAITING for e in trail)
    problem = ""
    verdict: Any = None
    if tool.verify is not None and not asked:
        verdict, problem = await _verify(call, trusted_from)
    if isinstance(verdict, Happened):
        outcome = await _did_happen(call, verdict.result, by="verify")
        if doubt.get("cancelled"):
            raise asyncio.CancelledError  # who was cancelled is told so, now that it is settled
        return outcome
    if verdict is DID_NOT_HAPPEN:
        return await _did_not_happen(call, doubt, "verify", whole)
    return await _ask_human(call, doubt, since, whole, asked=asked, problem=problem)


async def _verify(call: EffectCall, trusted_from: int) -> tuple[Any, str]:
    """Ask the tool's `verify`: its verdict, or why there is none.

    "Did not happen" counts only when nothing can be on its way any more.
    """
    recorder, verify = call.recorder, call.tool.verify
    assert verify is not None
    while True:
        try:
            async with lent_to(call, call.tool, verify) as handed:
                verdict = await run_function(verify, **call.keyed(verify), **handed)
        except Exception as error:
            return None, f"`verify` raised {type(error).__name__}: {error}"[:1000]
        if not (isinstance(verdict, Happened) or verdict is DID_NOT_HAPPEN or verdict is CANNOT_TELL):
            wanted = "Happened(result), DID_NOT_HAPPEN or CANNOT_TELL"
            return None, f"`verify` returned `{verdict!r}`; it must return {wanted}"[:1000]
        if verdict is not DID_NOT_HAPPEN or recorder.store.now() >= trusted_from:
            return verdict, ""
        rest = min(trusted_from - recorder.store.now(), ASK_AGAIN_MICROS)
        await recorder.clock.wait(asyncio.Event(), until=recorder.clock.micros() + rest)
        if not recorder.lease.valid():
            recorder.fail(Superseded("the lease ended while a write in doubt was looked into"))
        if recorder.halted is not None:
            raise Unwind


async def _did_happen(
    call: EffectCall,
    result: Any,
    *,
    by: str,
    raw: bytes | None = None,
    said: Mapping[str, Any] | None = None,
) -> Happened:
    recorder = call.recorder
    call.happened = True
    if raw is None:
        payload, value = call.tool.shape.round_trip(result)
        if recorder.secrets is not None:
            payload, value = recorder.secrets.kept(call.tool.shape, payload, value)
    else:
        payload, value = raw, call.tool.shape.load(raw)
    settled = _verdict(True, by, said)
    commit = recorder.write_all(
        [(Kind.SETTLED, call.key, settled, call.mark), (Kind.RESULT, call.key, payload, call.mark)], results=1
    )
    seq = recorder.head
    await recorder.hand_out(commit, seq, durable=True)
    return Happened(value)


async def _did_not_happen(
    call: EffectCall,
    doubt: dict[str, Any],
    by: str | None,
    trail: list[Entry],
    *,
    said: Mapping[str, Any] | None = None,
) -> None:
    """Settled as not done: leave to try again, after a crash or as the policy allows; else raise the error.

    `said` has the entry of the message that said so (`from`): it is taken, and never settles a later doubt.
    """
    recorder = call.recorder
    parts: list[Part] = []
    if by is not None:
        settled = _verdict(False, by, said)
        parts.append((Kind.SETTLED, call.key, settled, call.mark))
    error = doubt.get("error")
    if error is None:
        if parts:
            recorder.write_all(parts)
            trail.append(recorder.last)
        return
    failure = Failure.model_validate(error)
    raised = again(failure)
    if isinstance(raised, Exception):
        following = attempt_part(call, Tries.of(trail), raised, 0.0)
        if following is not None:
            recorder.write_all([*parts, following])
            trail.append(recorder.last)
            return
    parts.append((Kind.FAILED, call.key, failure.model_dump_json().encode(), call.mark))
    commit = recorder.write_all(parts, results=1)
    seq = recorder.head
    await recorder.hand_out(commit, seq, durable=True)
    raise raised


async def _ask_human(
    call: EffectCall, doubt: dict[str, Any], since: int, trail: list[Entry], *, asked: bool, problem: str
) -> Happened | None:
    """Park until somebody settles it: `perdure runs settle`, or the late result of the worker that sent it.

    What was said before the doubt arose, at entry `since`, was said of an earlier one.
    """
    recorder = call.recorder
    signing = recorder.boundary.rules.approvals.settling
    opened = asked_in(trail)
    while True:
        if not asked:
            asked = True
            _say(call, problem or str(doubt.get("why", "")))
            waiting = {
                "on": WaitReason.IN_DOUBT,
                "tool": call.tool.name,
                "declared": call.tool.declared,
                "verify": call.tool.verify is not None,
                "why": doubt.get("why", ""),
                "problem": problem,
                "run": recorder.name,
                "nonce": new_id(),
                **({} if signing is None else {"signing": signing}),
            }
            payload = pydantic_core.to_json(waiting)[:-1] + b',"arguments":' + call.data + b"}"
            recorder.write(Kind.WAITING, call.key, payload, fingerprint=call.mark)
            opened = recorder.last
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
        said: dict[str, Any] = {"from": message.seq}
        if told["kind"] == "settle" and signing is not None:
            assert opened is not None
            problem = await _signed(call, DoubtfulWrite.of(recorder.ref, opened), told, said)
            if problem:
                log.warning(
                    "run %s: what was said of step `%s` does not count: %s", recorder.ref, call.key, problem
                )
                said |= {"by": told["sender"], "at": told["at"], "why": problem}
                refused = {"stage": "settle", "verdict": "refused", **said}
                recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(refused), fingerprint=call.mark)
                continue
        by = f"{told['sender']} ({told['kind']})"
        if not told["body"].get("happened"):
            return await _did_not_happen(call, doubt, by, trail, said=said)
        raw = pydantic_core.to_json(told["body"].get("result"))
        try:
            return await _did_happen(call, None, by=by, raw=raw, said=said)
        except ValidationError as error:
            problem = f"the result that was given does not fit: {str(error)[:500]}"
            asked = False


async def _signed(
    call: EffectCall, doubt: DoubtfulWrite, told: Mapping[str, Any], said: dict[str, Any]
) -> str:
    """Why the signature of somebody's word does not let it count; what was found good is added to `said`."""
    recorder = call.recorder
    try:
        problem, signed = await problem_of_word(
            doubt,
            told["body"],
            str(told["sender"]),
            recorder.boundary.rules.approvals,
            recorder.store,
            at=told["at"],
            vouching=recorder.boundary.rules.approver_proof,
        )
    except StoreError as error:
        recorder.fail(error)
        raise Unwind from error
    said["signed"] = False if signed is None else signed.told()
    return problem


def _say(call: EffectCall, why: str) -> None:
    run, step, tool = call.recorder.ref, call.key, call.tool
    advice = (
        ""
        if tool.verify is not None
        else f"; declare `verify=` on tool `{tool.name}` and it is found out next time"
    )
    log.warning(
        "run %s: nobody knows whether step `%s` happened (%s). Find out, then: `perdure runs settle %s %s --happened "
        "RESULT` or `--did-not-happen`%s",
        run, step, why, run, step, advice,
    )  # fmt: skip


def _verdict(happened: bool, by: str, said: Mapping[str, Any] | None) -> bytes:
    return pydantic_core.to_json({"happened": happened, "by": by, **(said or {})})
