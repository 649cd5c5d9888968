"""Ending a run from outside its function: quarantine, and termination by an operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pydantic_core

from ...core.ids import RunRef
from ...governance.ledger import Ledger
from ...journal import Append, Change, Claim, Entry, Kind, Post, RunRecord, RunStatus, Store, seal

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
        told: dict[str, Any] = {
            "status": status,
            "failure": {"type": "perdure:Ended", "message": reason},
            "undelivered": [run.head + n for n in range(1, len(messages) + 1)],
        }
        if spent := ledger.spent.to_json():
            told["spent"] = spent  # the parent settles what it set aside for this run
        payload = pydantic_core.to_json(told)
        parts = [*((Kind.MESSAGE, m.payload()) for m in messages), (Kind.ENDED, payload)]
        change = Change(
            status=status,
            reasons=(reason[:300],),
            drained=messages[-1].n if messages else run.drained_seq,
            posts=_news_for_parent(run, payload),
        )
        entries = _sealed(run, parts, store.now(), actor)
        if await store.append(Append(run.rid, run.epoch, run.head, entries, 0, change)):
            return payload


def _sealed(run: RunRecord, parts: Sequence[tuple[Kind, bytes]], at: int, actor: str) -> tuple[Entry, ...]:
    made: list[Entry] = []
    last = run.head_hash
    for kind, payload in parts:
        seq = run.head + len(made) + 1
        made.append(seal(last, kind, seq, run.epoch, at, 0, "", actor, b"", payload))
        last = made[-1].hash
    return tuple(made)


def _news_for_parent(run: RunRecord, payload: bytes) -> tuple[Post, ...]:
    if run.parent is None:
        return ()
    name = run.ref.id
    parent = RunRef(run.ref.tenant, run.parent)
    return (
        Post(ref=parent, kind="child", name=name, id=f"child-{name}", sender=f"run {name}", body=payload),
    )
