"""The root of a run: its agent's function, and what follows when that returns, raises, or says how the run ends.

returns ─────────► succeeded
run.partial ─────► partial           whatever it returns or raises after that
run.escalate ────► escalated
raises ──────────► by the class of the failure and `on_failure`: failed, escalated, partial
was cancelled ───► cancelled
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any, cast

import pydantic_core

from ...core.errors import BudgetFinished, RunCancelled, Unserialisable
from ...core.failures import Diagnosis, FailureClass
from ...journal import RunStatus
from ..agent import Agent, OnFailure
from ..boundary.diagnosis import Classifier
from ..boundary.grants import agent_may_run
from ..replay.control import Unwind
from ..replay.failure import failure_of
from ..replay.recorder import Recorder
from ..replay.scope import set_scope
from ..run import Run
from .answered import judged_answer
from .checking import checked, inner_scope
from .conclusion import Conclusion
from .undoing import undo_all

__all__ = ["conclude"]

_DEFAULT: dict[FailureClass, OnFailure] = {
    FailureClass.INVALID_OUTPUT: "escalate",
    FailureClass.STUCK: "escalate",
    FailureClass.CONTEXT_EXCEEDED: "partial",
}


async def conclude(
    recorder: Recorder, context: Run, agent: Agent, arguments: tuple[Any, ...], classifier: Classifier
) -> Conclusion:
    """Run the agent's function to its end, with its branches: how the run ends. Raises `Unwind` where it does not."""
    set_scope(recorder.root)
    try:
        error: BaseException | None = None
        value: Any = None
        judged: Conclusion | None = None
        try:
            agent_may_run(recorder, agent.name, agent.requires)
            given = {} if agent.handover is None else await agent.handover.given(context)
            value = await agent.function(context, *arguments, **given)
            await _branches(recorder)
            if agent.check is not None and not recorder.finishing and recorder.halted is None:
                judged = await checked(recorder, context, agent, value)
                await _branches(recorder)
            if not recorder.finishing and recorder.halted is None and recorder.heard is not None:
                ended = _succeeded(agent, value) if judged is None else judged
                judged = await judged_answer(recorder, agent, ended)
                await _branches(recorder)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as raised:
            error = raised
        if recorder.finishing and recorder.halted is None:
            await _branches(recorder)
        if recorder.halted is not None:
            raise error or Unwind()
        if recorder.finishing:
            found = recorder.said
        elif error is None:
            found = _succeeded(agent, value) if judged is None else judged
        else:
            found = await _after(recorder, agent, error, classifier)
        if recorder.unconsumed and not isinstance(error, asyncio.CancelledError):
            # A program that replays asks for what was recorded before it ends: here a deploy brought a fault.
            recorder.check_frontier(recorder.root, raised=None if recorder.finishing else error)
        return found
    finally:
        recorder.poke.set()


async def _branches(recorder: Recorder) -> None:
    """The run ends when its branches do; an error of one that nobody awaited is the run's."""
    while recorder.tasks and recorder.halted is None:
        recorder.active -= 1
        recorder.kick()
        done, _ = await asyncio.wait(recorder.tasks)
        recorder.active += 1
        for task in done:
            if task.cancelled():
                continue
            if (error := task.exception()) is not None and not recorder.finishing:
                raise error


def _succeeded(agent: Agent, value: Any) -> Conclusion:
    try:
        return Conclusion(status=RunStatus.SUCCEEDED, result=agent.output.round_trip(value)[0])
    except Unserialisable as refused:
        return Conclusion(status=RunStatus.FAILED, failure=failure_of(refused))


async def _after(
    recorder: Recorder, agent: Agent, error: BaseException, classifier: Classifier
) -> Conclusion:
    """How a run ends that was left by an error, after what it has done was undone, where that was asked for."""
    found, undo = _raised(agent, error, classifier)
    if found.status is RunStatus.CANCELLED and recorder.cancel is not None:
        told: dict[str, Any] = pydantic_core.from_json(recorder.cancel.payload)
        body: dict[str, Any] = told.get("body") or {}
        undo = bool(body.get("compensate"))
    if not undo:
        return found
    scope = inner_scope(recorder, "undo", shielded=True)
    try:
        if recorder.unconsumed:  # nothing is undone because of an error that a deploy brought
            recorder.check_frontier(recorder.root, raised=error)
        set_scope(scope)
        undone = await undo_all(recorder, scope)
    finally:
        set_scope(recorder.root)
        recorder.open_scopes.discard(scope.path)
    found = replace(found, undone=undone.told())
    if undone or found.status is RunStatus.CANCELLED:
        return found
    left = ", ".join(f"`{x.step}`" for x in undone.left)
    why = f"{found.reason}; {left} could not be undone"
    return replace(found, status=RunStatus.ESCALATED, why=why, to=agent.escalate_to)


def _raised(agent: Agent, error: BaseException, classifier: Classifier) -> tuple[Conclusion, bool]:
    """How it ends, and whether what it has done is to be undone."""
    if isinstance(error, asyncio.CancelledError):
        error = asyncio.CancelledError("the function cancelled itself")
        return Conclusion(status=RunStatus.FAILED, failure=failure_of(error)), False
    if _is_cancellation(error):
        return Conclusion(status=RunStatus.CANCELLED, failure=failure_of(error)), False
    diagnosis = classifier.diagnose(error)
    failure = failure_of(error, diagnosis)
    failed = Conclusion(status=RunStatus.FAILED, failure=failure)
    words = f"{failure.name}: {failure.message}"
    match answer_to(agent, error, diagnosis):
        case "escalate":
            return replace(failed, status=RunStatus.ESCALATED, why=words, to=agent.escalate_to), False
        case "partial":
            return replace(failed, status=RunStatus.PARTIAL, why=words), False
        case answer:
            return failed, answer == "compensate"


def answer_to(agent: Agent, error: BaseException, diagnosis: Diagnosis) -> OnFailure:
    """What an error that nobody caught makes of the run: as the agent says, else by its class."""
    if not isinstance(error, Exception):
        return "fail"
    said = agent.on_failure.get(diagnosis.failure)
    if said is not None:
        return said
    return "partial" if isinstance(error, BudgetFinished) else _DEFAULT.get(diagnosis.failure, "fail")


def _is_cancellation(error: BaseException) -> bool:
    """A cancellation, also inside the groups that task groups make of it."""
    if isinstance(error, BaseExceptionGroup):
        return any(_is_cancellation(e) for e in cast("BaseExceptionGroup[BaseException]", error).exceptions)
    return isinstance(error, RunCancelled)
