"""Ending a run from outside its function: quarantine, and termination by an operator."""

from __future__ import annotations

from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...governance.ledger import Ledger
from ...journal import Append, Change, Claim, Entry, Kind, Post, RunStatus, Store, seal

__all__ = ["end_claimed"]


async def end_claimed(store: Store, claim: Claim, *, status: RunStatus, reason: str, actor: str) -> bytes:
    """Append the ending to a claimed run whose function is not asked: its payload. Raises `Superseded`.

    What is in its inbox is journaled before it: a run that is let go on from quarantine finds it there.
    """
    run = claim.run
    ledger = Ledger(claim.entries)
    ledger.close()
    while True:
        messages = await store.inbox(run.rid, after=run.drained_seq)
        drained = messages[-1].n if messages else run.drained_seq
        entries: list[Entry] = []
        last = run.head_hash

        def add(kind: Kind, payload: bytes, by: str) -> None:
            nonlocal last
            seq = run.head + len(entries) + 1
            entries.append(seal(last, kind, seq, run.epoch, store.now(), 0, "", by, b"", payload))
            last = entries[-1].hash

        for message in messages:
            add(Kind.MESSAGE, message.payload(), actor)
        failure = {"type": "perdure:Ended", "message": reason}
        undelivered = [e.seq for e in entries]
        told: dict[str, Any] = {"status": status, "failure": failure, "undelivered": undelivered}
        if spent := ledger.spent.to_json():
            told["spent"] = spent  # the parent settles what it set aside for this run
        payload = pydantic_core.to_json(told)
        add(Kind.ENDED, payload, actor)
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
        if await store.append(Append(run.rid, run.epoch, run.head, tuple(entries), 0, change)):
            return payload
