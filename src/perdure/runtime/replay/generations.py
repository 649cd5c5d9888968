"""Beginning again: a run that ends a generation and goes on as a new one, under the same id, with a short journal."""

from __future__ import annotations

from typing import Any, NoReturn

import pydantic_core

from ...core.delegation import chain_told
from ...core.errors import ConcurrentScope
from ...journal import Change, Kind, RunStatus
from ..agent import Agent
from .failure import Failure, again
from .recorder import Recorder
from .scope import Scope

__all__ = ["ask_to_begin_again", "beginning"]


async def ask_to_begin_again(
    recorder: Recorder, scope: Scope, key: str, agent: Agent, value: Any
) -> NoReturn:
    """Leave the function; the segment's driver then writes the new beginning.

    Raises `RunCancelled` instead, and `ConcurrentScope` where other branches are open: their steps would be lost.
    """
    payload = agent.dump_input(value)
    if scope is not recorder.root or recorder.tasks:
        raise ConcurrentScope(
            "`run.continue_as_new` was called while branches are open; await them first, and call it from the agent's "
            "own function, outside `run.gather`, `run.first` and `run.branch`"
        )
    mark = recorder.mark(b"continue_as_new", payload)
    record = recorder.take(key, mark) if recorder.unconsumed else None
    if record is not None and record.final is not None:
        await recorder.recorded(record.final)
        raise again(Failure.model_validate_json(record.final.payload))
    while True:
        await recorder.live(scope, key, mark)
        if recorder.cancel is not None:  # also under a shield: a run that was cancelled does not begin again
            await recorder.cancelled(key, mark, recorder.cancel)
        recorder.renewal = payload
        await recorder.blocked(recorder.renewing)  # ends where something came that must be looked at first


def beginning(recorder: Recorder, now: int) -> tuple[list[tuple[int, str, bytes, bytes]], Change]:
    """The entries with which the next generation begins, and the release that goes with them.

    Signals that no step has received come along as copies behind the CONTINUED entry, so that what lies before it is
    never read again. Answers do not: they were given to questions that are closed now.
    """
    carried = [m for m in recorder.mailbox if pydantic_core.from_json(m.payload)["kind"] == "signal"]
    first = recorder.started
    told: dict[str, Any] = {
        "generation": recorder.generation + 1,
        "carried": [m.seq for m in carried],
        "ended": {"entries": recorder.head - first.seq + 1, "began_at": first.at},
    }
    if recorder.principal is not None:
        told["by"] = recorder.principal
    if recorder.on_behalf_of is not None and recorder.on_behalf_of.verified:
        told["on_behalf_of"] = recorder.on_behalf_of.told()
    if recorder.chain:
        told["chain"] = chain_told(recorder.chain)
    if recorder.boundary.trace.given:
        told["trace"] = recorder.boundary.trace.told()
    if recorder.subject is not None:
        told["subject"] = recorder.subject
    if recorder.heard is not None and (heard := recorder.heard.handed_on()):
        told["heard"] = heard
    if recorder.boundary.spending is not None:
        told |= recorder.boundary.spending.carried_on()
    body = pydantic_core.to_json(told)[:-1] + b',"input":' + recorder.renewal + b"}"
    parts: list[tuple[int, str, bytes, bytes]] = [(Kind.CONTINUED, "", body, b"")]
    parts += [(Kind.MESSAGE, "", m.payload, b"") for m in carried]
    change = Change(
        status=RunStatus.PENDING,
        next_wake=now,
        drained=recorder.drained,
        base=recorder.head + 1,
        base_hash=recorder.hash,
    )
    return parts, change
