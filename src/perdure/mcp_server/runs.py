"""A run while somebody waits for it, and all that is told of it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pydantic_core
from mcp_types import CallToolResult

from ..access.viewings import Viewings
from ..app.endings import ending_of
from ..core.errors import UnknownRun
from ..core.ids import RunRef
from ..journal import ENDINGS, RunRecord, RunStatus
from ..runtime.ending.conclusion import Ending
from ..views.runs import row_of
from ..views.standing import standing
from .asking import Asking
from .questions import mark_of
from .shapes import RunTold, question_told, run_told
from .words import answered, cut

__all__ = ["result_of", "settled", "taken_up", "told"]


async def settled(asking: Asking, ref: RunRef, *, within: timedelta, beyond: str | None = None) -> RunRecord:
    """The run once it has ended or asks somebody something, or after that time. Each move of it is told.

    `beyond` is the mark of a question that was answered just now: until the run has taken that up, it is asked still.
    """
    record = await asking.record(ref.id)
    loop = asyncio.get_running_loop()
    until = loop.time() + within.total_seconds()
    async with asking.watch.on(ref) as onlooker:
        while not await _stands(asking, record, beyond) and (left := until - loop.time()) > 0:
            moved = await onlooker.next(within=left)
            if moved is None:
                break
            record = moved
            await asking.say(
                record.head, f"{record.status}: {standing(record, asking.app.store.now())}"[:300]
            )
    return await asking.record(ref.id)


async def _stands(asking: Asking, record: RunRecord, beyond: str | None) -> bool:
    """Whether it goes on only when somebody has done something, or not at all."""
    if record.status in ENDINGS:
        return True
    if record.status is not RunStatus.WAITING or "approval" not in record.reasons:
        return False
    if beyond is None:
        return True
    found = await asking.app.open_approvals(record.ref.id, tenant=record.ref.tenant)
    return any(mark_of(one) != beyond for one in found)


async def taken_up(asking: Asking, ref: RunRef, *, within: timedelta) -> None:
    """Wait until the run has heard all that it was sent, or for that time."""
    until = asyncio.get_running_loop().time() + within.total_seconds()
    store = asking.app.store
    seen = store.changes()
    while (left := until - asyncio.get_running_loop().time()) > 0:
        record = await asking.record(ref.id)
        if record.drained_seq >= record.inbox_seq or record.status in ENDINGS:
            return
        await store.changed(seen, within=min(left, 0.25))
        seen = store.changes()


async def result_of(asking: Asking, record: RunRecord) -> CallToolResult:
    """A run as the answer of a tool: an error, where it ended and did not succeed."""
    found = answered(await told(asking, record), most=asking.settings.most_output)
    failed = record.status in ENDINGS and record.status not in (RunStatus.SUCCEEDED, RunStatus.PARTIAL)
    return found.model_copy(update={"is_error": True}) if failed else found


async def told(asking: Asking, record: RunRecord) -> RunTold:
    """All of a run that its caller may see: where it stands, what it asks, how it ended."""
    app, caller = asking.app, asking.caller
    figures = (await app.store.figures([record.rid])).get(record.rid)
    found = run_told(row_of(record, figures), payload=caller.sees_payloads)
    questions = (
        [] if record.status in ENDINGS else await app.open_approvals(record.ref.id, tenant=caller.tenant)
    )
    if questions:
        await Viewings(app).saw(caller, "question", *((one.ref, one.step) for one in questions))
    more: dict[str, Any] = {
        "questions": [question_told(one, payload=caller.sees_payloads) for one in questions[:20]]
    }
    if record.status in ENDINGS and record.pruned_at is None and caller.sees_payloads:
        more |= await _ended(asking, record)
    return found.model_copy(update=more)


async def _ended(asking: Asking, record: RunRecord) -> dict[str, Any]:
    await Viewings(asking.app).saw(asking.caller, "result", record.ref)
    try:
        entry = await ending_of(asking.app.store, record)
    except UnknownRun:
        return {}
    ending = Ending.of(pydantic_core.from_json(entry.payload))
    why = ending.why or (
        None if ending.failure is None else f"{ending.failure.name}: {ending.failure.message}"
    )
    size = len(pydantic_core.to_json(ending.value))
    if size > asking.settings.most_output:
        return {
            "why": _short(why),
            "next": f"the result has {size} bytes, more than is given here: the command `perdure runs show "
            f"{record.ref.id} --json` has it",
        }
    return {
        "result": ending.value,
        "why": _short(why),
        "missing": list(ending.missing) or None,
    }


def _short(text: str | None) -> str | None:
    return None if not text else cut(text, 2000)
