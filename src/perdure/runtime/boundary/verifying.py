"""Effects are checked: what a tool has done is looked at before its result counts.

    RESULT ─► check ─┬─ passed ───────────────────────────────────────────────► the result
                     └─ not ─► the ring is narrowed ─► undone (`compensate`) ─► `CheckFailed`

The check is a step of its own behind the call, and so is the undoing: a worker that dies in between leaves the rest to
the next, and a replay looks at nothing again. The ring is narrowed before the check's result is recorded, once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.codec import PLAIN
from ...core.errors import CheckFailed, ConfigError, StoreError
from ...journal import Kind
from ..replay.control import Unwind
from ..replay.scope import Scope
from .credentials import lent_to
from .doubt import EffectCall
from .functions import run_function

if TYPE_CHECKING:
    from .tool import Tool

__all__ = ["STAGE", "verified"]

STAGE = "check"

Found = dict[str, Any]


async def verified(call: EffectCall, declared: Tool[..., Any], value: Any) -> None:
    """Return where the check of the tool that made the effect passes, or it has none. Raises `CheckFailed`."""
    from ..ending.undoing import made_by, undo_one
    from .effects import repeat

    tool = made_by(call.how.by, declared)
    if tool is None or tool.terms.check is None:
        return
    check, recorder = tool.terms.check, call.recorder
    scope = Scope(recorder, f"{call.key}/", parent=call.scope, shielded=call.scope.shielded)
    recorder.open_scopes.add(scope.path)
    try:
        key = scope.enter("check")
        mark = recorder.mark(b"check", b"")

        async def look() -> Found:
            found = await _found(call, tool, check, value)
            told = {"stage": STAGE, "verdict": "passed" if found["passed"] else "failed", "tool": tool.name}
            recorder.write(Kind.VERDICT, key, pydantic_core.to_json({**told, **found}), fingerprint=mark)
            rings = recorder.boundary.rings
            if not found["passed"] and rings is not None:
                await rings.narrow(
                    call, tool.name, "check", f"the check of `{tool.name}` did not pass: {found['why']}"
                )
            return found

        found: Found = await repeat(
            recorder, scope, key, look, (), {}, shape=PLAIN, asynchronous=True, operation=b"check"
        )
        scope.busy = ""
        if found["passed"]:
            return
        undone = ""
        error = CheckFailed("")
        if tool.compensate is None:
            undone = "it cannot be undone, as the tool has no `compensate`"
        elif call in recorder.undo:
            scope.shielded = True
            left = await undo_one(recorder, scope, call)
            error.undone = left is None
            undone = "it was undone" if left is None else f"it could not be undone: {left.error}"
        why = f": {found['why']}" if found["why"] else ""
        error.args = (f"`{tool.name}` was carried out, and its check did not pass{why}; {undone}",)
        raise error
    finally:
        recorder.open_scopes.discard(scope.path)


async def _found(call: EffectCall, tool: Tool[..., Any], check: Callable[..., Any], value: Any) -> Found:
    """What the check says. One that raises has not passed: nobody knows that it is right."""
    from ..ending.checking import Check

    try:
        async with lent_to(call, tool, check) as handed:
            said = await run_function(check, value, **_asked_for(check, call.keyed(check)), **handed)
    except (Unwind, StoreError):
        raise
    except AssertionError as error:
        return {"passed": False, "why": str(error) or "an assertion of it does not hold", "evidence": None}
    except Exception as error:
        if call.recorder.halted is not None:
            raise Unwind from error
        return {"passed": False, "why": f"it raised {type(error).__name__}: {error}"[:1000], "evidence": None}
    if isinstance(said, Check):
        evidence = pydantic_core.from_json(pydantic_core.to_json(said.evidence, fallback=repr))
        return {"passed": said.passed, "why": said.why[:1000], "evidence": evidence}
    if not isinstance(said, bool):
        raise ConfigError(
            f"the check of tool `{tool.name}` returned `{said!r}`; a check returns True, False or a perdure.Check"
        )
    return {"passed": said, "why": "", "evidence": None}


def _asked_for(check: Callable[..., Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the call that the check takes; the first of its own parameters is the result."""
    parameters = list(inspect.signature(check).parameters.values())[1:]
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(arguments)
    names = {p.name for p in parameters}
    return {name: value for name, value in arguments.items() if name in names}
