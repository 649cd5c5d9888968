"""Ending a run from outside its function: quarantine, and termination by an operator."""

from __future__ import annotations

from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...governance.ledger import Ledger
from ...journal import Append, Change, Claim, Kind, Post, RunStatus, Store, seal

__all__ = ["end_claimed"]


async def end_claimed(store: Store, claim: Claim, *, status: RunStatus, reason: str, actor: str) -> bytes:
    """Append the ending to a claimed run whose function is not asked: its payload. Raises `Superseded`."""
    run = claim.run
    drained = run.drained_seq
    ledger = Ledger(claim.entries)
    ledger.close()
    while True:
        messages = await store.inbox(run.rid, after=drained)
        drained = messages[-1].n if messages else drained
        failure = {"type": "perdure:Ended", "message": reason}
        undelivered = [{"kind": m.kind, "name": m.name, "sender": m.sender} for m in messages]
        told: dict[str, Any] = {"status": status, "failure": failure, "undelivered": undelivered}
        if spent := ledger.spent.to_json():
            told["spent"] = spent  # the parent settles what it set aside for this run
        payload = pydantic_core.to_json(told)
        entry = seal(
            run.head_hash, Kind.ENDED, run.head + 1, run.epoch, store.now(), 0, "", actor, b"", payload
        )
        posts: tuple[Post, ...] = ()
        if run.parent is not None:
            parent = RunRef(run.ref.tenant, run.parent)
            name = run.ref.id
            posts = (
                Post(
                    ref=parent,
                    kind="child",
                    name=name,
                    id=f"child-{name}",
                    sender=f"run {name}",
                    body=payload,
                ),
            )
        change = Change(status=status, reasons=(reason[:300],), drained=drained, posts=posts)
        if await store.append(Append(run.rid, run.epoch, run.head, (entry,), 0, change)):
            return payload
