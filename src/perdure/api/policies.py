"""`/policies`: those that hold, and what they say of a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, HTTPException

from ..app import App
from ..client.models import Explain, GateOut, Page, PolicyOut, VerdictOut
from ..core.clock import from_micros
from .callers import TheApp, Viewer
from .routes import GatedRoute

if TYPE_CHECKING:
    from ..governance.policy.book import PolicyBook

__all__ = ["book_of", "router"]

router = APIRouter(prefix="/policies", tags=["policies"], route_class=GatedRoute)


async def book_of(app: App, tenant: str) -> PolicyBook:
    """The policies that hold in a tenant. There may be none: 404."""
    found = await app.policies.holding(tenant=tenant)
    if found is None:
        raise HTTPException(
            404,
            "this app has no policies: its agents may do whatever nothing else refuses; `perdure policy init` begins a "
            "folder",
        )
    return found


@router.get("")
async def ls(caller: Viewer, app: TheApp) -> Page[PolicyOut]:
    """The policies that hold, with their text. Empty where there are none."""
    book = await app.policies.holding(tenant=caller.tenant)
    if book is None:
        return Page[PolicyOut](items=[])
    return Page[PolicyOut](
        items=[
            PolicyOut(
                id=each.id,
                layer=layer,
                effect=each.effect,
                role=each.role,
                quorum=each.quorum if each.gated else None,
                reason=each.reason,
                place=each.statement.place(),
                text=each.statement.text,
            )
            for layer, policies in book.policies.all().items()
            for each in policies
        ]
    )


@router.post("/explain")
async def explain(asked: Explain, caller: Viewer, app: TheApp) -> VerdictOut:
    """What the policies would say of a call, and by which of them. Nothing is called."""
    from ..governance.policy.verdict import PolicyCall, judge

    book = await book_of(app, caller.tenant)
    agent = app.find_agent(asked.agent)
    now = from_micros(app.store.now())
    verdict = judge(
        book.policies,
        PolicyCall(
            agent=agent.name,
            tool=asked.tool,
            arguments=asked.arguments,
            tenant=caller.tenant,
            user=asked.user,
            verified=bool(asked.grants),
            grants=frozenset(asked.grants),
            approvals=frozenset(asked.approved),
            called=frozenset(asked.called),
            seen=frozenset(asked.seen),
            untrusted=frozenset(asked.untrusted),
            unvouched=frozenset(asked.untrusted),
            hour=now.hour,
            weekday=now.isoweekday(),
        ),
    )
    return VerdictOut(
        decision=verdict.decision.value,
        why=verdict.why,
        policies=list(verdict.policies),
        gates=[GateOut(role=role, quorum=quorum) for role, quorum in verdict.gates],
        errors=list(verdict.errors),
        version=book.digest,
    )
