"""Sagas: what a run has done is undone in reverse, durably, where its tools say how (`compensate`).

Each undoing is an idempotent step of its own, tried again by a patient policy. One that fails for good does not hold up
the others: it is listed as left. A write in doubt is settled before anything is undone, because its call returns only
then; what had happened is undone also where its caller was cancelled meanwhile, or its result could not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ..boundary.handing import CLIENTS, handed_parameters
from ..boundary.retry import Retry
from ..boundary.terms import Cached, Instead, Terms
from ..boundary.tool import Tool, as_tool
from ..replay.failure import failure_of

if TYPE_CHECKING:
    from ..boundary.doubt import EffectCall
    from ..replay.recorder import Recorder
    from ..replay.scope import Scope

__all__ = ["Left", "Undone", "keep_for_undo", "made_by", "undo_all", "undo_one"]

PATIENT = Retry(attempts=8, first=timedelta(seconds=1), most=timedelta(minutes=10), total=timedelta(hours=1))


@dataclass(frozen=True, slots=True)
class Left:
    """Something that was done and could not be undone."""

    step: str
    """the step that did it"""
    tool: str
    arguments: Mapping[str, Any]
    error: str


@dataclass(frozen=True, slots=True)
class Undone:
    """What was undone, the last first, and what could not be. True where nothing is left."""

    done: tuple[str, ...] = ()
    """keys of the steps"""
    left: tuple[Left, ...] = ()

    def __bool__(self) -> bool:
        return not self.left

    def told(self) -> dict[str, Any]:
        """As the ENDED entry says it."""
        left = [
            {"step": x.step, "tool": x.tool, "arguments": x.arguments, "error": x.error} for x in self.left
        ]
        return {"done": list(self.done), "left": left}


def keep_for_undo(call: EffectCall, declared: Tool[..., Any]) -> None:
    """The effect of the call has happened: it may have to be undone, by the tool that made it."""
    made = made_by(call.how.by, declared)
    if made is not None and made.compensate is not None:
        call.tool = made
        call.recorder.undo.append(call)


def made_by(name: str, declared: Tool[..., Any]) -> Tool[..., Any] | None:
    """The tool itself, or the fallback of that name; None: an earlier result, which has done nothing."""
    if name in ("", declared.name):
        return declared
    tools = [as_tool(f) for f in declared.terms.fallback if not isinstance(f, Cached | Instead)]
    return next((tool for tool in tools if tool.name == name), None)


async def undo_all(recorder: Recorder, scope: Scope) -> Undone:
    """Undo what the run has done, in `scope`. Raises `RunCancelled` in a cancelled run that is not shielded."""
    done: list[str] = []
    left: list[Left] = []
    while recorder.undo:
        call: EffectCall = recorder.undo[-1]
        if (not_undone := await undo_one(recorder, scope, call)) is None:
            done.append(call.key)
        else:
            left.append(not_undone)
    return Undone(tuple(done), tuple(left))


async def undo_one(recorder: Recorder, scope: Scope, call: EffectCall) -> Left | None:
    """Undo one effect, by a step of its own in `scope`; None: it is undone. Raises `RunCancelled`, as `undo_all`."""
    from ..boundary.effects import perform

    undo = call.tool.compensate
    assert undo is not None
    name = f"undo.{call.tool.name}"
    kinds = set(handed_parameters(undo).values())
    reaches = bool(kinds & CLIENTS)
    terms = Terms(
        retry=call.tool.terms.retry or PATIENT,
        credential=call.tool.terms.credential if reaches or "credential" in kinds else None,
        outbound=call.tool.terms.outbound if reaches else None,
    )
    tool: Tool[..., Any] = Tool(undo, name=name, effect="idempotent", terms=terms, undoes=True)
    key = scope.enter(name)
    left: Left | None = None
    try:
        await perform(recorder, scope, key, tool, (), dict(call.arguments))
    except Exception as error:
        failure = failure_of(error)
        why = f"{failure.name}: {failure.message}"[:1000]
        left = Left(call.key, call.tool.name, dict(call.arguments), why)
    finally:
        scope.busy = ""
    # Only now: a cancellation that came first leaves it to whoever undoes after that.
    recorder.undo = [other for other in recorder.undo if other is not call]
    return left
