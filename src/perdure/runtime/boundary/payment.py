"""The budget at the boundary: what a call may cost is set aside before it, what it did cost is written with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pydantic_core

from ...governance.budgets import Exhausted
from ...governance.prices import Charge
from ...journal import Entry, Kind, WaitReason
from ..conversation.messages import Usage
from .call import Call, Way
from .reservation import Ask, Part, Reservation
from .spending import Spending

__all__ = ["answered", "asking", "counted", "reserved", "settled"]

Pause = Callable[[Call, WaitReason, "int | None"], Awaitable[Any]]
"""Parks the branch until a time, or until a message comes for it."""

DEEPEST = 5
"""Causes of an error that are looked into."""


async def reserved(
    spending: Spending, call: Call, way: Way, trail: list[Entry], pause: Pause
) -> Reservation | None:
    """What is set aside for an attempt; None where no budget limits any of it. Raises as `Spending.reserve`."""

    def estimate() -> Charge:
        if way.kind == "tool":
            return spending.fee(way.name)
        prompt, output = (0, None) if call.estimate is None else call.estimate()
        return spending.estimate(way.name, prompt=prompt, output=output)

    kind = "model" if way.kind == "model" else "tool"
    return await spending.reserve(
        call.key, call.mark, kind, way.name, estimate, ask=asking(call, trail, pause)
    )


def asking(call: Call, trail: list[Entry], pause: Pause) -> Ask:
    """How the owner of an exhausted budget is asked: it stands in the journal, and the branch is parked."""

    async def ask(found: Exhausted) -> None:
        told = {"stage": "budget", "verdict": "wait", "why": str(found), **found.to_json()}
        last = next((e for e in reversed(trail) if e.kind == Kind.VERDICT), None)
        before: dict[str, Any] = {} if last is None else pydantic_core.from_json(last.payload)
        if any(before.get(name) != told[name] for name in ("stage", "whose", "dimension", "limit")):
            call.recorder.write(Kind.VERDICT, call.key, pydantic_core.to_json(told), fingerprint=call.mark)
            trail.append(call.recorder.last)
        await pause(call, WaitReason.BUDGET, found.until)

    return ask


def settled(
    spending: Spending, call: Call, way: Way, reservation: Reservation | None, value: Any
) -> list[Part]:
    """What a call with a result cost."""
    if way.kind == "model":
        return spending.charge_model(reservation, call.key, call.mark, way.name, counted(value))
    if way.kind == "tool":
        return spending.charge_tool(reservation, call.key, call.mark, way.name)
    return []


def counted(value: Any) -> Usage:
    """What a turn used: its value has the usage itself, or in its reply."""
    usage = getattr(value, "usage", None)
    if not isinstance(usage, Usage):
        usage = getattr(getattr(value, "reply", None), "usage", None)
    return usage if isinstance(usage, Usage) else Usage()


def answered(error: BaseException) -> bool:
    """Whether the other side has answered, with an error: no provider charges for those."""
    for _ in range(DEEPEST):
        status: Any = getattr(error, "status_code", None)
        if isinstance(status, int) and status >= 400:
            return True
        if error.__cause__ is None:
            return False
        error = error.__cause__
    return False
