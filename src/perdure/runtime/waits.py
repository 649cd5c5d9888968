"""Waits: timers, signals, questions to a human, children. While they last they hold no worker."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pydantic_core
from pydantic import BaseModel, ConfigDict, PydanticUserError, ValidationError

from ..core.clock import from_micros, to_micros
from ..core.codec import Shape
from ..core.delegation import Handed
from ..core.errors import ConfigError, InvalidInput, RunCancelled, RunConflict, Unserialisable, WaitTimeout
from ..core.ids import RunRef
from ..governance.budgets import Budget
from ..journal import Approval, Change, Entry, Kind, Post, WaitReason
from .agent import Agent
from .boundary.attempts import record_end
from .boundary.call import Call
from .boundary.grants import child_may_start
from .boundary.payment import asking
from .boundary.scope import no_child
from .boundary.stages import Part, pause
from .ending.conclusion import not_succeeded
from .replay.control import Finish
from .replay.failure import Failure, again
from .replay.recorder import Recorder, Wait
from .replay.scope import Scope
from .start import new_run

__all__ = ["Answer", "ask", "child", "defer", "receive", "sleep"]


class Answer(BaseModel):
    """What came of a question to a human. True in a boolean context only when it was approved."""

    model_config = ConfigDict(frozen=True)

    approved: bool
    by: str | None = None
    """who answered; None when nobody did"""
    reason: str | None = None
    value: Any = None
    """the choice or the text, where one was given"""
    at: datetime | None = None
    expired: bool = False
    """nobody answered in time: a question without an answer is a no"""

    def __bool__(self) -> bool:
        return self.approved


async def _wait(
    recorder: Recorder,
    scope: Scope,
    key: str,
    mark: bytes,
    *,
    reason: WaitReason,
    name: str,
    due: int | None,
    detail: dict[str, Any],
    approval: Approval | None = None,
    costs: Callable[[Entry | None], list[Part]] | None = None,
    wrong: Callable[[Any], str] | None = None,
) -> Entry | None:
    """Open the wait, or go on with the recorded one; the MESSAGE that ended it, or None: its time was over.

    `costs`: what is written with its end. `wrong` says what is wrong with the body of a message: then it is refused,
    and the question stays open.
    """
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        final = await recorder.recorded(record.final)
        if final.kind == Kind.FAILED:
            raise again(Failure.model_validate_json(final.payload))
        source = pydantic_core.from_json(final.payload)["from"]
        return None if source is None else recorder.messages[source]
    await recorder.live(scope, key, mark)
    refused = 0
    if record is not None and record.trail:
        opening = record.trail[-1].payload
        due = pydantic_core.from_json(opening)["due"]  # the first time counts
        refused = sum(1 for e in record.trail if e.kind == Kind.VERDICT)
    else:
        opening = payload = pydantic_core.to_json({"on": reason, "name": name, "due": due, **detail})
        change = None if approval is None else Change(opened=(approval,))
        recorder.write(Kind.WAITING, key, payload, fingerprint=mark, change=change)
    if approval is not None:
        recorder.open_approvals.add(key)
    while True:
        message = recorder.mail_for(reason, name)
        if message is None and (due is None or due > recorder.store.now()):
            future: asyncio.Future[Entry | None] = recorder.loop.create_future()
            message = await recorder.park(Wait(key, reason, name, due, future, shielded=scope.shielded))
        if message is not None and pydantic_core.from_json(message.payload)["kind"] == "cancel":
            await recorder.cancelled(key, mark, message)
        problem = "" if message is None or wrong is None else wrong(_body(message))
        if message is None or not problem:
            break
        refused += 1
        said = {"stage": "answer", "verdict": "refused", "from": message.seq, "why": problem}
        parts = [
            (int(Kind.VERDICT), key, pydantic_core.to_json(said), mark),
            (int(Kind.WAITING), key, opening, mark),
        ]
        again_open = () if approval is None else (_asked_again(approval, refused),)
        recorder.write_all(parts, change=Change(opened=again_open))
    payload = pydantic_core.to_json({"from": None if message is None else message.seq})
    change = None
    if approval is not None:
        recorder.open_approvals.discard(key)
        change = Change(closed=(key,))
    parts = [] if costs is None else costs(message)
    parts.append((int(Kind.RESULT), key, payload, mark))
    commit = recorder.write_all(parts, results=1, change=change)
    seq = recorder.head
    await recorder.hand_out(commit, seq)
    return message


def _asked_again(approval: Approval, refused: int) -> Approval:
    """The open question after answers that did not fit: another one may come."""
    return replace(
        approval, show=pydantic_core.to_json({**pydantic_core.from_json(approval.show), "round": refused})
    )


async def sleep(recorder: Recorder, scope: Scope, key: str, duration: timedelta | float) -> None:
    """Wait for a time. Raises nothing but a cancellation."""
    delta = duration if isinstance(duration, timedelta) else timedelta(seconds=duration)
    mark = recorder.mark(b"sleep")
    due = recorder.store.now() + to_micros(delta)
    await _wait(recorder, scope, key, mark, reason=WaitReason.TIMER, name=key, due=due, detail={})


async def defer(recorder: Recorder, scope: Scope, key: str, until: datetime | timedelta, reason: str) -> None:
    """Wait until a time that the agent names, with its reason."""
    mark = recorder.mark(b"defer")
    now = recorder.store.now()
    due = to_micros(until) + (now if isinstance(until, timedelta) else 0)
    await _wait(
        recorder, scope, key, mark, reason=WaitReason.DEFERRED, name=key, due=due, detail={"why": reason}
    )


async def receive(
    recorder: Recorder, scope: Scope, key: str, name: str, shape: Shape[Any], timeout: timedelta | None
) -> Any:
    """Wait for a signal. Raises `WaitTimeout`, and `InvalidInput` for a payload of another type."""
    mark = recorder.mark(b"receive", name.encode())
    due = None if timeout is None else recorder.store.now() + to_micros(timeout)
    message = await _wait(recorder, scope, key, mark, reason=WaitReason.SIGNAL, name=name, due=due, detail={})
    if message is None:
        raise WaitTimeout(f"no signal `{name}` came within {timeout}")
    body = _body(message)
    try:
        return shape.load(pydantic_core.to_json(body))
    except ValidationError as error:
        raise InvalidInput(f"signal `{name}` does not fit the type that was asked for: {error}") from error


async def ask(
    recorder: Recorder,
    scope: Scope,
    key: str,
    question: str,
    *,
    show: Any,
    choices: list[str] | None,
    timeout: timedelta | None,
    agent: str,
    form: Shape[Any] | None = None,
    default: tuple[Any] | None = None,
) -> Answer:
    """Put a question to a human and wait for the answer; with a `form`, its value is one of that type.

    With a `default` its value is approved where nobody answers in time. Raises `ConfigError` for a type that has no
    JSON schema, and for a default that is not of the type.
    """
    schema = None if form is None else _schema(form)
    stands_in = None if default is None or form is None else _default(form, choices, default[0])

    mark = recorder.mark(b"ask")  # the wording is soft: it may contain today's date
    due = None if timeout is None else recorder.store.now() + to_micros(timeout)
    shown = pydantic_core.to_json(show, fallback=repr)
    digest = hashlib.sha256(shown).hexdigest()
    approval = Approval(
        ref=recorder.ref,
        step=key,
        question=question,
        opened_at=recorder.store.now(),
        due=due,
        agent=agent,
        show=pydantic_core.to_json(
            {"show": pydantic_core.from_json(shown), "choices": choices, "form": schema}
        ),
    )
    detail = {
        "question": question,
        "show": pydantic_core.from_json(shown),
        "choices": choices,
        "form": schema,
        "digest": digest,
        **({} if stands_in is None else {"default": pydantic_core.from_json(stands_in)}),
    }

    def wrong(body: Any) -> str:
        if not body.get("approved"):
            return ""
        value = body.get("value")
        if choices is not None and value not in choices:
            return f"`{value}` is not one of the choices: {', '.join(choices)}"
        try:
            if form is not None:
                form.load(pydantic_core.to_json(value))
        except ValidationError as error:
            return f"the answer does not fit: {str(error)[:500]}"
        return ""

    def costs(message: Entry | None) -> list[Part]:
        spending = recorder.boundary.spending
        return [] if message is None or spending is None else spending.charge_human(key, mark)

    known = recorder.steps.get(key)
    asked_before = () if known is None else known.trail
    message = await _wait(
        recorder,
        scope,
        key,
        mark,
        reason=WaitReason.APPROVAL,
        name=key,
        due=due,
        detail=detail,
        approval=approval,
        costs=costs,
        wrong=None if form is None else wrong,
    )
    if message is None:
        reason = "nobody answered in time"
        opening = next((e for e in asked_before if e.kind == Kind.WAITING), None)
        if opening is not None:  # the value that was named when it was asked, whatever the code says now
            recorded: dict[str, Any] = pydantic_core.from_json(opening.payload)
            stands_in = pydantic_core.to_json(recorded["default"]) if "default" in recorded else None
        if stands_in is not None and form is not None:
            return Answer(approved=True, expired=True, reason=reason, value=form.load(stands_in))
        return Answer(approved=False, expired=True, reason=reason)
    told = pydantic_core.from_json(message.payload)
    body: dict[str, Any] = told["body"]
    value = body.get("value")
    if form is not None and body.get("approved"):
        value = form.load(pydantic_core.to_json(value))
    return Answer(
        approved=bool(body.get("approved")),
        by=told["sender"],
        reason=body.get("reason"),
        value=value,
        at=from_micros(told["at"]),
    )


def _default(form: Shape[Any], choices: list[str] | None, value: Any) -> bytes:
    """A default as JSON, which an answer could have been."""
    try:
        payload = form.round_trip(value)[0]
        form.load(payload)
    except (Unserialisable, ValidationError) as error:
        raise ConfigError(
            f"the default `{value!r}` is no answer to what is asked for: {str(error)[:300]}"
        ) from error
    if choices is not None and value not in choices:
        raise ConfigError(f"the default `{value!r}` is not one of the choices: {', '.join(choices)}")
    return payload


def _schema(form: Shape[Any]) -> dict[str, Any]:
    try:
        return form.schema()
    except PydanticUserError as error:
        raise ConfigError(
            f"nobody can be asked for a type that has no JSON schema: {error.message}"
        ) from error


async def child(
    recorder: Recorder,
    scope: Scope,
    key: str,
    agent: Agent,
    value: Any,
    *,
    labels: Mapping[str, str],
    deadline: int | None,
    budget: Budget | None = None,
    grants: frozenset[str] | None = None,
) -> Any:
    """Run another agent as a run of its own, and wait for its end. Raises `RunFailed` where it did not succeed.

    `grants`: the only ones of this run's that it is to have. Raises `Refused` where it would have more than this run.
    """
    ref = RunRef(recorder.ref.tenant, child_id(recorder.ref.id, key, recorder.generation))
    payload = agent.dump_input(value)
    narrowed = b"" if grants is None else b"\0" + pydantic_core.to_json(sorted(grants))
    mark = recorder.mark(f"child {agent.name}".encode(), payload + narrowed)
    known = recorder.steps.get(key)
    if known is None or (known.final is None and all(e.kind != Kind.WAITING for e in known.trail)):
        # Else it was started: its WAITING entry is written after that.
        trail = [] if known is None else list(known.trail)
        if known is not None:
            recorder.take(key, mark)
        call = Call(recorder=recorder, scope=scope, key=key, mark=mark, kind="step", name=agent.name)
        await _start_child(call, trail, ref, agent, payload, labels, deadline, budget, grants)

    def costs(message: Entry | None) -> list[Part]:
        spending = recorder.boundary.spending
        spent = None if message is None else _body(message).get("spent")
        return [] if spending is None else spending.charge_child(key, mark, ref.id, spent)

    try:
        message = await _wait(
            recorder,
            scope,
            key,
            mark,
            reason=WaitReason.CHILD,
            name=ref.id,
            due=None,
            detail={"run": ref.id},
            costs=costs,
        )
    except (RunCancelled, Finish) as left:
        why = f"was cancelled: {left}" if isinstance(left, RunCancelled) else "has ended"
        cancel = Post(
            ref=ref,
            kind="cancel",
            name="",
            id=f"parent-{recorder.ref.id}",
            sender=f"run {recorder.ref.id}",
            body=pydantic_core.to_json({"reason": f"the parent {why}"}),
        )
        await _try_post(recorder, cancel)
        raise
    assert message is not None
    body = _body(message)
    if body["status"] != "succeeded":
        raise not_succeeded(f"child run `{ref}`", body)
    return agent.output.load(pydantic_core.to_json(body.get("result")))


async def _start_child(
    call: Call,
    trail: list[Entry],
    ref: RunRef,
    agent: Agent,
    payload: bytes,
    labels: Mapping[str, str],
    deadline: int | None,
    budget: Budget | None,
    grants: frozenset[str] | None,
) -> None:
    recorder, spending = call.recorder, call.recorder.boundary.spending
    await recorder.live(call.scope, call.key, call.mark)
    refused = no_child(call) or child_may_start(recorder, agent.name, requires=agent.requires, grants=grants)
    if refused is not None:
        error, verdict = refused
        said: Part = (int(Kind.VERDICT), call.key, verdict, call.mark)
        diagnosis = recorder.boundary.rules.classifier.diagnose(error)
        await record_end(recorder, call.key, call.mark, error, 0.0, diagnosis, [said])
    wanted = agent.budget if budget is None else budget.for_run(f"child `{agent.name}`")
    if spending is not None:
        wanted, reservation = await spending.carve(
            call.key, call.mark, ref.id, wanted, asked_for=budget is not None, ask=asking(call, trail, pause)
        )
        if reservation is not None:
            recorder.write_all([reservation.part])
    await recorder.barrier()
    principal = recorder.on_behalf_of
    new = new_run(
        ref,
        agent,
        payload if recorder.secrets is None else recorder.secrets.payload(payload),
        key=recorder.key,
        at=recorder.store.now(),
        actor=recorder.actor,
        labels=labels,
        parent=recorder.ref.id,
        deadline=deadline,
        by=recorder.principal,
        on_behalf_of=principal if principal is None or grants is None else principal.narrowed(grants),
        chain=[Handed(recorder.boundary.agent, recorder.ref.id), *recorder.chain],
        subject=recorder.subject,
        budget=wanted,
        heard=None if recorder.heard is None else recorder.heard.handed_on(),
        trace=recorder.boundary.traced(call.key),
    )
    record, fresh = await recorder.store.create(new)
    if not fresh and record.parent != recorder.ref.id:
        raise RunConflict(f"run `{ref}` exists already and is not a child of `{recorder.ref}`")


async def _try_post(recorder: Recorder, post: Post) -> None:
    try:
        await recorder.store.post(post)
    except Exception as error:
        recorder.trouble = error  # the child has ended: nothing is left to cancel


def child_id(parent: str, key: str, generation: int) -> str:
    """A readable id that is the same in every replay; a digest keeps apart what `/` and `:` kept apart."""
    plain = key.replace("/", "-").replace(":", "-").replace(" ", "_")
    whose = parent if generation == 1 else f"{parent}#{generation}"
    digest = hashlib.sha256(f"{whose}\0{key}".encode()).hexdigest()[:8]
    return f"{parent[:110]}.{plain[:70]}.{digest}"


def _body(message: Entry) -> Any:
    return pydantic_core.from_json(message.payload)["body"]
