"""Claims are checked: what an agent says it has done is looked at before the run counts as succeeded.

    the function returns ─► check ─┬─ passed ─────────────────────────────► succeeded
                              ▲    ├─ not, and there is a repair ─► repair ─┐
                              │    └─ not, for the last time ─► partial, or escalated, with the check's words
                              └─────────────────────────────────────────────┘ once

Check and repair are code of the run like any other: their steps and model calls stand in its journal, under `check/`
and `repair/`, with what they cost. The verdict is recorded: a run whose worker dies there comes to the same
end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pydantic_core

from ...core.codec import is_asynchronous
from ...core.errors import ConfigError
from ...governance.amounts import NOTHING, Amount
from ...journal import Kind, RunStatus
from ..agent import Agent
from ..replay.failure import Failure, again
from ..replay.recorder import Recorder
from ..replay.scope import Scope, set_scope
from .conclusion import Conclusion

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["Check", "checked", "inner_scope"]


@dataclass(frozen=True, slots=True)
class Check:
    """What a check found: whether the result is what was asked for, why (not), and what it saw."""

    passed: bool
    why: str = ""
    evidence: Any = None
    """anything that JSON can say"""

    def __bool__(self) -> bool:
        return self.passed


async def checked(recorder: Recorder, context: Run, agent: Agent, value: Any) -> Conclusion:
    """How a run ends whose function has returned `value`. Raises what the repair raises, and `Unserialisable`."""
    assert agent.check is not None
    payload, value = agent.output.round_trip(value)
    first, mending, second = (inner_scope(recorder, name) for name in ("check", "repair", "check"))
    repaired = False
    try:
        if recorder.unconsumed:  # what was recorded before comes first: else a deploy brought a fault
            recorder.check_frontier(recorder.root)
        found = await _check(recorder, context, agent.check, value, first)
        if not found and agent.repair is not None:
            repaired = True
            set_scope(mending)
            value = await _call(agent.repair, context, value, found.why)
            payload, value = agent.output.round_trip(value)
            found = await _check(recorder, context, agent.check, value, second)
    finally:
        set_scope(recorder.root)
        recorder.open_scopes -= {first.path, mending.path, second.path}
    said = {
        "passed": found.passed,
        "why": found.why,
        "evidence": found.evidence,
        "repaired": repaired,
        "scopes": [first.path, mending.path, second.path],
    }
    if spent := _spent(recorder):
        said["spent"] = spent
    if found:
        return Conclusion(status=RunStatus.SUCCEEDED, result=payload, check=said)
    why = f"the check did not pass{': ' if found.why else ''}{found.why}"
    if agent.on_failed_check == "partial":
        return Conclusion(status=RunStatus.PARTIAL, result=payload, why=why, check=said)
    seen = {"result": pydantic_core.from_json(payload), "evidence": found.evidence}
    return Conclusion(
        status=RunStatus.ESCALATED, why=why, context=seen, to=agent.escalate_to, check=said, result=payload
    )


def _spent(recorder: Recorder) -> dict[str, dict[str, int]]:
    """What the check and the repair have cost, apart from the work: a second model is paid for, too."""
    spending = recorder.boundary.spending
    found: dict[str, Amount] = {}
    for line in () if spending is None else spending.ledger.charges:
        if line.part in ("check", "repair"):
            found[line.part] = found.get(line.part, NOTHING) + line.amount
    return {part: amount.to_json() for part, amount in found.items() if amount}


async def _check(
    recorder: Recorder, context: Run, check: Callable[..., Any], value: Any, scope: Scope
) -> Check:
    key = scope.moment("verdict")
    mark = recorder.mark(b"check")
    set_scope(scope)
    if not recorder.unconsumed:
        await recorder.live(scope, key, mark)  # a rehearsal, or a worker that leaves, begins no check
    found = await _found(check, context, value)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        if record.final.kind == Kind.FAILED:
            await recorder.recorded(record.final)
            raise again(Failure.model_validate_json(record.final.payload))
        return Check(**pydantic_core.from_json(record.final.payload))
    await recorder.live(scope, key, mark)
    told = {"passed": found.passed, "why": found.why, "evidence": found.evidence}
    recorder.write(Kind.VALUE, key, pydantic_core.to_json(told, fallback=repr), fingerprint=mark)
    return Check(**pydantic_core.from_json(recorder.last.payload))


async def _found(check: Callable[..., Any], context: Run, value: Any) -> Check:
    """What the check says. One that raises has not passed: nobody knows that the result is right."""
    try:
        said = await _call(check, context, value)
    except AssertionError as error:
        return Check(False, str(error) or "an assertion of it does not hold")
    except Exception as error:
        return Check(False, f"it raised {type(error).__name__}: {error}"[:1000])
    if isinstance(said, Check):
        return said
    if not isinstance(said, bool):
        name = getattr(check, "__name__", "check")
        raise ConfigError(f"`{name}` returned `{said!r}`; a check returns True, False or a perdure.Check")
    return Check(said)


async def _call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Of either colour; a plain one runs here, as all code of a run does between its steps."""
    made = function(*arguments)
    return await made if is_asynchronous(function) else made


def inner_scope(recorder: Recorder, name: str, *, shielded: bool = False) -> Scope:
    """A scope for what follows the agent's function. It is open: its steps are not missing before it has begun."""
    path = f"{recorder.root.moment(name)}/"
    recorder.open_scopes.add(path)
    recorder.parts[path] = name
    return Scope(recorder, path, parent=recorder.root, shielded=shielded)
