"""The pages of open questions: the list, one of them, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from ...access.callers import Role
from ...access.viewings import Viewings
from ...core.errors import UnknownStep
from ...journal import Approval
from ..live import stream
from ..passkeys import passkeys_of
from ..rooms import Page, Room
from ..visit import Visit
from .answers import MOST, answer, answer_several, confirmation, open_question, parted, sign_in
from .question import Asked

__all__ = ["APPROVALS"]

_DONE = {
    "approved": "Approved. The run goes on as soon as a worker has it.",
    "rejected": "Rejected. The run is told why.",
}

LISTED = 200


async def listing(visit: Visit) -> Response:
    """`/approvals`: what stands open, the oldest first; what this person may answer before the rest."""
    now = visit.store.now()
    found = await visit.store.approvals(tenant=visit.tenant, limit=LISTED)
    await _seen(visit, found)
    asked = [_asked(visit, approval, now) for approval in found]
    open_ = await visit.store.count_approvals(tenant=visit.tenant) if len(found) == LISTED else len(found)
    told: dict[str, Any] = {
        "mine": [a for a in asked if not a.hindrance],
        "others": [a for a in asked if a.hindrance],
        "more": max(0, open_ - len(found)),
        "payloads": visit.me.sees_payloads,
        "approver": visit.me.may(Role.APPROVER),
        "most": MOST,
        "live": visit.url("/live/approvals", seen=visit.store.changes()),
    }
    if visit.partial:
        return visit.part("approvals/_listed.html", **told)
    done = _DONE.get(visit.given("done"))
    return await visit.page("approvals/listing.html", **told, done=done, done_run=visit.given("run"))


async def show(visit: Visit) -> Response:
    """`/approvals/RUN?step=STEP`: one question, with all that there is to know of it."""
    record = await visit.run()
    approval = await open_question(visit, record.ref.id, visit.given("step"))
    await _seen(visit, [approval])
    return await visit.page(
        "approvals/question.html",
        asked=_asked(visit, approval, visit.store.now()),
        record=record,
        passkeys=await passkeys_of(visit),
        vouching=() if visit.shell.entrance is None else visit.shell.entrance.vouching,
        payloads=visit.me.sees_payloads,
        approver=visit.me.may(Role.APPROVER),
    )


async def review(visit: Visit) -> Response:
    """Several questions on one page, before they get one answer."""
    now = visit.store.now()
    keys = [parted(key) for key in visit.request.query_params.getlist("question")[: MOST + 1]]
    asked: list[Asked] = []
    gone: list[str] = []
    for run, digest, step in keys[:MOST]:
        try:
            approval = await open_question(visit, run, step)
        except UnknownStep:
            gone.append(run)
            continue
        found = _asked(visit, approval, now)
        if found.digest != digest or not found.plain:
            gone.append(run)
        else:
            await _seen(visit, [approval])
            asked.append(found)
    return await visit.page(
        "approvals/several.html",
        asked=asked,
        gone=gone,
        too_many=len(keys) > MOST,
        most=MOST,
        payloads=visit.me.sees_payloads,
    )


async def _seen(visit: Visit, shown: Sequence[Approval]) -> None:
    await Viewings(visit.app).saw(visit.me, "question", *((a.ref, a.step) for a in shown))


async def several(visit: Visit) -> Response:
    """One answer to several questions, and what became of each."""
    return await visit.page("approvals/answered.html", answered=await answer_several(visit))


async def live(visit: Visit) -> Response:
    """`/live/approvals`: says when there may be something else to answer."""

    async def look() -> str | None:
        return str(visit.store.changes())

    return stream(visit.shell.pulse, look, last=visit.last_seen)


async def _waiting(visit: Visit) -> int:
    return await visit.store.count_approvals(tenant=visit.tenant)


def _asked(visit: Visit, approval: Any, now: int) -> Asked:
    return Asked.of(approval, by=visit.by, settings=visit.app.approval_settings, now=now)


APPROVALS = Room(
    title="Approvals",
    path="/approvals",
    key="a",
    pages=(
        Page(path="/approvals", handler=listing),
        Page(path="/approvals/~several", handler=review, role=Role.APPROVER),
        Page(path="/approvals/~several", handler=several, role=Role.APPROVER, method="POST"),
        Page(path="/live/approvals", handler=live),
        Page(path="/approvals/{run}", handler=show, role=Role.APPROVER),
        Page(path="/approvals/{run}", handler=answer, role=Role.APPROVER, method="POST"),
        Page(path="/approvals/{run}/confirmation", handler=confirmation, role=Role.APPROVER, method="POST"),
        Page(path="/approvals/{run}/sign-in", handler=sign_in, role=Role.APPROVER, method="POST"),
    ),
    waiting=_waiting,
)
"""Questions that stand open, and their answers."""
