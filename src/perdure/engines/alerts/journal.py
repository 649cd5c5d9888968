"""The journal of a tenant's alerts: a run that nobody runs, one each month, to which each alert is an entry.

    alerts-202611: STARTED ─► ENDED ─► ESCALATION raised ─► delivered ─► acknowledged ─► over ─► ...

So alerts are chained, under the audit log, sealed and kept like all else, and no second kind of journal is needed. It
has ended as soon as it is there: entries behind an end are added by anybody who has something to say, in one
transaction with the cells that they are about.
"""

from __future__ import annotations

import pydantic_core

from ...core.clock import from_micros
from ...core.errors import Superseded
from ...core.ids import RunRef
from ...journal import ALERTS_AGENT, ENDINGS, Append, Change, Kind, RunStatus, Store, seal
from ...runtime import new_run
from ...runtime.agent import AgentName

__all__ = ["AGENT", "log_of"]

AGENT = ALERTS_AGENT
"""The agent's name in the rows of such runs. There is no such agent."""

NEVER_MICROS = 100 * 365 * 86_400_000_000


async def log_of(store: Store, tenant: str, at: int) -> RunRef:
    """The journal for what happens at that time, made where it is not there yet."""
    ref = RunRef(tenant, f"alerts-{from_micros(at):%Y%m}")
    record = await store.get(ref)
    if record is None:
        new = new_run(
            ref,
            AgentName(AGENT, "1"),
            b"null",
            key=await store.tenant_key(tenant),
            at=at,
            actor="alerts",
            due=at + NEVER_MICROS,  # no worker is to wait for it, nor to be missed
        )
        record, _ = await store.create(new)
    while record is not None and record.status not in ENDINGS:
        seen = store.changes()
        if not await _end(store, ref):  # another is just about to
            await store.changed(seen, within=0.1)
        record = await store.get(ref)
    return ref


async def _end(store: Store, ref: RunRef) -> bool:
    """End it. False: somebody came later, and does so."""
    claim = await store.seize(ref)
    if claim is None:
        return True
    run = claim.run
    payload = pydantic_core.to_json({"status": RunStatus.SUCCEEDED, "undelivered": [], "result": None})
    entry = seal(
        run.head_hash, Kind.ENDED, run.head + 1, run.epoch, store.now(), 0, "", "alerts", b"", payload
    )
    change = Change(status=RunStatus.SUCCEEDED, drained=run.inbox_seq)
    try:
        return await store.append(Append(run.rid, run.epoch, run.head, (entry,), 0, change))
    except Superseded:
        return False
