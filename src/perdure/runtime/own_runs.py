"""Runs that Perdure writes for itself, whole: what was done to a tenant beside what its agents did.

Such a run is chained, under the audit log, exported and searched as any other, so what people did to the runtime is
proven by the same means as what agents did with it. No worker serves its agent: see `journal.own`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pydantic_core

from ..core.digests import arguments_digest
from ..core.ids import RunRef
from ..core.principal import Principal
from ..journal import Append, Change, Entry, Kind, RunStatus, Store, seal
from .agent import AgentName
from .start import new_run

__all__ = ["Done", "write_run"]

_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing that was done, as a call of a tool of that name: `perdure audit who-did NAME` finds it."""

    name: str
    arguments: Mapping[str, Any]
    first: int
    """when it was done first: microseconds, the store's clock"""
    last: int
    """and last"""


async def write_run(
    store: Store,
    ref: RunRef,
    agent: str,
    told: Mapping[str, Any],
    *,
    by: Principal | str,
    at: int,
    done: Sequence[Done] = (),
    result: Any = None,
) -> bool:
    """Write a run of one of `OWN_AGENTS`, which `by` began `at`: its input is `told`. False: it was there.

    The id names what is recorded, so whoever finishes this for somebody else writes it once. Raises `Superseded`
    where somebody else does so at this moment.
    """
    who = by.subject if isinstance(by, Principal) else by
    new = new_run(
        ref,
        AgentName(agent, "1"),
        pydantic_core.to_json(told),
        key=await store.tenant_key(ref.tenant),
        at=at,
        actor=who,
        due=store.now() + _DAY,  # nobody claims it before it is whole
        by=None if isinstance(by, Principal) else by,
        on_behalf_of=by if isinstance(by, Principal) else None,
    )
    await store.create(new)
    claim = await store.seize(ref)
    if claim is None:
        return False
    run = claim.run
    entries: list[Entry] = []
    previous, seq = run.head_hash, run.head
    for kind, step, when, took, payload in _lines(done, result, store.now()):
        seq += 1
        entries.append(seal(previous, kind, seq, run.epoch, when, took, step, who, b"", payload))
        previous = entries[-1].hash
    change = Change(status=RunStatus.SUCCEEDED, guarded=False)
    await store.append(Append(run.rid, run.epoch, run.head, tuple(entries), 0, change))
    return True


def _lines(done: Sequence[Done], result: Any, now: int) -> list[tuple[Kind, str, int, int, bytes]]:
    """Kind, step, time, how long it took, payload."""
    lines: list[tuple[Kind, str, int, int, bytes]] = []
    times: dict[str, int] = {}
    for each in done:
        times[each.name] = number = times.get(each.name, 0) + 1
        key = each.name if number == 1 else f"{each.name}:{number}"
        intent = {
            "tool": each.name,
            "effect": "write",
            "arguments": each.arguments,
            "digest": arguments_digest(dict(each.arguments)),
            "attempt": 1,
        }
        lines.append((Kind.INTENT, key, each.first, 0, pydantic_core.to_json(intent)))
        lines.append((Kind.RESULT, key, each.last, each.last - each.first, b"null"))
    ended: dict[str, Any] = {"status": RunStatus.SUCCEEDED, "result": result, "undelivered": []}
    lines.append((Kind.ENDED, "", now, 0, pydantic_core.to_json(ended)))
    return lines
