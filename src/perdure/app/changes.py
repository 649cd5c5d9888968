"""What people change beside runs stands in the audit log: policies, rings, reviews of tools, stops, revocations.

Each change is kept where it holds, some in a signed chain of their own. Here it is told once more, as a run of
`perdure.changes` with one call that names it (and, where there is one, its hash): so a chain that was rewritten or
cut off does not fit what the Merkle log has sealed, and `perdure audit who-did policy_apply` says who.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.ids import RunRef, new_id
from ..governance.changes import Change
from ..journal import CHANGES_AGENT, Store
from ..runtime import Done, write_run

__all__ = ["record_change", "record_chain"]


async def record_change(
    store: Store,
    tenant: str,
    what: str,
    arguments: Mapping[str, Any],
    *,
    by: str,
    at: int | None = None,
    name: str | None = None,
) -> bool:
    """Tell that somebody has done `what` (`stop`, `policy_apply`); on disk when it returns.

    `name` names the one change, so that it is told once. False: it was told.
    """
    when = store.now() if at is None else at
    ref = RunRef(tenant, f"change-{name or new_id()}")
    done = Done(name=what, arguments=arguments, first=when, last=when)
    return await write_run(store, ref, CHANGES_AGENT, {"what": what}, by=by, at=when, done=[done])


async def record_chain(store: Store, changes: Sequence[Change], *, what: Mapping[str, str]) -> None:
    """Tell of the changes of a chain that nobody has told of yet: whoever made one may have died before it was.

    `what` names a change by what it is `of`.
    """
    for change in reversed(changes):
        draft = change.draft
        told = {
            **draft.what,
            "reason": draft.reason,
            "seq": draft.seq,
            "hash": change.hash,
            "signed": change.proof is not None,
        }
        name = f"{draft.kind}-{draft.seq:06d}-{change.hash[:16]}"
        of = str(draft.what.get("of", ""))
        if not await record_change(
            store, draft.tenant, what.get(of, draft.kind), told, by=draft.by, at=change.at, name=name
        ):
            return
