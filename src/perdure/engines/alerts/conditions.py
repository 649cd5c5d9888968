"""What does not hold by itself any more, as the store stands: each condition is an alert for as long as it holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ...core.alert_settings import AlertSettings
from ...core.clock import to_micros
from ...core.ids import DEFAULT_TENANT
from ...governance import Treasury, share_in_words
from ...governance.accounts import ACCOUNT
from ...journal import CellKey, Demand, Overdue, RunQuery, RunRecord, RunStatus, Store, WaitReason, unserved
from ...memory import Proposals
from ..stranded import why_stranded
from .alert import Occurrence

__all__ = ["of_approvals", "of_budgets", "of_memory", "of_runs", "of_workers"]

PAGE = 500
MOST = 5000
"""Runs that are looked at for one condition: it is an alert long before so many."""

GRACE_MICROS = 30_000_000
"""A deploy takes workers down one after another: so long nobody need be there."""

_WAITING: tuple[tuple[WaitReason, str, str], ...] = (
    (WaitReason.IN_DOUBT, "run_in_doubt", "nobody knows whether an effect of {agent} happened"),
    (WaitReason.NEEDS_CONNECTION, "run_needs_connection", "{agent} waits for an account of its user"),
    (WaitReason.NONDETERMINISTIC, "run_stuck", "{agent} does not replay with the code that is deployed"),
    (WaitReason.NOT_IMPORTABLE, "run_stuck", "{agent} is to go alone, and cannot be imported there"),
    (WaitReason.SEALED, "run_stuck", "{agent} is sealed, and no worker has the key that opens it"),
    (WaitReason.CORRUPT, "chain_broken", "the journal of a run of {agent} is not what was written"),
)
_STANDS = frozenset({RunStatus.WAITING, RunStatus.PENDING})


async def of_runs(store: Store, settings: AlertSettings) -> list[Occurrence]:
    """Runs that wait for people or for a mending, and runs at work that do not move."""
    found: list[Occurrence] = []
    for reason, kind, says in _WAITING:
        records = await _all(store, RunQuery(statuses=_STANDS, reason=reason, limit=PAGE))
        found += _grouped(kind, reason.value, records, says)
    late = store.now() - to_micros(settings.stuck_after)
    records = await _all(store, RunQuery(statuses=frozenset({RunStatus.RUNNING}), limit=PAGE))
    still = [r for r in records if r.updated_at < late]
    return found + _grouped("run_stuck", "still", still, "{agent} is at work, and its journal does not grow")


def _grouped(kind: str, what: str, records: Iterable[RunRecord], says: str) -> list[Occurrence]:
    """One alert for each agent of each tenant."""
    by_agent: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        by_agent.setdefault((record.ref.tenant, record.agent), []).append(record)
    return [
        Occurrence(
            kind=kind,
            tenant=tenant,
            about=f"{agent}/{what}",
            subject=says.format(agent=f"`{agent}`") + ("" if len(some) == 1 else f" ({len(some)} runs)"),
            why=" ".join(some[0].reasons[1:])[:500],
            runs=tuple(r.ref.id for r in reversed(some[:10])),
            count=len(some),
        )
        for (tenant, agent), some in by_agent.items()
    ]


async def _all(store: Store, query: RunQuery) -> list[RunRecord]:
    found: list[RunRecord] = []
    while page := await store.find(query):
        found += page
        if len(page) < query.limit or len(found) >= MOST:
            break
        query = replace(query, before=page[-1].rid)
    return found


async def of_workers(store: Store, settings: AlertSettings) -> list[Occurrence]:
    """Runs that are due and that nobody can run, or nobody has run for long. They are of no tenant: of `default`."""
    now, demands, sessions = store.now(), await store.demands(counted=True), await store.sessions()
    found: list[Occurrence] = []
    lacking = dict(unserved(demands, sessions))
    for demand in demands:
        since = demand.since or now
        about = f"{demand.agent}@{demand.version}{' ' if demand.needs else ''}{' '.join(demand.needs)}"
        if demand in lacking and now - since > GRACE_MICROS:
            why = why_stranded(demand, lacking[demand])
            found.append(_of_demand("no_worker", about, demand, f"no worker can run `{about}`", why))
        elif demand not in lacking and now - since > to_micros(settings.stuck_after):
            why = "all workers that could run them are full: begin more of them, or let fewer runs begin"
            found.append(
                _of_demand(
                    "run_stuck", f"{about}/queue", demand, f"runs of `{about}` wait for their turn", why
                )
            )
    if not sessions and (left := await store.count(RunQuery(statuses=frozenset({RunStatus.RUNNING})))):
        found.append(
            Occurrence(
                kind="no_worker",
                tenant=DEFAULT_TENANT,
                about="none",
                subject="no worker is alive, and runs are in its middle",
                why="start one: `perdure worker`; it takes them up",
                count=left,
            )
        )
    return found


def _of_demand(kind: str, about: str, demand: Demand, subject: str, why: str) -> Occurrence:
    return Occurrence(
        kind=kind,
        tenant=DEFAULT_TENANT,
        about=about,
        subject=subject,
        why=why,
        count=demand.runs or 1,
    )


async def of_approvals(store: Store, settings: AlertSettings) -> list[Occurrence]:
    """Questions whose deadline is over, or that stand open for long without one."""
    by_agent: dict[tuple[str, str], list[str]] = {}
    now = store.now()
    overdue = Overdue(now, now - to_micros(settings.approval_after))
    for asked in await store.approvals(overdue=overdue):
        by_agent.setdefault((asked.ref.tenant, asked.agent), []).append(asked.ref.id)
    return [
        Occurrence(
            kind="approval_overdue",
            tenant=tenant,
            about=agent,
            subject=f"{len(runs)} question{'' if len(runs) == 1 else 's'} of `{agent}` not answered in time",
            why="`perdure approvals ls` lists them",
            runs=tuple(runs[-10:]),
            count=len(runs),
        )
        for (tenant, agent), runs in by_agent.items()
    ]


async def of_memory(store: Store, settings: AlertSettings) -> list[Occurrence]:
    """Writes to memory that have waited long for a review."""
    by_tenant: dict[str, list[str]] = {}
    before = store.now() - to_micros(settings.approval_after)
    for proposal in await Proposals(store).waiting(before=before):
        by_tenant.setdefault(proposal.write.whose.tenant, []).append(proposal.write.origin.run)
    return [
        Occurrence(
            kind="memory_unreviewed",
            tenant=tenant,
            about="review",
            subject=f"{len(runs)} write{'' if len(runs) == 1 else 's'} to memory not reviewed for long",
            why="`perdure memory review ls` lists them",
            runs=tuple(dict.fromkeys(runs))[-10:],
            count=len(runs),
        )
        for tenant, runs in by_tenant.items()
    ]


async def of_budgets(treasury: Treasury, settings: AlertSettings, *, tenant: str) -> list[Occurrence]:
    """Shared budgets of which that share is used, for each share that is to be told."""
    found: list[Occurrence] = []
    for whose in await _tenants(treasury.store, tenant):
        for standing in await treasury.standings(whose):
            for dimension, limit in standing.limits.items():
                used = int(getattr(standing.account.used, dimension))
                found += [
                    _of_budget(whose, standing.shared.scope, dimension, used, limit, share)
                    for share in settings.budget_at
                    if limit and used >= share * limit
                ]
    return found


def _of_budget(tenant: str, scope: str, dimension: str, used: int, limit: int, share: float) -> Occurrence:
    words = share_in_words(dimension, used, limit)
    return Occurrence(
        kind="budget_threshold",
        tenant=tenant,
        about=f"{scope}/{dimension}/{share:g}",
        subject=f"{share:.0%} of the budget `{scope}` are used",
        why=f"{dimension.replace('_', ' ')}: {words}; `perdure budget ls` shows it",
    )


async def _tenants(store: Store, own: str) -> Sequence[str]:
    """Those that have an account, and the app's own."""
    found = {own}
    after: CellKey | None = None
    while page := await store.cells(ACCOUNT, after=after):
        after = page[-1][0]
        found |= {key.tenant for key, _ in page}
    return sorted(found)
